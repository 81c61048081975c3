"""The plots of a run, and their way onto a page."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from run_folders import DECLARED, EXACT_MATCH, LOSS, OWNERS, event, write_run

from fedloom.report import plots
from fedloom.report.drawing import CLIENT_COLOURS, SYSTEM_COLOURS, label, svg
from fedloom.report.record import Event, RunRecord, read_run
from fedloom.report.text import byte_unit

MANY = tuple(f"client_{i:03d}" for i in range(60))
PLOTS: dict[str, Callable[[RunRecord], Figure | None]] = {
    "training loss": plots.training_loss,
    "exact match over rounds": lambda record: plots.held_out_curve(record, EXACT_MATCH),
    "loss over rounds": lambda record: plots.held_out_curve(record, LOSS),
    "exact match per client": lambda record: plots.system_bars(record, EXACT_MATCH),
    "loss per client": lambda record: plots.system_bars(record, LOSS),
    "data split": lambda record: plots.data_split(record.holdings()),
    "label split": lambda record: plots.field_split(record, "label"),
    "traffic": plots.traffic,
    "time": plots.client_time,
}
every_plot = pytest.mark.parametrize("plot", PLOTS.values(), ids=PLOTS)


@every_plot
@pytest.mark.parametrize(("clients", "rounds"), [(("one",), 1), (OWNERS, 6), (MANY, 80)], ids=["one client", "four", "sixty"])
def test_every_plot_is_drawn_for_any_number_of_clients(tmp_path: Path, plot: Callable, clients: tuple[str, ...], rounds: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = svg(plot(read_run(write_run(tmp_path / "run", clients=clients, rounds=rounds))))
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    assert len(drawn) < 120_000


@every_plot
def test_a_run_that_has_nothing_to_draw_gives_no_plot(plot: Callable) -> None:
    assert plot(RunRecord(Path("run"), {})) is None


@pytest.mark.parametrize("kind", ["old", *DECLARED])
def test_every_measure_of_a_run_is_drawn_with_its_title_and_unit(tmp_path: Path, kind: str) -> None:
    record = read_run(write_run(tmp_path / "run", kind=kind))
    expected = {
        "old": [("Exact match", "exact match"), ("Held-out loss", "held-out loss (nats)")],
        "sft": [("Exact match", "exact match"), ("Held-out loss", "held-out loss (nats)"), ("Perplexity", "perplexity")],
        "pictures": [("Accuracy", "accuracy"), ("Macro F1", "macro F1"), ("Held-out loss", "held-out loss (nats)")],
        "views": [("PSNR", "PSNR (dB)"), ("Vertex error", "vertex error (cm)")],
    }[kind]
    for plot, end in ((plots.held_out_curve, "all clients"), (plots.system_bars, "before and after")):
        drawn = [plot(record, measure).axes[0] for measure in record.measures]
        assert [(axes.get_title(loc="left"), axes.get_ylabel()) for axes in drawn] == [
            (f"{title}, {end}", unit) for title, unit in expected
        ]


def test_a_share_goes_from_0_to_100_percent_and_other_axes_begin_at_0_where_lower_is_better(tmp_path: Path) -> None:
    views, pictures = (read_run(write_run(tmp_path / kind, kind=kind)) for kind in ("views", "pictures"))
    share, psnr, error = (
        plots.held_out_curve(record, measure).axes[0]
        for record, measure in ((pictures, pictures.measures[0]), *((views, m) for m in views.measures))
    )
    assert share.get_ylim() == (0, 1.02)
    assert share.yaxis.get_major_formatter()(0.5) == "50%"
    assert 0 < psnr.get_ylim()[0] < 9.5
    assert error.get_ylim()[0] == 0
    assert plots.system_bars(views, views.measures[0]).axes[0].get_ylim()[0] == 0, "bars begin at zero"


def test_the_same_run_is_drawn_in_the_same_bytes_and_without_a_date(tmp_path: Path) -> None:
    record = read_run(write_run(tmp_path / "run"))
    first, second = (svg(plots.training_loss(record)) for _ in range(2))
    assert first == second
    assert "<dc:date>" not in first


def test_two_plots_on_one_page_share_no_id(tmp_path: Path) -> None:
    record = read_run(write_run(tmp_path / "run"))
    ids = [
        {element.get("id") for element in ElementTree.fromstring(svg(plot(record))).iter() if element.get("id")}
        for plot in (plots.training_loss, plots.traffic)
    ]
    assert all(ids)
    assert not ids[0] & ids[1]


def test_names_are_drawn_as_they_are_written(tmp_path: Path) -> None:
    names = ("$x^2$", "_hidden", "<b>&", "病院")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = svg(plots.training_loss(read_run(write_run(tmp_path / "run", clients=names))))
    texts = [(element.text or "").strip() for element in ElementTree.fromstring(drawn).iter() if element.tag.endswith("text")]
    assert set(names) <= set(texts)


def test_a_long_name_is_cut() -> None:
    assert label("a_client_with_a_very_long_name", 10) == "a_client_…"


def test_infinite_and_missing_losses_leave_gaps() -> None:
    losses = [event("train/loss", value, r) for r, value in enumerate([2.0, float("inf"), float("nan"), 1.0], start=1)]
    held_out = [event(f"held_out/{system}/loss", float("inf"), 4) for system in ("base", "federated")]
    record = RunRecord(Path("run"), {}, metrics=tuple(Event(**item) for item in losses + held_out))
    assert svg(plots.training_loss(record))
    assert svg(plots.held_out_curve(record, LOSS))
    assert plots.system_bars(record, LOSS) is None


def test_a_client_keeps_its_colour_in_every_plot(tmp_path: Path) -> None:
    record = read_run(write_run(tmp_path / "run"))
    for plot in (plots.training_loss, plots.client_time):
        axes = plot(record).axes[0]
        handles, labels = axes.get_legend_handles_labels()
        handle = handles[labels.index("retailer")]
        colour = handle.get_color() if hasattr(handle, "get_color") else handle.patches[0].get_facecolor()
        assert _hex(colour) == CLIENT_COLOURS[2]


def test_no_colour_stands_for_a_client_and_for_a_system() -> None:
    assert not {colour.lower() for colour in CLIENT_COLOURS} & {colour.lower() for colour in SYSTEM_COLOURS.values()}


def test_rare_and_uncounted_values_of_a_field_are_drawn_together() -> None:
    many = {"client": "a", "train": 199, "held_out": 0, "topic": {f"t{i:02d}": 20 - i for i in range(15)}}
    some = {"client": "b", "train": 80, "held_out": 20, "topic": {"t00": 75}}
    axes = plots.field_split(RunRecord(Path("run"), {}, {"data": {"clients": [many, some]}}), "topic").axes[0]
    assert axes.get_legend_handles_labels()[1] == [*(f"t{i:02d}" for i in range(10)), "others"]
    others_of_b = axes.containers[-1].patches[1]
    assert others_of_b.get_width() == pytest.approx(0.25)


def test_hundreds_of_clients_are_drawn_as_one_shape_a_value() -> None:
    clients = [{"client": f"c{i}", "train": 4, "held_out": 0, "topic": {"a": 1 + i % 3, "b": 3 - i % 3}} for i in range(747)]
    axes = plots.field_split(RunRecord(Path("run"), {}, {"data": {"clients": clients}}), "topic").axes[0]
    assert (len(axes.patches), len(axes.collections)) == (0, 2)
    last = axes.collections[0].get_paths()[0].vertices
    assert last[:, 1].max() == 746.5
    assert {0.25, 0.5, 0.75} <= set(last[:, 0])


def test_the_values_of_the_partition_go_by_the_name_of_its_field() -> None:
    holding = {"client": "a", "train": 9, "held_out": 1, "values": {"clinic": 10}}
    record = RunRecord(Path("run"), {"data": {"partition": {"kind": "by_field", "field": "owner"}}}, {"data": {"clients": [holding]}})
    assert plots.field_split(record, "values").axes[0].get_title(loc="left") == "Rows by owner"


def test_traffic_without_totals_is_summed_over_clients() -> None:
    events = (Event(1, "a", "traffic/up_bytes", 1500.0), Event(1, "b", "traffic/up_bytes", 500.0))
    axes = plots.traffic(RunRecord(Path("run"), {}, metrics=events)).axes[0]
    assert axes.get_ylabel() == "kB"
    assert axes.patches[0].get_height() == 2.0


def test_bytes_are_shown_in_a_unit_that_reads_well() -> None:
    assert [byte_unit(count)[1] for count in (12, 1_200, 3_400_000, 5_000_000_000)] == ["bytes", "kB", "MB", "GB"]


def test_drawing_leaves_the_users_matplotlib_alone(tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    svg(plots.traffic(read_run(write_run(tmp_path / "run"))))
    assert dict(matplotlib.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def _hex(colour: object) -> str:
    from matplotlib.colors import to_hex

    return to_hex(colour).upper()
