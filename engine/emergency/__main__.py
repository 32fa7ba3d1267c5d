"""python -m engine.emergency …: the commands of `plm emergency`."""

from engine.emergency.command import emergency

emergency(prog_name="plm emergency")
