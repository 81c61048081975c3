"""Files of documents to plain text: txt, md, html, pdf, docx. Each keeps where its pages or its headings begin.

A file that cannot be read is a DataError of one line that names it; what was read in another encoding than UTF-8, or holds pages without
text, is told.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fedloom.data.records import Mark
from fedloom.errors import DataError, FedloomError, MissingExtraError

LARGEST = 64 << 20
"""Bytes of text that are read of one file: a longer one is no document that a person wrote, or should be several."""

HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
SOFT_HYPHENS = re.compile("[\ufffe\x02\xad]\\s*")
BROKEN_LINE = re.compile(r"(?<=[^\s.!?:;])\n(?=\S)")
"""A line's end within a sentence, as PDFs have it: no sentence ends before it, and no paragraph begins after it."""

ENDED_BY = {
    "p": {"p"}, "li": {"li", "p"}, "dt": {"dt", "dd", "p"}, "dd": {"dt", "dd", "p"},
    "td": {"td", "th", "p"}, "th": {"td", "th", "p"}, "tr": {"td", "th", "tr", "p"},
}  # fmt: skip
"""Element of HTML -> the open ones that it ends: pages may leave out the closing tags of these."""

ENCODINGS = [
    "utf_16", "utf_32", "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "gb18030", "big5", "shift_jis", "euc_kr",
]  # fmt: skip
"""Encodings that are tried for a text that is no UTF-8: a short text would fit many more, most of which nobody uses."""


@dataclass(frozen=True, repr=False)
class DocumentText:
    """The text of a file, where its pages or headings begin, its pages (0: it has none), those of them without text, and its encoding where
    that is not UTF-8."""

    text: str
    marks: tuple[Mark, ...] = ()
    pages: int = 0
    empty_pages: tuple[int, ...] = ()
    encoding: str = ""


def read_document_file(path: Path) -> DocumentText:
    """The text of `path`, by its suffix. Raises DataError in one line for a file that cannot be read or holds no text."""
    try:
        status = path.stat()
        return _read(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or type(error).__name__})") from None


@lru_cache(maxsize=256)
def _read(path: Path, _modified: int, size: int) -> DocumentText:
    """Kept for the next time: a document is read when the source is opened, and again when it is cut into pieces."""
    reader = READERS.get(path.suffix.lower(), _text)
    if reader in (_text, _markdown, _html) and size > LARGEST:
        raise DataError(f"{path}: holds {size / 2**20:.0f} MB of text, at most {LARGEST >> 20} MB are read of one file; split it")
    try:
        found = reader(path)
    except (FedloomError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a damaged file causes, the run goes on without it
        raise DataError(f"{path}: cannot be read as a {path.suffix} file ({type(error).__name__}); it is damaged, save it again") from None
    if not found.text.strip():
        scanned = " on any of its pages (scanned pictures hold none; run a text recognition over them)" if found.pages else ""
        raise DataError(f"{path}: holds no text{scanned}")
    return found


def _text(path: Path) -> DocumentText:
    text, encoding = _decoded(path)
    return DocumentText(text, (), encoding=encoding)


def _markdown(path: Path) -> DocumentText:
    text, encoding = _decoded(path)
    return DocumentText(text, headings(text), encoding=encoding)


def _html(path: Path) -> DocumentText:
    try:
        import markdownify
    except ImportError:
        raise MissingExtraError("markdownify", "documents", f"{path}: an HTML file") from None
    page = _parsed(path.read_bytes())
    encoding = (page.original_encoding or "utf-8").lower()
    text = _as_markdown(markdownify, page)
    return DocumentText(text, headings(text), encoding="" if encoding in ("utf-8", "ascii") else encoding)


def _docx(path: Path) -> DocumentText:
    try:
        import mammoth
        import markdownify
    except ImportError:
        raise MissingExtraError("mammoth", "documents", f"{path}: a Word file") from None
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "word/document.xml" not in names:
                raise DataError(f"{path}: is a zip archive and no Word file; take it out, or unpack it")
            if archive.getinfo("word/document.xml").file_size > LARGEST:
                raise DataError(f"{path}: unpacks to more than {LARGEST >> 20} MB; split it")
        with path.open("rb") as file:
            html = mammoth.convert_to_html(file, convert_image=mammoth.images.img_element(lambda image: {"src": ""})).value
    except zipfile.BadZipFile:
        encrypted = path.read_bytes()[:8] == bytes.fromhex("d0cf11e0a1b11ae1")
        reason = "is encrypted, or of an older Word; save it without a password as .docx" if encrypted else "is no Word file; save it again"
        raise DataError(f"{path}: {reason}") from None
    text = _as_markdown(markdownify, _parsed(html))
    return DocumentText(text, headings(text))


def _pdf(path: Path) -> DocumentText:
    try:
        import pypdfium2
    except ImportError:
        raise MissingExtraError("pypdfium2", "documents", f"{path}: a PDF file") from None
    try:
        document = pypdfium2.PdfDocument(path)
        try:
            pages = [_unwrapped(_page_text(document, number)) for number in range(len(document))]
        finally:
            document.close()
    except pypdfium2.PdfiumError as error:
        locked = "password" in str(error).lower()
        reason = "is encrypted; save it without a password" if locked else "cannot be read as a PDF file; it is damaged, or no PDF"
        raise DataError(f"{path}: {reason}") from None
    marks, text = [], ""
    for number, page in enumerate(pages, start=1):
        if page:
            text += "\n\n" * bool(text)
            marks.append(Mark(len(text), f"page {number}"))
            text += page
    empty = tuple(number for number, page in enumerate(pages, start=1) if not page)
    return DocumentText(text, tuple(marks), len(pages), empty)


def _page_text(document: Any, number: int) -> str:
    page = document[number]
    try:
        text: str = page.get_textpage().get_text_bounded()
        return text
    finally:
        page.close()


def _unwrapped(text: str) -> str:
    """A page's text with its lines joined where a sentence goes on, and words that were broken at a line's end whole again."""
    text = SOFT_HYPHENS.sub("", _with_newlines(text))
    return BROKEN_LINE.sub(" ", text).strip()


def _parsed(html: bytes | str) -> Any:
    """The tree of an HTML page, without what a browser does not show: scripts, comments, declarations, instructions to programs."""
    from bs4 import BeautifulSoup
    from bs4.element import CData, PreformattedString

    class Page(BeautifulSoup):
        """A tree in which an element that was left open ends where HTML ends it; the parser would put all that follows into it."""

        def handle_starttag(self, name: str, *args: Any, **more: Any) -> Any:
            self.endData()
            while self.currentTag and self.currentTag.name in ENDED_BY.get(name, ()):
                self.popTag()
            return super().handle_starttag(name, *args, **more)

    page = Page(html, "html.parser")
    for part in page(["script", "style", "noscript", "template", "svg"]):
        part.decompose()
    for text in page(string=lambda string: isinstance(string, PreformattedString) and not isinstance(string, CData)):
        text.extract()
    return page


def _as_markdown(markdownify: Any, page: Any) -> str:
    """A page as Markdown without links and pictures, which are no text to learn from."""
    options = {"strip": ["a", "img"], "escape_asterisks": False, "escape_underscores": False, "escape_misc": False}
    try:
        text: str = markdownify.MarkdownConverter(heading_style=markdownify.ATX, **options).convert_soup(page)
    except (RecursionError, ValueError):  # hundreds of tags within each other, or a wrong attribute: the text is there all the same
        text = page.get_text("\n", strip=True)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def headings(text: str) -> tuple[Mark, ...]:
    """Where the headings of a Markdown text begin; lines within fenced code are none."""
    fences = [match.start() for match in re.finditer(r"^(```|~~~)", text, re.MULTILINE)]
    return tuple(
        Mark(match.start(), match[1]) for match in HEADING.finditer(text) if sum(fence < match.start() for fence in fences) % 2 == 0
    )


def _decoded(path: Path) -> tuple[str, str]:
    """The text of a file and its encoding, empty for UTF-8. Raises DataError for bytes that are no text in any encoding."""
    raw = path.read_bytes()
    try:
        return _with_newlines(raw.decode("utf-8-sig")), ""
    except UnicodeDecodeError:
        pass
    from charset_normalizer import from_bytes

    found = list(from_bytes(raw, cp_isolation=ENCODINGS))
    equal = [one for one in found if (one.chaos, one.coherence) == (found[0].chaos, found[0].coherence)]
    best = min(equal, key=lambda one: ENCODINGS.index(one.encoding), default=None)
    if best is None or "\x00" in str(best):
        raise DataError(f"{path}: is no text in an encoding that is known; save it as UTF-8")
    return _with_newlines(str(best)), best.encoding


def _with_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


READERS: dict[str, Callable[[Path], DocumentText]] = {
    ".txt": _text,
    ".text": _text,
    ".md": _markdown,
    ".markdown": _markdown,
    ".html": _html,
    ".htm": _html,
    ".xhtml": _html,
    ".pdf": _pdf,
    ".docx": _docx,
}
"""suffix -> what reads it."""
