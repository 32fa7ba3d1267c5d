"""How a command of `plm` fails."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import click

P = ParamSpec("P")


def one_line_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Errors that a user can correct are one line and exit code 1, not a traceback."""

    @wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except BrokenPipeError:
            raise  # click ends quietly when the reader has gone
        except OSError as error:
            raise click.ClickException(f"{error.filename or 'failed'}: {error.strerror}") from None
        except ValueError as error:  # ModelFileError, a wrong PLM_ISA
            raise click.ClickException(str(error)) from None

    return wrapper
