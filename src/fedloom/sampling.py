"""Which clients take part in a round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fedloom.streams import numpy_stream


def draw_clients(clients: Sequence[str], per_round: int, seed: int, round_number: int, attempt: int = 0) -> list[str]:
    """`per_round` clients without replacement, from the stream of (round, attempt), in the federation's order.

    The draw depends on nothing else, so every run with the same seed and clients has the same schedule.
    """
    stream = numpy_stream(seed, "clients", round_number, attempt)
    return [clients[i] for i in sorted(stream.choice(len(clients), size=min(per_round, len(clients)), replace=False))]


def most_participations(clients: int, per_round: int, seed: int, rounds: int) -> int:
    """Rounds that the client which is drawn most often takes part in, where no round is drawn again."""
    names = [str(number) for number in range(clients)]
    drawn = Counter(name for number in range(1, rounds + 1) for name in draw_clients(names, per_round, seed, number))
    return max(drawn.values())
