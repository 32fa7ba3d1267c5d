"""Processes: the web server, its children, the embedded store."""
