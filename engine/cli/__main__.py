"""`python -m engine.cli`: the engine's commands without the bot's."""

from engine.cli import main

main()
