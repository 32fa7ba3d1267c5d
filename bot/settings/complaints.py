"""What is said of a wrong setting: one line that names it and says what to write, without its value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

_NUMBERS = {
    "int_parsing", "int_parsing_size", "int_from_float", "int_type", "float_parsing", "float_type",
    "finite_number", "greater_than", "greater_than_equal", "less_than", "less_than_equal",
}  # fmt: skip


def one_line(error: ValidationError, fields: Mapping[str, FieldInfo], file: str | None) -> str:
    """Of the first thing that is wrong. `file` is the one that PLM_CONFIG names."""
    first: Any = error.errors(include_url=False, include_input=False)[0]
    place = [str(part) for part in first["loc"]]
    if not place:
        return _plain(first["msg"])
    if place[0] == "webhooks":
        return _of_webhook(place[1:], first)
    if first["type"] == "extra_forbidden":
        return f"PLM_CONFIG: {file}: there is no setting {place[0]!r}"
    return f"PLM_{place[0].upper()}: {_what_to_write(first, fields.get(place[0]))}"


def _of_webhook(place: list[str], error: Any) -> str:
    if len(place) < 2:
        table = f"[webhooks.{place[0]}]" if place else "[webhooks.NAME]"
        return f"PLM_CONFIG: must have a table {table} with secret, perhaps url"
    variable = f"PLM_WEBHOOK_{place[0].upper()}_{place[1].upper()}"
    if error["type"] == "missing":
        return f"{variable}: missing"
    if error["type"] == "extra_forbidden":
        return f"PLM_CONFIG: [webhooks.{place[0]}] has secret and url, and no {place[1]!r}"
    if error["type"] == "too_short":
        return f"{variable}: must be whsec_…, or two of them with a comma"
    return f"{variable}: {_what_to_write(error, None)}"


def _what_to_write(error: Any, field: FieldInfo | None) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in _NUMBERS and field:
        return _number(field)
    if kind in ("bool_parsing", "bool_type"):
        return "must be 1 for yes or 0 for no"
    if kind == "literal_error":
        return f"must be {context['expected'].replace(chr(39), '')}"
    if kind == "string_too_long":
        return f"must have {context['max_length']} characters at most"
    if kind in ("string_type", "path_type"):
        return "must be a text: in the file, write it in quotation marks"
    if kind == "tuple_type":
        return "must be a text in quotation marks, or a list of such texts"
    return _plain(error["msg"])


def _number(field: FieldInfo) -> str:
    """`must be a number from 1 to 65535`, from the field's own bounds."""
    found: dict[str, Any] = {}
    for bound in field.metadata:
        for name in ("ge", "gt", "le"):
            if (value := getattr(bound, name, None)) is not None:
                found[name] = value
    what = "a whole number" if field.annotation in (int, int | None) else "a number"
    if "gt" in found:
        return f"must be {what} above {found['gt']}, {found['le']} at most"
    return f"must be {what} from {found['ge']} {'to ' + str(found['le']) if 'le' in found else 'on'}"


def _plain(message: str) -> str:
    message = message.removeprefix("Value error, ").replace("\n", " ")
    return message if message.startswith("PLM_") else message[:1].lower() + message[1:]
