"""People from photographs against the goals of USR: a field of many people on people that it has not seen, refinement, layers, latency, and
what four studios gain together.

Synthetic people, photographs of 256 pixels, one thread. Masks are the true ones; the parsing is a parser's. What is trained is trained
once and kept with the people in runs/benchmark-humans: half an hour of one core, and the clothes are fetched once (89 MB). Remove the
folder to train anew. Then a quarter of an hour.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from promise import Promise, script
from timing import seconds

FOLDER = Path("runs/benchmark-humans")
STEPS, PARSER_STEPS, FITTED = 2000, 1000, 800
MOST = 4
"""Unseen people that are refined and separated."""


def measure(tiny: bool) -> Iterator[Promise]:
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    folder = FOLDER / "tiny" if tiny else FOLDER
    people, unseen = captures(folder, tiny)
    field, parser = trained(folder, people, tiny), trained_parser(folder, people, tiny)
    yield from of_the_field(field, unseen, tiny)
    yield from refined(field, unseen[: 1 if tiny else MOST], tiny)
    yield from separated(field, parser, unseen[: 1 if tiny else MOST], folder, tiny)
    yield federated(folder, people, unseen[0].parent, tiny)


def goal(name: str, value: float, unit: str, limit: float, better: str, beside: str, tiny: bool) -> Promise:
    """A figure against its goal; `beside` is what it is compared with in the same run."""
    return Promise(name, f"{value:.3g} {unit}", f"goal {limit:g} {unit}; {beside}", value / limit, better, None if tiny else 1.0)  # type: ignore[arg-type]


def captures(folder: Path, tiny: bool) -> tuple[Path, list[Path]]:
    from fedloom.humans.field_evaluation import people_in
    from fedloom.humans.synthetic import SyntheticCaptures, make_captures

    count, others, size = (4, 1, 64) if tiny else (40, 8, 256)
    print("synthetic people, made once; their clothes are fetched from registry.npmjs.org once (89 MB)", file=sys.stderr)
    make_captures(SyntheticCaptures(count, 8 if tiny else 16, size, 11, None, 4), folder / "people")
    make_captures(SyntheticCaptures(others, 18 if tiny else 24, size, 999, None, 4), folder / "unseen")
    return folder / "people", people_in(folder / "unseen")


def trained(folder: Path, people: Path, tiny: bool) -> Any:
    import fedloom
    from fedloom.humans.reconstruction import load_field
    from fedloom.report.live import LiveView

    changes = {
        "model.id": "usr-field-tiny" if tiny else "usr-field",
        "data.source": f"captures:{people}",
        "algorithm.name": "centralized",
        "task.steps": 1 if tiny else STEPS // 20,
        "task.rays": 64 if tiny else 512,
        "federation.rounds": 1 if tiny else 20,
        "federation.deadline": "12h",
        "evaluate": {"every": 0, "baselines": [], "samples": 0},
    }
    with LiveView() as view:
        if (folder / "field" / "manifest.json").exists():
            fedloom.resume(folder / "field", observer=view)
        else:
            fedloom.run("usr", folder / "field", view, **changes)
    return load_field(folder / "field")


def trained_parser(folder: Path, people: Path, tiny: bool) -> Any:
    from fedloom.data.captures import read_capture
    from fedloom.humans.field_evaluation import people_in
    from fedloom.humans.parser import Parser
    from fedloom.humans.parser_training import ParserTraining, train_parser

    place = folder / "parser"
    if place.exists():
        return Parser.of(place)
    print("training a parser", file=sys.stderr)
    training = ParserTraining(steps=1, size=64) if tiny else ParserTraining(steps=PARSER_STEPS)
    return train_parser([read_capture(path) for path in people_in(people)], training, place)


def of_the_field(field: Any, unseen: Sequence[Path], tiny: bool) -> Iterator[Promise]:
    from fedloom.humans.field_evaluation import Looking, field_errors

    known, hull = (means([field_errors(one, path, Looking()) for path in unseen]) for one in (field, untrained(field)))
    beside = f"hull {hull['psnr_foreground']:.1f} dB"
    yield goal("PSNR of unseen people, 6 views", known["psnr_foreground"], "dB", 27, ">=", beside, tiny)
    yield goal("surface error of unseen people, 6 views", known["p2s"], "cm", 0.7, "<=", f"hull {hull['p2s']:.2f} cm", tiny)
    found = [latency(field, path, tiny) for path in unseen]
    beside = f"{1000 * min(found):.0f} to {1000 * max(found):.0f} ms"
    yield goal("from 6 photographs to a surface of 2 cm", 1000 * fmean(found), "ms", 100, "<=", beside, tiny)


def latency(field: Any, person: Path, tiny: bool) -> float:
    """The least seconds of several times in which six photographs that are read already become a surface of 2 cm."""
    from fedloom.data.capture_rows import views_of
    from fedloom.data.captures import read_capture
    from fedloom.humans.reconstruction import reconstruct
    from fedloom.tasks.radiance import split_views

    views = views_of(read_capture(person))
    views = views.chosen(split_views(len(views), 6, 0)[0])
    reconstruct(field, views, 0.02)
    return min(seconds(lambda: reconstruct(field, views, 0.02)) for _ in range(1 if tiny else 5))


def refined(field: Any, unseen: Sequence[Path], tiny: bool) -> Iterator[Promise]:
    from fedloom.humans.field_evaluation import Looking, field_errors

    before, after = (means([field_errors(field, path, looking) for path in unseen]) for looking in (Looking(16), fitting(tiny)))
    beside = f"unrefined {before['psnr_foreground']:.1f} dB"
    yield goal("PSNR refined, 16 views", after["psnr_foreground"], "dB", 30, ">=", beside, tiny)
    yield goal("surface error refined, 16 views", after["p2s"], "cm", 0.45, "<=", f"unrefined {before['p2s']:.2f} cm", tiny)
    yield goal("seconds to that surface", after["seconds"], "s", 40, "<=", f"unrefined {before['seconds']:.1f} s", tiny)


def fitting(tiny: bool) -> Any:
    from fedloom.humans.field_evaluation import Looking
    from fedloom.humans.refinement import Refining

    return Looking(16, voxel=0.012, refining=Refining(0.03, 1, 64, 12) if tiny else Refining(steps=FITTED))


def separated(field: Any, parser: Any, unseen: Sequence[Path], folder: Path, tiny: bool) -> Iterator[Promise]:
    """The refined people in layers, with labels that the parser gives."""
    found = [layers_of(field, parser, path, folder / "parsings" / path.name, tiny) for path in unseen]
    told = means(found)
    yield goal(
        "vertices in the right layer, parsed labels", told["accuracy"], "", 0.96, ">=", f"least {min_of(found, 'accuracy'):.3f}", tiny
    )
    for garment in ("upper", "lower"):
        beside = f"highest {max_of(found, garment):.2f} cm"
        yield goal(f"surface error of the {garment} garment", told[garment], "cm", 0.5, "<=", beside, tiny)
    yield goal("error of the body beneath", told["body"], "cm", 1.0, "<=", f"highest {max_of(found, 'body'):.2f} cm", tiny)


def layers_of(field: Any, parser: Any, person: Path, parsings: Path, tiny: bool) -> dict[str, float]:
    import numpy as np

    from fedloom.data.capture_rows import views_of
    from fedloom.data.captures import read_capture
    from fedloom.humans.body.packaged import packaged_body
    from fedloom.humans.body_measures import body_error
    from fedloom.humans.layering import layered_person
    from fedloom.humans.measures import layer_errors, true_labels, vertex_accuracy
    from fedloom.humans.person_evaluation import visible_truth
    from fedloom.humans.reconstruction import reconstruct
    from fedloom.humans.truth import read_truth
    from fedloom.tasks.radiance import split_views

    truth, capture, looking = read_truth(person), parsed(read_capture(person), parser, parsings), fitting(tiny)
    capture = replace(capture, views=tuple(capture.views[number] for number in split_views(len(capture.views), looking.sources, 0)[0]))
    surface, body, seen = reconstruct(field, views_of(capture), looking.voxel, looking.refining), packaged_body(), visible_truth(truth)
    made = layered_person(surface, capture, body, texture=None)
    posed, used = body.posed(made.fitted.shape, made.fitted.pose, made.fitted.translation).numpy(), np.unique(body.faces)
    errors = layer_errors(made.layered, seen, np.random.default_rng(0))
    return {
        "accuracy": vertex_accuracy(made.separated.labels, true_labels(surface.vertices, seen)),
        **{name: errors[name].p2s for name in ("upper", "lower") if name in errors},
        "body": body_error(posed[used], truth.layers["body"].vertices[used]),
    }


def federated(folder: Path, people: Path, unseen: Path, tiny: bool) -> Promise:
    """What the field of four studios shows of unseen people beyond that of each studio alone: usr_small, with its own measure."""
    import fedloom
    from fedloom.files import read_lines
    from fedloom.report.live import LiveView

    changes = {
        "data.source": f"captures:{people}",
        "evaluate.source": f"captures:{unseen}",
        "evaluate.baselines": ["local"],
        "federation.deadline": "12h",
        **({"model.id": "usr-field-tiny", "task.steps": 1, "task.rays": 64, "federation.rounds": 1, "evaluate.every": 1} if tiny else {}),
    }
    with LiveView() as view:
        if (folder / "federated" / "manifest.json").exists():
            fedloom.resume(folder / "federated", observer=view)
        else:
            fedloom.run("usr_small", folder / "federated", view, **changes)
    told = {event["name"]: event["value"] for event in read_lines(folder / "federated" / "metrics.jsonl") if event["client"] is None}
    together, alone = (told[f"held_out/{system}/psnr_foreground"] for system in ("federated", "local"))
    return goal("PSNR together over each studio alone", together - alone, "dB", 1.2, ">=", f"alone {alone:.1f} dB", tiny)


def parsed(capture: Any, parser: Any, folder: Path) -> Any:
    """`capture` with what `parser` sees in the place of its true parsing."""
    import numpy as np

    from fedloom.data.capture_pictures import colours_of, mask_of
    from fedloom.humans.capture_import import save_picture

    folder.mkdir(parents=True, exist_ok=True)
    views = []
    for number, view in enumerate(capture.views):
        place = folder / f"{number:02}.png"
        save_picture(parser.parse(colours_of(view), mask_of(view)).argmax(axis=2).astype(np.uint8), place)
        views.append(replace(view, parsing=place))
    return replace(capture, views=tuple(views))


def untrained(field: Any) -> Any:
    """A field like `field` whose surface is the hull."""
    from fedloom.data.records import PARSING
    from fedloom.models.kinds.field import FIELD_NETWORKS
    from fedloom.models.networks.folder import make_network

    net = make_network(FIELD_NETWORKS, field.network, PARSING, 0, "photographs of people")
    return net.eval().requires_grad_(False)


def means(people: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: fmean(one[name] for one in people if name in one) for name in people[0]}


def min_of(people: Sequence[dict[str, float]], name: str) -> float:
    return min(one[name] for one in people if name in one)


def max_of(people: Sequence[dict[str, float]], name: str) -> float:
    return max(one[name] for one in people if name in one)


if __name__ == "__main__":
    script(measure, __doc__)
