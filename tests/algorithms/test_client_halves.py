"""The client half of the algorithms that have one, on a loss whose gradient is known: f_i(theta) = 1/2 ||theta - target_i||^2."""

import pytest
import torch

import fedloom.algorithms
from fedloom.state import State

RATE, STEPS = 0.1, 3


def state(values):
    return State.of({"w": torch.tensor(values)})


def train(half, start, target, rate=RATE, steps=STEPS):
    """Plain SGD as a task drives it: gradient, hook, step, hook."""
    weights = start.flat.clone()
    for _ in range(steps):
        gradient = weights - torch.tensor(target)
        half.after_gradient(weights, gradient)
        weights -= rate * gradient
        half.after_step(weights, rate)
    return half.finish(State(start.layout, weights), steps, rate)


def test_fedprox_adds_the_gradient_of_the_proximal_loss():
    start = state([1.0, -2.0, 0.5])
    half = fedloom.algorithms.get("fedprox")(prox_mu=0.3).client_half(start, {}, {})
    weights = torch.tensor([1.5, -2.5, 0.0], requires_grad=True)
    loss = (weights**3).sum()
    (gradient,) = torch.autograd.grad(loss, weights)
    (expected,) = torch.autograd.grad((weights**3).sum() + 0.3 / 2 * (weights - start.flat).square().sum(), weights)
    half.after_gradient(weights.detach(), gradient)
    torch.testing.assert_close(gradient, expected)


def test_fedprox_without_a_pull_trains_as_fedavg_does():
    start, target = state([1.0, -2.0]), [3.0, 4.0]
    plain = train(fedloom.algorithms.get("fedavg")().client_half(start, {}, {}), start, target)
    proximal = train(fedloom.algorithms.get("fedprox")(prox_mu=0.0).client_half(start, {}, {}), start, target)
    assert proximal.update.equals(plain.update)


@pytest.mark.parametrize("variant", ["paper_code", "textbook"])
def test_scaffold_over_three_rounds_is_its_formula_by_hand(variant):
    targets, owned = {"a": 2.0, "b": -1.0, "c": 5.0}, {"a": 1.0, "b": 3.0, "c": 2.0}
    drawn = [["a", "b"], ["b", "c"], ["a", "c"]]

    # plain Python, one number per quantity
    w, c, own = 0.5, 0.0, dict.fromkeys(targets, 0.0)
    for clients in drawn:
        ends, changes = {}, {}
        for client in clients:
            theta = w
            for _ in range(STEPS):
                gradient = theta - targets[client]
                if variant == "textbook":
                    theta -= RATE * (gradient - own[client] + c)
                else:
                    theta -= RATE * gradient
                    theta -= RATE * (c - own[client])
            renewed = own[client] - c + (w - theta) / (STEPS * RATE)
            changes[client], own[client], ends[client] = renewed - own[client], renewed, theta
        total = sum(owned[client] for client in clients)
        w = sum(owned[client] * ends[client] for client in clients) / total
        c += sum(changes.values()) / len(targets)

    rule = fedloom.algorithms.get("scaffold")(variant=variant)
    rule.start(state([0.5]), clients=3)
    memories = {client: {} for client in targets}
    for clients in drawn:
        start, received = rule.state, rule.broadcast()
        for client in clients:
            result = train(rule.client_half(start, received, memories[client]), start, [targets[client]])
            memories[client] = result.memory
            rule.add(result.update, weight=owned[client], extras=result.extras)
        rule.step()
    assert rule.state.flat.item() == pytest.approx(w, abs=1e-5)
    assert rule.broadcast()["control"].flat.item() == pytest.approx(c, abs=1e-5)
    assert {client: memory["control"].flat.item() for client, memory in memories.items()} == pytest.approx(own, abs=1e-5)


@pytest.mark.parametrize("variant", ["paper_code", "textbook"])
def test_scaffolds_server_variate_is_the_mean_of_the_clients_under_full_participation(variant):
    targets = [[2.0, 1.0], [-1.0, 0.0], [5.0, -3.0], [0.0, 7.0]]
    rule = fedloom.algorithms.get("scaffold")(variant=variant)
    rule.start(state([0.5, -0.5]), clients=4)
    memories = [{} for _ in targets]
    for _ in range(4):
        start, received = rule.state, rule.broadcast()
        for i, target in enumerate(targets):
            result = train(rule.client_half(start, received, memories[i]), start, target)
            memories[i] = result.memory
            rule.add(result.update, extras=result.extras)
        rule.step()
    mean = torch.stack([memory["control"].flat for memory in memories]).mean(dim=0)
    torch.testing.assert_close(rule.broadcast()["control"].flat, mean, atol=1e-5, rtol=1e-5)


def test_textbook_and_paper_code_scaffold_agree_under_plain_sgd():
    start, received, memory = state([1.0]), {"control": state([0.4])}, {"control": state([-0.3])}
    ends = [
        train(fedloom.algorithms.get("scaffold")(variant=variant).client_half(start, received, memory), start, [3.0]).update.flat.item()
        for variant in ("paper_code", "textbook")
    ]
    assert ends[0] == pytest.approx(ends[1], abs=1e-6)


def test_a_scaffold_client_that_took_no_step_keeps_its_variate():
    start, memory = state([1.0]), {"control": state([-0.3])}
    result = train(fedloom.algorithms.get("scaffold")().client_half(start, {"control": state([0.4])}, memory), start, [3.0], steps=0)
    assert result.memory["control"].equals(memory["control"])
    assert result.extras["control"].flat.item() == 0.0


def test_feddyn_over_three_rounds_is_its_formula_by_hand():
    targets, alpha = {"a": 2.0, "b": -1.0, "c": 5.0}, 0.5
    drawn = [["a", "b"], ["b", "c"], ["a", "c"]]
    w, h, linear = 0.5, 0.0, dict.fromkeys(targets, 0.0)
    for clients in drawn:
        ends = []
        for client in clients:
            theta = w
            for _ in range(STEPS):
                theta -= RATE * (theta - targets[client] - linear[client] + alpha * (theta - w))
            linear[client] -= alpha * (theta - w)
            ends.append(theta)
        h -= alpha * sum(end - w for end in ends) / len(targets)
        w = sum(ends) / len(ends) - h / alpha

    rule = fedloom.algorithms.get("feddyn")(alpha=alpha)
    rule.start(state([0.5]), clients=3)
    memories = {client: {} for client in targets}
    for clients in drawn:
        start = rule.state
        for client in clients:
            result = train(rule.client_half(start, rule.broadcast(), memories[client]), start, [targets[client]])
            memories[client] = result.memory
            rule.add(result.update)
        rule.step()
    assert rule.state.flat.item() == pytest.approx(w, abs=1e-5)
    assert {client: memory["gradient"].flat.item() for client, memory in memories.items()} == pytest.approx(linear, abs=1e-5)


def test_feddyn_settles_where_the_joint_loss_is_least():
    targets = [2.0, -1.0, 5.0]
    rule = fedloom.algorithms.get("feddyn")(alpha=1.0)
    rule.start(state([0.0]), clients=3)
    memories = [{} for _ in targets]
    for _ in range(60):
        start = rule.state
        for i, target in enumerate(targets):
            result = train(rule.client_half(start, {}, memories[i]), start, [target], steps=30)
            memories[i] = result.memory
            rule.add(result.update)
        rule.step()
    assert rule.state.flat.item() == pytest.approx(2.0, abs=1e-3)
