"""The process that parses files; parser_process.py starts it."""

from engine.library.documents.parser_process import main

main()
