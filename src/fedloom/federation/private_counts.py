"""Counts of a site's rows that leave it before round 1, under privacy of rows: each with noise, which is charged before it is drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256

from fedloom.agreed import Agreed
from fedloom.data.records import Record
from fedloom.federation.messages import Envelope
from fedloom.federation.private_work import BEFORE_ROUNDS, account_of
from fedloom.federation.site_folder import SiteFolder
from fedloom.privacy.accounting import Event
from fedloom.privacy.ledger import Charge, LedgerError, total_epsilon
from fedloom.privacy.noise import keyed_stream, machine_secret
from fedloom.privacy.terms import PrivacyTerms


def noised(
    counts: Mapping[str, float], agreed: Agreed, terms: PrivacyTerms, records: Sequence[Record], envelope: Envelope, folder: SiteFolder
) -> dict[str, float]:
    """`counts`, STEP/NAME -> number, as they may leave the site that holds `records`.

    The numbers of a step are one Gaussian release: a row changes one of them, and by 1. Asked again, a site answers with the same numbers.
    Raises LedgerError where a release would overspend.
    """
    found = dict(counts)
    for number, step in enumerate(agreed.prepare):
        own = {name: value for name, value in sorted(counts.items()) if name.startswith(f"{number}/")}
        if not step.exchanges or not step.counts_rows or not own:
            continue
        noise = step.noise_on_counts
        assert noise is not None, "a site that joins refuses terms without it"
        ledger = account_of(terms, records, envelope, folder)
        key = sha256(json.dumps([ledger.account, number, noise, list(own.items())]).encode()).hexdigest()
        charge = Charge(envelope.run, envelope.federation, BEFORE_ROUNDS, f"counts/{key}", terms.unit, 1.0, Event(noise, 1.0, 1))
        ledger.charge(charge, lambda events: _refuse_overspending(terms, events), continued=ledger in folder.charged(envelope))
        folder.note_charged(envelope, ledger)
        random = keyed_stream(machine_secret(), b"counts", bytes.fromhex(key))
        found |= {name: value + noise * float(random.standard_normal()) for name, value in own.items()}
    return found


def _refuse_overspending(terms: PrivacyTerms, events: Sequence[Event]) -> None:
    if terms.epsilon is not None and (total := total_epsilon(events, terms.delta)) >= terms.epsilon:
        raise LedgerError(
            f"the ledger refuses the counts before round 1: with them, epsilon {total:.4g} would be spent on these rows, and"
            f" privacy.epsilon is {terms.epsilon:g}; give the counts more noise, see `fedloom privacy ledger RUN`"
        )
