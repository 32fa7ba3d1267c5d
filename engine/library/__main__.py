"""`python -m engine.library`: what `plm library` is."""

from engine.library.command import library

library(prog_name="plm library")
