"""Files of documents: what each kind gives, where its pages and headings begin, and what is said of those that cannot be read."""

import zipfile

import pytest
from document_kinds import docx, pdf

from fedloom.data.document_files import LARGEST, READERS, headings, read_document_file
from fedloom.errors import DataError


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def marks(found):
    return [(mark.label, found.text[mark.offset :].split("\n")[0]) for mark in found.marks]


def test_a_markdown_file_keeps_its_headings_but_none_in_code(tmp_path):
    text = "# First\n\nSome text.\n\n```\n# no heading\n```\n\n## Second ##\n\nMore."
    found = read_document_file(written(tmp_path / "a.md", text))
    assert found.text == text
    assert marks(found) == [("First", "# First"), ("Second", "## Second ##")]


def test_an_html_page_gives_its_text_without_scripts_and_links(tmp_path):
    page = "<html><head><title>t</title><style>p{}</style></head><body><h2>Rules</h2><p>Read <a href='x'>this</a> first.</p><script>no()</script></body></html>"  # noqa: E501
    found = read_document_file(written(tmp_path / "a.html", page))
    assert "## Rules\n\nRead this first." in found.text
    assert "no()" not in found.text
    assert "p{}" not in found.text
    assert [mark.label for mark in found.marks] == ["Rules"]


def test_an_html_page_says_its_encoding(tmp_path):
    page = '<html><head><meta charset="iso-8859-1"></head><body><p>café</p></body></html>'.encode("latin-1")
    found = read_document_file(written(tmp_path / "a.htm", page))
    assert "café" in found.text
    assert found.encoding in ("iso-8859-1", "windows-1252")


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<ul>" + "<li>item" * 800 + "</ul>", "\n".join(["* item"] * 800)),
        ("<p>para" * 800, "\n\n".join(["para"] * 800)),
        ("<ul><li><p>a<ul><li>b<li>c</ul><li>d</ul>", "* a\n  + b\n  + c\n* d"),
        ("<p>a<p>b</p>c", "a\n\nb\n\nc"),
        ("<dl><dt>t<dd>d<dt>u<dd>e</dl>", "t\n:   d\n\nu\n:   e"),
        ("<table><tr><th>a<th>b<tr><td>c<td>d</table>", "| a | b |\n| --- | --- |\n| c | d |"),
        ("<table><tr><td><table><tr><td>in</table><td>out</table>", "|  |  |  |\n| --- | --- | --- |\n| |  | | --- | | in | | out |"),
    ],
)
def test_an_html_page_may_leave_out_closing_tags(tmp_path, page, text):
    assert read_document_file(written(tmp_path / "a.html", page)).text == text


@pytest.mark.parametrize(
    "page",
    ["<div>" * 500 + "one <b>two</b>" + "</div>" * 500, "<font>" * 3000 + "one<p>two", "<ol start='\u00b2'><li>one<li>two</ol>"],
)
def test_a_page_that_cannot_be_turned_into_markdown_gives_its_text(tmp_path, page):
    assert read_document_file(written(tmp_path / "a.html", page)).text.split() == ["one", "two"]


def test_declarations_comments_and_instructions_of_a_page_are_no_text(tmp_path):
    page = (
        "<?xml version='1.0' encoding='utf-8'?><!DOCTYPE html><!-- a comment --><html><body><?php echo 1 ?><![if !IE]>"
        "<p>Shown<!-- not --><![CDATA[, too]]></p></body></html>"
    )
    assert read_document_file(written(tmp_path / "a.xhtml", page)).text == "Shown, too"


def test_a_word_file_gives_its_paragraphs_and_headings(tmp_path):
    found = read_document_file(docx(tmp_path / "a.docx", [("Heading1", "Intro"), ("", "The first one."), ("", "The second one.")]))
    assert found.text == "# Intro\n\nThe first one.\n\nThe second one."
    assert [mark.label for mark in found.marks] == ["Intro"]


def test_a_pdf_keeps_its_pages_and_counts_those_without_text(tmp_path):
    found = read_document_file(written(tmp_path / "a.pdf", pdf(["A line that goes\non here.", "", "Third page."])))
    assert found.text == "A line that goes on here.\n\nThird page."
    assert marks(found) == [("page 1", "A line that goes on here."), ("page 3", "Third page.")]
    assert (found.pages, found.empty_pages) == (3, (2,))


FRENCH = "na\u00efve caf\u00e9, d\u00e9j\u00e0 vu, a few more words"
RUSSIAN = (
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u044d\u0442\u043e \u043f\u0440\u043e\u0441\u0442\u043e\u0439 \u0442\u0435\u043a\u0441\u0442"
)


@pytest.mark.parametrize(
    ("raw", "text", "encoding"),
    [
        (b"\xef\xbb\xbfplain", "plain", ""),
        (b"one\r\ntwo\rthree\n", "one\ntwo\nthree\n", ""),
        (FRENCH.encode("cp1252"), FRENCH, "cp1252"),
        ("\ufeffin two bytes each".encode("utf-16-le"), "in two bytes each", "utf_16"),
        (RUSSIAN.encode("cp1251"), RUSSIAN, "cp1251"),
    ],
)
def test_a_text_in_another_encoding_is_read_and_the_encoding_named(tmp_path, raw, text, encoding):
    found = read_document_file(written(tmp_path / "a.txt", raw))
    assert (found.text, found.encoding) == (text, encoding)


def large(path):
    with path.open("wb") as file:
        file.truncate(200 << 20)
    return path


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("holiday.jpg", b"x")
    return path


def broken_xml(path):
    with zipfile.ZipFile(docx(path, []), "a") as archive:
        archive.writestr("word/numbering.xml", b"<cut off")
    return path


@pytest.mark.parametrize(
    ("name", "make", "problem"),
    [
        ("a.pdf", lambda path: written(path, pdf(["secret"], encrypted=True)), "is encrypted; save it without a password"),
        ("a.pdf", lambda path: written(path, b"%PDF-1.4 cut off"), "cannot be read as a PDF file; it is damaged, or no PDF"),
        ("a.pdf", lambda path: written(path, pdf(["", ""])), "holds no text on any of its pages (scanned pictures hold none"),
        (
            "a.html",
            lambda path: written(path, "<![foo bar"),
            "cannot be read as a .html file (ParserRejectedMarkup); it is damaged, save it again",
        ),
        ("a.docx", broken_xml, "cannot be read as a .docx file ("),
        ("a.docx", zipped, "is a zip archive and no Word file"),
        ("a.docx", lambda path: written(path, "no zip"), "is no Word file; save it again"),
        ("a.docx", lambda path: written(path, bytes.fromhex("d0cf11e0a1b11ae1")), "is encrypted, or of an older Word"),
        ("a.txt", large, f"holds 200 MB of text, at most {LARGEST >> 20} MB are read of one file; split it"),
        ("a.txt", lambda path: written(path, b"\x00\x01\x02\xff\xfe\x80" * 20), "is no text in an encoding that is known"),
        ("a.md", lambda path: written(path, " \n\t"), "holds no text"),
        ("a.txt", lambda path: path, "cannot be read (No such file or directory)"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_with_its_name(tmp_path, name, make, problem):
    path = make(tmp_path / name)
    with pytest.raises(DataError) as caught:
        read_document_file(path)
    assert str(caught.value).startswith(f"{path}: {problem}")
    assert "\n" not in str(caught.value)


def test_a_word_file_that_would_unpack_to_gigabytes_is_refused(tmp_path):
    path = tmp_path / "bomb.docx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"0" * (LARGEST + 1))
    with pytest.raises(DataError, match="unpacks to more than 64 MB"):
        read_document_file(path)


def test_a_changed_file_is_read_anew(tmp_path):
    path = written(tmp_path / "a.txt", "before")
    assert read_document_file(path).text == "before"
    assert read_document_file(written(path, "after it")).text == "after it"


def test_whatever_a_reader_raises_is_one_line_with_the_files_name(tmp_path, monkeypatch):
    def fail(path):
        raise RuntimeError("something\nin two lines")

    monkeypatch.setitem(READERS, ".pdf", fail)
    path = written(tmp_path / "a.pdf", "any")
    with pytest.raises(DataError) as caught:
        read_document_file(path)
    assert str(caught.value) == f"{path}: cannot be read as a .pdf file (RuntimeError); it is damaged, save it again"


def test_a_line_without_a_space_after_its_marks_is_no_heading():
    assert [(mark.offset, mark.label) for mark in headings("#tag\n####### seven\n# one")] == [(19, "one")]
