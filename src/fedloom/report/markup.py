"""Functions that build HTML. They escape plain strings; only strings of the class `Html` are taken as markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


class Html(str):
    """A string that is HTML and must not be escaped."""

    __slots__ = ()


def tag(name: str, *content: str | Iterable[str], **attributes: str | int | None) -> Html:
    """`<name ...>content</name>`; an attribute that is None is left out, and `class_`, `aria_label` mean class, aria-label."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items() if value is not None
    )
    return Html(f"<{name}{written}>{joined(content)}</{name}>")


def joined(content: Iterable[str | Iterable[str]]) -> Html:
    """Join the parts; plain strings are escaped."""
    return Html("".join((part if isinstance(part, Html) else escape(part)) if isinstance(part, str) else joined(part) for part in content))


def table(name: str, head: Sequence[str], *bodies: Iterable[str]) -> Html:
    """A table of `<tr>` rows in a box of its own. On a narrow page the box scrolls, by keyboard too."""
    top = tag("thead", tag("tr", [tag("th", title, scope="col") for title in head])) if head else ""
    return tag(
        "div",
        tag("table", top, [tag("tbody", body) for body in bodies]),
        class_="scroll",
        role="region",
        tabindex=0,
        aria_label=name,
    )


def row(head: str, cells: Iterable[str | Html], class_: str | None = None) -> Html:
    """A table row: its head, then its cells, given as text or as ready `<td>` elements."""
    return tag("tr", tag("th", head, scope="row"), [cell if isinstance(cell, Html) else tag("td", cell) for cell in cells], class_=class_)


def figure(drawing: str, caption: str) -> Html:
    """An `<svg>` element with its caption, which also describes it to those who do not see it."""
    opening = tag("svg", role="img", aria_label=caption).removesuffix("></svg>")
    return tag("figure", Html(drawing.replace("<svg", opening, 1)), tag("figcaption", caption))


def folded(title: str, *content: str) -> Html:
    """Content that is hidden until its title is clicked. It needs no script."""
    return tag("details", tag("summary", title), *content)


def searchable(name: str, head: Sequence[str], body: Sequence[str]) -> Html:
    """A table with a field above it; `SEARCH` hides the rows whose head does not hold what is typed there."""
    field = Html(f'<input type="search" placeholder="search" aria-label="search in {escape(name)}">')
    return tag("div", field, table(name, head, body), class_="search")


SEARCH = Html(
    """<script>
for (const field of document.querySelectorAll(".search > input"))
  field.addEventListener("input", () => {
    for (const row of field.parentElement.querySelectorAll("tbody tr"))
      row.hidden = !row.firstElementChild.textContent.toLowerCase().includes(field.value.toLowerCase());
  });
</script>"""
)
"""The one script of a page with many clients."""
