"""Parts of a recipe that do not go together are refused before anything is loaded, with the key and the fix."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from fedloom import tasks
from fedloom.errors import RecipeError
from fedloom.hooks import FinishStep, finish_steps
from fedloom.resolve import load_recipe


@tasks.register("trains-what-is-not-there")
@dataclass(frozen=True)
class TrainsNothing(tasks.SFT):
    """A task of a kind of model that nobody registered."""

    model_kind: ClassVar[str] = "causal_ml"


@pytest.mark.parametrize(
    ("preset", "overrides", "said"),
    [
        ("pictures_tiny", {"model.gradient_checkpointing": True}, "model.gradient_checkpointing: means nothing to a picture_net"),
        ("pictures_tiny", {"model.revision": "main"}, "model.revision: means nothing to a picture_net"),
        ("pictures_tiny", {"model.quantization": "int8", "model.adapter": {}}, "model.adapter: classify_pictures trains a picture_net"),
        ("tiny", {"model.id": "resnet8"}, "model.id: resnet8 is a picture_net, and sft trains a causal_lm"),
        ("tiny", {"task.kind": "trains-what-is-not-there"}, "trains an unknown kind of model 'causal_ml'; did you mean 'causal_lm'?"),
        ("tiny", {"data.subset": "x"}, "data.subset: belongs to data sets of the hub, and tiny-demo is none; leave it out"),
        ("tiny", {"data.split": "x"}, "data.split: belongs to data sets of the hub and named sets of pictures, and tiny-demo is none"),
        ("tiny", {"data.source": "mnist:x", "data.subset": "x"}, "data.subset: belongs to data sets of the hub, and mnist:"),
        ("tiny", {"evaluate.source": "tiny-demo", "evaluate.split": "x"}, "evaluate.split: belongs to data sets of the hub and named sets"),
        ("tiny", {"evaluate.split": "x"}, "evaluate.split: belongs to evaluate.source, which is not set"),
        ("tiny", {"data.picture_size": 8}, "data.picture_size: belongs to pictures and captures, and sft takes conversations"),
        ("tiny", {"data.source": "join:tiny-demo,evals-demo", "data.split": "x"}, "data.split: belongs to data sets of the hub"),
        ("pictures_tiny", {"clients.malicious": 1, "clients.behaviour": {"kind": "backdoor"}}, "clients.behaviour.kind: backdoor changes"),
        ("tiny", {"clients": 3, "per_round": None, "algorithm.name": "krum"}, "federation.per_round: krum needs 5 or more clients in a"),
        ("tiny", {"task.participations": 3}, "task.participations: belongs to passes; set task.passes too, or leave it out"),
        ("tiny", {"task.kind": "dpo", "task.max_prompt_length": 96}, "task.max_prompt_length: is 96, and data.max_length is 96: no answer"),
        ("pictures_tiny", {"task.labels": ["a"]}, "task.labels: should have at least 2 items, got 1"),
        ("pictures_tiny", {"task.labels": ["a", ""]}, "task.labels.1: string should have at least 1 character, got ''"),
        (
            "tiny",
            {"evaluate.membership": True, "privacy.epsilon": 8.0, "data.held_out": 0.5},
            "evaluate.membership: how well rows are told",
        ),
        ("tiny", {"evaluate.membership": True, "task.kind": "kto"}, "evaluate.membership: the loss of kto joins the rows of a batch"),
        ("pictures_tiny", {"data.source": {"pictures": None}}, "data.source: input should be a valid string, got a mapping; YAML reads"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_key(preset, overrides, said):
    with pytest.raises(RecipeError) as caught:
        load_recipe(preset, overrides)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_goes_together_is_left_alone():
    load_recipe("tiny", {"data.source": "hub:a/b", "data.subset": "x", "data.split": "test"})
    load_recipe("tiny", {"data.source": "join:tiny-demo,hub:a/b", "data.split": "test"})
    load_recipe("pictures_tiny", {"clients.malicious": 1, "clients.behaviour": {"kind": "sign_flip"}})
    load_recipe("tiny", {"task.participations": 3, "task.passes": 2})


def test_two_finish_steps_of_one_kind_are_refused():
    step = {"kind": "knowledgesg", "expert": {"kind": "scripted"}}
    with pytest.raises(RecipeError, match=r"finish\.1: is a second knowledgesg"):
        load_recipe("knowledgesg_tiny", {"finish": [step, step]})


@finish_steps.register("works-with-each-clients-model")
@dataclass(frozen=True)
class WorksWithEach(FinishStep):
    """A finish step of a plugin that may need each client's own model."""

    each: bool = True

    @property
    def needs_updates(self):
        return self.each


def test_no_finish_step_works_with_the_models_of_single_clients_where_their_sum_is_protected():
    joined, each = ({"kind": "works-with-each-clients-model", "each": one} for one in (False, True))
    of_rows = {"privacy": {"epsilon": 8, "delta": 1e-5}}
    of_clients = {"privacy": {"epsilon": 8, "delta": 1e-5, "unit": "client"}}
    with pytest.raises(RecipeError, match=r"finish\.0: works-with-each-clients-model works with models of single clients"):
        load_recipe("tiny", {**of_clients, "finish": [each]})
    load_recipe("tiny", {**of_clients, "finish": [joined]})
    load_recipe("tiny", {**of_rows, "finish": [each]})
