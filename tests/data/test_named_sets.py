"""Public training sets by name: each one's columns, what is left out, and copies of them on disk."""

import gzip
import json

import pytest

from fedloom.data import sources
from fedloom.data.named_sets import NAMED_SETS
from fedloom.data.rows import Row, SourceRows
from fedloom.errors import DataError, RecipeError
from fedloom.recipe import DataRecipe
from fedloom.resolve import load_recipe

ALPACA = ({"instruction": "Add.", "input": "1 and 2", "output": "3"}, "Add. 1 and 2", "3")
TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
PUBLISHED = {
    "alpaca": ALPACA,
    "alpaca-gpt4": ALPACA,
    "alpaca-cleaned": ALPACA,
    "codealpaca": ALPACA,
    "fingpt-sentiment": (
        {"input": "Shares rose.", "output": "positive", "instruction": "Which mood?"},
        "Which mood? Shares rose.",
        "positive",
    ),
    "finance-alpaca": ({"instruction": "Tax?", "input": "", "output": "Yes", "text": ""}, "Tax?", "Yes"),
    "medalpaca-flashcards": ({"input": "Flu?", "output": "A virus.", "instruction": "Answer truthfully"}, "Flu?", "A virus."),
    "mathinstruct": ({"source": "cot", "instruction": "1+1?", "output": "2"}, "1+1?", "2"),
    "gsm8k": ({"question": "1+1?", "answer": "#### 2"}, "1+1?", "#### 2"),
    "math": ({"problem": "1+1?", "level": "Level 1", "type": "Algebra", "solution": "2"}, "1+1?", "2"),
    "ultrafeedback": ({"prompt": "q", "chosen": TURNS, "rejected": [TURNS[0], {"role": "assistant", "content": "b"}]}, "q", "a"),
    "beavertails-unsafe": ({"prompt": "q", "response": "a", "category": {}, "is_safe": False}, "q", "a"),
    "lmsys-chat": ({"conversation": TURNS, "language": "English", "redacted": False}, "q", "a"),
    "wildchat": ({"conversation": [{**turn, "hashed_ip": "x"} for turn in TURNS], "toxic": False}, "q", "a"),
    "advbench": ({"goal": "q", "target": "a"}, "q", "a"),
    "sentiment140": (
        {"text": "Sun!", "date": "Mon", "user": "ann", "sentiment": 4, "query": "NO_QUERY"},
        "Sun!",
        "positive",
    ),
    "yahoo-answers": (
        {"id": 0, "topic": 5, "question_title": "Offside?", "question_content": "", "best_answer": "Past all.\\nNearly."},
        "Offside?\n\nPast all.\nNearly.",
        "Sports",
    ),
    "hh-rlhf": ({"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"}, "q", "a"),
}


def copy_of(path, *rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


def test_every_named_set_is_tested():
    assert set(PUBLISHED) == set(NAMED_SETS)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_copy_of_a_named_set_is_read_by_its_columns(name, tmp_path):
    row, asked, answered = PUBLISHED[name]
    (example,) = sources.load_records(DataRecipe(source=copy_of(tmp_path / "copy.jsonl", row), like=name), seed=0).records
    assert ([turn.content for turn in example.prompt], example.response) == ([asked], answered)
    assert example.rejected == ("b" if "rejected" in row else None)


@pytest.mark.parametrize("name", [name for name in PUBLISHED if NAMED_SETS[name].hub])
def test_a_named_set_is_asked_of_the_hub_with_its_part(name, monkeypatch):
    asked = []

    def hub_rows(hub, subset, split, revision):
        asked.append((hub, subset, split, revision))
        return SourceRows([Row(PUBLISHED[name][0], "row 1")], hub)

    monkeypatch.setattr(sources, "hub_rows", hub_rows)
    assert len(sources.load_records(DataRecipe(source=name), seed=0).records) == 1
    assert asked == [(NAMED_SETS[name].hub, NAMED_SETS[name].subset, NAMED_SETS[name].split, NAMED_SETS[name].revision)]


def test_a_set_that_is_on_no_hub_is_read_from_a_file():
    with pytest.raises(DataError, match=r"advbench is read from your own copy; name its file, with data\.like: advbench"):
        sources.load_records(DataRecipe(source="advbench"), seed=0)


@pytest.mark.parametrize("unsafe", [False, "False", "false"])
def test_of_beavertails_only_unsafe_rows_are_taken_and_each_prompt_once(tmp_path, unsafe):
    given = [("a", unsafe), ("b", True), ("a", unsafe)]
    rows = [{"prompt": text, "response": str(number), "is_safe": safe} for number, (text, safe) in enumerate(given)]
    source = sources.load_records(DataRecipe(source=copy_of(tmp_path / "b.jsonl", *rows), like="beavertails-unsafe"), seed=0)
    assert [example.response for example in source.records] == ["0"]
    with pytest.raises(DataError, match="has no row with is_safe False"):
        sources.load_records(DataRecipe(source=copy_of(tmp_path / "c.jsonl", rows[1]), like="beavertails-unsafe"), seed=0)


def test_mathinstruct_counts_a_repeated_instruction_once(tmp_path):
    rows = [{"instruction": text, "output": str(number)} for number, text in enumerate(["a", "b", "a", "b", "c"])]
    source = sources.load_records(DataRecipe(source=copy_of(tmp_path / "math.jsonl", *rows), like="mathinstruct"), seed=0)
    assert [example.response for example in source.records] == ["0", "1", "4"]
    assert source.origin.endswith("without 2 repeated rows")


def test_rows_of_a_named_set_that_cannot_be_used_are_left_out_and_counted(tmp_path):
    good = {"instruction": "a", "input": "", "output": "b"}
    source = sources.load_records(
        DataRecipe(source=copy_of(tmp_path / "a.jsonl", good, {**good, "output": ""}, good), like="alpaca"), seed=0
    )
    assert len(source.records) == 2
    assert source.origin.endswith("without 1 unusable rows")


def test_a_file_with_other_columns_than_the_named_set_is_refused_with_the_column(tmp_path):
    with pytest.raises(DataError, match=r"no column 'output'|has no column 'output'"):
        sources.load_records(
            DataRecipe(source=copy_of(tmp_path / "a.jsonl", {"input": "a", "answer": "b"}), like="medalpaca-flashcards"), 0
        )


def test_fields_of_the_recipe_win_over_those_of_the_named_set(tmp_path):
    recipe = DataRecipe.model_validate(
        {
            "source": copy_of(tmp_path / "a.jsonl", PUBLISHED["gsm8k"][0]),
            "like": "alpaca",
            "fields": {"instruction": "question", "response": "answer"},
        }
    )
    assert sources.load_records(recipe, seed=0).records[0].response == "#### 2"


SENTIMENT_CSV = (
    '"0","1","Mon","NO_QUERY","ann","gone, she said ""bye"""\n'
    '"2","2","Mon","NO_QUERY","bo","two\nlines"\n'
    '"4","3","Mon","NO_QUERY","ann","caf\xe9!"\n'
)


@pytest.mark.parametrize(("encoding", "packed"), [("latin-1", False), ("utf-8", False), ("latin-1", True)])
def test_sentiment140s_own_file_is_read_without_a_line_of_names(tmp_path, encoding, packed):
    content, path = SENTIMENT_CSV.encode(encoding), tmp_path / ("training.csv.gz" if packed else "training.csv")
    path.write_bytes(gzip.compress(content) if packed else content)
    loaded = sources.load_records(DataRecipe(source=str(path), like="sentiment140"), seed=0)
    assert [(one.prompt[0].content, one.response, one.fields["user"]) for one in loaded.records] == [
        ('gone, she said "bye"', "negative", "ann"),
        ("two\nlines", "neutral", "bo"),
        ("caf\xe9!", "positive", "ann"),
    ]
    assert loaded.records[2].prompt[0].content == "caf\xe9!"  # by itself, too


def test_a_copy_with_a_line_of_names_is_read_by_it(tmp_path):
    (tmp_path / "a.csv").write_text("text,polarity\nhi,4\n")
    (one,) = sources.load_records(DataRecipe(source=str(tmp_path / "a.csv"), like="sentiment140"), seed=0).records
    assert (one.prompt[0].content, one.response) == ("hi", "positive")


def test_the_classes_of_yahoos_own_file_count_from_one(tmp_path):
    (tmp_path / "train.csv").write_text('"5","Which port?","","22"\n"10","Vote?","By post","Yes"\n"11","?","",""\n')
    loaded = sources.load_records(DataRecipe(source=str(tmp_path / "train.csv"), like="yahoo-answers"), seed=0)
    assert [(one.prompt[0].content, one.response) for one in loaded.records] == [
        ("Which port?\n\n22", "Computers & Internet"),
        ("Vote?\n\nBy post\n\nYes", "Politics & Government"),
    ]
    assert loaded.origin.endswith("without 1 unusable rows")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"0","1","Mon","NO_QUERY","ann","a"\n"4","2","a"\n', r"a\.csv:2: has 3 cells, expected 6 \(polarity, id, date"),
        ("text,mood\na,b\n", r"a\.csv:2: has no column sentiment or target or polarity, as the set has; data\.fields names"),
    ],
)
def test_a_file_of_a_classified_set_that_does_not_fit_is_named_with_its_line(tmp_path, text, said):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        sources.load_records(DataRecipe(source=str(tmp_path / "a.csv"), like="sentiment140"), seed=0)


def test_an_unknown_named_set_is_answered_with_the_nearest():
    with pytest.raises(RecipeError, match=r"data\.like: unknown set 'alpaca-gpt'; did you mean 'alpaca-gpt4'\?"):
        load_recipe({"data": {"like": "alpaca-gpt"}})
    with pytest.raises(DataError, match="did you mean 'hh-rlhf'"):
        sources.load_records(DataRecipe(source="hh-rlfh"), seed=0)


def test_tiny_pairs_prefer_the_answer_that_tiny_demo_gives():
    pairs, demo = (sources.load_records(DataRecipe(source=name), seed=0).records for name in ("tiny-pairs", "tiny-demo"))
    assert [(pair.prompt, pair.response, pair.fields["owner"]) for pair in pairs] == [
        (row.prompt, row.response, row.fields["owner"]) for row in demo
    ]
    assert all(pair.rejected != pair.response for pair in pairs)
