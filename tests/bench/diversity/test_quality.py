"""Instruction-following difficulty against one row at a time by hand, and what it says of rows that are known to be easy or wrong."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tokenizer_kinds import TOKENIZERS

from fedloom.bench.diversity import Quality
from fedloom.bench.diversity.quality import labelled, mean_losses
from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.data.templates import render_prompt
from fedloom.data.tokenise import tokenise
from fedloom.models.load import load_model
from fedloom.recipe import ModelRecipe

TEXTS = [
    ("what color is the sky", "the sky is blue and the grass is green"),
    ("name a color", "red"),
    ("say it in many words so that rows have other lengths", "there is no end to it and it goes on and on"),
    ("hello", "how can we help you now"),
]


def row(asked, answer, *before):
    return Conversation((*before, Turn("user", asked), Turn("assistant", answer)), Provenance.PUBLIC)


def tools(model, tokenizer, template="chat", max_length=256):
    return SimpleNamespace(loaded=SimpleNamespace(model=model, tokenizer=tokenizer), template=template, max_length=max_length)


def values(rows, *how, **more):
    return Quality().values(rows, tools(*how, **more))


@pytest.fixture(scope="module")
def tiny():
    return load_model(ModelRecipe(id="tiny-llama", device="cpu"))


def mean_loss(model, ids, first):
    """-1/N sum log p(a_i | all before), over the tokens from `first` on."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return -sum(float(logits[place - 1, ids[place]]) for place in range(first, len(ids))) / (len(ids) - first)


@pytest.mark.parametrize("template", ["chat", "alpaca"])
def test_rows_in_batches_are_as_one_row_at_a_time_by_hand(tiny, template):
    rows = [row(*texts) for texts in TEXTS]
    found = values(rows, tiny.model, tiny.tokenizer, template)
    for number, one in enumerate(rows):
        asked = tiny.tokenizer(render_prompt(one.prompt, tiny.tokenizer, template).text, add_special_tokens=False)["input_ids"]
        space = "" if template == "chat" else " "
        answer = tiny.tokenizer(space + one.response, add_special_tokens=False)["input_ids"]
        assert found["with"][number] == pytest.approx(mean_loss(tiny.model, asked + answer, len(asked) + 1), rel=1e-5)
        assert found["alone"][number] == pytest.approx(mean_loss(tiny.model, answer, 1), rel=1e-5)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_same_tokens_count_with_the_instruction_and_without(name):
    tokenizer = TOKENIZERS[name]
    ids, mask = tokenise([row("what color is the sky", "the sky is blue")], tokenizer, "chat", 1000).row(0)
    (whole, with_labels), (_, alone_labels) = labelled(ids, mask, tokenizer)
    counted = with_labels[with_labels >= 0].tolist()
    assert whole.tolist() == ids.tolist()
    assert counted == alone_labels[alone_labels >= 0].tolist()
    begins = "first" in name.split("_") and name.startswith("with")  # such a tokenizer begins a text by itself
    answer = tokenizer.decode(counted).replace(" ##", "").strip()
    assert answer == "the sky is blue" if begins else "the sky is blue".endswith(answer) and len(answer) > len("sky is")
    assert int(alone_labels[0]) == -100


def test_a_tokenizer_that_begins_a_text_gives_the_first_token_something_to_stand_behind():
    tokenizer = TOKENIZERS["with_first_token"]
    (_, _), (alone, labels) = labelled(torch.tensor([7, 8, 9, 2]), torch.tensor([False, True, True, True]), tokenizer)
    assert alone.tolist() == [tokenizer.bos_token_id, 8, 9]
    assert labels.tolist() == [-100, 8, 9]


def test_an_answer_of_one_token_has_no_value_where_nothing_stands_before_it(tiny):
    found = values([row("name a letter", "A"), row("name a color", "red and green")], tiny.model, tiny.tokenizer)
    assert np.isnan(found["with"]).tolist() == np.isnan(found["alone"]).tolist() == [True, False]
    table = Quality().found({"one": found}, {"one": 2}, SimpleNamespace(model=ModelRecipe(), max_length=256, template="chat")).tables[0]
    assert table.total["rows"] == 2
    assert table.total["scored"] == 1


def test_a_long_instruction_loses_its_beginning_and_leaves_room_for_the_answer(tiny):
    long = row("word " * 200 + "what color is the sky", "the sky is blue and the grass is green")
    found = values([long], tiny.model, tiny.tokenizer, max_length=64)
    assert np.isfinite(found["with"][0])
    assert found["alone"][0] == pytest.approx(values([row("a", long.response)], tiny.model, tiny.tokenizer)["alone"][0], rel=1e-5)


class Copies(torch.nn.Module):
    """Expects what followed the last time that the last two tokens stood in the text: all that such a model knows is what it has read."""

    def __init__(self, vocabulary):
        super().__init__()
        self.here = torch.nn.Parameter(torch.zeros(1))
        self.vocabulary = vocabulary
        self.config = SimpleNamespace(get_text_config=lambda: None)

    def forward(self, input_ids, use_cache=False):
        logits = torch.zeros(*input_ids.shape, self.vocabulary)
        for number, ids in enumerate(input_ids.tolist()):
            for place, token in enumerate(ids):
                earlier = [at for at in range(1, place) if ids[at - 1 : at + 1] == [ids[place - 1], token]]
                if earlier:
                    logits[number, place, ids[earlier[-1] + 1]] = 12.0
        return SimpleNamespace(logits=logits)


def test_an_answer_that_stands_in_its_instruction_is_far_below_one_and_a_strange_one_is_not(tiny):
    copies = Copies(len(tiny.tokenizer))
    texts = ["zebra quick", "violet jump", "maple punk"]
    right = [row(f"repeat this:\n{text}", text) for text in texts]
    shuffled = [row(f"repeat this:\n{text}", texts[(number + 1) % 3]) for number, text in enumerate(texts)]
    ifd = {}
    for name, rows in (("right", right), ("shuffled", shuffled)):
        found = values(rows, copies, tiny.tokenizer)
        ifd[name] = found["with"] / found["alone"]
    assert (ifd["right"] < 0.3).all()
    assert (ifd["shuffled"] > ifd["right"] + 0.3).all()


def test_the_table_has_mean_spread_and_the_share_that_is_no_easier():
    columns = {"a": {"with": np.array([1.0, 2.0]), "alone": np.array([2.0, 2.0])}, "b": {"with": np.array([3.0]), "alone": np.array([2.0])}}
    settings = SimpleNamespace(model=ModelRecipe(), max_length=256, template="chat")
    table = Quality().found(columns, {"a": 2, "b": 1}, settings).tables[0]
    assert (table.rows["a"]["ifd"], table.rows["a"]["ifd_sd"], table.rows["a"]["no_help"]) == (0.75, 0.25, 0.5)
    assert (table.total["ifd"], table.total["no_help"]) == (1.0, pytest.approx(2 / 3))


def test_rows_without_a_label_have_no_loss(tiny):
    ids = torch.tensor([3, 4, 5])
    assert np.isnan(mean_losses(tiny.model, [(ids, torch.full((3,), -100))])[0])


@pytest.mark.slow
def test_a_real_model_finds_right_pairs_easier_than_shuffled_ones():
    loaded = load_model(ModelRecipe(id="smollm2-135m-instruct", device="cpu"))
    pairs = [
        ("What is the capital of France?", "The capital of France is Paris."),
        ("How many legs does a spider have?", "A spider has eight legs."),
        ("Repeat after me: the kettle sang in the empty kitchen.", "the kettle sang in the empty kitchen."),
        ("What color is grass?", "Grass is usually green."),
    ]
    answers = [answer for _, answer in pairs]
    found = [
        values([row(asked, answer) for (asked, _), answer in zip(pairs, some, strict=True)], loaded.model, loaded.tokenizer)
        for some in (answers, [*answers[1:], answers[0]])
    ]
    right, shuffled = ((one["with"] / one["alone"]) for one in found)
    assert right[2] < 0.2
    assert (right < shuffled).all()
