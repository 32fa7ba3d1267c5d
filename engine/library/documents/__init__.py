"""Reading the owner's files: `.txt .md .html .docx .pdf .csv .jsonl .epub`, and the corpus's books.

Start with reading.py. `.txt`, `.md`, `.csv` and `.jsonl` need nothing beside Python; the others need packages
of the extra `documents`.
"""

from engine.library.documents.parsed import DocumentError, Parsed
from engine.library.documents.reading import ENDINGS, Reader

__all__ = ["ENDINGS", "DocumentError", "Parsed", "Reader"]
