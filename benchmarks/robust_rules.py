"""Robust rules join 16 updates of 17 MB on one core: under a second for median and trimmed mean, under three for the others.

Only `step` is timed, which is where a rule works; adding updates is the promise of aggregation.py. FoolsGold has a history from its second
round on.
"""

from __future__ import annotations

from collections.abc import Iterator

from promise import Promise, script
from timing import seconds

UPDATES, VALUES, REPETITIONS = 16, 4_250_000, 3
FAST, SLOW = 1.0, 3.0
RULES = {
    "median": FAST,
    "trimmed_mean": FAST,
    "krum": SLOW,
    "multi_krum": SLOW,
    "bulyan": SLOW,
    "geometric_median": SLOW,
    "centered_clipping": SLOW,
    "norm_clipping": SLOW,
    "dnc": SLOW,
    "foolsgold": SLOW,
    "residual_reweighting": SLOW,
}
"""rule -> seconds that it may take."""


def measure(tiny: bool) -> Iterator[Promise]:
    import torch

    from fedloom import algorithms
    from fedloom.state import Layout, State

    torch.set_num_threads(1)
    layout = Layout((("w", (VALUES // 1000 if tiny else VALUES,)),))
    stream = torch.Generator().manual_seed(1)
    updates = [State(layout, torch.randn(layout.numel, generator=stream) + 0.1) for _ in range(UPDATES)]
    for name, limit in RULES.items():
        rule = algorithms.get(name)()
        rule.start(updates[0], clients=UPDATES)
        taken = []
        for _ in range(1 if tiny else REPETITIONS):
            for number, update in enumerate(updates):
                rule.add(update, weight=1.0, client=f"c{number}")
            taken.append(seconds(rule.step))
        size = f"{UPDATES} updates of {4 * layout.numel / 1e6:.3g} MB"
        yield Promise(f"{name}, {size}", f"{min(taken):.2f} s", f"goal {limit:.0f} s", min(taken) / limit, "<=", 1.0)


if __name__ == "__main__":
    script(measure, __doc__.splitlines()[0])
