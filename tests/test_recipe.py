"""Recipes: presets that hold, overrides, and one line for everything that can be wrong."""

import re

import pytest
import yaml

import fedloom.algorithms
from fedloom.errors import RecipeError
from fedloom.overrides import parse_overrides
from fedloom.plugins import trusting_plugins
from fedloom.recipe import Recipe
from fedloom.resolve import PRESETS, find_recipe, load_recipe, preset_names


def refusal(source, **overrides):
    with pytest.raises(RecipeError) as caught:
        load_recipe(source, overrides)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_a_whole_recipe(name):
    recipe = load_recipe(name)
    assert load_recipe(yaml.safe_load(recipe.to_yaml())) == recipe
    assert fedloom.algorithms.get(recipe.algorithm.name)(**recipe.algorithm.settings)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_opens_with_a_line_that_says_what_it_is(name):
    assert (PRESETS / f"{name}.yaml").read_text().startswith("# ")


@pytest.mark.parametrize("name", ["tiny", "tiny.yaml", "recipes/tiny.yaml"])
def test_a_preset_is_found_by_its_name(name):
    assert find_recipe(name) == PRESETS / "tiny.yaml"


def test_a_file_goes_before_a_preset_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").write_text("name: mine\n")
    assert load_recipe("tiny").name == "mine"


def test_a_recipe_that_is_not_there_is_answered_with_the_nearest():
    assert refusal("tinny") == "tinny: no such recipe; did you mean 'tiny'?"
    assert refusal("elsewhere/tiny.yaml").startswith("elsewhere/tiny.yaml: no such recipe")


def test_an_empty_recipe_is_a_run_of_defaults():
    recipe = load_recipe({})
    assert (recipe.name, recipe.task.kind, recipe.algorithm.name) == ("run", "sft", "fedavg")
    assert recipe.task.settings["batch_size"] == 8


def test_overrides_reach_any_depth():
    recipe = load_recipe("tiny", {"model.adapter.rank": 2, "task.steps": 1, "algorithm": {"name": "fedadam"}, "algorithm.tau": 0.5})
    assert recipe.model.adapter.rank == 2
    assert recipe.task.settings["steps"] == 1
    assert recipe.algorithm.settings["tau"] == 0.5


def test_a_bare_key_stands_for_the_one_key_of_that_name():
    recipe = load_recipe("tiny", {"rounds": 9, "steps": 3, "rank": 4, "seed": 5})
    assert (recipe.federation.rounds, recipe.task.settings["steps"], recipe.model.adapter.rank, recipe.seed) == (9, 3, 4, 5)


def test_a_bare_key_with_two_meanings_is_asked_for_in_full():
    assert refusal("tiny", batch_size=4) == "batch_size: could be evaluate.batch_size or task.batch_size; write the one you mean in full"


def test_overrides_reach_into_lists_by_number():
    recipe = load_recipe("u2s_tiny", {"prepare.0.shots": 1, "prepare.0.generator.kind": "scripted"})
    assert recipe.prepare[0].settings["shots"] == 1
    for key, said in (
        ("prepare.1.shots", "prepare.1: prepare is a list with the entries 0 to 0"),
        ("prepare.shots", "prepare.shots: prepare is a list with the entries 0 to 0; name one of them, such as prepare.0.KEY"),
        ("prepare.-1", "prepare.-1: prepare is a list"),
    ):
        with pytest.raises(RecipeError, match=re.escape(said)):
            load_recipe("u2s_tiny", {key: 1})


def test_overrides_change_no_mapping_of_the_caller():
    given = {"federation": {"rounds": 2}}
    load_recipe(given, {"rounds": 5})
    assert given == {"federation": {"rounds": 2}}


def test_words_of_the_command_line_are_read_as_yaml():
    words = ["rounds=20", "task.learning_rate=1e-3", "per_round=null", "name=a=b", "baselines=[base]", "source="]
    assert parse_overrides(words) == {
        "rounds": 20,
        "task.learning_rate": 0.001,
        "per_round": None,
        "name": "a=b",
        "baselines": ["base"],
        "source": "",
    }


@pytest.mark.parametrize(("word", "message"), [("rounds", "not of the form"), ("=3", "not of the form"), ("a=[1", "is not a YAML value")])
def test_a_word_that_is_no_override_is_refused(word, message):
    with pytest.raises(RecipeError, match=message):
        parse_overrides([word])


def test_a_number_with_an_exponent_is_a_number(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("task: {learning_rate: 1e-3}\n")
    assert load_recipe(path).task.settings["learning_rate"] == 0.001


@pytest.mark.parametrize(
    ("written", "seconds"), [("90s", 90), ("10m", 600), ("1h", 3600), ("1.5h", 5400), ("45", 45), (30, 30), (" 2 m ", 120)]
)
def test_durations_are_written_with_their_unit(written, seconds):
    assert load_recipe({"federation": {"deadline": written}}).federation.deadline == seconds


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"federatoin": {}}, "federatoin: unknown key; did you mean 'federation'?"),
        ({"federation": {"round": 2}}, "federation.round: unknown key; did you mean 'rounds'?"),
        ({"model": {"adapter": {"rnak": 2}}}, "model.adapter.rnak: unknown key; did you mean 'rank'?"),
        ({"task": {"stesp": 2}}, "task.stesp: unknown key; did you mean 'steps'?"),
        ({"task": {"kind": "sfd"}}, "task.kind: unknown task 'sfd'"),
        ({"algorithm": {"name": "fedagv"}}, "algorithm.name: unknown algorithm 'fedagv'; did you mean 'fedavg'?"),
        ({"algorithm": {"name": "fedavg:3"}}, "algorithm.name: 'fedavg' takes nothing behind a colon"),
        ({"algorithm": {"name": "fedavg", "tau": 1}}, "algorithm.tau: unknown key"),
        ({"data": {"partition": {"kind": "idi"}}}, "data.partition.kind: unknown"),
        ({"federation": {"codec": "int9"}}, "federation.codec: unknown codec 'int9'; did you mean 'int8'?"),
        ({"federation": {"rounds": "many"}}, "federation.rounds: input should be a valid integer"),
        ({"federation": {"rounds": 0}}, "federation.rounds: input should be greater than or equal to 1, got 0"),
        ({"federation": {"deadline": "soon"}}, "federation.deadline: input should be a valid number"),
        ({"federation": {"deadline": "0s"}}, "federation.deadline: input should be greater than 0"),
        ({"federation": {"clients": 2, "per_round": 3}}, "per_round is 3, but there are only 2 clients"),
        ({"federation": {"per_round": 2, "quorum": 3}}, "quorum is 3, but only 2 clients are drawn each round"),
        ({"federation": {"workers": 0}}, "workers is at least 1"),
        ({"federation": {"threads": 0}}, "threads is at least 1"),
        ({"task": {"learning_rate": -1}}, "task.learning_rate: input should be greater than 0"),
        ({"prepare": [{"kind": "fold"}]}, "prepare.0.kind: unknown prepare step 'fold'"),
        ({"prepare": [{}]}, "prepare.0.kind: is required"),
        ({"finish": [{"kind": "fold"}]}, "finish.0.kind: unknown finish step 'fold'"),
        ({"name": "../away"}, "name: string should match pattern"),
        ({"evaluate": {"baselines": ["bass"]}}, "evaluate.baselines.0: input should be 'base'"),
        ({"plugins": "mine.py"}, "plugins: should be a list of Python files"),
        ({"plugins": ["gone.py"]}, "gone.py: no such file"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(raw, message):
    assert message in refusal(raw)


@pytest.mark.parametrize(("key", "message"), [("rounsd", "did you mean 'rounds'?"), ("taks.steps", "did you mean 'task'?")])
def test_an_override_of_an_unknown_key_is_answered_with_the_nearest(key, message):
    assert f"{key}: unknown key; {message}" == refusal("tiny", **{key: 1})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"name: [\n", ":2: is not valid YAML"),
        (b"- 1\n", "should be a mapping of recipe keys"),
        (b"", "should be a mapping of recipe keys"),
        (b"name: \xff\n", "is not UTF-8 text (byte 6)"),
    ],
)
def test_a_file_that_is_no_recipe_is_named(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text)
    assert refusal(path).startswith(f"{path}")
    assert message in refusal(path)


def test_the_short_form_of_an_algorithm_is_written_out():
    recipe = load_recipe("tiny", {"algorithm.name": "local:2"})
    assert recipe.algorithm.name == "local"
    assert recipe.algorithm.settings["client"] == 2


def test_a_plugin_beside_the_recipe_registers_parts_of_the_users_own(tmp_path):
    (tmp_path / "parts.py").write_text(
        "from dataclasses import dataclass\nfrom fedloom.hooks import FinishStep, finish_steps\n\n\n"
        "@finish_steps.register('halve-of-a-test')\n@dataclass\nclass Halve(FinishStep):\n    share: float = 0.5\n"
    )
    (tmp_path / "mine.yaml").write_text("plugins: [parts.py]\nfinish: [{kind: halve-of-a-test}]\n")
    with trusting_plugins():
        recipe = load_recipe(tmp_path / "mine.yaml")
    assert recipe.plugins == [str(tmp_path / "parts.py")]
    assert recipe.finish[0].settings == {"share": 0.5}
    assert load_recipe(recipe) == recipe


@pytest.mark.parametrize("line", ["1 / 0", "from fedloom.errors import RecipeError; raise RecipeError('clash')"])
def test_a_plugin_that_fails_does_so_every_time_it_is_loaded(tmp_path, line):
    plugin = tmp_path / f"broken{len(line)}.py"
    plugin.write_text(line + "\n")
    first = refusal({"plugins": [str(plugin)]})
    assert "ZeroDivisionError" in first or first == "clash"
    assert refusal({"plugins": [str(plugin)]}) == first


def test_a_recipe_may_be_loaded_again():
    recipe = load_recipe("tiny")
    assert isinstance(recipe, Recipe)
    assert load_recipe(recipe, {"rounds": 1}).federation.rounds == 1


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize(
    "key", ["task.passes", "task.learning_rate", "federation.deadline", "federation.max_update_norm", "data.held_out", "finish.0.rate"]
)
def test_a_number_that_is_not_finite_is_refused_with_its_key(key, value):
    overrides = {"finish": [{"kind": "repair", "rate": value}]} if key.startswith("finish") else {key: value}
    with pytest.raises(RecipeError, match=rf"^{key}: should be a finite number, got (-?inf|nan)$"):
        load_recipe("tiny", overrides)


def test_a_number_of_a_recipe_object_that_is_not_finite_is_refused():
    recipe = Recipe.model_validate({"task": {"kind": "sft", "passes": float("inf")}})
    with pytest.raises(RecipeError, match=r"task\.passes: should be a finite number, got inf"):
        load_recipe(recipe)


@pytest.mark.parametrize("key", ["task.passes", "task.steps", "federation.rounds", "federation.workers", "seed", "algorithm.prox_mu"])
def test_true_and_false_are_no_numbers(key):
    overrides = {"algorithm.name": "fedprox"} if key.startswith("algorithm") else {}
    with pytest.raises(RecipeError, match=rf"^{key}: should be a number, got true$"):
        load_recipe("tiny", overrides | {key: True})
    assert load_recipe("tiny", {"model.gradient_checkpointing": True}).model.gradient_checkpointing is True
