"""What an owner may set of the chat page: its title, logo, example questions and whom to ask (PLM_PAGE_…)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

MAX_LOGO = 300_000  # bytes
MAX_EXAMPLES, MAX_EXAMPLE = 6, 100  # how many, and characters of each
_SVG = re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*|<!DOCTYPE[^>]*>\s*)*<svg[\s>]", re.DOTALL)


def image_type(data: bytes) -> str | None:
    """The media type of a picture that browsers show, by how it begins."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return "image/svg+xml" if _SVG.match(data.removeprefix(b"\xef\xbb\xbf")) else None


def _read_examples(value: object) -> object:
    """A list, or one text with | or line ends between; `none` for no examples."""
    if isinstance(value, str):
        value = () if value.strip().lower() == "none" else re.split(r"[|\n]", value)
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise ValueError("must be questions with | between, or none")
    examples = tuple(text.strip() for text in value if text.strip())
    if len(examples) > MAX_EXAMPLES:
        raise ValueError(f"has {len(examples)} questions, and {MAX_EXAMPLES} fit on the page")
    if any(len(text) > MAX_EXAMPLE for text in examples):
        raise ValueError(f"a question has at most {MAX_EXAMPLE} characters here")
    return examples


def _read_logo(value: object) -> object:
    """The path of a picture; it is read here once, so that a wrong one stops the start."""
    if not isinstance(value, str | Path):
        return value
    try:
        path = Path(value).expanduser()
        data = path.read_bytes() if path.stat().st_size <= MAX_LOGO else None
    except OSError as error:
        raise ValueError(f"the file {value} cannot be read: {error.strerror}") from None
    except RuntimeError:  # ~somebody
        raise ValueError(f"{value}: there is no such user") from None
    if data is None:
        raise ValueError(f"the file {path} has more than {MAX_LOGO // 1000} kB")
    if image_type(data) is None:
        raise ValueError(f"the file {path} is no picture in SVG, PNG, JPEG or WebP")
    return path.absolute()


PageTitle = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]*$")]
PageLogo = Annotated[Path | None, BeforeValidator(_read_logo)]
PageExamples = Annotated[tuple[str, ...] | None, NoDecode, BeforeValidator(_read_examples)]
PageContact = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
