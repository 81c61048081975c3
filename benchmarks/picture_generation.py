"""Pictures of the generator `diffusion`: made side by side against one by one, guided against from noise, and what they cost in rounds.

A network for 28 x 28 grey pictures and ten classes, 25 steps, one thread; its weights are not trained, which no time depends on. A round is
ten clients with 40 steps of 32 such pictures each, on the smallest network of convolutions that there is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from promise import Promise, script
from timing import in_turn, seconds

SIDE, ALONE = 28, 4
STRENGTH = 0.6
LABELS = [f"class-{number}" for number in range(10)]


def measure(tiny: bool) -> Iterator[Promise]:
    import torch

    torch.set_num_threads(1)
    side, count = (8, 8) if tiny else (SIDE, 128)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_generator(folder / "generator", side)
        asked = wishes(count, side)

        def make(number: int, guided: bool, **settings: Any) -> None:
            draw(folder / "generator", asked[guided][:number], side, steps=2 if tiny else 25, **settings)

        together, guided = in_turn(lambda: make(count, False), lambda: make(count, True), 1 if tiny else 2)
        alone = seconds(lambda: make(ALONE, False, batch_size=1)) / ALONE * count
        with_guidance = seconds(lambda: make(count, False, guidance=1.5))
        name, rate = "pictures a second, 25 steps", f"{count / together:.1f}"
        yield Promise(name, rate, f"one by one: {count / alone:.1f}", alone / together, ">=", None if tiny else 1.5)
        yield Promise(
            f"the same guided at strength {STRENGTH}",
            f"{count / guided:.1f}",
            f"from noise: {rate}",
            together / guided,
            ">=",
            None if tiny else 1.3,
        )
        yield Promise(
            "the same with classifier-free guidance", f"{count / with_guidance:.1f}", f"without: {rate}", together / with_guidance
        )
        network, of_a_round = round_seconds(folder, side, tiny)
        cost = together / count * 1000
        yield Promise(
            "1,000 pictures in rounds of training", f"{cost:.1f} s", f"a round of {network}: {of_a_round:.1f} s", cost / of_a_round
        )


def write_generator(folder: Path, side: int) -> None:
    from fedloom.models.denoiser import draw_denoiser, empty_denoiser
    from fedloom.models.denoiser_folder import save_denoiser

    net = empty_denoiser((side, side, 1), LABELS)
    draw_denoiser(net, 1)
    save_denoiser(net, {}, {}, folder)


def wishes(count: int, side: int) -> dict[bool, list[Any]]:
    """`count` wishes without a guide, and as many with one."""
    import numpy as np

    from fedloom.data.records import Picture, Provenance
    from fedloom.synthesis.picture_generator import Wish

    pixels = np.random.default_rng(1).integers(0, 256, (count, side, side, 1), dtype=np.uint8)
    guides = [Picture(own, LABELS[number % 10], Provenance.PUBLIC) for number, own in enumerate(pixels)]
    return {
        guided: [Wish(guide.label, "", seed, guide if guided else None) for seed, guide in enumerate(guides)] for guided in (False, True)
    }


def draw(folder: Path, asked: Sequence[Any], side: int, **settings: Any) -> None:
    from fedloom.synthesis.generators.diffusion import DiffusionGenerator

    generator = DiffusionGenerator(model=str(folder), device="cpu", **settings)
    assert len(list(generator.made(asked, (side, side, 1), STRENGTH, {}))) == len(asked)


def round_seconds(folder: Path, side: int, tiny: bool) -> tuple[str, float]:
    """The network that is there, and the seconds of its second round."""
    import numpy as np
    from PIL import Image
    from runs import metric_of, run_in

    from fedloom.models.kinds import kinds
    from fedloom.resolve import load_recipe
    from fedloom.tasks import tasks

    networks = kinds.get(tasks.get("classify_pictures").model_kind).networks
    network = next(name for name in ("cnn", "resnet8") if name in networks)
    drawn = np.random.default_rng(2).integers(0, 256, (10, 64, side, side), dtype=np.uint8)
    for label, pictures in zip(LABELS, drawn, strict=True):
        (folder / "pictures" / label).mkdir(parents=True)
        for number, pixels in enumerate(pictures):
            Image.fromarray(pixels).save(folder / "pictures" / label / f"{number}.png")
    changed = {
        "model": {"id": network, "adapter": None},
        "data": {"source": f"pictures:{folder / 'pictures'}", "held_out": 0.1, "partition": {"kind": "iid"}},
        "task": {"kind": "classify_pictures", "labels": LABELS, "batch_size": 32, "steps": 2 if tiny else 40, "learning_rate": 0.01},
        "federation": {"clients": 10, "per_round": 10, "rounds": 2, "quorum": 2, "workers": 1, "threads": 1},
        "evaluate": {"every": 0, "baselines": [], "samples": 0},
    }
    done = run_in(folder / "run", load_recipe({"name": "round", **changed}), {})
    (found,) = metric_of(done, "round/seconds", 2)
    return network, found


if __name__ == "__main__":
    script(measure, __doc__)
