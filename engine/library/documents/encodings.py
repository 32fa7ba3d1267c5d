"""Files' bytes as text, in the encoding that engine/model/file_encoding.py finds."""

from __future__ import annotations

from engine.library.documents.parsed import DocumentError
from engine.model import file_encoding


def decode(data: bytes) -> str:
    """The text of a file's bytes; DocumentError if they are no text in a known encoding."""
    try:
        return file_encoding.decode(data)[0]
    except file_encoding.EncodingError as error:
        raise DocumentError(str(error)) from None


def detect(data: bytes) -> str:
    """The name of the encoding of a file, judged by its beginning; DocumentError."""
    try:
        return file_encoding.detect(data)
    except file_encoding.EncodingError as error:
        raise DocumentError(str(error)) from None
