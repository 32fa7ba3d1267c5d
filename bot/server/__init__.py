"""Processes: the web server, its children, the store that comes along."""
