"""The bot: a Flask application that carries messages between people and the model; see app.py."""
