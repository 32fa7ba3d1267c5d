"""Parsers of the formats with structure. They run in a process of their own (parser_process.py).

Each is a well-kept library of the extra `documents`: pypdf, python-docx, beautifulsoup4. An epub is a zip of
pages, so zipfile and beautifulsoup4 read it; the package for it is under the AGPL.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

import defusedxml.ElementTree

from engine.library.documents.encodings import decode
from engine.library.documents.parsed import (
    MAX_ARCHIVE_BYTES,
    MAX_ARCHIVE_MEMBERS,
    MAX_ARCHIVE_RATIO,
    MAX_PAGES,
    DocumentError,
    Parsed,
    assemble,
)
from engine.library.documents.tables import table_lines

Blocks = Iterator[tuple[int, str]]

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_UNSEEN = ("script", "style", "noscript", "template", "head", "nav", "svg", "iframe", "form", "button")
_BLOCK_TAGS = (*_HEADINGS, "p", "li", "tr", "pre", "blockquote", "dt", "dd", "figcaption", "caption")
_BLOCK, _LEVEL = "\x01", "\x02"  # marks within a page's text; no page may hold control characters
_SENTENCE_END = tuple("。！？；：.!?;:”」）)】")


def _need(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise DocumentError(
            f'this format needs {package}; say `pip install "personal-lm[documents]"`'
        ) from None


def read_html(path: Path) -> Parsed:
    return assemble(path.stem, html_blocks(decode(path.read_bytes())))


def html_blocks(markup: str) -> Blocks:
    """Headings, and the text of each innermost block; a table's row is a line."""
    soup = _need("bs4", "beautifulsoup4").BeautifulSoup(markup, "html.parser")
    for tag in soup(_UNSEEN):
        tag.decompose()
    for line_break in soup("br"):
        line_break.replace_with("\n")
    for table in soup("table"):
        _write_rows(table)
    for cell in soup(["td", "th"]):
        cell.append(" ")
    for tag in soup(_BLOCK_TAGS):
        tag.insert_before(_BLOCK)
        tag.insert(0, f"{_LEVEL}{_HEADINGS.get(tag.name, 0)}")
        tag.insert_after(_BLOCK)
    for tag in soup(["div", "section", "article", "table", "ul", "ol", "body"]):
        tag.insert_before(_BLOCK)
        tag.insert_after(_BLOCK)
    for block in soup.get_text().split(_BLOCK):
        level, text = re.match(rf"\s*(?:{_LEVEL}(\d))?(.*)", block, re.DOTALL).groups()  # type: ignore[union-attr]
        lines = [" ".join(line.split()) for line in text.replace(_LEVEL + "0", "").split("\n")]
        yield int(level or 0), "\n".join(filter(None, lines))


def _write_rows(table: Any) -> None:
    """Name the columns in each row of a table of HTML that has no other within."""
    rows = [(row, row.find_all(["td", "th"])) for row in table.find_all("tr")]
    rows = [(row, cells) for row, cells in rows if cells]
    if not rows or table.find("table"):
        return
    headed = all(cell.name == "th" for cell in rows[0][1])
    lines = table_lines([[cell.get_text(" ") for cell in cells] for _, cells in rows], headed)
    if len(lines) == len(rows):  # nothing to name
        return
    rows[0][0].decompose()
    for (row, _), line in zip(rows[1:], lines, strict=True):
        row.clear()
        row.append(line)


def read_docx(path: Path) -> Parsed:
    """Paragraphs and tables in order; `Heading n` and `Title` styles are headings."""
    docx = _need("docx", "python-docx")
    check_archive(path, "docx", "word/document.xml")
    try:
        document = docx.Document(str(path))
        author = document.core_properties.author or ""
        return assemble(path.stem, _docx_blocks(docx, document), "" if author == "python-docx" else author)
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, DocumentError):
            raise
        raise DocumentError(f"a broken docx: {error}") from None


def _docx_blocks(docx: Any, document: Any) -> Blocks:
    for item in document.iter_inner_content():
        if isinstance(item, docx.table.Table):
            for line in table_lines([[cell.text for cell in row.cells] for row in item.rows]):
                yield 0, line
        else:
            style = (item.style.name or "") if item.style is not None else ""
            match = re.fullmatch(r"(?:heading|标题) ?(\d)", style.lower())
            yield (1 if style == "Title" else int(match[1]) if match else 0), item.text


def read_pdf(path: Path) -> Parsed:
    """Text page by page; a file of pictures of pages has none."""
    pypdf = _need("pypdf", "pypdf")
    with path.open("rb") as file:
        check_beginning(file, b"%PDF-", "pdf")
        try:
            reader = pypdf.PdfReader(file)
            if reader.is_encrypted and not reader.decrypt(""):
                raise DocumentError("encrypted; save it without a password")
            if len(reader.pages) > MAX_PAGES:
                raise DocumentError(f"more than {MAX_PAGES:,} pages; split the file")
            return assemble(path.stem, _pdf_blocks(reader))
        except DocumentError as error:
            if "no text" in str(error):
                raise DocumentError(
                    "no text in it; are its pages pictures? Run text recognition (OCR) first"
                ) from None
            raise
        except (
            pypdf.errors.PyPdfError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            IndexError,
            OSError,
        ) as error:
            raise DocumentError(f"a broken pdf: {type(error).__name__}: {error}") from None


def _pdf_blocks(reader: Any) -> Blocks:
    for page in reader.pages:
        lines = [line.strip() for line in page.extract_text().split("\n")]
        yield from ((0, paragraph) for paragraph in _paragraphs(lines))


def _paragraphs(lines: list[str]) -> Iterator[str]:
    """Join lines that the page's width broke: nearly as long as the longest, without a sentence's end."""
    width = max(map(len, lines), default=0)
    text = ""
    for line in lines:
        if text:
            text += " " if text[-1:].isascii() and line[:1].isascii() else ""
        text += line
        if not line or len(line) < 0.8 * width or line.endswith(_SENTENCE_END):
            yield text
            text = ""
    yield text


def read_epub(path: Path) -> Parsed:
    """The pages in the order of the book's spine."""
    _need("bs4", "beautifulsoup4")
    check_archive(path, "epub", "META-INF/container.xml")
    try:
        with zipfile.ZipFile(path) as archive:
            container = defusedxml.ElementTree.fromstring(archive.read("META-INF/container.xml"))
            package = next(container.iterfind(".//{*}rootfile")).attrib["full-path"]
            root = defusedxml.ElementTree.fromstring(archive.read(package))
            creator = root.findtext(".//{http://purl.org/dc/elements/1.1/}creator") or ""
            title = root.findtext(".//{http://purl.org/dc/elements/1.1/}title") or path.stem
            items = {
                item.attrib["id"]: item.attrib["href"] for item in root.iterfind(".//{*}manifest/{*}item")
            }
            spine = [items[ref.attrib["idref"]] for ref in root.iterfind(".//{*}spine/{*}itemref")]
            return assemble(title, _epub_blocks(archive, posixpath.dirname(package), spine), creator)
    except (KeyError, StopIteration, SyntaxError, zipfile.BadZipFile) as error:
        raise DocumentError(f"a broken epub: {type(error).__name__}: {error}") from None


def _epub_blocks(archive: zipfile.ZipFile, folder: str, spine: list[str]) -> Blocks:
    for name in spine:
        yield from html_blocks(
            decode(archive.read(posixpath.normpath(posixpath.join(folder, unquote(name)))))
        )


def check_beginning(file: IO[bytes], mark: bytes, kind: str) -> None:
    """DocumentError unless the mark stands within the first kilobyte."""
    head = file.read(1024)
    file.seek(0)
    if mark not in head:
        what = "; it is a zip archive" if head.startswith(b"PK") else ""
        raise DocumentError(f"no {kind}{what}")


def check_archive(path: Path, kind: str, member: str) -> None:
    """DocumentError unless the file is a zip archive with a member, of a size that may be unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except zipfile.BadZipFile:
        with path.open("rb") as file:
            if file.read(8) == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
                raise DocumentError(
                    f"no {kind}: an encrypted or old Office file; save it as .{kind} without a password"
                ) from None
        raise DocumentError(f"no {kind}, or a broken one") from None
    if member not in {info.filename for info in infos}:
        raise DocumentError(f"no {kind}: {member} is missing")
    if any(info.flag_bits & 1 for info in infos):
        raise DocumentError("encrypted; save it without a password")
    large = sum(info.file_size for info in infos) > MAX_ARCHIVE_BYTES
    dense = any(
        info.file_size > 1_000_000 and info.file_size > MAX_ARCHIVE_RATIO * info.compress_size
        for info in infos
    )
    if large or dense or len(infos) > MAX_ARCHIVE_MEMBERS:
        raise DocumentError("it unpacks to far more than it should; refused")


PARSERS = {".html": read_html, ".htm": read_html, ".docx": read_docx, ".pdf": read_pdf, ".epub": read_epub}
