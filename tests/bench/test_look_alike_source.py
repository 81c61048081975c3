"""`data.source: look-alike:NAME`: a look-alike as a source."""

import pytest

from fedloom.data.records import Provenance
from fedloom.data.sources import load_records
from fedloom.errors import RecipeError
from fedloom.files import cache_folder
from fedloom.recipe import DataRecipe


def test_a_look_alike_is_made_once_and_is_public():
    first = load_records(DataRecipe(source="look-alike:fed-chatbot-it/0.1"), 7)
    (made,) = (cache_folder() / "look-alikes").glob("fed-chatbot-it-0.1.json")
    written = made.stat().st_mtime_ns
    assert load_records(DataRecipe(source="look-alike:fed-chatbot-it/0.1"), 7).sha256 == first.sha256
    assert made.stat().st_mtime_ns == written
    assert len({record.fields["client"] for record in first.records}) == 237
    assert {record.provenance for record in first.records} == {Provenance.PUBLIC}
    assert any("no result on them is one of FedLLM-Bench" in note for note in first.notes)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("look-alike:fed-aya/half", r"^data\.source: look-alike:fed-aya/half should be look-alike:NAME or look-alike:NAME/SCALE"),
        ("look-alike:fed-ayas", r"^data\.source: look-alike:fed-ayas: unknown federation 'fed-ayas'; did you mean 'fed-aya'"),
        ("look-alike:fed-aya/0", r"^data\.source: look-alike:fed-aya/0: the share of rows should be above 0 and at most 1, got 0"),
        ("look-alike:fed-aya-multi-turn", r"^data\.source: look-alike:fed-aya-multi-turn: unknown federation"),
    ],
)
def test_a_name_that_is_none_is_one_line(source, message):
    with pytest.raises(RecipeError, match=message):
        load_records(DataRecipe(source=source), 7)
