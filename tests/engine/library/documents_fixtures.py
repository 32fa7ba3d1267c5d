"""Makes the files of the document tests, as small programs write them."""

from __future__ import annotations

import random
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

TEXT = "针灸门诊每天九点开始，周日休息。"

_TO_UNICODE = b"""/CIDInit /ProcSet findresource begin 12 dict begin begincmap
/CMapName /Adobe-Identity-UCS def /CMapType 2 def
1 begincodespacerange <0000> <FFFF> endcodespacerange
%s
endcmap CMapName currentdict /CMap defineresource pop end end"""


def write_pdf(path: Path, pages: Sequence[str], *, picture_bytes: int = 0) -> None:
    """A PDF of pages of text, a line a line, with a picture of random bytes on the first if wanted."""
    characters = sorted({character for page in pages for character in page if character != "\n"})
    ranges = b"%d beginbfchar\n" % len(characters)
    ranges += b"".join(b"<%04X> <%04X>\n" % (ord(c), ord(c)) for c in characters) + b"endbfchar"
    objects: list[bytes] = [b""] * 5
    objects[2] = (
        b"<</Type/Font/Subtype/Type0/BaseFont/S/Encoding/Identity-H/DescendantFonts[4 0 R]/ToUnicode 5 0 R>>"
    )
    objects[3] = (
        b"<</Type/Font/Subtype/CIDFontType2/BaseFont/Song/CIDSystemInfo<</Registry(A)/Ordering(Identity)"
        b"/Supplement 0>>/DW 1000>>"
    )
    objects[4] = _stream(_TO_UNICODE % ranges)
    picture = b""
    if picture_bytes:
        data = random.Random(1).randbytes(picture_bytes)
        head = b"/Type/XObject/Subtype/Image/Width 1000/Height %d/ColorSpace/DeviceGray/BitsPerComponent 8"
        objects.append(
            b"<<"
            + head % (picture_bytes // 1000)
            + b"/Length %d>>stream\n" % len(data)
            + data
            + b"\nendstream"
        )
        picture = b"/XObject<</Im0 %d 0 R>>" % len(objects)
    kids = []
    for page in pages:
        lines = [
            b"<%s> Tj 0 -14 Td" % line.encode("utf-16-be").hex().encode() for line in page.split("\n") if line
        ]
        draw = b"q 1 0 0 1 0 0 cm /Im0 Do Q " if picture else b""
        objects.append(_stream(draw + b"BT /F1 12 Tf 50 700 Td " + b" ".join(lines) + b" ET"))
        resources = b"<</Font<</F1 3 0 R>>" + picture + b">>"
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources " + resources
            + b"/Contents %d 0 R>>" % len(objects)
        )  # fmt: skip
        kids.append(b"%d 0 R" % len(objects))
    objects[0] = b"<</Type/Catalog/Pages 2 0 R>>"
    objects[1] = b"<</Type/Pages/Kids[" + b" ".join(kids) + b"]/Count %d>>" % len(kids)
    out = bytearray(b"%PDF-1.5\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start)
    path.write_bytes(out)


def _stream(data: bytes) -> bytes:
    packed = zlib.compress(data)
    return b"<</Filter/FlateDecode/Length %d>>stream\n" % len(packed) + packed + b"\nendstream"


def write_epub(path: Path, title: str, chapters: Sequence[tuple[str, str]]) -> None:
    """A book of chapters: heading and paragraph."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr(
            "META-INF/container.xml",
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
        )
        items = "".join(f'<item id="c{n}" href="c%20{n}.xhtml"/>' for n in range(len(chapters)))
        spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
        archive.writestr(
            "OEBPS/book.opf",
            '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
            f"<dc:title>{title}</dc:title><dc:creator>王医生</dc:creator></metadata>"
            f"<manifest>{items}</manifest><spine>{spine}</spine></package>",
        )
        for n, (heading, text) in enumerate(chapters):
            page = f"<html><head><title>x</title></head><body><h1>{heading}</h1><p>{text}</p></body></html>"
            archive.writestr(f"OEBPS/c {n}.xhtml", page)
