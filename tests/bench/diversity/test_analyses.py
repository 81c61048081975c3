"""Running analyses: what is kept, what is computed anew, and what may be told of private rows."""

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from fedloom.bench.diversity import Analysis, Found, Tools, analyses
from fedloom.bench.diversity.found import CLIENTS, Bars, Rings, Table
from fedloom.bench.diversity.kept import keep
from fedloom.bench.diversity.running import PIECE, holding_of, run_analysis, why_not
from fedloom.data.records import Conversation, Document, Provenance, Turn
from fedloom.errors import PartError, RecipeError
from fedloom.files import cache_folder
from fedloom.measures import counted
from fedloom.recipe import ModelRecipe


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "cache"))


@dataclass(frozen=True)
class Letters(Analysis):
    """Letters of every response; counts the rows that it was asked about."""

    title: ClassVar[str] = "Letters"
    about: ClassVar[str] = "Letters of responses."
    asked: ClassVar[Counter] = Counter()
    version: ClassVar[int] = 1

    def values(self, rows, tools):
        self.asked["rows"] += len(rows)
        return {"letters": np.array([len(row.response) for row in rows])}

    def found(self, columns, sizes, tools):
        rows = {client: {"letters": int(found["letters"].sum())} for client, found in columns.items()}
        return Found((Table(CLIENTS, "Letters", "client", (counted("letters", "letters"),), rows),), ())


def rows(count, provenance=Provenance.PUBLIC, answer="ab"):
    return [Conversation((Turn("user", f"q{number}"), Turn("assistant", answer)), provenance) for number in range(count)]


def run(analysis, clients, own=False, told=None):
    tools = Tools(ModelRecipe(id="tiny-llama"), "chat", 64, 7, keep)
    return run_analysis("letters", analysis, holding_of(clients, "conversation", own), tools, told or (lambda *_: None))


def asked_of(analysis, clients):
    Letters.asked.clear()
    run(analysis, clients)
    return Letters.asked["rows"]


def test_what_was_computed_is_computed_anew_only_for_rows_that_changed():
    clients = {"a": rows(PIECE + 10), "b": rows(5, answer="abc")}
    assert asked_of(Letters(), clients) == PIECE + 15
    assert asked_of(Letters(), clients) == 0
    assert asked_of(Letters(), clients | {"b": rows(6, answer="abc")}) == 6
    assert asked_of(Letters(), clients | {"a": rows(PIECE + 11)}) == 11


def test_another_version_or_another_model_computes_all_anew(monkeypatch):
    clients = {"a": rows(4)}
    asked_of(Letters(), clients)
    monkeypatch.setattr(Letters, "version", 2)
    assert asked_of(Letters(), clients) == 4
    monkeypatch.setattr(Letters, "made_with", lambda self, tools: {"model": "another"})
    assert asked_of(Letters(), clients) == 4


def test_a_damaged_file_is_made_anew():
    clients = {"a": rows(4)}
    asked_of(Letters(), clients)
    (path,) = (cache_folder() / "analysed").iterdir()
    path.write_bytes(path.read_bytes()[:40])
    assert asked_of(Letters(), clients) == 4
    assert asked_of(Letters(), clients) == 0


def test_what_is_kept_is_for_its_owner_alone():
    asked_of(Letters(), {"a": rows(4)})
    (path,) = (cache_folder() / "analysed").iterdir()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_progress_is_told_after_every_piece():
    told = []
    run(Letters(), {"a": rows(PIECE + 10), "b": rows(5)}, told=lambda *one: told.append(one))
    assert told == [("letters", PIECE, PIECE + 15), ("letters", PIECE + 10, PIECE + 15), ("letters", PIECE + 15, PIECE + 15)]


@pytest.mark.parametrize("name", ["instruction", "embedding"])
def test_words_and_points_of_private_rows_are_refused_unless_they_are_ones_own(name):
    private, mixed = rows(2, Provenance.PRIVATE), [*rows(2), *rows(1, Provenance.PRIVATE)]
    for some in (private, mixed):
        problem = why_not(name, analyses.get(name)(), holding_of({"a": some}, "conversation", False))
        assert problem.startswith(f"{name}: shows ")
        assert "--own allows it" in problem
    assert why_not(name, analyses.get(name)(), holding_of({"a": private}, "conversation", True)) == ""
    assert why_not(name, analyses.get(name)(), holding_of({"a": rows(2)}, "conversation", False)) == ""


@pytest.mark.parametrize("name", ["language", "length", "quality", "quantity"])
def test_numbers_over_private_rows_may_be_told(name):
    assert why_not(name, analyses.get(name)(), holding_of({"a": rows(2, Provenance.PRIVATE)}, "conversation", False)) == ""


def test_rows_of_another_kind_are_refused():
    documents = holding_of({"a": [Document("text", Provenance.PUBLIC)]}, "document", False)
    assert why_not("length", analyses.get("length")(), documents) == "length: reads conversations, and these rows are documents"
    assert why_not("quantity", analyses.get("quantity")(), documents) == ""
    assert "and these rows are none" in why_not(
        "preference", analyses.get("preference")(), holding_of({"a": rows(1)}, "conversation", False)
    )
    with pytest.raises(RecipeError, match="letters: reads conversations"):
        run_analysis("letters", Letters(), documents, None, None)


def _table(rows, name=CLIENTS):
    return Table(name, "Letters", "client", (), rows)


@pytest.mark.parametrize(
    "found",
    [
        Found((_table({"a": {"text": "a secret"}}),), ()),
        Found((_table({"a secret": {"rows": 1}}),), ()),
        Found((_table({"a": {"rows": 1}}),), (Rings("words", "Words", "", {"a secret": {"": 1}}),)),
    ],
)
def test_an_analysis_that_gives_more_than_numbers_of_private_rows_is_an_error_that_shows_none(monkeypatch, found):
    monkeypatch.setattr(Letters, "found", lambda self, columns, sizes, tools: found)
    with pytest.raises(PartError) as caught:
        run(Letters(), {"a": rows(2, Provenance.PRIVATE)})
    assert "secret" not in str(caught.value)
    assert run(Letters(), {"a": rows(2)}) == found


def test_a_table_that_may_not_leave_is_left_out(monkeypatch):
    found = Found((_table({"a": {"rows": 1}}), _table({"word": {"rows": 1}}, "words")), (Bars("rows", "Rows", "", {"a": 1.0}),))
    monkeypatch.setattr(Letters, "found", lambda self, columns, sizes, tools: found)
    assert [table.name for table in run(Letters(), {"a": rows(2, Provenance.PRIVATE)}).tables] == [CLIENTS]
    assert len(run(Letters(), {"a": rows(2, Provenance.PRIVATE)}, own=True).tables) == 2


def test_values_that_do_not_fit_the_rows_are_an_error(monkeypatch):
    monkeypatch.setattr(Letters, "values", lambda self, rows, tools: {"letters": np.zeros(1)})
    with pytest.raises(PartError, match="letters should have a value for each row"):
        run(Letters(), {"a": rows(2)})
