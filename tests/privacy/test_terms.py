"""What terms allow: all their rounds, and nothing beyond, whoever has planned what before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fedloom.privacy.ledger import Charge, Ledger, LedgerError, open_account, total_epsilon
from fedloom.privacy.terms import PrivacyTerms, event_of, for_clients, planned, planned_client, refuse_overspending

OF_CLIENTS = PrivacyTerms("client", 8.0, 1e-3, 1.0, None, "server", "rows", rounds=4, clients=100, drawn=100, quorum=5)
DRAWN = replace(OF_CLIENTS, drawn=10)
OF_ROWS = replace(OF_CLIENTS, unit="row")


def plan_of(terms, ledger):
    """(terms with their noise, plan) of one more run, after what the ledger has."""
    earlier = [entry.charge.event for entry in ledger.entries()]
    if terms.unit == "row":
        return terms, planned(terms, ledger.account, 100, 25, 3, earlier)
    terms = for_clients(terms)
    return terms, planned_client(terms, ledger.account, earlier)


def charge(ledger, run, number, terms, plan):
    event = event_of(terms, plan)
    question = Charge(run, "", number, f"round {number}", terms.unit, terms.clip, event)
    Ledger(ledger.account, ledger.folder).charge(question, lambda events: refuse_overspending(terms, plan, events))


def charge_all(ledger, terms, plan):
    for number in range(1 if terms.drawn < terms.clients else terms.rounds):
        charge(ledger, "a", number, terms, plan)


@pytest.mark.parametrize("terms", [OF_CLIENTS, DRAWN, OF_ROWS], ids=["clients", "drawn", "rows"])
def test_two_runs_that_were_planned_at_once_do_not_both_spend(terms, tmp_path):
    ledger = open_account([1, 2, 3], folder=tmp_path)
    plans = {run: plan_of(terms, ledger) for run in "ab"}
    charge_all(ledger, *plans["a"])
    with pytest.raises(LedgerError, match="the ledger refuses this round: with it, epsilon"):
        charge(ledger, "b", 0, *plans["b"])
    assert total_epsilon([entry.charge.event for entry in ledger.entries()], terms.delta) <= terms.epsilon


@pytest.mark.parametrize("terms", [OF_CLIENTS, DRAWN, OF_ROWS], ids=["clients", "drawn", "rows"])
def test_terms_that_ask_for_more_rounds_than_were_planned_are_refused(terms, tmp_path):
    ledger = open_account([1, 2, 3], folder=tmp_path)
    found, plan = plan_of(terms, ledger)
    more = replace(found, rounds=40)
    with pytest.raises(LedgerError, match="the ledger refuses this round"):
        charge_all(ledger, more, plan)
    assert total_epsilon([entry.charge.event for entry in ledger.entries()], terms.delta) <= terms.epsilon
