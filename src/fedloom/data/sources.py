"""Sources: where rows come from, by the name, path or hub id that a recipe gives as `data.source`."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from fedloom.data.bench_sets import BENCH_SETS, bench_rows
from fedloom.data.capsule_people import capsule_people
from fedloom.data.captures import capture_rows
from fedloom.data.client_files import client_file_rows
from fedloom.data.digits import digits
from fedloom.data.documents import document_rows
from fedloom.data.evals_demo import evals_demo, evals_rows
from fedloom.data.formats import READERS, is_data_file, read_rows, stem
from fedloom.data.hub import hub_rows
from fedloom.data.lazy import Picked
from fedloom.data.named_sets import NAMED_SETS, usable_rows
from fedloom.data.owners_demo import owners_demo
from fedloom.data.picture_sets import PICTURE_SETS, set_rows
from fedloom.data.pictures import picture_rows, refuse_alike
from fedloom.data.readers import read_records
from fedloom.data.record_sequence import Records, joined
from fedloom.data.records import Conversation, Picture, Provenance
from fedloom.data.rows import Row, SourceRows, sha256_of_rows
from fedloom.data.source_names import JOINED, joined_sources, part_of, single_sources
from fedloom.data.tiny_demo import tiny_demo
from fedloom.data.tiny_documents import tiny_documents, tiny_questions
from fedloom.data.tiny_pairs import tiny_pairs
from fedloom.errors import DataError, RecipeError
from fedloom.files import local_path, sha256_of
from fedloom.recipe import DataRecipe, FieldsRecipe
from fedloom.registry import Registry, gave, nearest
from fedloom.streams import numpy_stream

sources: Registry[Callable[[], Iterable[Mapping[str, Any]]]] = Registry("source")
"""Functions without arguments that give rows as dicts, or SourceRows when licences and provenance are known too."""

forms: Registry[Callable[[str], SourceRows]] = Registry("source form")
"""Functions that read `FORM:REST`: given REST, they give its rows."""

PLACES = {"captures", "documents", "pictures", *PICTURE_SETS, *BENCH_SETS}
"""The forms whose REST is a folder or a file: a recipe keeps its absolute path."""

sources.register("capsule-people")(capsule_people)
sources.register("digits")(digits)
sources.register("evals-demo")(evals_demo)
sources.register("owners-demo")(owners_demo)
sources.register("tiny-demo")(tiny_demo)
sources.register("tiny-documents")(tiny_documents)
sources.register("tiny-pairs")(tiny_pairs)
sources.register("tiny-questions")(tiny_questions)

forms.register("captures")(capture_rows)
forms.register("documents")(document_rows)
forms.register("pictures")(picture_rows)
for picture_set in PICTURE_SETS:
    forms.register(picture_set)(partial(set_rows, picture_set))
for bench_set in BENCH_SETS:
    forms.register(bench_set)(partial(bench_rows, bench_set))


@dataclass(frozen=True)
class SourceData:
    """The records of a source, all of one kind, and what a manifest says of them.

    `sha256` is of the files' bytes, or of the rows without files. `notes` are what the user is told of the files.
    """

    records: Records
    kind: str
    origin: str
    licences: dict[str, str]
    sha256: str
    notes: tuple[str, ...] = ()


def load_records(data: DataRecipe, seed: int) -> SourceData:
    """The records of `data.source`: a registered name, a named set, a data file, a folder with a file per client, `hub:OWNER/NAME`,
    `evals:NAME,...`, `pictures:FOLDER`, `documents:FOLDER`, `captures:FOLDER`, a named set of pictures such as `cifar10:FOLDER`, a
    federation of FedLLM-Bench such as `fed-aya:FILE`, a part of one of these as `part:K/N:SOURCE`, or several as
    `join:SOURCE,SOURCE,...`, each read by itself and noted in the field `client`.

    Every row is read once now, so that the first wrong one is an error; records are built again when they are asked for.
    `data.fields` wins over the columns of a named set. `data.limit` draws that many rows by `seed` and keeps their order. What files hold
    is PRIVATE and what the hub and the demos hold PUBLIC, unless `data.provenance` says otherwise. Raises DataError with the file and
    line, or the key, that is wrong.
    """
    if data.source.startswith(JOINED):
        return _joined(data, seed)
    source, fields = _usable(data)
    rows = source.rows
    if not rows:
        raise DataError(f"data.source: {data.source} holds no rows")
    sha256 = source.sha256 or sha256_of_rows(rows)
    if data.picture_size is not None:
        sha256 = _sha256_with(sha256, f"picture_size {data.picture_size}")
    if data.limit is not None and data.limit < len(rows):
        drawn = numpy_stream(seed, "limit").choice(len(rows), size=data.limit, replace=False)
        rows = Picked(rows, sorted(drawn.tolist()))
    provenance = Provenance(data.provenance) if data.provenance else source.provenance
    records = read_records(data.source, source.reads, rows, fields, provenance, data.picture_size)
    known = all(single in NAMED_SETS for single in single_sources(data.source))
    records.unread = () if known else tuple(column for column in records.unread if column not in source.beside)
    return SourceData(records, records.kind, source.origin, dict(source.licences), sha256, (*source.notes, *records.notes))


def all_files(source: str) -> bool:
    """Whether `source` names files and folders of this machine alone, so that nothing is fetched or made to read it."""
    return all(map(_is_place, single_sources(source)))


def _is_place(source: str) -> bool:
    form, colon, _ = source.partition(":")
    return form in PLACES if colon else source not in sources and source not in NAMED_SETS


def _usable(data: DataRecipe) -> tuple[SourceRows, FieldsRecipe]:
    """The rows of `data.source` that are to be read, and their columns."""
    if part := part_of(data.source):
        whole, fields = _usable(data.model_copy(update={"source": part.source}))
        sha256 = _sha256_with(whole.sha256 or sha256_of_rows(whole.rows), f"part {part.number} of {part.of}")
        origin = f"{whole.origin}, part {part.number} of {part.of}"
        return replace(whole, rows=Picked(whole.rows, part.places(len(whole.rows))), origin=origin, sha256=sha256), fields
    source, fields = _open_source(data), data.fields
    if data.like is not None and source.reads != Conversation.kind:
        raise RecipeError(f"data.like: belongs to conversations, and {data.source} holds {source.reads}s; leave it out")
    if (named := NAMED_SETS.get(data.like or data.source)) and fields == FieldsRecipe():
        return usable_rows(source, named), named.fields
    return source, fields


def _sha256_with(sha256: str, chosen: str) -> str:
    """The hash of a source of which something is `chosen`."""
    return hashlib.sha256(f"{sha256}\x1f{chosen}".encode()).hexdigest()


def _joined(data: DataRecipe, seed: int) -> SourceData:
    """Several sources, each with its own columns and `data.limit` rows of it, its name as the field `client`."""
    parts = joined_sources(data.source)
    if len(set(parts)) < max(len(parts), 1):
        raise DataError(f"data.source: {data.source} should name each source once, such as join:gsm8k,codealpaca")
    loaded = {_client_of(part): load_records(data.model_copy(update={"source": part}), seed) for part in parts}
    if len(loaded) < len(parts):
        raise DataError(f"data.source: two sources of {data.source} would have one name; rename a file")
    kinds = {source.kind: part for part, source in zip(parts, loaded.values(), strict=True)}
    if len(kinds) > 1:
        held = " and ".join(f"{part} holds {kind}s" for kind, part in kinds.items())
        raise DataError(f"data.source: the parts of a join should hold records of one kind, but {held}; leave one out")
    if Picture.kind in kinds:
        refuse_alike((one.label, client) for client, source in loaded.items() for one in source.records.described)
    records = joined({client: source.records for client, source in loaded.items()})
    licences = {name: licence for source in loaded.values() for name, licence in source.licences.items()}
    digest = hashlib.sha256("\n".join(f"{client}\x1f{source.sha256}" for client, source in loaded.items()).encode()).hexdigest()
    origin, notes = "; ".join(source.origin for source in loaded.values()), [note for source in loaded.values() for note in source.notes]
    return SourceData(records, records.kind, origin, licences, digest, tuple(notes))


def _client_of(part: str) -> str:
    """What a source's client is called: a file by its stem, the folder of a form by its name, any other source as it is written."""
    if of := part_of(part):
        return f"{_client_of(of.source)}-{of.number}-of-{of.of}"
    form, colon, rest = part.partition(":")
    if colon and form in PLACES:
        return Path(rest).name
    path = local_path(part)
    return stem(path) if is_data_file(path) else part


def _open_source(data: DataRecipe) -> SourceRows:
    name = data.source
    if name in sources:
        return _given(sources.get(name)(), name)
    if name in NAMED_SETS:
        named = NAMED_SETS[name]
        if named.hub is None:
            raise DataError(f"data.source: {name} is read from your own copy; name its file, with data.like: {name}")
        return hub_rows(named.hub, data.subset or named.subset, data.split or named.split, named.revision)
    if name.startswith("hub:"):
        return hub_rows(name.removeprefix("hub:"), data.subset, data.split or "train")
    if name.startswith("evals:"):
        sets = [word.strip() for word in name.removeprefix("evals:").split(",") if word.strip()]
        return evals_rows(dict(zip(sets, sets, strict=True)), name)
    form, colon, rest = name.partition(":")
    if colon and form in forms:
        return set_rows(form, rest, data.split) if form in PICTURE_SETS else _given(forms.get(form)(rest), name)
    if name in forms:
        raise DataError(f"data.source: '{name}' reads a folder or file that stands after a colon: {name}:FOLDER")
    path = local_path(name)
    try:
        is_folder = path.is_dir()
    except OSError as error:
        raise DataError(f"data.source: is no name of a file ({error.strerror})") from None
    if is_folder:
        return client_file_rows(path)
    if path.is_file():
        header = NAMED_SETS[data.like].header if data.like in NAMED_SETS else ()
        return SourceRows(read_rows(path, header), str(path), sha256=sha256_of(path))
    if close := difflib.get_close_matches(form, forms.names(), n=1, cutoff=0.8) if colon else []:
        raise DataError(f"data.source: unknown form '{form}:'; did you mean '{close[0]}:'?")
    if "/" in name or path.suffix in (*READERS, ".gz"):
        raise DataError(f"data.source: {path}: no such file or folder")
    raise DataError(f"data.source: '{name}' is no file, no folder and no registered source{nearest(name, [*sources.names(), *NAMED_SETS])}")


def _given(given: Any, name: str) -> SourceRows:
    """What a registered source gave: rows with what is known of them, or plain mappings of columns."""
    if isinstance(given, SourceRows):
        for row in given.rows if isinstance(given.rows, list | tuple) else ():  # rows that are read as needed are ours
            gave(row, Row, f"{name}: every one of SourceRows.rows")
        return given
    gave(given, Iterable, f"{name}: its result")
    rows = []
    for number, columns in enumerate(given, start=1):
        if not isinstance(columns, Mapping):
            raise DataError(f"{name} row {number}: a source should give a mapping of columns, not {type(columns).__name__}")
        rows.append(Row(columns, f"{name} row {number}"))
    return SourceRows(rows, name)
