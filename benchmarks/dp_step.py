"""One private local step against the plain step of the same rows: time and memory; Opacus' hooks and its ghost clipping beside them.

SmolLM2 in bf16, LoRA r=16 on all linear layers, 8 rows of 70 to 130 tokens, every one drawn; the private step clips the gradient of each
row, adds noise from ChaCha20 and takes the same optimiser's step. All are taken in turn, and the least of each counts. Opacus has the same
parts of rows of similar length; its step has neither noise nor an optimiser's step, which is in its favour.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

from promise import Promise, script
from timing import seconds

LENGTHS = (70, 78, 87, 96, 104, 113, 121, 130)
"""Tokens of the rows."""
CLIP = 1.0


def measure(tiny: bool) -> Iterator[Promise]:
    import torch
    from baselines import bench_recipe, task_of
    from peak import forget_peak, peak_bytes, resident_bytes, trim
    from rows import random_rows

    from fedloom.algorithms import ClientHalf
    from fedloom.models.adapters import attach_lora
    from fedloom.models.flat import FlatParameters
    from fedloom.models.load import load_model
    from fedloom.privacy.gradients import PrivateGradients
    from fedloom.privacy.noise import keyed_stream
    from fedloom.tasks.training import PLAIN, train

    torch.set_num_threads(1)
    overrides = {"task.batch_size": len(LENGTHS), "task.steps": 1, "task.learning_rate": 1e-4, "model.dtype": "bfloat16"}
    recipe = bench_recipe(tiny, {**overrides, "model.adapter.targets": "all-linear", "model.adapter.rank": 16})
    loaded, task = load_model(recipe.model), task_of(recipe)
    rows = random_rows(loaded.model.config.vocab_size, LENGTHS)
    assert recipe.model.adapter is not None
    model = attach_lora(loaded.model, recipe.model.adapter, recipe.seed)
    parameters = FlatParameters(model)
    start, every = parameters.state(), [[list(range(len(rows)))]]

    def step(gradients: Any) -> None:
        parameters.load(start)
        train(model, parameters, task, rows, every, task.learning_rate, ClientHalf(start, {}, {}), recipe.seed, gradients=gradients)

    ways: dict[str, Callable[[], None]] = {
        "plain": lambda: step(PLAIN),
        "private": lambda: step(PrivateGradients(CLIP, 1.0, 1.0, len(rows), keyed_stream(bytes(32), b"noise"))),
        "hooks": lambda: _opacus_hooks(model, parameters, task, rows),
        "ghost": lambda: _opacus_ghost(model, parameters, task, rows),
    }
    peaks, times = {}, {name: [] for name in ways}
    for name, way in ways.items():
        model.train()
        way()
        gc.collect()
        trim()
        before = resident_bytes()
        forget_peak()
        way()
        peaks[name] = peak_bytes() - before
    for _ in range(1 if tiny else 5):
        for name, way in ways.items():
            model.train()
            times[name].append(seconds(way))
    least = {name: min(taken) for name, taken in times.items()}
    what = f"{len(LENGTHS)} rows, {sum(LENGTHS)} tokens, bf16, 1 thread"
    plain, held = f"plain step {least['plain']:.2f} s", f"plain step {peaks['plain'] / 1e6:.0f} MB"
    yield Promise(f"a private step, {what}", f"{least['private']:.2f} s", plain, least["private"] / least["plain"], "<=", 1.25)
    gc.collect()
    trim()
    ratio = (resident_bytes() + peaks["private"]) / (resident_bytes() + peaks["plain"])
    yield Promise("memory of that step, model included", f"+{peaks['private'] / 1e6:.0f} MB", f"+{held}", ratio, "<=", 1.1)
    for name, title in (("hooks", "Opacus' hooks on the same parts"), ("ghost", "Opacus' ghost clipping on the same parts")):
        yield Promise(title, f"{least[name]:.2f} s, +{peaks[name] / 1e6:.0f} MB", plain, least[name] / least["plain"])


def _opacus_hooks(model: Any, parameters: Any, task: Any, rows: Any) -> None:
    """The clipped sum by Opacus' row gradients."""
    import torch
    from opacus.grad_sample import GradSampleModule

    hooks = GradSampleModule(model, loss_reduction="sum", strict=False)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    total = [torch.zeros(parameter.shape) for parameter in trained]
    try:
        for part in task.losses(model, rows, range(len(rows))):
            part.each().sum().backward()
            squares = torch.stack([parameter.grad_sample.float().flatten(1).square().sum(1) for parameter in trained]).sum(0)
            weights = (CLIP / squares.sqrt()).clamp(max=1.0)
            for parameter, summed in zip(trained, total, strict=True):
                summed += torch.tensordot(weights, parameter.grad_sample.float(), 1)
                parameter.grad_sample = None
    finally:
        hooks.to_standard_module()
        parameters.zero_gradient()


def _opacus_ghost(model: Any, parameters: Any, task: Any, rows: Any) -> None:
    """The clipped sum by Opacus' ghost norms and a second backward pass."""
    from opacus.grad_sample import GradSampleModuleFastGradientClipping

    hooks = GradSampleModuleFastGradientClipping(model, max_grad_norm=CLIP, use_ghost_clipping=True, loss_reduction="sum", strict=False)
    try:
        for part in task.losses(model, rows, range(len(rows))):
            each = part.each()
            each.sum().backward(retain_graph=True)
            weights = hooks.get_clipping_coef()
            parameters.zero_gradient()
            hooks.disable_hooks()
            (weights * each).sum().backward()
            hooks.enable_hooks()
            parameters.gather()
    finally:
        hooks.to_standard_module()
        parameters.zero_gradient()


if __name__ == "__main__":
    script(measure, __doc__.splitlines()[0])
