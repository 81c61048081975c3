"""Readers: how the rows of a source become records, by the kind of record that the source says its rows hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fedloom.data.captures import read_captures
from fedloom.data.documents import read_documents
from fedloom.data.fields import read_conversations
from fedloom.data.pictures import read_pictures
from fedloom.data.record_sequence import Records, as_records
from fedloom.data.records import Capture, Conversation, Document, Picture, Provenance, Record
from fedloom.data.rows import Row
from fedloom.errors import PartError, RecipeError
from fedloom.recipe import FieldsRecipe
from fedloom.registry import Registry, gave

readers: Registry[Callable[[Sequence[Row], FieldsRecipe, Provenance], Sequence[Record]]] = Registry("reader")
"""Functions of rows, `data.fields` and provenance that give a record for each row, in order."""

readers.register(Conversation.kind)(read_conversations)
readers.register(Document.kind)(read_documents)
readers.register(Picture.kind)(read_pictures)
readers.register(Capture.kind)(read_captures)


def read_records(
    source: str, kind: str, rows: Sequence[Row], fields: FieldsRecipe, provenance: Provenance, picture_size: int | None = None
) -> Records:
    """The records of `kind` that `rows` of the source called `source` hold, pictures scaled to `picture_size`; captures are
    scaled where they are encoded.

    Raises DataError with file and line for a row that does not fit, RecipeError for `data.fields` of another kind than conversations and
    for a size of what are neither pictures nor captures.
    """
    if kind != Conversation.kind and fields != FieldsRecipe():
        raise RecipeError(f"data.fields: belongs to conversations, and {source} holds {kind}s; leave it out")
    if picture_size is not None:
        if kind not in (Picture.kind, Capture.kind):
            raise RecipeError(f"data.picture_size: belongs to pictures and captures, and {source} holds {kind}s; leave it out")
        if kind == Picture.kind:
            return read_pictures(rows, fields, provenance, picture_size)
    given = gave(readers.get(kind)(rows, fields, provenance), Sequence, f"the reader '{kind}': its result")
    if isinstance(given, Records):
        return given
    for record in given:
        gave(record, Record, f"the reader '{kind}': every item of its result")
    if len(given) != len(rows):
        raise PartError(f"the reader '{kind}' should give a record for every row; it gave {len(given)} for {len(rows)}")
    return as_records(kind, given)
