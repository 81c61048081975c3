"""The matrix attack x rule x repair: every cell once, from whatever commands filled the folder."""

import pytest

from fedloom.errors import RecipeError
from fedloom.report.matrix import matrix_markdown, write_matrix
from fedloom.safety.matrix import MatrixCell, plan_matrix, read_matrix, run_matrix

QUICK = {"rounds": 1, "task.steps": 1, "evaluate.baselines": []}


def plan(folder, attacks, rules, levels, seeds, **changed):
    return plan_matrix("safety_tiny", folder, attacks, rules, levels, seeds, QUICK | changed)


def shape(cells):
    return [(cell.attack, cell.rule, cell.repair, list(cell.seeds)) for cell in cells]


def test_the_matrix_runs_each_cell_once_and_is_drawn(tmp_path):
    told = []
    planned = plan(tmp_path, ["none", "unaligned"], ["fedavg", "krum"], [1], [1, 2])
    cells, _ = run_matrix(planned, tell=told.append)
    assert shape(cells) == [
        (attack, rule, repair, [1, 2]) for attack in ("none", "unaligned") for rule in ("fedavg", "krum") for repair in ("none", "level 1")
    ]
    assert all("federated/refusal" in cell.mean and cell.mean["seconds"] > 0 for cell in cells)
    again, _ = run_matrix(planned)
    assert [cell.mean for cell in again] == [cell.mean for cell in cells]
    table, picture = write_matrix(cells, tmp_path)
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


def test_a_cell_without_a_measure_is_a_dash():
    cell = MatrixCell("none", "fedavg", "none", [1], {"federated/refusal": 0.5, "seconds": 3.0}, {"federated/refusal": None})
    assert matrix_markdown([cell]).splitlines()[2] == "| none | fedavg | none | 50.0% | – | – | – | – | 3.0 s | 1 |"


def test_a_rule_that_needs_more_clients_than_are_drawn_is_refused_before_any_run(tmp_path):
    with pytest.raises(RecipeError, match=r"--rules: krum needs 5 or more clients in a round, but federation.per_round draws 3"):
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
