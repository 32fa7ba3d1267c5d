"""Why a field is refused, in one sentence that is true of what was sent.

Of a field that may be one thing or another, pydantic says what each alternative misses, and the first of them
is mostly beside the point ("valid string", of an image). Such a field says itself what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator

# What clients send beside text, by the type of the part: image_url, input_audio, file …
_MEDIA = {"image": "images", "audio": "sounds", "video": "videos", "file": "files"}


def explained(reason: Callable[[Any], str]) -> WrapValidator:
    """Of a value that the field's type does not take, say `reason(value)` and nothing else."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(reason(value)) from None

    return WrapValidator(check)


UNSUPPORTED = explained(lambda value: "not supported here: leave it out")


def why_no_stops(most: int, longest: int) -> Callable[[Any], str]:
    """Of what is neither a text nor at most `most` of them, each of 1 to `longest` characters."""

    def reason(value: Any) -> str:
        if isinstance(value, list) and len(value) > most:
            return f"at most {most} of them, not {len(value)}"
        each = value if isinstance(value, list) else [value]
        if any(text == "" for text in each):
            return "an empty text stops nothing: leave it out"
        if any(isinstance(text, str) and len(text) > longest for text in each):
            return f"at most {longest} characters each"
        return f"must be a text, or a list of at most {most} texts"

    return reason


def why_no_prompt(most: int) -> Callable[[Any], str]:
    """Of what is neither a text nor 1 to `most` of them."""

    def reason(value: Any) -> str:
        if isinstance(value, list) and len(value) > most:
            return f"at most {most} texts, not {len(value)}"
        if isinstance(value, list) and not value:
            return "an empty list: there is nothing to continue"
        if isinstance(value, list) and all(isinstance(one, int | list) for one in value):
            return "numbers of tokens are not read here: send the text"
        return f"must be a text, or a list of 1 to {most} texts"

    return reason


def why_no_content(value: Any) -> str:
    """Of what is neither a text nor parts of text."""
    for part in value if isinstance(value, list) else []:
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind != "text":
            read = next(
                (name for word, name in _MEDIA.items() if word in kind), f"parts of the type {kind!r}"
            )
            return f"{read} are not read here: send text alone"
    return 'must be a text, or a list of parts {"type": "text", "text": "…"}'
