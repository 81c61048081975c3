"""The server half of every algorithm, against the published formulas written out in plain Python over three rounds."""

import math

import pytest
import torch

import fedloom.algorithms
from fedloom.errors import FedloomError
from fedloom.state import State

START = [1.0, -2.0, 0.5]
# three rounds of (update, weight); the second round has another set of clients, the third a single one
ROUNDS = [
    [([0.3, -0.1, 0.0], 1.0), ([-0.1, 0.5, 0.2], 3.0)],
    [([0.2, 0.2, -0.4], 2.0), ([0.1, -0.3, 0.6], 2.0), ([-0.4, 0.1, 0.1], 1.0)],
    [([0.05, 0.15, -0.2], 4.0)],
]


def state(values):
    return State.of({"lora_A": torch.tensor(values[:2]).reshape(1, 2), "lora_B": torch.tensor(values[2:])})


def trajectory(algorithm, rounds=ROUNDS, **given):
    """The global weights after each round."""
    algorithm.start(state(START), **given)
    after = []
    for replies in rounds:
        for update, weight, *report in replies:
            algorithm.add(state(update), weight=weight, report=report[0] if report else None)
        after.append(algorithm.step().flat.tolist())
    return after


def weighted_mean(replies):
    total = sum(weight for _, weight in replies)
    return [sum(weight * update[j] for update, weight in replies) / total for j in range(3)]


def plain_mean(replies):
    return [sum(update[j] for update, _ in replies) / len(replies) for j in range(3)]


def walk(server_update):
    """START moved by `server_update(round number, replies)` for three rounds."""
    weights, after = list(START), []
    for number, replies in enumerate(ROUNDS):
        weights = [w + step for w, step in zip(weights, server_update(number, replies), strict=True)]
        after.append(weights)
    return after


def assert_close(found, expected):
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("variant", ["paper_code", "textbook"])
@pytest.mark.parametrize("name", ["fedavg", "fedprox", "local", "centralized"])
def test_fedavg_moves_by_the_mean_in_proportion_to_rows(name, variant):
    # by hand: (1 * .3 + 3 * -.1) / 4 = 0; (1 * -.1 + 3 * .5) / 4 = .35; (1 * 0 + 3 * .2) / 4 = .15, and so on
    expected = [[1.0, -1.65, 0.65], [1.04, -1.67, 0.75], [1.09, -1.52, 0.55]]
    assert_close(trajectory(fedloom.algorithms.get(name)(variant=variant)), expected)


def test_fedavgm_of_the_papers_code_starts_its_momentum_at_the_first_update():
    m = [0.0] * 3

    def update(number, replies):
        m[:] = [d if number == 0 else 0.9 * old + 0.1 * d for old, d in zip(m, weighted_mean(replies), strict=True)]
        return m

    assert_close(trajectory(fedloom.algorithms.get("fedavgm")(beta1=0.9)), walk(update))


def test_fedavgm_of_the_textbook_sums_decayed_updates():
    m = [0.0] * 3

    def update(number, replies):
        m[:] = [0.9 * old + d for old, d in zip(m, weighted_mean(replies), strict=True)]
        return m

    assert_close(trajectory(fedloom.algorithms.get("fedavgm")(variant="textbook", beta1=0.9)), walk(update))


ETA, TAU, BETA1, BETA2 = 0.05, 0.02, 0.8, 0.95


@pytest.mark.parametrize("variant", ["paper_code", "textbook"])
def test_fedadagrad_adds_up_squares_of_the_unweighted_mean(variant):
    v = [TAU**2] * 3

    def update(number, replies):
        delta = plain_mean(replies)
        v[:] = [old + d * d for old, d in zip(v, delta, strict=True)]
        return [ETA * d / (math.sqrt(second) + TAU) for d, second in zip(delta, v, strict=True)]

    assert_close(trajectory(fedloom.algorithms.get("fedadagrad")(variant=variant, server_lr=ETA, tau=TAU)), walk(update))


def moments(second_moment, paper_code):
    """The server update with v renewed by `second_moment(v, square)`."""
    m, v = [0.0] * 3, [TAU**2] * 3

    def update(number, replies):
        delta = plain_mean(replies)
        for j in range(3):
            m[j] = delta[j] if paper_code and number == 0 else BETA1 * m[j] + (1 - BETA1) * delta[j]
            v[j] = second_moment(v[j], m[j] ** 2 if paper_code else delta[j] ** 2)
        return [ETA * m[j] / (math.sqrt(v[j]) + TAU) for j in range(3)]

    return update


@pytest.mark.parametrize("variant", ["paper_code", "textbook"])
def test_fedadam_follows_its_formula(variant):
    expected = walk(moments(lambda v, square: BETA2 * v + (1 - BETA2) * square, variant == "paper_code"))
    rule = fedloom.algorithms.get("fedadam")(variant=variant, server_lr=ETA, tau=TAU, beta1=BETA1, beta2=BETA2)
    assert_close(trajectory(rule), expected)


@pytest.mark.parametrize("variant", ["paper_code", "textbook"])
def test_fedyogi_follows_its_formula(variant):
    def second_moment(v, square):
        return v - (1 - BETA2) * square * (1 if v > square else -1 if v < square else 0)

    expected = walk(moments(second_moment, variant == "paper_code"))
    rule = fedloom.algorithms.get("fedyogi")(variant=variant, server_lr=ETA, tau=TAU, beta1=BETA1, beta2=BETA2)
    assert_close(trajectory(rule), expected)


def test_the_first_adaptive_step_with_the_papers_settings_is_about_half_the_update():
    rule = fedloom.algorithms.get("fedadagrad")(variant="paper_code", server_lr=1e-3, tau=1e-3)
    rule.start(state([0.0, 0.0, 0.0]))
    rule.add(state([1e-4, -1e-4, 2e-4]))
    torch.testing.assert_close(rule.step().flat, 0.5 * torch.tensor([1e-4, -1e-4, 2e-4]), rtol=0.02, atol=0)


def test_feddyn_corrects_by_its_running_sum():
    alpha, clients, h = 0.1, 4, [0.0] * 3

    def update(number, replies):
        h[:] = [old - alpha * sum(u[j] for u, _ in replies) / clients for j, old in enumerate(h)]
        return [d - correction / alpha for d, correction in zip(plain_mean(replies), h, strict=True)]

    assert_close(trajectory(fedloom.algorithms.get("feddyn")(alpha=alpha), clients=clients), walk(update))


def test_fedexp_steps_further_when_the_updates_disagree():
    etas = []

    def update(number, replies):
        delta = plain_mean(replies)
        squares = sum(x * x for u, _ in replies for x in u)
        etas.append(max(1.0, squares / (2 * len(replies) * (sum(x * x for x in delta) + 1e-3))))
        return [etas[-1] * d for d in delta]

    assert_close(trajectory(fedloom.algorithms.get("fedexp")(epsilon=1e-3)), walk(update))
    assert etas[1] > 1
    assert etas[2] == 1.0  # the clients of round 2 disagree; a single client cannot


def test_fedexp_hands_out_the_mean_of_its_last_two_iterates():
    algorithm, other = fedloom.algorithms.get("fedexp")(), fedloom.algorithms.get("fedexp")()
    start = State.of({"w": torch.tensor([1.0, 2.0])})
    algorithm.start(start)
    assert algorithm.result.equals(start)
    iterates = [start]
    for update in ([1.0, 0.0], [0.0, -4.0]):
        algorithm.add({"w": torch.tensor(update)})
        iterates.append(algorithm.step())
        assert algorithm.result["w"].tolist() == ((iterates[-1]["w"] + iterates[-2]["w"]) / 2).tolist()
    other.start(iterates[-1])
    other.restore(algorithm.server_memory())
    assert other.result.equals(algorithm.result)


def test_fednova_takes_the_number_of_steps_out_of_the_weights():
    # by hand: p = (1/4, 3/4), tau = (2, 8): tau_eff = .25 * 2 + .75 * 8 = 6.5
    # first value: 6.5 * (.25 * .3 / 2 + .75 * -.1 / 8) = 6.5 * (.0375 - .009375) = .1828125
    replies = [([0.3, -0.1, 0.0], 1.0, {"steps": 2}), ([-0.1, 0.5, 0.2], 3.0, {"steps": 8})]
    expected = [1.1828125, -2 + 6.5 * (0.25 * -0.1 / 2 + 0.75 * 0.5 / 8), 0.5 + 6.5 * (0.75 * 0.2 / 8)]
    assert_close(trajectory(fedloom.algorithms.get("fednova")(), [replies] * 3)[0], expected)


def test_fednova_with_equal_steps_is_fedavg():
    equal = [[(u, n, {"steps": 5}) for u, n in replies] for replies in ROUNDS]
    assert_close(trajectory(fedloom.algorithms.get("fednova")(), equal), trajectory(fedloom.algorithms.get("fedavg")()))


def test_qfedavg_follows_its_formula():
    q, lipschitz, losses = 2.0, 3.0, [0.5, 2.0, 1.5]
    rounds = [[(u, n, {"loss_before": losses[i]}) for i, (u, n) in enumerate(replies)] for replies in ROUNDS]

    def update(number, replies):
        # Delta_i = F^q L (w - w_i), h_i = q F^(q-1) ||L (w - w_i)||^2 + L F^q
        deltas = [[losses[i] ** q * lipschitz * -x for x in u] for i, (u, _) in enumerate(replies)]
        curvatures = [
            q * losses[i] ** (q - 1) * sum((lipschitz * x) ** 2 for x in u) + lipschitz * losses[i] ** q for i, (u, _) in enumerate(replies)
        ]
        return [-sum(d[j] for d in deltas) / sum(curvatures) for j in range(3)]

    assert_close(trajectory(fedloom.algorithms.get("qfedavg")(q=q, lipschitz=lipschitz), rounds), walk(update))


def test_qfedavg_without_fairness_is_the_unweighted_mean():
    rounds = [[(u, n, {"loss_before": 1.0 + i}) for i, (u, n) in enumerate(replies)] for replies in ROUNDS]
    assert_close(trajectory(fedloom.algorithms.get("qfedavg")(q=0.0, lipschitz=7.0), rounds), walk(lambda _, replies: plain_mean(replies)))


def test_fedbuff_steps_at_every_kth_update_and_discounts_stale_ones():
    # K = 2: round 1 fills one buffer, round 2 fills one and leaves one update for round 3
    staleness = {0: 0.0, 1: 3.0, 2: 8.0}
    rounds = [[(u, n, {"staleness": staleness[i]}) for i, (u, n) in enumerate(replies)] for replies in ROUNDS]
    first = [(a + b / 2) / 2 for a, b in zip([0.3, -0.1, 0.0], [-0.1, 0.5, 0.2], strict=True)]
    second = [(a + b / 2) / 2 for a, b in zip([0.2, 0.2, -0.4], [0.1, -0.3, 0.6], strict=True)]
    third = [(a / 3 + b) / 2 for a, b in zip([-0.4, 0.1, 0.1], [0.05, 0.15, -0.2], strict=True)]
    weights, expected = START, []
    for step in (first, second, third):
        weights = [w + 0.5 * x for w, x in zip(weights, step, strict=True)]
        expected.append(weights)
    assert_close(trajectory(fedloom.algorithms.get("fedbuff")(buffer_size=2, server_lr=0.5), rounds), expected)


def test_fedbuff_keeps_the_model_until_its_buffer_is_full():
    rule = fedloom.algorithms.get("fedbuff")(buffer_size=3)
    rule.start(state(START))
    rule.add(state([0.3, 0.3, 0.3]))
    assert rule.step().equals(state(START))
    assert rule.left_over == 1


def test_a_round_without_updates_is_an_error():
    rule = fedloom.algorithms.get("fedavg")()
    rule.start(state(START))
    with pytest.raises(FedloomError, match="needs 1 or more updates in a round, got 0"):
        rule.step()


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf])
def test_a_weight_that_is_not_positive_is_refused(weight):
    rule = fedloom.algorithms.get("fedavg")()
    rule.start(state(START))
    with pytest.raises(FedloomError, match="weight of an update should be a positive number"):
        rule.add(state(START), weight=weight)


def test_an_update_of_another_model_is_refused_and_the_round_goes_on():
    rule = fedloom.algorithms.get("fedavg")()
    rule.start(state(START))
    rule.add(state([0.5, 0.5, 0.5]))
    with pytest.raises(FedloomError, match="tensor 'lora_B' is missing"):
        rule.add(State.of({"lora_A": torch.zeros(1, 2)}))
    assert_close(rule.step().flat.tolist(), [1.5, -1.5, 1.0])


def test_a_reply_whose_further_state_does_not_fit_is_refused_and_the_round_goes_on():
    rule, update = fedloom.algorithms.get("scaffold")(), state([0.5, 0.5, 0.5])
    rule.start(state(START))
    rule.add(update, extras={"control": update})
    with pytest.raises(FedloomError, match="the state 'control' does not fit the global state: tensor 'lora_B' is missing"):
        rule.add(state([9.0, 9.0, 9.0]), extras={"control": State.of({"lora_A": torch.zeros(1, 2)})})
    assert_close(rule.step().flat.tolist(), [1.5, -1.5, 1.0])


@pytest.mark.parametrize(
    ("name", "report", "message"),
    [
        ("fednova", {}, "needs a positive 'steps' in every client's report, got None"),
        ("fednova", {"steps": 0}, "needs a positive 'steps' in every client's report, got 0"),
        ("qfedavg", {"loss_before": math.nan}, "needs a positive 'loss_before' in every client's report, got nan"),
        ("fedbuff", {"staleness": -1}, "'staleness' should be zero or more server steps, got -1"),
        ("fedbuff", {"staleness": math.inf}, "'staleness' should be zero or more server steps, got inf"),
        ("scaffold", {}, "needs the state 'control' beside every update"),
    ],
)
def test_a_reply_without_what_the_rule_needs_is_refused(name, report, message):
    rule = fedloom.algorithms.get(name)()
    rule.start(state(START))
    with pytest.raises(FedloomError, match=message):
        rule.add(state(START), report=report)
