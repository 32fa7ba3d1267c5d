"""`python -m bot.cli` is `plm`."""

from bot.cli.plm import main

main()
