"""`python -m bot.cli` is `plm`."""

from bot.cli.commands import main

main()
