"""How well each client can tell its own training rows from its held-out ones by a joined model: asked once, after the last round.

The server sends the state and the one before training, and gets areas under curves; it sees the loss of no row.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from fedloom.errors import FedloomError, RefusedMessageError
from fedloom.federation.engine import Assignment
from fedloom.federation.membership_work import FEWEST, LOSS_AUC, MEMBERSHIP, RMIA_AUC, ROWS, VARIATION
from fedloom.federation.messages import Expected, Message, encode
from fedloom.federation.rounds import ALLOWANCE, Federation, in_order, take
from fedloom.measures import Measure
from fedloom.privacy.membership import ALIKE
from fedloom.state import State

MEASURES = (
    Measure(
        LOSS_AUC,
        "membership by loss (AUC)",
        "",
        "lower",
        note="Membership by loss is the chance that of two rows of one client, one trained on and one held out, as many of every label, the"
        " first has the lower loss: 0.5 where they cannot be told apart, 1 where all can.",
    ),
    Measure(
        RMIA_AUC,
        "membership by RMIA (AUC)",
        "",
        "lower",
        note="Membership by RMIA is the same chance by how much likelier a row is than the model before training lets expect.",
    ),
)
"""What is recorded of each client, and as the mean over clients, as membership/SYSTEM/NAME."""


def measure_membership(federation: Federation, state: State, reference: State) -> None:
    """Ask each owner whose rows were trained on how well `state` tells them from its held-out rows, `reference` being the state before
    training; records membership/LABEL/NAME and the rows of either kind, per client, and the means over clients.

    RMIA is left out, and that is told, where the reference says the same of all rows, as an untrained network does.
    """
    label, number = federation.label, federation.terms.rounds
    found = dict(_asked(federation, state, reference))
    measured = {client: numbers for client, numbers in found.items() if LOSS_AUC in numbers}
    if left := len(found) - len(measured):
        _tell(
            federation,
            f"{left} of {len(found)} clients left out, which have fewer than {FEWEST} rows to compare, trained on and held out, with the"
            " same labels",
        )
    if not measured:
        return
    names = [LOSS_AUC, RMIA_AUC]
    if fmean(numbers[VARIATION] for numbers in measured.values()) < ALIKE:
        names.remove(RMIA_AUC)
        _tell(federation, "no RMIA: the model before training says the same of all rows, so that it orders them as their loss does")
    for client, numbers in measured.items():
        for name in (*names, ROWS):
            federation.metric(number, client, f"membership/{label}/{name}", numbers[name])
    for name in names:
        federation.metric(number, None, f"membership/{label}/{name}", fmean(numbers[name] for numbers in measured.values()))


def _tell(federation: Federation, text: str) -> None:
    """Tell it of the run's own model; of baselines the same could be told, once for each."""
    if not federation.name:
        federation.observer.note(f"membership: {text}")


def _asked(federation: Federation, state: State, reference: State) -> Iterator[tuple[str, dict[str, float]]]:
    """(client, its checked numbers). A client that fails is told, and left out."""
    label, number = federation.label, federation.terms.rounds
    trained = federation.algorithm.trainers(list(federation.measured)) or {client: [client] for client in federation.measured}
    clients = [client for client in federation.measured if any(client in pooled for pooled in trained.values())]
    stage = f"{federation.name or label} membership"
    federation.observer.stage(stage, len(clients))

    def assignments() -> Iterator[Assignment]:
        for client in clients:
            sections = {"state": state, "reference": reference}
            message = encode(Message("evaluate", number, client, sections, {MEMBERSHIP: 1}, federation.envelope))
            federation.folder.wire.enter(number, client, "down", "evaluate", message)
            yield Assignment(client, "evaluate", number, message)

    for reply in in_order(federation.engine.dispatch(assignments(), federation.terms.deadline), clients):
        try:
            expected = Expected("measures", number, reply.client, federation.envelope, sections=frozenset(), max_bytes=ALLOWANCE)
            numbers = _checked(take(federation, reply, expected))
        except FedloomError as error:
            federation.observer.client_done(stage, reply.client, str(error))
            federation.metric(number, reply.client, "client/failed", 1)
            continue
        federation.observer.client_done(stage, reply.client, None)
        yield reply.client, numbers


def _checked(message: Message) -> dict[str, float]:
    """The numbers of an answer. Raises RefusedMessageError for areas that are none, or that too few rows give."""
    rows = message.number(ROWS)
    if LOSS_AUC not in message.report:
        return {ROWS: rows}
    if rows < FEWEST:
        raise RefusedMessageError(f"message of client '{message.client}' refused: it tells rows apart of which it has too few")
    areas = {name: message.number(name, 0, 1) for name in (LOSS_AUC, RMIA_AUC)}
    return {ROWS: rows, VARIATION: message.number(VARIATION), **areas}
