"""A site's side of differential privacy: it plans its noise, charges its ledger before it draws any, and refuses what would overspend.

The server is not trusted with any of it: it sees neither the rows, their number, nor the rate at which they are drawn.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from fedloom.agreed import Agreed
from fedloom.data.records import Provenance, Record, content_digest
from fedloom.errors import RecipeError, RefusedMessageError
from fedloom.federation.messages import Envelope, Message
from fedloom.federation.site_folder import SiteFolder, SiteRows, charged_ledgers
from fedloom.privacy.clients import clipped, noised, within
from fedloom.privacy.gradients import PrivateGradients
from fedloom.privacy.ledger import APART, Charge, Ledger, ledgers_folder, open_account, refuse_other_units
from fedloom.privacy.noise import keyed_stream, machine_secret
from fedloom.privacy.quantiles import bounds
from fedloom.privacy.terms import PrivacyTerms, SitePlan, event_of, planned, planned_client, refuse_overspending
from fedloom.state import State
from fedloom.tasks import Task

WITHIN_CLIP = "within_clip"
"""What a client calls the bit that tells whether its update was within the clipping norm."""

BEFORE_ROUNDS = 0
"""The round of charges for what is released before round 1."""

ALL_ROUNDS = "all rounds"
"""How the question begins that is charged where some clients are drawn for a round: one for all rounds of a federation."""


def plan_site(
    terms: PrivacyTerms,
    task: Task,
    records: Sequence[Record],
    generated: int,
    made_of: Sequence[Record],
    envelope: Envelope,
    folder: SiteFolder,
) -> None:
    """Plan the noise of a site that trains on `records`, and keep the plan in its `folder`; a plan that stands there stays.

    Prepare steps have made them of the rows `made_of`, which count as spent with them: other steps make other rows, and no new budget. The
    last `generated` ones are no rows of the owner's, and do not count.
    Raises RecipeError where the terms cannot be met, LedgerError for a ledger that was changed, or charged for another unit.
    """
    ledger = account_of(terms, (*records[: len(records) - generated], *made_of), envelope, folder)
    entries = ledger.entries()
    refuse_other_units(entries, terms.unit)
    if folder.plan(envelope) is None:
        before = (entry.charge for entry in entries if entry.charge.run != envelope.run or entry.charge.round == BEFORE_ROUNDS)
        earlier = [charge.event for charge in before]
        expected = task.batch_size * task.accumulation
        if terms.unit == "row":
            plan = planned(terms, ledger.account, len(records), expected, task.steps, earlier)
        else:
            plan = planned_client(terms, ledger.account, earlier)
        folder.keep_plan(envelope, plan)


def account_of(terms: PrivacyTerms, rows: Sequence[Record], envelope: Envelope, folder: SiteFolder) -> Ledger:
    """The account of `rows` under `terms`. Raises LedgerError where one that is known to have been charged was removed, RecipeError for
    PRIVATE rows whose earlier runs the terms forget."""
    own = [record for record in rows if record.provenance is not Provenance.PUBLIC]  # PUBLIC rows among them may be other owners', too
    public = not own
    if terms.ledger == "run" and not public:
        raise RecipeError("privacy.ledger: run forgets what other runs have spent, and goes with PUBLIC rows alone; write rows")
    _refuse_removed_ledgers(folder.path.name)
    apart = envelope.run * (terms.ledger == "run") + envelope.federation if public else ""  # a server could name a federation anew
    return open_account([content_digest(record) for record in own or rows], apart)


def _refuse_removed_ledgers(client: str) -> None:
    """Raise LedgerError where an account is not there that `client` has charged in whatever run, or, where this machine has no account at
    all, any client."""
    for ledger in charged_ledgers(escape(client)):
        ledger.refuse_removed()
    if not any(ledgers_folder().glob("*.jsonl")):
        for ledger in charged_ledgers("*"):
            ledger.refuse_removed()


def refuse_counting_steps(agreed: Agreed) -> None:
    """Raise RefusedMessageError for terms whose prepare steps would undo their privacy, whatever the server has checked."""
    if agreed.privacy is None:
        return
    for number, step in enumerate(agreed.prepare):
        if step.exchanges and step.counts_rows and (agreed.privacy.unit == "client" or step.noise_on_counts is None):
            raise RefusedMessageError(f"prepare.{number}: sends counts of rows up, which these terms protect")
        if agreed.privacy.unit == "row" and not step.row_by_row:
            raise RefusedMessageError(f"prepare.{number}: makes a row of several, or several of one, and these terms protect single rows")


@dataclass(frozen=True)
class PrivateWork:
    """The private training of one site under `envelope`."""

    client: str
    agreed: Agreed
    terms: PrivacyTerms
    plan: SitePlan
    envelope: Envelope
    rows: SiteRows
    folder: SiteFolder

    def gradients(self, random: np.random.Generator) -> PrivateGradients:
        """The gradients of a round, with `random` as `charge` gave it."""
        task = self.agreed.task
        return PrivateGradients(
            self.terms.clip, self.plan.noise_multiplier, self.plan.sample_rate, task.batch_size * task.accumulation, random
        )

    def released(self, update: State, message: Message, random: np.random.Generator) -> tuple[State, dict[str, float]]:
        """The update as it is sent where the whole of it is protected, and what is reported of it.

        It is clipped, and has the client's share of the noise where clients add it: of the fewest updates that a round may have, the shares
        together are the noise of the terms. Where the norm follows a quantile, the report tells the server whether it was within.
        """
        clip = self._clip(message)
        told = {} if self.terms.clip_quantile is None else {WITHIN_CLIP: float(within(update, clip))}
        update = clipped(update, clip)
        if self.terms.noise_at == "server":
            return update, told
        return noised(update, self.plan.noise_multiplier * clip / math.sqrt(self.terms.quorum), random), told

    def _clip(self, message: Message) -> float:
        """The norm of the round of `message`."""
        return self.terms.clip if self.terms.clip_quantile is None else message.number("clip", *bounds(self.terms.clip))

    def charge(self, message: Message, memory: Mapping[str, State]) -> np.random.Generator:
        """Charge the ledger for the round of `message`, before anything is drawn; gives the stream that rows and noise are drawn from.

        It is decided by all that decides the sums: asked again, the site gives the same bytes. Raises RefusedMessageError for a question
        that is none of those paid for, LedgerError for one that overspends.
        """
        paid_for = key = self._key(message, memory)
        event = event_of(self.terms, self.plan)
        if at_once := event.sampling == "without_replacement":
            self._refuse_unpaid(message.round, key)
            paid_for = f"{ALL_ROUNDS}/{self.envelope.federation}/{event.steps} of {event.drawn} in {event.of}"
        ledger = Ledger(self.plan.account, ledgers_folder())
        charged = ledger in self.folder.charged(self.envelope)
        charge = Charge(self.envelope.run, self.envelope.federation, message.round, paid_for, self.terms.unit, self._clip(message), event)
        ledger.charge(charge, lambda events: refuse_overspending(self.terms, self.plan, events), continued=charged)
        if not charged:
            self.folder.note_charged(self.envelope, ledger)
        if at_once:
            self.folder.keep_question(self.envelope, message.round, key)
        return keyed_stream(machine_secret(), bytes.fromhex(key))

    def _refuse_unpaid(self, number: int, key: str) -> None:
        """Raise RefusedMessageError where all rounds are charged at once, and `key` is not the one question of one of them."""
        if not 1 <= number <= self.terms.rounds:
            raise RefusedMessageError(f"its round is {number}, and rounds 1 to {self.terms.rounds} are paid for")
        if self.folder.questions(self.envelope).get(number, key) != key:
            raise RefusedMessageError(f"round {number} was answered already, and this is another question; a round is paid for once")

    def _key(self, message: Message, memory: Mapping[str, State]) -> str:
        """A hash of all that decides what the site releases in this round."""
        states = {
            f"{kind}/{name}": state.sha256() for kind, of in (("sent", message.sections), ("kept", memory)) for name, state in of.items()
        }
        decided_by = {
            "terms": self.agreed.sha256,
            "client": self.client,
            "federation": self.envelope.federation,
            "rows": [self.plan.account.partition(APART)[0], Path(self.rows.train).name],
            "sums": [self.plan.noise_multiplier, self.plan.sample_rate, self.plan.steps],
            "round": message.round,
            "learning_rate": message.report.get("learning_rate"),
            "clip": self._clip(message),
            "states": states,
            "program": [version("fedloom"), torch.__version__],
        }
        return sha256(json.dumps(decided_by, sort_keys=True).encode()).hexdigest()
