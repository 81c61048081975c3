"""The methods of FedLLM-Bench side by side, at the published settings."""

import pytest

from fedloom.errors import FedloomError, RecipeError
from fedloom.measures import SHARE, Measure
from fedloom.resolve import load_recipe, preset_names
from fedloom.studies.methods import METHODS, plan_methods
from fedloom.studies.sweep import Result
from fedloom.studies.sweep_table import sweep_latex


def test_every_method_has_a_cell_for_each_seed(tmp_path):
    grid = plan_methods("tiny", METHODS, [1, 2], ["rounds=1"], tmp_path)
    assert [(cell.values["algorithm.name"], cell.values["seed"]) for cell, _ in grid.cells] == [
        (method, seed) for method in METHODS[1:] for seed in (1, 2)
    ]
    first, *others = [recipe.evaluate.baselines for _, recipe in grid.cells[::2]]
    assert first == ["base", "local"]
    assert all(other == [] for other in others)
    assert [recipe.evaluate.local_clients for _, recipe in grid.cells[:4]] == [3, 3, 0, 0]  # the two seeds of the first method


@pytest.mark.parametrize(
    ("methods", "words", "asked"),
    [(["fedavg", "local"], ["evaluate.local_clients=1"], 1), (["fedavg"], [], 0)],
)
def test_as_many_clients_alone_are_asked_the_suites_as_the_user_says_and_none_without_local(tmp_path, methods, words, asked):
    grid = plan_methods("tiny", methods, [1, 2], words, tmp_path)
    assert grid.cells[0][1].evaluate.local_clients == asked


@pytest.mark.parametrize(("words", "beta1"), [([], 0.5), (["algorithm.beta1=0.7", "algorithm.variant=textbook"], 0.7)])
def test_methods_with_momentum_have_the_published_one_or_that_of_the_command(tmp_path, words, beta1):
    grid = plan_methods("fed_aya_small", METHODS, [1], words, tmp_path)
    found = {cell.values["algorithm.name"]: recipe.algorithm.settings for cell, recipe in grid.cells}
    assert {name: settings["beta1"] for name, settings in found.items() if "beta1" in settings} == {
        "fedavgm": beta1, "fedyogi": beta1, "fedadam": beta1,
    }  # fmt: skip
    assert {settings["variant"] for settings in found.values()} == {"textbook" if words else "paper_code"}


@pytest.mark.parametrize("preset", ["fed_aya", "fed_chatbot_it", "fed_wildchat", "fed_chatbot_pa"])
@pytest.mark.parametrize("size", ["", "_small"])
def test_momentum_is_the_published_one_in_every_run_of_a_preset(preset, size):
    def beta1(**chosen):
        return load_recipe(f"{preset}{size}", chosen).algorithm.settings.get("beta1")

    assert [beta1(**{"algorithm.name": name}) for name in ("fedavgm", "fedyogi", "fedadam", "fedavg")] == [0.5, 0.5, 0.5, None]
    assert beta1(**{"algorithm.name": "fedadam", "algorithm.beta1": 0.9}) == 0.9


def test_a_resolved_recipe_keeps_the_settings_of_other_algorithms_and_resolves_to_itself():
    recipe = load_recipe("fed_aya", {"algorithm.name": "fedadam"})
    assert load_recipe(recipe) == recipe


@pytest.mark.parametrize(
    ("defaults", "message"),
    [
        ({"fedadm": {}}, r"algorithm\.defaults: unknown algorithm 'fedadm'; did you mean 'fedadam'\?"),
        ({"fedadam": {"bta1": 0.5}}, r"algorithm\.defaults\.fedadam\.bta1: unknown key; did you mean 'beta1'"),
    ],
)
def test_settings_of_an_algorithm_that_is_not_there_are_refused(defaults, message):
    with pytest.raises(RecipeError, match=f"^{message}"):
        load_recipe("tiny", {"algorithm.defaults": defaults})


@pytest.mark.parametrize(("methods", "message"), [(["local"], "name an algorithm beside local"), (["fedavg"] * 2, "names a method twice")])
def test_methods_that_cannot_be_compared_are_one_line(tmp_path, methods, message):
    with pytest.raises(RecipeError, match=f"^--methods: {message}"):
        plan_methods("tiny", methods, [1], [], tmp_path)


def test_one_method_with_one_seed_is_one_cell(tmp_path):
    grid = plan_methods("tiny", ["fedavg"], [7], ["rounds=1"], tmp_path)
    assert [(dict(cell.values), recipe.algorithm.name) for cell, recipe in grid.cells] == [
        ({"algorithm.name": "fedavg", "seed": 7}, "fedavg")
    ]


@pytest.mark.parametrize(
    ("suite", "message"),
    [
        ("{kind: questions, source: nowhere.jsonl}", r"^questions\.source: .*nowhere\.jsonl"),
        ("{kind: fpb, data: nowhere.csv}", r"^fpb\.data: there is no file .*nowhere\.csv"),
        ("{kind: fpp, data: nowhere.csv}", r"^evaluate\.suites\.0\.kind: unknown suite 'fpp'"),
    ],
)
def test_a_suite_that_cannot_be_asked_is_found_before_the_first_cell(tmp_path, suite, message):
    with pytest.raises(FedloomError, match=message):
        plan_methods("tiny", ["fedavg"], [7], [f"evaluate.suites=[{suite}]"], tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_a_recipe_that_is_not_there_is_named_with_one_method_and_one_seed(tmp_path):
    with pytest.raises(RecipeError, match=r"^fed_ayaa: no such recipe; did you mean 'fed_aya'"):
        plan_methods("fed_ayaa", ["fedavg"], [7], [], tmp_path)
    with pytest.raises(RecipeError, match=r"^--seeds: names a seed twice"):
        plan_methods("tiny", ["fedavg"], [7, 7], [], tmp_path)


SFT = {
    "base": ("meta-llama/Llama-2-7b-hf", "int8"), "lora": (16, 32, 0.05), "task": "sft", "batch": (4, 4), "rates": (2e-5, 1e-6),
    "passes": None, "template": "alpaca",
}  # fmt: skip
PUBLISHED = {
    "fed_aya": {**SFT, "drawn": (4, 200), "steps": 10, "length": 1024},
    "fed_chatbot_it": {**SFT, "drawn": (10, 100), "steps": 5, "length": 1024},
    "fed_wildchat": {**SFT, "drawn": (3, 100), "steps": 10, "length": 2048, "template": "vicuna"},  # several turns, 50 users
    "fed_chatbot_pa": {
        **SFT, "lora": (8, 16, 0.05), "task": "dpo", "batch": (8, 1), "rates": (1e-4, 1e-5), "passes": 3, "drawn": (10, 200), "length": 512,
    },
}  # fmt: skip
"""The table of FedLLM-Bench, and what its released code has beside it."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_presets_have_the_published_settings(name):
    recipe = load_recipe(name)
    task, adapter, published = recipe.task.settings, recipe.model.adapter, PUBLISHED[name]
    assert (recipe.model.id, recipe.model.quantization) == published["base"]
    assert (adapter.rank, adapter.alpha, adapter.dropout) == published["lora"]
    assert adapter.targets == ["q_proj", "v_proj"]
    assert recipe.task.kind == published["task"]
    assert (task["batch_size"], task["accumulation"]) == published["batch"]
    assert (task["learning_rate"], task["min_learning_rate"]) == published["rates"]
    assert (task["schedule"], task["weight_decay"], task["max_grad_norm"]) == ("cosine_over_rounds", 0.0, 1.0)
    assert task["passes"] == published["passes"]
    assert published.get("steps") in (None, task["steps"])
    assert (recipe.federation.per_round, recipe.federation.rounds) == published["drawn"]
    assert (recipe.federation.clients, recipe.data.partition.kind) == (None, "by_source")  # every user
    assert (recipe.data.template, recipe.data.max_length) == (published["template"], published["length"])
    assert (recipe.algorithm.settings["variant"], recipe.algorithm.settings["aggregate"]) == ("paper_code", "average_factors")


def test_the_preference_preset_has_the_published_loss():
    task = load_recipe("fed_chatbot_pa").task.settings
    assert (task["beta"], task["max_prompt_length"]) == (0.1, 128)


def test_every_federation_has_a_published_preset_and_a_small_one():
    names = {name for name in preset_names() if name.startswith("fed_")}
    assert names == {f"fed_{name}{small}" for name in ("aya", "chatbot_it", "wildchat", "chatbot_pa") for small in ("", "_small")}


def test_the_table_in_latex_says_what_the_table_says():
    measures = [Measure("accuracy", "accuracy_1", SHARE, "higher")]
    results = [
        Result((("algorithm.name", "fedavg"),), 2, {"accuracy": 0.5}, {"accuracy": 0.125}),
        Result((), 1, {"accuracy": 0.25}, {"accuracy": None}, "base"),
    ]
    assert sweep_latex(results, measures, "Two methods & more").splitlines() == [
        "\\begin{table}",
        "\\centering",
        "\\caption{Two methods \\& more}",
        "\\begin{tabular}{llrr}",
        "\\toprule",
        "system & algorithm.name & accuracy\\_1 & runs \\\\",
        "\\midrule",
        "federated & fedavg & \\textbf{50.0\\% $\\pm$ 12.5\\%} & 2 \\\\",
        "base model & -- & 25.0\\% & 1 \\\\",
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table}",
    ]
