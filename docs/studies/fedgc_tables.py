"""The tables of the study of FedGC, from the runs in its folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from statistics import mean, stdev

from fedloom.federation.run_folder import RunFolder

ACCURACY = "held_out/federated/accuracy"
BETAS = ("0.05", "0.1", "iid")
ALGORITHMS = ("fedavg", "fedprox", "scaffold")
DRIFT_ROUND = 5


def tables(out: Path, seeds: Sequence[int]) -> Iterator[str]:
    """Every table whose runs are there, as Markdown."""
    runs = Runs(out, seeds)
    yield from runs.main()
    yield from runs.drift()
    yield from runs.membership()
    yield from runs.factors()
    yield from runs.pairs()
    yield from runs.text()


class Runs:
    """The finished runs in `out`: NAME-SEED."""

    def __init__(self, out: Path, seeds: Sequence[int]) -> None:
        self.out, self.seeds = out, seeds

    def main(self) -> Iterator[str]:
        yield from _head("beta", "algorithm", "without", "with", "gain", "gain of each seed")
        for beta in BETAS:
            for algorithm in ALGORITHMS:
                none, made = (self.values(f"{algorithm}-{beta}-{what}", ACCURACY) for what in ("none", "gc"))
                if none and made:
                    yield _row(beta, algorithm, _spread(none), _spread(made), *_gains(none, made))

    def drift(self) -> Iterator[str]:
        yield from _head(f"round {DRIFT_ROUND}, FedAvg, beta", "cosine without", "with", "of each seed", "distance without", "with")
        for beta in BETAS:
            cosines, distances = (
                [self.values(f"fedavg-{beta}-{what}", f"update/{name}", DRIFT_ROUND) for what in ("none", "gc")]
                for name in ("alignment", "drift")
            )
            if all(cosines) and all(distances):
                each = " ".join(f"{after - before:+.3f}" for before, after in zip(*cosines, strict=True))
                yield _row(beta, *map(_number, cosines), each, *map(_number, distances))

    def membership(self) -> Iterator[str]:
        yield from _head("membership by loss, mean of clients", "without", "with")
        names = [(f"FedAvg, beta {beta}", f"fedavg-{beta}") for beta in BETAS] + [
            ("1,000 rows, beta 0.05", "few"),
            ("30 rounds, beta 0.05", "long"),
        ]
        for title, name in names:
            found = [self.values(f"{name}-{what}", "membership/federated/loss_auc") for what in ("none", "gc")]
            if all(found):
                yield _row(title, *map(_number, found))

    def factors(self) -> Iterator[str]:
        """One factor at a time, beside what all of them are compared with."""
        none, usual = (self.values(f"fedavg-0.05-{what}", ACCURACY) for what in ("none", "gc"))
        names = sorted({path.name.rpartition("-")[0] for path in self.out.glob("factor-*-*")})
        yield from _head(
            "FedAvg, beta 0.05", "accuracy", "over none", "over the usual", "near copies", "nearest is the guide", "distance", "seconds"
        )
        for title, name in [("the usual", "fedavg-0.05-gc"), *((name.removeprefix("factor-"), name) for name in names)]:
            found = self.values(name, ACCURACY)
            if none and usual and found:
                copies = [self.of_clients(name, f"prepare/fedgc/{what}") for what in ("near_copies", "guide_nearest")]
                distance, seconds = (self.of_clients(name, f"prepare/fedgc/{what}") for what in ("distance", "seconds"))
                shown = ["–" if one is None else f"{one:.1%}" for one in copies]
                per_client = "–" if seconds is None else f"{seconds:.1f}"
                yield _row(title, _spread(found), _gains(none, found)[0], _gains(usual, found)[0], *shown, _short(distance), per_client)

    def pairs(self) -> Iterator[str]:
        yield from _head("FedAvg, beta 0.05", "without", "with", "gain", "gain of each seed")
        alone = [self.values(f"alone-{what}", "held_out/local/accuracy") for what in ("none", "gc")]
        few, long = ([self.values(f"{name}-{what}", ACCURACY) for what in ("none", "gc")] for name in ("few", "long"))
        gap = self.values("gap-none", ACCURACY)
        rows = [("each client alone", alone), ("1,000 private rows", few), ("30 rounds", long)]
        rows += [(f"negatives, {what}", [gap, self.values(f"gap-{what}", ACCURACY)]) for what in ("prompt", "mixed")]
        for title, (none, made) in rows:
            if none and made:
                yield _row(title, _spread(none), _spread(made), *_gains(none, made))

    def text(self) -> Iterator[str]:
        yield from _head("passages", "beta 0.05", "gain of each seed", "iid", "gain of each seed", "seconds a client")
        for name in ("none", "single", "multiple", "llm", "mixed"):
            cells = []
            for beta in ("0.05", "iid"):
                none, found = (self.values(f"text-{beta}-{what}", ACCURACY) for what in ("none", name))
                cells += [_spread(found), _gains(none, found)[1]] if none and found else ["–", "–"]
            seconds = self.of_clients(f"text-0.05-{name}", "prepare/fedgc/seconds")
            yield _row(name, *cells, "–" if seconds is None else f"{seconds:.1f}")

    def values(self, name: str, measure: str, number: int | None = None) -> list[float]:
        """The measure of all clients together of each seed, in the last round or in the round `number`; empty while a seed is missing."""
        found = [_last(self.out / f"{name}-{seed}", measure, number) for seed in self.seeds]
        return [one for one in found if one is not None] if None not in found else []

    def of_clients(self, name: str, measure: str) -> float | None:
        """The mean over clients and seeds of what a prepare step measured."""
        events = [event for seed in self.seeds for event in _events(self.out / f"{name}-{seed}") if event["name"] == measure]
        values = [float(event["value"]) for event in events if event["client"]]
        return mean(values) if values else None


@cache
def _events(folder: Path) -> tuple[dict, ...]:
    return tuple(RunFolder(folder).metrics()) if (folder / "metrics.jsonl").exists() else ()


def _last(folder: Path, measure: str, number: int | None) -> float | None:
    found = [event for event in _events(folder) if event["name"] == measure and event["client"] is None]
    found = [event for event in found if number is None or event["round"] == number]
    return float(found[-1]["value"]) if found else None


def _head(*titles: str) -> Iterator[str]:
    yield ""
    yield _row(*titles)
    yield _row(*("---" for _ in titles))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def _number(values: Sequence[float]) -> str:
    return f"{mean(values):.3f}"


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _gains(before: Sequence[float], after: Sequence[float]) -> tuple[str, str]:
    """The mean gain and that of each seed, in points."""
    each = [100 * (b - a) for a, b in zip(before, after, strict=True)]
    return f"{mean(each):+.1f}", " ".join(f"{one:+.1f}" for one in each)
