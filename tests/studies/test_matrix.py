"""The matrix attack x rule x repair: every cell once, from whatever commands filled the folder."""

import json

import pytest

from fedloom.errors import InterruptedRunError, RecipeError
from fedloom.federation.run_folder import locked
from fedloom.measures import SHARE, Measure
from fedloom.resolve import load_recipe
from fedloom.safety.policy import POLICIES
from fedloom.studies.matrix import MatrixCell, MatrixMeasures, matrix_measures, plan_matrix, read_matrix, run_matrix
from fedloom.studies.matrix_table import matrix_figure, matrix_markdown, write_matrix
from fedloom.studies.repaired import default_repair, repair_run

QUICK = {"rounds": 1, "task.steps": 1, "evaluate.baselines": []}


def plan(folder, attacks, rules, levels, seeds, **changed):
    return plan_matrix("safety_tiny", folder, attacks, rules, levels, seeds, QUICK | changed)


def shape(cells):
    return [(cell.attack, cell.rule, cell.repair, list(cell.seeds)) for cell in cells]


def test_the_matrix_runs_each_cell_once_and_is_drawn(tmp_path):
    told = []
    planned = plan(tmp_path, ["none", "unaligned"], ["krum"], [1], [1, 2])
    cells, _ = run_matrix(planned, tell=told.append)
    assert shape(cells) == [(attack, "krum", repair, [1, 2]) for attack in ("none", "unaligned") for repair in ("none", "level 1")]
    assert all("federated/refusal" in cell.mean and cell.mean["seconds"] > 0 for cell in cells)
    again, _ = run_matrix(planned)
    assert [cell.mean for cell in again] == [cell.mean for cell in cells]
    measures = matrix_measures(tmp_path)
    assert measures.probes[0].name == "refusal"
    table, picture = write_matrix(cells, measures, tmp_path)
    assert "| unaligned | krum | level 1 |" in table.read_text()
    assert picture.stat().st_size > 1000


def test_a_rule_that_takes_the_number_of_attackers_gets_it_and_settings_may_be_given(tmp_path):
    rules = ["multi_krum", {"name": "trimmed_mean", "trim": 2}]
    runs = plan(tmp_path, ["unaligned"], rules, [], [1]).runs
    assert [one.recipe.algorithm.settings.get("malicious") for one in runs] == [1, None]
    assert [(one.rule, one.recipe.algorithm.settings.get("trim")) for one in runs][1] == ("trimmed_mean (trim 2)", 2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((["unaligned"], ["medain"], [], [1]), "unknown algorithm 'medain'; did you mean 'median'"),
        ((["nonsense"], ["fedavg"], [], [1]), "unknown behaviour 'nonsense'"),
        ((["none"], ["fedavg"], [7], [1]), r"finish\.0\.level"),
    ],
)
def test_a_wrong_matrix_is_refused_before_anything_runs(tmp_path, words, said):
    with pytest.raises(RecipeError, match=said):
        plan_matrix("safety_tiny", tmp_path, *words)
    assert not list(tmp_path.iterdir())


DECLINED = Measure("refusal", "requests declined", SHARE, "higher", alert=0.1)
LEAKS = Measure("leaks", "secrets told", SHARE, "lower")
UNREAD = Measure("unread", "verdicts not read", "count", "neither")
LOSS = Measure("loss", "held-out loss", "nats", "lower")
PSNR = Measure("psnr", "PSNR", "dB", "higher")


def cell(rule, values, spread=None, repair="none"):
    """A cell whose joined model has these values."""
    mean = {f"federated/{name}": value for name, value in values.items()} | {"seconds": 3.0}
    return MatrixCell("none", rule, repair, [1], mean, dict.fromkeys(mean, spread))


def test_a_cell_without_a_measure_is_a_dash_and_what_no_cell_has_is_no_column(tmp_path):
    cells = [cell("fedavg", {"refusal": 0.5, "unread": 7.0}), cell("krum", {"loss": 0.5})]
    measures = MatrixMeasures((DECLINED, LEAKS, UNREAD), (LOSS, PSNR))
    assert matrix_markdown(cells, measures).splitlines() == [
        "| attack | rule | repair | requests declined | held-out loss (nats) | time | runs |",
        "|---|---|---|--:|--:|--:|--:|",
        "| none | fedavg | none | 50.0% | – | 3.0 s | 1 |",
        "| none | krum | none | – | 0.500 | 3.0 s | 1 |",
    ]
    write_matrix(cells[1:], measures, tmp_path)


def test_the_heat_map_shows_the_shares_of_probes_with_colours_by_direction():
    cells = [
        cell("fedavg", {"refusal": 0.25, "leaks": 0.75, "loss": 0.5}, spread=0.125),
        cell("fedavg", {"refusal": 1.0, "leaks": 0.0, "loss": 0.625}, repair="level 1"),
        cell("krum", {"refusal": 0.5}),
    ]
    figure = matrix_figure(cells, MatrixMeasures((DECLINED, LEAKS, UNREAD), (LOSS,)))
    panels = [axes for axes in figure.axes if axes.images]
    assert [(axes.get_title(loc="left"), axes.images[0].get_cmap().name) for axes in panels] == [
        ("Requests declined", "Blues"),
        ("Secrets told", "Oranges"),
    ]
    assert [text.get_text() for text in panels[0].texts] == ["25%", "100%", "50%", "–"]
    assert [axes.get_ylabel() for axes in figure.axes if not axes.images] == ["higher is better", "lower is better"]


def test_a_matrix_without_probes_is_drawn_by_its_first_held_out_measure_on_its_own_scale():
    cells = [cell("fedavg", {"psnr": 21.5, "loss": 0.5}), cell("krum", {"psnr": 27.25, "loss": 0.25})]
    measures = MatrixMeasures((), (PSNR, LOSS))
    figure = matrix_figure(cells, measures)
    (panel,) = [axes for axes in figure.axes if axes.images]
    assert panel.get_title(loc="left") == "PSNR (dB)"
    assert panel.images[0].get_clim() == (21.5, 27.25)
    assert [text.get_text() for text in panel.texts] == ["21.500", "27.250"]
    assert matrix_markdown(cells, measures).splitlines()[2] == "| none | fedavg | none | 21.500 | 0.500 | 3.0 s | 1 |"


def test_a_rule_that_needs_more_clients_than_are_drawn_is_refused_before_any_run(tmp_path):
    with pytest.raises(RecipeError, match=r"federation\.per_round: krum needs 5 or more clients in a round, but 3 are drawn"):
        plan_matrix("safety_tiny", tmp_path, ["none"], ["krum"], [], [1], {"federation.per_round": 3})


def test_a_matrix_is_filled_part_by_part(tmp_path):
    run_matrix(plan(tmp_path, ["unaligned"], ["fedavg"], [], [1]))
    assert shape(read_matrix(tmp_path)) == [("unaligned", "fedavg", "none", [1])]
    run_matrix(plan(tmp_path, ["unaligned"], ["fedavg", "median"], [], [2]))
    cells, failed = run_matrix(plan(tmp_path, ["unaligned"], ["fedavg"], [1], [1]))
    assert failed == 0
    assert shape(cells) == [
        ("unaligned", "fedavg", "none", [1, 2]),
        ("unaligned", "fedavg", "level 1", [1]),
        ("unaligned", "median", "none", [2]),
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rounds": 2}, "holds a matrix of another recipe or policy"),
        ({"finish": [{"kind": "repair", "level": 1, "policy": "secret-sauce", "rows": 8}]}, "holds repairs of level 1 with other settings"),
    ],
)
def test_a_folder_of_another_matrix_is_refused_before_anything_runs(tmp_path, changed, said):
    run_matrix(plan(tmp_path, ["none"], ["fedavg"], [1], [1]))
    with pytest.raises(RecipeError, match=said):
        plan(tmp_path, ["none"], ["fedavg"], [1], [2], **changed)
    assert shape(read_matrix(tmp_path)) == [("none", "fedavg", "none", [1]), ("none", "fedavg", "level 1", [1])]


def test_a_repair_that_fails_leaves_the_others_and_a_seed_or_a_rule_counts_once(tmp_path):
    told = []
    rules = ["krum", {"name": "krum"}, {"name": "krum", "malicious": 1}]
    cells, failed = run_matrix(plan(tmp_path, ["unaligned"], rules, [3, 1], [1, 1]), tell=told.append)
    assert shape(cells) == [("unaligned", "krum", "none", [1]), ("unaligned", "krum", "level 1", [1])]
    assert failed == 1
    assert any("repair level 3 failed" in line for line in told)


def test_a_run_that_fails_is_counted_with_its_repairs(tmp_path):
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "none_fedavg_1").write_text("in the way")
    cells, failed = run_matrix(plan(tmp_path, ["none"], ["fedavg"], [1], [1, 2]))
    assert failed == 2
    assert shape(cells) == [("none", "fedavg", "none", [2]), ("none", "fedavg", "level 1", [2])]


def test_a_repair_made_by_hand_or_of_another_adapter_is_no_cell(tmp_path):
    run_matrix(plan(tmp_path, ["none"], ["fedavg"], [1], [1]))
    run_folder = tmp_path / "cells" / "none_fedavg_1"
    kept = (run_folder / "repairs" / "level-1" / "repair.json").read_text()
    repair_run(run_folder, default_repair(load_recipe("safety_tiny"), 1) | {"rows": 4})
    assert shape(read_matrix(tmp_path)) == [("none", "fedavg", "none", [1])]
    cells, _ = run_matrix(plan(tmp_path, ["none"], ["fedavg"], [1], [1]))
    assert shape(cells)[1] == ("none", "fedavg", "level 1", [1])
    now = json.loads((run_folder / "repairs" / "level-1" / "repair.json").read_text())
    assert now["metrics"] == json.loads(kept)["metrics"]


def test_a_folder_in_which_nothing_came_to_be_takes_another_recipe(tmp_path):
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "none_fedavg_1").write_text("in the way")
    run_matrix(plan(tmp_path, ["none"], ["fedavg"], [], [1]))
    assert shape(run_matrix(plan(tmp_path, ["none"], ["median"], [3], [1], rounds=2))[0]) == [("none", "median", "none", [1])]
    finish = [{"kind": "repair", "level": 3, "policy": "secret-sauce", "rows": 8}]  # no repair of level 3 came to be, so it may be another
    plan(tmp_path, ["none"], ["median"], [3], [1], rounds=2, finish=finish)


def test_changed_data_makes_another_matrix(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(json.dumps({"instruction": f"q {i}", "output": f"a {i}"}) for i in range(40)))
    words = {"data.source": str(rows)}
    run_matrix(plan(tmp_path / "matrix", ["none"], ["fedavg"], [], [1], **words))
    plan(tmp_path / "matrix", ["none"], ["fedavg"], [], [2], **words)
    rows.write_text(rows.read_text().replace("a 1", "b 11"))
    with pytest.raises(RecipeError, match=r"rows\.jsonl: has changed since .* was begun; bring the old one back"):
        plan(tmp_path / "matrix", ["none"], ["fedavg"], [], [2], **words)


def test_attacks_may_have_settings_and_honest_is_no_attack(tmp_path):
    runs = plan(
        tmp_path, ["none", "honest", "unaligned", {"kind": "unaligned", "rows": 2}, {"kind": "sign_flip", "scale": 3}], ["fedavg"], [], [1]
    ).runs
    assert [one.attack for one in runs] == ["none", "unaligned", "unaligned (rows 2)", "sign_flip (scale 3)"]
    behaviours = [one.recipe.clients.behaviour.settings for one in runs]
    beside = [one.recipe.clients.beside for one in runs]
    assert [one and one.kind for one in beside] == ["unaligned", None, "unaligned", "unaligned"]
    assert (behaviours[2]["policy"], behaviours[2]["rows"], behaviours[3]["scale"]) == ("secret-sauce", 2, 3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"evaluate.every": 0}, "evaluate.every: is 0, so that no run of the matrix would be measured"),
        ({"clients": {"malicious": 0, "behaviour": None}}, "clients.malicious: is 0"),
    ],
)
def test_a_recipe_that_makes_no_matrix_is_refused(tmp_path, changed, said):
    with pytest.raises(RecipeError, match=said):
        plan(tmp_path, ["none"], ["fedavg"], [], [1], **changed)


def test_a_generator_that_no_repair_asks_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="is the outside model of repair level 2, which --repairs does not name"):
        plan_matrix("safety_tiny", tmp_path, ["none"], ["fedavg"], [1], [1], QUICK, generator="tiny-llama")


def test_a_damaged_index_is_one_line(tmp_path):
    (tmp_path / "matrix.json").write_text("{")
    with pytest.raises(RecipeError, match=r"matrix\.json: is damaged; remove it"):
        plan(tmp_path, ["none"], ["fedavg"], [], [1])


def test_an_interrupted_matrix_says_that_the_same_command_goes_on(tmp_path, monkeypatch):
    def interrupted(*_):
        raise InterruptedRunError("stopped; go on with `fedloom resume x`")

    monkeypatch.setattr("fedloom.studies.matrix.run", interrupted)
    with pytest.raises(InterruptedRunError, match="stopped; the same command goes on"):
        run_matrix(plan(tmp_path, ["none"], ["fedavg"], [], [1]))


def test_a_changed_file_of_an_attack_makes_another_matrix(tmp_path):
    policy = tmp_path / "own.yaml"
    policy.write_text((POLICIES / "secret_sauce.yaml").read_text())
    attacks = [{"kind": "unaligned", "policy": str(policy)}]
    run_matrix(plan(tmp_path / "matrix", attacks, ["fedavg"], [], [1]))
    policy.write_text(policy.read_text().replace("Simmer", "Stew"))
    with pytest.raises(RecipeError, match=r"own\.yaml: has changed since"):
        plan(tmp_path / "matrix", attacks, ["fedavg"], [], [2])


def test_folders_of_cells_are_short_and_each_its_own(tmp_path):
    attacks = [{"kind": "backdoor", "trigger": trigger} for trigger in ("a b", "a-b", "x" * 400)]
    folders = [one.folder for one in plan(tmp_path, attacks, ["fedavg"], [], [1]).runs]
    assert len(set(folders)) == 3
    assert all(len(folder) < 110 for folder in folders)


def test_the_recipes_own_rule_is_the_default_and_keeps_its_settings(tmp_path):
    own = {"algorithm": {"name": "trimmed_mean", "trim": 2}}
    for rules in ([], ["trimmed_mean"]):
        (one,) = plan(tmp_path, ["none"], rules, [], [1], **own).runs
        assert (one.rule, one.recipe.algorithm.settings["trim"]) == ("trimmed_mean", 2)


def test_probes_with_names_and_judges_have_columns(tmp_path):
    probes = [{"kind": "refusals", "policy": "secret-sauce", "name": "mine", "judges": [{"kind": "rule"}]}]
    cells, _ = run_matrix(plan(tmp_path, [{"kind": "backdoor", "trigger": "a | b"}], ["fedavg"], [], [1], **{"evaluate.probes": probes}))
    measures = matrix_measures(tmp_path)
    head, _, row = matrix_markdown(cells, measures).splitlines()
    names = [measure.name for measure in measures.probes if measure.better != "neither"]
    assert sorted(names) == ["mine/over_refusal", "mine/refusal", "mine/refusal_legacy", "mine/rule/safe"]
    assert "| ".join(f"{measure.title} " for measure in measures.probes if measure.name in names) in head
    assert row.startswith("| backdoor (trigger a \\| b) | fedavg | none | 0.0% |")
    write_matrix(cells, measures, tmp_path)


def test_two_commands_do_not_fill_one_folder_at_once(tmp_path):
    planned = plan(tmp_path, ["none"], ["fedavg"], [], [1])
    with locked(tmp_path), pytest.raises(RecipeError, match="another run is writing to this folder"):
        run_matrix(planned)
