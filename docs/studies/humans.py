"""The study of fields of many people in docs/studies/humans.md: one command, which goes on where it was stopped.

    python docs/studies/humans.py --out runs/humans

Four studios hold ten synthetic people each, who differ in height and clothes from studio to studio. A field is trained by each studio
alone, by all together, on all people in one place, and together under differential privacy of people; each is measured on eight people that
nobody has seen, and asked which people it was trained on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
from running import run_once, tell

from fedloom.data.capture_rows import Views, views_of
from fedloom.data.captures import read_capture
from fedloom.data.records import PARSING
from fedloom.errors import FedloomError
from fedloom.evaluation.baselines import baseline_folder
from fedloom.federation.checkpoint import last_checkpoint
from fedloom.federation.run_folder import RunFolder
from fedloom.files import read_json, write_atomic
from fedloom.humans.field_evaluation import Looking, field_errors, mean_errors, people_in
from fedloom.humans.reconstruction import load_field
from fedloom.humans.synthetic import SyntheticCaptures, make_captures
from fedloom.models.kinds.field import FIELD_NETWORKS
from fedloom.models.networks.folder import make_network
from fedloom.models.radiance.field import RadianceField
from fedloom.privacy.membership import auc, by_chance
from fedloom.resolve import load_recipe
from fedloom.tasks.radiance import split_views, view_loss

SEEDS = (1, 2, 3)
STUDIOS = 4
PEOPLE = {
    "people": SyntheticCaptures(people=40, studios=STUDIOS, seed=11),
    "others": SyntheticCaptures(people=40, studios=STUDIOS, seed=500),
    "unseen": SyntheticCaptures(people=8, studios=STUDIOS, seed=999, views=24),
}
"""Those that are trained on, as many that are not, and those that are measured."""
PRIVATE: Mapping[str, Any] = {"unit": "row", "epsilon": 8.0, "delta": 1e-2, "clip": 0.5, "ledger": "run"}
MEASURES = {
    "psnr_foreground": ("PSNR of the person, dB", ".2f"),
    "psnr": ("PSNR, dB", ".2f"),
    "ssim": ("SSIM", ".3f"),
    "p2s": ("surface error, cm", ".3f"),
    "chamfer": ("Chamfer, cm", ".3f"),
    "normal_consistency": ("normals", ".3f"),
    "layer_iou": ("mIoU", ".3f"),
    **{f"iou/{layer}": (f"IoU of {layer}", ".3f") for layer in PARSING[1:]},
}
"""name -> (title, form)."""
RAYS = 1024
"""Pixels of a view over which the loss of one person is taken."""
TITLES = {
    "base": "hull",
    "local": "each studio alone",
    "federated": "together",
    "private": "together, epsilon 8",
    "centralized": "in one place",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    try:
        for name, settings in PEOPLE.items():
            make_captures(settings, given.out / name)
        for seed in given.seeds:
            run_once(given.out / f"together-{seed}", recipe_of(given.out, seed))
            run_once(given.out / f"private-{seed}", recipe_of(given.out, seed, private=True))
            for system in TITLES:
                measure_once(given.out, system, seed)
    except FedloomError as error:
        sys.exit(f"{error}\nthe same command goes on from here")
    tell(given.out, tables(given.out, given.seeds))


def recipe_of(out: Path, seed: int, private: bool = False) -> dict[str, Any]:
    """usr_small on the people in `out`; under privacy without its baselines."""
    recipe: dict[str, Any] = load_recipe("usr_small").model_dump(mode="json", exclude_unset=True)
    recipe |= {"name": "humans-private" if private else "humans", "seed": seed}
    recipe["data"]["source"], recipe["evaluate"]["source"] = f"captures:{out / 'people'}", f"captures:{out / 'unseen'}"
    recipe["federation"]["deadline"] = "12h"
    if private:
        recipe["privacy"], recipe["data"]["provenance"] = dict(PRIVATE), "public"
        recipe["evaluate"]["baselines"] = []
    return recipe


def measure_once(out: Path, system: str, seed: int) -> None:
    """What every field of `system` shows of unseen people, and the losses of people that it was trained on and of others, in a file."""
    path = out / "measured" / f"{system}-{seed}.json"
    if path.exists():
        return
    path.parent.mkdir(exist_ok=True)
    print(path.name, file=sys.stderr)
    found = []
    for field, members, others in fields(out, system, seed):
        unseen = mean_errors([field_errors(field, capture, Looking()) for capture in people_in(out / "unseen")])
        losses = [[loss_of(field, views) for views in people] for people in (members, others)]
        found.append({"unseen": {measure.name: value for measure, value in unseen}, "members": losses[0], "others": losses[1]})
    write_atomic(path, json.dumps(found))


def fields(out: Path, system: str, seed: int) -> Iterator[tuple[RadianceField, list[Views], list[Views]]]:
    """The fields of `system`, one or one for each studio, with the people that each was trained on and others of the same studios."""
    together = out / f"together-{seed}"
    everyone = rows_of(out, "people"), rows_of(out, "others")
    if system in ("federated", "private"):
        yield load_field(together if system == "federated" else out / f"private-{seed}"), *everyone
    elif system == "local":
        for studio in range(STUDIOS):
            yield trained(together, f"local-{studio}"), rows_of(out, "people", studio), rows_of(out, "others", studio)
    else:
        yield trained(together, "centralized") if system == "centralized" else untrained(), *everyone


def trained(run: Path, baseline: str) -> RadianceField:
    """The field that a baseline of `run` ended with."""
    checkpoint = last_checkpoint(baseline_folder(RunFolder(run), baseline).checkpoints)
    assert checkpoint is not None, f"{baseline} has been trained"
    field = load_field(run)
    field.load_state_dict(dict(checkpoint.state))
    return field


def untrained() -> RadianceField:
    """A field whose surface is the hull."""
    net = make_network(FIELD_NETWORKS, "usr-field", PARSING, 0, "photographs of people")
    assert isinstance(net, RadianceField)
    return net.eval().requires_grad_(False)


def rows_of(out: Path, name: str, studio: int | None = None) -> list[Views]:
    """The photographs of the people of a folder, of one studio or of all; studios take people by turns."""
    return [views_of(read_capture(path)) for path in people_in(out / name)[studio or 0 :: 1 if studio is None else STUDIOS]]


@torch.no_grad()
def loss_of(field: RadianceField, views: Views) -> float:
    """The loss of one person in four views that the field does not see, over rays that are the same for every field."""
    sources, targets = split_views(len(views), 6, 4)
    scene = field.scene(views.chosen(sources))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return fmean(float(view_loss(scene, views, target, RAYS, 24)) for target in targets)


def tables(out: Path, seeds: Sequence[int]) -> Iterator[str]:
    """Markdown: what each way of training shows of unseen people, gains over each studio alone, and membership."""
    found = {system: [read_json(out / "measured" / f"{system}-{seed}.json", list) for seed in seeds] for system in TITLES}
    yield f"| trained | {' | '.join(title for title, _ in MEASURES.values())} |"
    yield "|---|" + "---|" * len(MEASURES)
    for system, runs in found.items():
        cells = [_spread([fmean(one["unseen"][name] for one in run) for run in runs], form) for name, (_, form) in MEASURES.items()]
        yield f"| {TITLES[system]} | {' | '.join(cells)} |"
    alone, together = ([fmean(one["unseen"]["psnr_foreground"] for one in run) for run in found[name]] for name in ("local", "federated"))
    gains = [b - a for a, b in zip(alone, together, strict=True)]
    yield ""
    yield f"Gain of training together over each studio alone, PSNR of the person: {' '.join(f'{gain:+.2f}' for gain in gains)} dB."
    yield ""
    yield "| trained | membership by loss | by loss less that of the hull | by chance |"
    yield "|---|---|---|---|"
    for system in ("local", "federated", "private", "centralized"):
        plain, calibrated = (
            [areas(run, base, less) for run, base in zip(found[system], found["base"], strict=True)] for less in (False, True)
        )
        one = found[system][0][0]
        chance = by_chance(len(one["members"]), len(one["others"])) / len(found[system][0]) ** 0.5  # a mean of independent areas
        yield f"| {TITLES[system]} | {_spread(plain, '.3f')} | {_spread(calibrated, '.3f')} | 0.5 ± {chance:.3f} |"


def areas(run: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]], less: bool) -> float:
    """The mean area under the curve over the fields of a run; `less`: of each loss that of the untrained field is taken away."""
    found = []
    for number, one in enumerate(run):
        losses = [np.array(one[kind]) for kind in ("members", "others")]
        if less:
            step = STUDIOS if len(run) > 1 else 1
            losses = [own - np.array(base[0][kind])[number::step] for own, kind in zip(losses, ("members", "others"), strict=True)]
        found.append(auc(-losses[0], -losses[1]))
    return fmean(found)


def _spread(values: Sequence[float], form: str) -> str:
    return f"{fmean(values):{form}}" + (f" ± {stdev(values):{form}}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
