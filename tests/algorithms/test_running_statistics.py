"""Running statistics of BatchNorm among the values of a State: averaged by n_i whatever the rule, and no client's half moves them."""

import pytest
import torch

import fedloom.algorithms
from fedloom.algorithms.client import ClientHalf
from fedloom.state import State

MEAN, VARIANCE = "norm.running_mean", "norm.running_var"
SETTINGS = {
    "fedprox": {"prox_mu": 0.3},
    "feddyn": {"alpha": 0.3},
    "norm_clipping": {"clip_norm": 0.5},
    "fedbuff": {"buffer_size": 3},
    "fedper": {"personal": "^b$"},
}
BESIDE = [name for name in fedloom.algorithms.names() if not fedloom.algorithms.get(name).joins_statistics]
BELIEVING = [name for name in fedloom.algorithms.names() if fedloom.algorithms.get(name).joins_statistics]
UPDATES = [([0.5, -1.0], [2.0], [-0.9], 10), ([0.25, 1.0], [-1.0], [3.0], 30), ([1.0, 0.5], [0.5], [0.2], 60)]


def state(weights, mean=None, variance=None):
    """Statistics stand between the weights here, as nothing says that they come last."""
    found = {"a": torch.tensor(weights[:1])}
    if mean is not None:
        found |= {MEAN: torch.tensor(mean), VARIANCE: torch.tensor(variance)}
    return State.of(found | {"b": torch.tensor(weights[1:])})


def rounds(name, number, variant="paper_code", with_statistics=True):
    """The state of the rule after each of `number` rounds of the same updates."""
    rule = fedloom.algorithms.get(name)(variant=variant, **SETTINGS.get(name, {}))
    rule.start(state([1.0, -1.0], *(([0.0], [1.0]) if with_statistics else ())), clients=3)
    found = []
    for _ in range(number):
        for weights, mean, variance, rows in UPDATES:
            update = state(weights, *((mean, variance) if with_statistics else ()))
            extras = {"control": update.zeros()}
            rule.add(update, weight=rows, extras=extras, report={"steps": rows / 10, "loss_before": 1.5}, client=f"client-{rows}")
        found.append(rule.step())
    return found


@pytest.mark.parametrize("variant", ["paper_code", "textbook"])
@pytest.mark.parametrize("name", BESIDE)
def test_statistics_are_averaged_by_rows_and_change_nothing_of_what_the_rule_does_with_weights(name, variant):
    for number, (found, without) in enumerate(zip(rounds(name, 3, variant), rounds(name, 3, variant, False), strict=True), 1):
        assert torch.equal(found["a"], without["a"])
        assert torch.equal(found["b"], without["b"])
        assert found[MEAN].item() == pytest.approx(number * (10 * 2.0 - 30 * 1.0 + 60 * 0.5) / 100, abs=1e-6)
        assert found[VARIANCE].item() == pytest.approx(1 + number * (-10 * 0.9 + 30 * 3.0 + 60 * 0.2) / 100, abs=1e-6)


@pytest.mark.parametrize("name", fedloom.algorithms.names())
def test_no_rule_leaves_a_variance_below_zero(name):
    rule = fedloom.algorithms.get(name)(**SETTINGS.get(name, {}))
    rule.start(state([1.0, -1.0], [0.0], [1.0]), clients=12)
    for client in range(12):
        update = state([0.1 + client / 100, 0.2], [-5.0], [-5.0 - client / 100])  # as noise, or rounding on the wire, can make it
        rule.add(update, 1.0, {"control": update.zeros()}, {"steps": 1.0, "loss_before": 1.0}, f"client-{client}")
    joined = rule.step()
    assert joined[VARIANCE].item() >= 0
    assert torch.isfinite(joined.flat).all()


@pytest.mark.parametrize("name", ["median", "norm_clipping", "krum"])
def test_a_rule_that_decides_whom_to_believe_decides_on_statistics_too(name):
    assert name in BELIEVING
    rule = fedloom.algorithms.get(name)()
    rule.start(state([0.0, 0.0], [0.0], [1.0]), clients=5)
    for client in range(5):
        wrong = client == 4
        update = state([0.1, 0.1], [1e4 if wrong else 0.1], [1e4 if wrong else 0.1])
        rule.add(update, 1.0, {}, {}, f"client-{client}")
    joined = rule.step()
    assert abs(joined[MEAN].item()) < 1
    assert joined[VARIANCE].item() < 2


def half_of(name, variant, start, received=None):
    rule = fedloom.algorithms.get(name)(variant=variant, **SETTINGS.get(name, {}))
    return rule.local_training(start, {"control": start.zeros()} if received is None else received, {})


def trained(half, start, moves):
    """Three steps of SGD on 1/2 ||w||^2, in each of which the layer moves its statistics by `moves`."""
    layout, weights = start.layout, start.flat.clone()
    statistics = torch.zeros(layout.numel, dtype=torch.bool)
    for where in layout.statistics.values():
        statistics[where] = True
    for _ in range(3):
        weights[statistics] += moves
        gradient = torch.where(statistics, 0.0, weights)
        half.after_gradient(weights, gradient)
        weights -= 0.1 * torch.where(statistics, 0.0, gradient)
        half.after_step(weights, 0.1)
    return half.finish(State(layout, weights), 3, 0.1)


@pytest.mark.parametrize("variant", ["paper_code", "textbook"])
@pytest.mark.parametrize("name", ["fedavg", "fedprox", "scaffold", "feddyn"])
def test_a_clients_half_does_to_weights_what_it_does_without_statistics_and_nothing_to_them(name, variant):
    start, plain = state([1.0, -2.0], [0.5], [2.0]), state([1.0, -2.0])
    control, plain_control = (State(one.layout, torch.full_like(one.flat, 0.25)) for one in (start, plain))
    for where in control.layout.statistics.values():
        control.flat[where] = 0.0  # what a server never moves
    found = trained(half_of(name, variant, start, {"control": control}), start, 0.2)
    without = trained(half_of(name, variant, plain, {"control": plain_control}), plain, 0.0)
    for tensor in ("a", "b"):
        assert torch.equal(found.update[tensor], without.update[tensor])
        for kind in ("extras", "memory"):
            for key, one in getattr(without, kind).items():
                assert torch.equal(getattr(found, kind)[key][tensor], one[tensor])
    torch.testing.assert_close(found.update[MEAN], torch.tensor([0.6]))
    torch.testing.assert_close(found.update[VARIANCE], torch.tensor([0.6]))
    for key, one in (found.extras | found.memory).items():
        assert not one[MEAN].any(), key
        assert not one[VARIANCE].any(), key


def test_a_state_without_statistics_has_the_half_that_the_algorithm_gives():
    assert type(half_of("fedavg", "textbook", state([1.0, 2.0]))) is ClientHalf
