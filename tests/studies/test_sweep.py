"""Sweeps: every cell once, from the same start, resumable, with means and spreads that are right."""

import csv
import json
import math

import pytest

from fedloom.cli.sweeps import run_and_tell
from fedloom.errors import FedloomError, RecipeError
from fedloom.federation.messages import Expected, decode
from fedloom.federation.observer import Observer
from fedloom.measures import SHARE, Measure
from fedloom.report.record import read_run
from fedloom.run import read
from fedloom.studies.sweep import Result, data_notes, further_measures, held_out_measures, plan_sweep, run_sweep, split_choices, summarise
from fedloom.studies.sweep_table import further_tables, sweep_csv, sweep_figure, sweep_markdown, sweep_table, write_sweep

MATCH = Measure("exact_match", "exact match", SHARE, "higher")
LOSS = Measure("loss", "held-out loss", "nats", "lower")
PSNR = Measure("psnr", "PSNR", "dB", "higher")
SMALL = ["federation.rounds=1", "task.steps=1", "evaluate.every=1", "evaluate.baselines=[]", "evaluate.samples=0"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("1,2,3", ["1", "2", "3"]),
        ("{kind: by_field, field: owner},{kind: iid}", ["{kind: by_field, field: owner}", "{kind: iid}"]),
        ("[q_proj, v_proj]", ["[q_proj, v_proj]"]),
        ("'a,b',c", ["'a,b'", "c"]),
    ],
)
def test_commas_outside_brackets_and_quotes_make_an_axis(text, parts):
    assert split_choices(text) == parts


def test_a_wrong_cell_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(RecipeError, match="did you mean 'fedprox'"):
        plan_sweep("tiny", ["algorithm.name=fedavg,fedprx"], tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_one_value_per_key_is_no_sweep(tmp_path):
    with pytest.raises(RecipeError, match="several values"):
        plan_sweep("tiny", ["seed=1"], tmp_path)


def test_another_sweep_in_the_folder_is_refused(tmp_path):
    plan_sweep("tiny", ["seed=1,2"], tmp_path)
    plan_sweep("tiny", ["seed=1,2"], tmp_path)
    with pytest.raises(RecipeError, match="holds another sweep"):
        plan_sweep("tiny", ["seed=1,3"], tmp_path)


class Interrupting(Observer):
    """Stops the sweep when its second round begins."""

    def __init__(self):
        self.rounds = 0

    def stage(self, name, total):
        self.rounds += name.startswith("round")
        if self.rounds == 2:
            raise KeyboardInterrupt


def test_a_sweep_runs_each_cell_once_and_goes_on_after_an_interruption(tmp_path):
    grid = plan_sweep("tiny", ["algorithm.name=fedavg,fedprox", "seed=1,2", *SMALL], tmp_path)
    told = []
    with pytest.raises(Exception, match="resume"):
        run_sweep(grid, Interrupting(), lambda number, _cell, what: told.append((number, what)))
    done = run_sweep(grid, tell=lambda number, _cell, what: told.append((number, what)))
    assert told == [(1, "run"), (2, "run"), (1, "kept"), (2, "resumed"), (3, "run"), (4, "run")]
    results = summarise(done)
    assert [(dict(result.group), result.runs) for result in results] == [
        ({"algorithm.name": "fedavg"}, 2),
        ({"algorithm.name": "fedprox"}, 2),
    ]
    measures = held_out_measures(done)
    assert {"exact_match", "loss"} <= {measure.name for measure in measures}
    groups = further_measures(done)
    table, values, picture = write_sweep(results, measures, groups, tmp_path)
    assert "fedprox" in table.read_text()
    assert "held-out loss (nats)" in table.read_text()
    assert list(groups) == ["Worst client", "Updates, mean over rounds"]
    assert (
        "## Updates, mean over rounds\n\n| algorithm.name | distance between updates | cosine between updates | runs |" in table.read_text()
    )
    lines = {(line["algorithm.name"], line["measure"]): line for line in csv.DictReader(values.read_text().splitlines())}
    drift = [read_run(run.folder).final("update/drift") for cell, run in done if cell.values["algorithm.name"] == "fedprox"]
    assert float(lines["fedprox", "update/drift"]["mean"]) == pytest.approx(sum(drift) / 2)
    assert results[1].mean["update/drift"] == pytest.approx(sum(drift) / 2)
    assert lines["fedavg", "loss"]["runs"] == "2"
    assert picture.stat().st_size > 1000
    assert (tmp_path / "sweep.tex").read_text().count("\\caption{") == 3
    assert data_notes(done) == []
    for _, one in done[:1]:
        manifest = json.loads((one.folder / "manifest.json").read_text())
        manifest["data"]["licences"] = {"fed-aya, look-alike": "Apache-2.0"}
        (one.folder / "manifest.json").write_text(json.dumps(manifest))
    write_sweep(results, measures, groups, tmp_path, data_notes(done))
    said = "Rows of a look-alike of fed-aya, made of templates: no result on them is one of FedLLM-Bench"
    assert table.read_text().startswith(f"{said}.\n\n| ")
    assert (tmp_path / "sweep.tex").read_text().count(said) == 3


def test_cells_that_differ_in_the_algorithm_have_the_same_clients_and_start(tmp_path):
    grid = plan_sweep("tiny", ["algorithm.name=fedavg,fedprox", "federation.per_round=2", *SMALL], tmp_path)
    run_sweep(grid)

    def sent(cell):
        lines = [json.loads(line) for line in (cell.folder / "wire.jsonl").read_text().splitlines()]
        start = decode((cell.folder / "checkpoints" / "round-00000.checkpoint").read_bytes(), Expected("checkpoint", 0, "server"))
        drawn = [line["client"] for line in lines if line["direction"] == "down" and line["kind"] == "train"]
        return drawn, start.sections["state"].sha256()

    first, second = (sent(cell) for cell, _ in grid.cells)
    assert first == second
    assert len(first[0]) == 2
    assert all(read(cell.folder).status == "finished" for cell, _ in grid.cells)


def test_the_mean_and_the_spread_of_the_best_are_bold():
    group = (("algorithm.name", "fedavg"),), (("algorithm.name", "fedprox"),)
    results = [
        Result(group[0], 3, {"loss": 0.5, "exact_match": 0.75}, {"loss": 0.125, "exact_match": 0.1}),
        Result(group[1], 3, {"loss": 0.25, "exact_match": 0.5}, {"loss": 0.5, "exact_match": 0.2}),
    ]
    lines = sweep_markdown(results, [MATCH, LOSS]).splitlines()
    assert lines[2] == "| fedavg | **75.0% ± 10.0%** | 0.500 ± 0.125 | 3 |"
    assert lines[3] == "| fedprox | 50.0% ± 20.0% | **0.250 ± 0.500** | 3 |"
    assert sweep_table(results, [MATCH, LOSS]).row_count == 2


def test_a_sweep_shows_the_measures_that_its_runs_declare_by_their_own_unit_and_direction():
    results = [
        Result((("algorithm.name", "fedavg"),), 2, {"psnr": 21.5, "loss": 0.5}, {"psnr": 1.25, "loss": 0.125}),
        Result((("algorithm.name", "fedprox"),), 2, {"psnr": 27.25}, {"psnr": 0.5}),
        Result((), 2, {"psnr": 28.5}, {"psnr": 0.25}, "centralized"),
    ]
    assert sweep_markdown(results, [PSNR, LOSS]).splitlines() == [
        "| system | algorithm.name | PSNR (dB) | held-out loss (nats) | runs |",
        "|---|---|---|---|---|",
        "| federated | fedavg | 21.500 ± 1.250 | **0.500 ± 0.125** | 2 |",
        "| federated | fedprox | **27.250 ± 0.500** | – | 2 |",
        "| centralised | – | 28.500 ± 0.250 | – | 2 |",
    ]
    figure = sweep_figure(results, [PSNR, LOSS, MATCH])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["PSNR (dB)", "Held-out loss (nats)", "Exact match"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["21.500", "27.250", "28.500"]
    assert [patch.get_width() for patch in figure.axes[0].patches] == [21.5, 27.25, 28.5]
    assert figure.axes[2].xaxis.get_major_formatter()(0.5).endswith("%")
    assert not str(figure.axes[0].xaxis.get_major_formatter()(20)).endswith("%")


def test_a_sweep_in_which_nothing_was_measured_is_drawn_without_values():
    results = [Result((("rank", "4"),), 1, {}, {})]
    assert sweep_markdown(results, []).splitlines()[2] == "| 4 | 1 |"
    assert len(sweep_figure(results, []).axes) == 1


def test_a_baseline_stands_beside_those_it_may_be_compared_with_and_is_never_the_best():
    def result(name, split, match, system="federated"):
        group = ((("algorithm.name", name),) if name else ()) + (("split", split),)
        return Result(group, 1, {"exact_match": match}, {"exact_match": None}, system)

    lines = sweep_markdown(
        [result("fedavg", "a", 0.5), result("fedprox", "a", 0.4), result("fedavg", "b", 0.2), result("", "a", 0.9, "centralized")],
        [MATCH, LOSS],
    ).splitlines()
    assert lines[0] == "| system | algorithm.name | split | exact match | held-out loss (nats) | runs |"
    assert lines[2:] == [
        "| federated | fedavg | a | **50.0%** | – | 1 |",
        "| federated | fedprox | a | 40.0% | – | 1 |",
        "| federated | fedavg | b | **20.0%** | – | 1 |",
        "| centralised | – | a | 90.0% | – | 1 |",
    ]


def test_baselines_are_trained_once_for_all_algorithms(tmp_path):
    few = [word for word in SMALL if "baselines" not in word]
    words = ["algorithm.name=fedavg,fedprox", "seed=1,2", "evaluate.baselines=[base, local, centralized]", *few]
    done = run_sweep(plan_sweep("tiny", words, tmp_path))
    trained = [cell.values for cell, run in done if (run.folder / "baselines").exists()]
    assert trained == [{"algorithm.name": "fedavg", "seed": 1}, {"algorithm.name": "fedavg", "seed": 2}]
    results = summarise(done)
    assert [(result.system, result.runs, dict(result.group)) for result in results] == [
        ("federated", 2, {"algorithm.name": "fedavg"}),
        ("federated", 2, {"algorithm.name": "fedprox"}),
        ("base", 2, {}),
        ("local", 2, {}),
        ("local_own", 2, {}),
        ("centralized", 2, {}),
    ]
    expected = [run.metrics["centralized/loss"] for cell, run in done if cell.values["algorithm.name"] == "fedavg"]
    assert results[-1].mean["loss"] == pytest.approx(sum(expected) / 2)


def test_other_measures_stand_in_tables_of_their_own_and_all_values_in_one_file():
    drift = Measure("update/drift", "distance between updates", "", "neither")
    results = [
        Result((("algorithm.name", "fedavg"),), 2, {"loss": 0.5, "update/drift": 3.0}, {"loss": 0.125, "update/drift": 1.0}),
        Result((), 1, {"loss": 0.75}, {"loss": None}, "centralized"),
    ]
    (table,) = further_tables(results, {"Updates": [drift]})
    assert (table.title, table.row_count) == ("Updates", 1), "a baseline without a value has no row"
    assert sweep_csv(results, [LOSS, drift]).splitlines() == [
        "system,algorithm.name,measure,unit,mean,spread,runs,low,high,beside_best",
        "federated,fedavg,loss,nats,0.5,0.125,2,,,",
        "federated,fedavg,update/drift,,3.0,1.0,2,,,",
        "centralized,,loss,nats,0.75,,1,,,",
    ]


def test_one_repetition_has_no_spread(tmp_path):
    grid = plan_sweep("tiny", ["task.learning_rate=1e-3,1e-2", *SMALL], tmp_path)
    for result in summarise(run_sweep(grid)):
        assert result.runs == 1
        assert set(result.spread.values()) == {None}
        assert all(math.isfinite(value) for value in result.mean.values())


def test_a_sweep_of_which_every_cell_fails_writes_no_table(tmp_path, monkeypatch):
    grid = plan_sweep("tiny", ["seed=1,2", *SMALL], tmp_path / "study")
    monkeypatch.setattr("fedloom.studies.sweep.run_sweep", lambda *_: [])
    with pytest.raises(FedloomError, match=r"^all 2 cells failed, and no table is written"):
        run_and_tell(grid, as_json=False)
    assert [path.name for path in (tmp_path / "study").iterdir()] == ["sweep.json"]
