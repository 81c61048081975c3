"""What a sequence of noised sums reveals: epsilon at a delta, and the noise that keeps it below a bound.

Every sum is a sampled Gaussian mechanism: rows (or clients) are drawn, what each adds is clipped to a norm, and Gaussian noise of
`noise_multiplier` times that norm is added. Neighbours differ in one row that is there or not (add-or-remove), or, where a fixed number is
drawn without replacement, in one row that is another (replace-one).

Privacy loss distributions (Doroshenko et al. 2022, arXiv 2207.04380) give the figures; Renyi accounting (Mironov et al. 2019, arXiv
1908.10530) and PRV (Gopi et al. 2021, arXiv 2106.02848) are held to them in tests. Gaussian DP's central limit is no bound and not offered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

from fedloom.errors import MissingExtraError, RecipeError

Sampling = Literal["poisson", "without_replacement"]
Accountant = Literal["pld", "rdp", "prv"]

INTERVAL = 1e-3
"""Discretisation of privacy losses: epsilon comes out within .002 of a ten times finer one, and always above the truth."""
PRECISION = 1e-3
"""Relative width within which a noise multiplier is solved."""
LEAST_NOISE, MOST_NOISE = 0.05, 1e4
ORDERS = [*range(2, 65), 80, 96, 128, 192, 256, 512, 1024]
"""Orders of the Renyi divergence that are tried."""


@dataclass(frozen=True)
class Event:
    """`steps` noised sums with this `noise_multiplier`, each over rows that were drawn with this `sample_rate`.

    `of` and `drawn` are the numbers of units there are and that are drawn, where a fixed number is drawn without replacement.
    """

    noise_multiplier: float
    sample_rate: float
    steps: int
    sampling: Sampling = "poisson"
    drawn: int = 0
    of: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.noise_multiplier) and self.noise_multiplier > 0):
            raise RecipeError(f"noise_multiplier: is {self.noise_multiplier}, and should be a number above 0")
        if not 0 < self.sample_rate <= 1:
            raise RecipeError(f"sample_rate: is {self.sample_rate}, and should be above 0 and at most 1")
        if self.steps < 0:
            raise RecipeError(f"steps: is {self.steps}, and should be 0 or more")


def epsilon(
    *, noise_multiplier: float, sample_rate: float, steps: int, delta: float, accountant: Accountant = "pld", sampling: Sampling = "poisson"
) -> float:
    """Epsilon of `steps` steps of DP-SGD with Poisson sampling at rate `sample_rate`, at `delta`.

    noise_multiplier: standard deviation of the noise over the clipping norm. Raises RecipeError for numbers out of range, and for
    sampling that is not Poisson, whose accounting needs the numbers of rows: see `spent`.
    """
    if sampling != "poisson":
        raise RecipeError(f"sampling: is {sampling}; this function accounts for Poisson sampling alone")
    return spent([Event(noise_multiplier, sample_rate, steps)], delta, accountant)


def noise_multiplier(*, epsilon: float, sample_rate: float, steps: int, delta: float) -> float:
    """The least noise multiplier, within 0.1%, with which `steps` steps at rate `sample_rate` stay at or below `epsilon` at `delta`.

    `steps` are all steps that will ever be taken: of all rounds, not of one. Raises RecipeError when no noise is enough.
    """
    return solved(lambda noise: [Event(noise, sample_rate, steps)], epsilon, delta)


def solved(planned: Callable[[float], Sequence[Event]], epsilon: float, delta: float, accountant: Accountant = "pld") -> float:
    """The least noise multiplier with which the events `planned(noise)` stay at or below `epsilon`, by bisection.

    It is not solved below 0.05. Raises RecipeError where 10,000 is not enough.
    """
    _check_epsilon(epsilon)

    def enough(noise: float) -> bool:
        return spent(planned(noise), delta, accountant) <= epsilon

    high = 1.0
    while not enough(high):
        high *= 2
        if high > MOST_NOISE:
            raise RecipeError(f"epsilon: no noise keeps these steps at or below {epsilon:g} with delta {delta:g}; take fewer steps")
    low = high / 2
    while high <= 1 and enough(low):
        low, high = low / 2, low
        if low < LEAST_NOISE:
            return high
    while high - low > PRECISION * low:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def spent(events: Sequence[Event], delta: float, accountant: Accountant = "pld") -> float:
    """Epsilon of all `events` together at `delta`; 0 of none. Raises RecipeError for a delta out of range or an accountant that cannot.

    Events that draw without replacement have neighbours of another kind (replace-one): they are accounted by Renyi accounting, and beside
    them sums over all units, but no Poisson draws.
    """
    _check_delta(delta)
    return _spent(tuple(event for event in events if event.steps), delta, accountant)


@lru_cache(maxsize=4096)
def _spent(events: tuple[Event, ...], delta: float, accountant: Accountant) -> float:
    """Clients with as many rows and rounds as another ask the same again, and it takes a tenth of a second."""
    if not events:
        return 0.0
    if all(event.sampling == "poisson" for event in events):
        return _ACCOUNTANTS[accountant](events, delta)
    return _by_rdp([_replace_one(event) for event in events], delta)


def _replace_one(event: Event) -> Event:
    """`event` as it is accounted beside draws without replacement: a sum over all units is one, too."""
    if event.sampling == "without_replacement":
        return event
    if event.sample_rate < 1:
        raise RecipeError(
            "privacy: Poisson draws and draws without replacement have neighbouring data of another kind and cannot be added up"
        )
    return replace(event, sampling="without_replacement", drawn=1, of=1)


def _by_pld(events: Sequence[Event], delta: float) -> float:
    dp = _dp_accounting()
    from dp_accounting.pld.pld_privacy_accountant import PLDAccountant

    return _of(PLDAccountant(value_discretization_interval=INTERVAL), dp, events, delta)


def _by_rdp(events: Sequence[Event], delta: float) -> float:
    dp = _dp_accounting()
    from dp_accounting.rdp.rdp_privacy_accountant import RdpAccountant

    fixed = events[0].sampling == "without_replacement"
    relation = dp.NeighboringRelation.REPLACE_ONE if fixed else dp.NeighboringRelation.ADD_OR_REMOVE_ONE
    return _of(RdpAccountant(ORDERS, relation), dp, events, delta)


def _of(accountant: Any, dp: Any, events: Sequence[Event], delta: float) -> float:
    for event in events:
        if event.sampling == "without_replacement":  # one unit in another's place moves the sum by twice the clipping norm
            sampled = dp.SampledWithoutReplacementDpEvent(event.of, event.drawn, dp.GaussianDpEvent(event.noise_multiplier / 2))
        else:
            sampled = dp.PoissonSampledDpEvent(event.sample_rate, dp.GaussianDpEvent(event.noise_multiplier))
        accountant.compose(dp.SelfComposedDpEvent(sampled, event.steps))
    return float(accountant.get_epsilon(delta))


def _by_prv(events: Sequence[Event], delta: float) -> float:
    try:
        from prv_accountant import PoissonSubsampledGaussianMechanism, PRVAccountant
    except ImportError:
        raise MissingExtraError("prv-accountant", "privacy", "the accountant prv") from None
    prvs = [PoissonSubsampledGaussianMechanism(event.sample_rate, event.noise_multiplier) for event in events]
    steps = [event.steps for event in events]
    try:
        made = PRVAccountant(prvs=prvs, max_self_compositions=steps, eps_error=0.01, delta_error=delta / 1000)
        return float(made.compute_epsilon(delta, steps)[2])
    except RuntimeError as error:  # its grid is too coarse where epsilon is far above 100
        raise RecipeError(f"accountant: prv cannot account for these steps ({error}); use pld") from None


_ACCOUNTANTS: dict[str, Callable[[Sequence[Event], float], float]] = {"pld": _by_pld, "rdp": _by_rdp, "prv": _by_prv}


def _dp_accounting() -> Any:
    try:
        import dp_accounting
    except ImportError:
        raise MissingExtraError("dp-accounting", "privacy", "privacy") from None
    return dp_accounting


def _check_epsilon(epsilon: float) -> None:
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise RecipeError(f"epsilon: is {epsilon}, and should be a number above 0")


def _check_delta(delta: float) -> None:
    if not 0 < delta < 1:
        raise RecipeError(f"delta: is {delta}, and should be between 0 and 1, and below 1 / rows")
