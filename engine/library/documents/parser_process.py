"""A process that parses files, so that a file which takes all memory or time, or the parser's life, is alone.

The child reads a path a line and answers with a line of JSON. It is started at the first file, and again
after one that ended it.
"""

from __future__ import annotations

import json
import os
import resource
import select
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from engine.library.documents.formats import PARSERS
from engine.library.documents.parsed import MAX_MEMORY, MAX_SECONDS, DocumentError, Parsed
from engine.library.splitting import Heading


class ParserProcess:
    """Use as a context manager."""

    def __init__(self, seconds: float = MAX_SECONDS) -> None:
        self._seconds = seconds
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> ParserProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            for pipe in (self._child.stdin, self._child.stdout):
                if pipe is not None:
                    pipe.close()
            self._child = None

    def parse(self, path: Path) -> Parsed:
        """DocumentError with the reason if the file cannot be read within the limits."""
        if self._child is None or self._child.poll() is not None:
            self.close()
            self._child = subprocess.Popen(
                [sys.executable, "-m", __package__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                encoding="utf-8", env=os.environ | {"PYTHONUTF8": "1"},
            )  # fmt: skip
        assert self._child.stdin is not None  # noqa: S101
        assert self._child.stdout is not None  # noqa: S101
        self._child.stdin.write(json.dumps(os.fspath(path.absolute())) + "\n")
        self._child.stdin.flush()
        if not _readable(self._child.stdout, self._seconds):
            self.close()
            raise DocumentError(f"not read within {self._seconds:.0f} seconds; split the file")
        line = self._child.stdout.readline()
        if not line:
            self.close()
            raise DocumentError(
                f"reading it took more than {MAX_MEMORY // 10**6:,} MB or ended the parser; split it"
            )
        return _parsed(json.loads(line))


def _readable(pipe: IO[str], seconds: float) -> bool:
    """Whether something comes within so many seconds. A process that serves many may have files with numbers
    too large for select."""
    waiting = select.poll()
    waiting.register(pipe, select.POLLIN | select.POLLHUP)
    return bool(waiting.poll(seconds * 1000))


def _parsed(answer: dict[str, Any]) -> Parsed:
    if "error" in answer:
        raise DocumentError(answer["error"])
    answer["headings"] = tuple(Heading(**heading) for heading in answer["headings"])
    answer["pairs"] = answer["pieces"] = ()
    return Parsed(**answer)


def _answer(path: Path) -> dict[str, Any]:
    try:
        return asdict(PARSERS[path.suffix.lower()](path))
    except DocumentError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": f"reading it took more than {MAX_MEMORY // 10**6:,} MB; split it"}
    except Exception as error:  # a parser met a file that its authors did not foresee
        return {"error": f"broken: {type(error).__name__}: {error}"}


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    sys.setrecursionlimit(5000)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a parser prints is no answer
    for line in sys.stdin:
        answers.write(json.dumps(_answer(Path(json.loads(line))), ensure_ascii=True) + "\n")
        answers.flush()
