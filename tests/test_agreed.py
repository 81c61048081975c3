"""What server and clients agree on: plain JSON with a hash, without a source of data, a path or code."""

import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated

import pytest
from pydantic import Field

import fedloom
from fedloom.agreed import Agreed, agree, model_terms, read_terms, refuse_paths
from fedloom.errors import FedloomError, RecipeError, RefusedMessageError
from fedloom.hooks import Prepared, PrepareStep, prepare_steps
from fedloom.models.encoders import PictureEncoder, TextEncoder
from fedloom.recipe import ModelRecipe
from fedloom.registry import PLACE
from fedloom.resolve import load_recipe
from fedloom.tasks import tasks


def bench_of(recipe):
    """What terms ask of a bench, without a model on it."""
    kind = tasks.get(recipe.task.kind).model_kind
    encoder = (
        TextEncoder(None, recipe.data.template, recipe.data.max_length) if kind == "causal_lm" else PictureEncoder(recipe.data.picture_size)
    )
    return SimpleNamespace(sha256="of-the-model", encoder=encoder)


@prepare_steps.register("first-of-a-test")
@dataclass
class First(PrepareStep):
    """The first rows, as many as a file says."""

    words: Annotated[str, Field(json_schema_extra=PLACE, description="file with a number")] = ""

    def apply(self, context):
        with open(self.words) as file:
            return Prepared(context.records[: int(file.read())])


def agreed(**overrides):
    recipe = load_recipe("tiny", overrides)
    return agree(recipe, bench_of(recipe), 4)


def test_the_terms_hold_what_decides_the_result_and_no_source_or_path(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"instruction": "a", "output": "b"}\n')
    terms = agreed(**{"data.source": str(rows), "task.steps": 3, "codec": "int8", "seed": 5})
    text = json.dumps(terms.content)
    assert str(tmp_path) not in text
    assert "rows.jsonl" not in text
    assert isinstance(terms.algorithm, fedloom.algorithms.get("fedavg"))
    assert (terms.task.steps, terms.codec, terms.seed) == (3, "int8", 5)
    assert (terms.evaluation_batch, terms.most_held_out) == (16, None)
    assert terms.content["model"]["sha256"] == "of-the-model"
    assert terms.content["data"] == {"template": "chat", "max_length": 96}


def test_the_same_terms_have_the_same_hash_on_both_sides_and_all_that_decides_the_result_changes_it():
    terms = agreed()
    assert read_terms(json.loads(json.dumps(terms.content))).sha256 == terms.sha256
    assert agreed(**{"data.source": "tiny-pairs", "name": "other", "rounds": 9, "evaluate.every": 1}).sha256 == terms.sha256
    changes = (
        {"task.steps": 9},
        {"algorithm.name": "fedprox"},
        {"codec": "int8"},
        {"seed": 8},
        {"evaluate.max_rows": 5},
        {"data.max_length": 64},
        {"data.template": "alpaca"},
        {"model.adapter.rank": 4},
        {"model.dtype": "bfloat16"},
        {"prepare": [{"kind": "first-of-a-test"}]},
    )
    assert len({terms.sha256, *(agreed(**change).sha256 for change in changes)}) == len(changes) + 1


def test_both_sides_scale_pictures_to_one_size():
    plain, small = (load_recipe("pictures_tiny", {"data.picture_size": size}) for size in (None, 4))
    agreed = [agree(recipe, bench_of(recipe), clients=4) for recipe in (plain, small)]
    assert [one.content["data"] for one in agreed] == [{}, {"picture_size": 4}]
    assert agreed[0].sha256 != agreed[1].sha256 == read_terms(agreed[1].content).sha256


def test_terms_of_labels_come_back_as_the_task_holds_them():
    recipe = load_recipe("pictures_tiny")
    terms = agree(recipe, bench_of(recipe), 4)
    assert read_terms(json.loads(json.dumps(terms.content))).task == terms.task
    assert terms.task.labels == tuple("0123456789")
    assert terms.content["data"] == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 99}, "its terms have version 99, this program reads 1; use one version everywhere"),
        ({"task": {"kind": "theirs"}}, "its terms cannot be met here: unknown task 'theirs'"),
        ({"task": {"kind": "sft", "unknown": 1}}, "its terms cannot be met here: task.unknown: unknown key"),
        ({"task": {"kind": "sft", "steps": "many"}}, "its terms cannot be met here: task.steps: input should be a valid integer"),
        ({"task": {"steps": 1}}, "its terms cannot be met here: task.kind: is required"),
        ({"algorithm": {"name": "theirs"}}, "its terms cannot be met here: unknown algorithm 'theirs'"),
        ({"algorithm": {"name": "fedprox", "prox_mu": -1}}, "its terms cannot be met here: algorithm.prox_mu: input should be greater"),
        ({"prepare": [{"kind": "theirs"}]}, "its terms cannot be met here: unknown prepare step 'theirs'"),
        ({"prepare": [{"kind": "first-of-a-test", "more": 1}]}, "its terms cannot be met here: prepare.0.more: unknown key"),
        ({"seed": "many"}, "its terms cannot be met here: seed: input should be a valid integer, got 'many'"),
        ({"seed": True}, "its terms cannot be met here: seed: input should be a valid integer, got True"),
        ({"evaluation": {}}, "its terms cannot be met here: evaluation.batch_size: is required"),
        (
            {"evaluation": {"batch_size": 0, "max_rows": None}},
            "its terms cannot be met here: evaluation.batch_size: input should be greater",
        ),
        ({"privacy": {"epsilon": 1.0}}, "its terms cannot be met here: privacy.rounds: is required"),
        ({"model": {"sha256": "00"}}, "its terms cannot be met here: model.dtype: is required"),
        ({"code": "print()"}, "its terms cannot be met here: code: extra inputs are not permitted"),
    ],
)
def test_terms_that_cannot_be_met_here_are_refused_in_one_line(change, said):
    with pytest.raises(RefusedMessageError) as caught:
        read_terms({**agreed().content, **change})
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_what_has_to_be_the_same_of_a_model_is_its_weights_precision_and_adapter():
    terms = model_terms(ModelRecipe(id="a", device="cpu", adapter=None), "abc")
    assert terms == {"sha256": "abc", "dtype": "float32", "quantization": None, "adapter": None}
    assert model_terms(ModelRecipe(id="elsewhere/a", device="cuda", adapter=None), "abc") == terms


def test_a_file_of_a_prepare_step_is_agreed_on_by_its_hash(tmp_path):
    def terms(folder, count):
        (tmp_path / folder).mkdir(exist_ok=True)
        path = tmp_path / folder / "count.txt"
        path.write_text(count)
        return agreed(prepare=[{"kind": "first-of-a-test", "words": str(path)}])

    assert str(tmp_path) not in json.dumps(terms("here", "5").content)
    assert terms("here", "5").sha256 == terms("there", "5").sha256
    assert terms("here", "5").sha256 != terms("here", "6").sha256


def test_a_prepare_step_can_read_its_file(tmp_path):
    (tmp_path / "count.txt").write_text("5")
    step = {"kind": "first-of-a-test", "words": str(tmp_path / "count.txt")}
    run = fedloom.run("tiny", tmp_path / "run", prepare=[step], rounds=1, **{"task.steps": 1, "evaluate.baselines": []})
    assert run.status == "finished"


@pytest.mark.parametrize("name", ["count.txt", "/nowhere/count", "./count", "~/count"])
def test_a_file_of_a_prepare_step_that_is_not_there_is_named_before_anything_starts(name):
    with pytest.raises(RecipeError, match=r"^prepare\.0\.words: /.*count(\.txt)?: no such file or folder$"):
        agreed(prepare=[{"kind": "first-of-a-test", "words": name}])


def test_a_file_that_a_site_does_not_have_is_named_with_its_step_and_setting(tmp_path):
    (tmp_path / "count.txt").write_text("5")
    terms = agreed(prepare=[{"kind": "first-of-a-test", "words": str(tmp_path / "count.txt")}])
    with pytest.raises(FedloomError, match=r"prepare\.0\.words: this site has no file with the hash sha256:ef2d127de37b; give it a copy"):
        terms.steps_with({})


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "~/rows.jsonl", "./rows.jsonl", "../rows.jsonl", "a/../rows.jsonl", "a/b/c", "..", "rows.txt"]
)
def test_terms_may_not_name_a_file_of_a_site_by_its_path(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.txt").write_text("5")
    terms = Agreed(agreed().content | {"prepare": [{"kind": "first-of-a-test", "words": path}]})
    with pytest.raises(RefusedMessageError, match=r"prepare\.0\.words: terms name a file by its hash, and never by a path"):
        refuse_paths(terms)


@pytest.mark.parametrize("name", ["sha256:" + "0" * 64, "smollm2-135m", "HuggingFaceTB/SmolLM2-135M"])
def test_terms_may_name_a_hash_or_a_known_name(name):
    refuse_paths(Agreed(agreed().content | {"prepare": [{"kind": "first-of-a-test", "words": name}]}))
