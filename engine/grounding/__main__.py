"""`python -m engine.grounding`: what `plm ask` is."""

from engine.grounding.command import ask

ask(prog_name="plm ask")
