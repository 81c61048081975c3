"""The privacy audit of a finished run, on the machine where its rows lie: its data, its prepare steps and its model are made again, and
what the model has kept of the rows is measured. What is written down are numbers; no text of a row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedloom.agreed import agree
from fedloom.data.records import Conversation, Record, content_digest
from fedloom.data.templates import render_prompt
from fedloom.errors import MissingExtraError, RecipeError
from fedloom.federation.run_folder import RunFolder, existing_run, locked
from fedloom.files import write_atomic
from fedloom.handing_out import adapter_state, tuned_bench
from fedloom.local_run import LocalRun, open_local
from fedloom.manifest import check_same_data
from fedloom.models.encoders import TextEncoder
from fedloom.models.generate import generate
from fedloom.outcome import read
from fedloom.preparing import preparations
from fedloom.privacy import exposure, membership, one_run, reconstruction, scan
from fedloom.privacy.canaries import Canary, canaries_of, encoded, without
from fedloom.privacy.personal_data import Search, found_in
from fedloom.recipe import Recipe
from fedloom.report.html import write_report
from fedloom.report.record import AUDIT
from fedloom.resolve import load_recipe
from fedloom.spending import spending_of
from fedloom.state import State
from fedloom.streams import numpy_stream, stream_seed
from fedloom.tasks import Rows, Task, tasks
from fedloom.tasks.encoding import encode_learnable
from fedloom.tasks.row_losses import row_losses
from fedloom.tasks.sft import SFT

MOST_ROWS = 4000
"""Rows of a kind, trained on or held out, whose losses are compared."""

MOST_NAMES = 200
"""Rows with a name that the model is given to continue."""

SAID_TOKENS = 64
"""Tokens of a sampled text at the most."""


def audit_privacy(run_folder: Path, samples: int = 32, seed: int = 0) -> dict[str, Any]:
    """Audit the run in `run_folder`, write what was found into its `audit_privacy.json` and its report, and give it.

    `samples` texts are sampled from the model for the scan; `seed` draws them, and rows where there are many. Raises RecipeError for a run
    that is not finished, DataError for data that has changed since.
    """
    folder, finished = RunFolder(existing_run(run_folder)), read(run_folder)
    recipe = load_recipe(run_folder / "recipe.yaml")
    if finished.status != "finished" or finished.rounds < recipe.federation.rounds or finished.adapter_sha256 is None:
        raise RecipeError(f"{run_folder}: is not finished ({finished.status}); go on with `fedloom resume {run_folder}`")
    alone = recipe.federation.model_copy(update={"workers": 1, "engine": "local"})
    with locked(run_folder), open_local(recipe.model_copy(update={"federation": alone}), folder) as local:
        _refuse_another(recipe, local, folder)
        audit = _audit(recipe, folder, local, samples, seed)
        found = audit.found()
        write_atomic(run_folder / AUDIT, json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        write_report(run_folder)
    return found


def _refuse_another(recipe: Recipe, local: LocalRun, folder: RunFolder) -> None:
    """Raise DataError or RecipeError when the run was trained on other data, another model, or by other terms than there are now: its
    canaries, and which rows it has held out, would be others."""
    manifest = folder.manifest()
    check_same_data(local.data, folder)
    if manifest["model"]["sha256"] != local.bench.sha256:
        raise RecipeError(f"{folder.path}: its model has changed since the run; bring the old one back, or run anew")
    if manifest["agreed"] != agree(recipe, local.bench, len(local.sites.owners)).sha256:
        raise RecipeError(f"{folder.path / 'recipe.yaml'}: has changed since the run; bring the old one back, or run anew")


@dataclass(frozen=True)
class _Audit:
    """What is audited. `trained` and `held_out` are the records after all prepare steps, of all clients, `trained` without canaries and
    the rows `generated` beside own ones.
    `before` and `after` are the model's parameters before training and as they were handed out, `joined` those after the last round where
    finish steps have worked on them since, otherwise None. `notes` gathers what could not be measured, and why."""

    recipe: Recipe
    folder: Path
    local: LocalRun
    task: Task
    before: State
    after: State
    joined: State | None
    canaries: Mapping[str, Sequence[Canary]]
    trained: Sequence[Record]
    generated: Sequence[Record]
    held_out: Sequence[Record]
    samples: int
    seed: int
    notes: list[str]

    @property
    def delta(self) -> float:
        return self.recipe.privacy.delta if self.recipe.privacy else one_run.DELTA

    def found(self) -> dict[str, Any]:
        """Everything that the audit measures, as plain JSON."""
        members = self._rows(self.trained, "members")
        others = self._rows(_unseen(self.held_out, self.trained), "others")
        canaries = {f"canaries/{client}": encoded(made, self.task, self.local.bench.encoder) for client, made in self.canaries.items()}
        losses = self._losses(self.after, {"members": members, "others": others, **canaries})
        bound, joined = self._bound(losses), self._joined(canaries)
        return {
            "run": str(self.folder),
            "epsilon_lower": bound and bound["epsilon"],
            "epsilon_lower_joined": joined and joined["epsilon"],
            "epsilon_ledger": self._ledger(),
            "delta": self.delta,
            "canaries": bound,
            "membership": self._membership(losses["members"], losses["others"]),
            "exposure": self._exposure(losses),
            "reconstruction": self._reconstruction(),
            "scan": self._scan(),
            "notes": self.notes,
        }

    def _rows(self, records: Sequence[Record], purpose: str) -> Rows | None:
        """The rows of `records`, of many a part that the seed draws, without those that hold nothing to train on."""
        drawn = self._drawn(records, MOST_ROWS, purpose)
        kept = encode_learnable(self.task, drawn, self.local.bench.encoder) if drawn else None
        return self.task.load(kept.path) if kept and kept.records else None

    def _losses(self, tuned: State, rows: Mapping[str, Rows | None]) -> dict[str, np.ndarray]:
        """name -> (rows, 2): the loss of each row with the `tuned` model and with the base."""
        found: dict[str, list[torch.Tensor]] = {name: [] for name in rows}
        for state in (tuned, self.before):
            self.local.bench.parameters.load(state)
            for name, of_name in rows.items():
                found[name].append(row_losses(self.local.bench.model, self.task, of_name) if of_name else torch.zeros(0))
        return {name: torch.stack(both, dim=1).numpy() for name, both in found.items()}

    def _bound(self, losses: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
        """The lower bound on epsilon that the canaries give. Of two models, each gets half of the error."""
        if not self._bounds_rows():
            return None
        error = one_run.ERROR if self.joined is None else one_run.ERROR / 2
        coins = {name: one_run.Coins(np.diff(losses[f"canaries/{name}"])[:, 0], _inserted(made)) for name, made in self.canaries.items()}
        best, own = one_run.audited(coins, self.delta, error)
        in_all = sum(len(made) for made in self.canaries.values())
        return {
            **vars(best),
            "in_all": in_all,
            "inserted": int(sum(one.inserted.sum() for one in coins.values())),
            "ceiling": one_run.ceiling(in_all, self.delta, len(coins), error),
            "confidence": 1 - one_run.ERROR,
            "clients": {name: bound.epsilon for name, bound in own.items()},
        }

    def _joined(self, canaries: Mapping[str, Rows]) -> dict[str, Any] | None:
        """The same bound of the joined state before the finish steps, which the ledgers' epsilon is about."""
        if self.joined is None or not self._bounds_rows():
            return None
        return self._bound(self._losses(self.joined, canaries))

    def _bounds_rows(self) -> bool:
        """Whether canaries, which are rows, bound the epsilon that the run promises."""
        return bool(self.canaries) and not (self.recipe.privacy and self.recipe.privacy.unit == "client")

    def _exposure(self, losses: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
        """How exposed the inserted canaries of all clients are among those that none has trained on."""
        if not self.canaries:
            return None
        after = np.concatenate([losses[f"canaries/{name}"][:, 0] for name in self.canaries])
        inserted = np.concatenate([_inserted(made) for made in self.canaries.values()])
        return exposure.summary(after[inserted], after[~inserted])

    def _membership(self, members: np.ndarray, others: np.ndarray) -> dict[str, Any] | None:
        if len(others) < 4 or not len(members):
            self.notes.append("no membership inference: fewer than 4 rows are held out that are not trained on, too")
            return None
        if self.recipe.evaluate.source is not None:
            self.notes.append(
                "membership: the held-out rows come from evaluate.source; what sets the two sources apart counts as membership"
            )
        order = numpy_stream(self.seed, "audit", "population").permutation(len(others))
        population, apart = others[order[: len(order) // 2]], others[order[len(order) // 2 :]]
        found = membership.attacks(members, apart, population)
        if alike := [name for name, attack in found.items() if attack.get("as_by_loss")]:
            self.notes.append(
                f"membership: the model before training says the same of all rows, so that {' and '.join(alike)} order them as the loss"
                f" does, and {'is' if len(alike) == 1 else 'are'} not shown"
            )
        if lacking := [f"{rate:.1%}".replace(".0%", "%") for rate in membership.FALSE_POSITIVES if rate * len(apart) < 1]:
            self.notes.append(f"membership: {len(apart)} non-members are too few for true positives at {' and '.join(lacking)} false ones")
        return found

    def _ledger(self) -> float | None:
        """The largest epsilon that a client's ledger says this run has spent on its rows."""
        if self.recipe.privacy is None:
            return None
        try:
            return max(one.own for one in spending_of(self.folder))
        except RecipeError:
            self.notes.append("no epsilon of the ledgers: they are not on this machine")
            return None

    def _reconstruction(self) -> dict[str, Any] | None:
        """How often the model says the name with which a training row goes on."""
        rows = [record for record in self.trained if isinstance(record, Conversation)]
        encoder = self._talking()
        if encoder is None or not rows:
            self.notes.append("no reconstruction of names: the model does not talk")
            return None
        try:
            spans = found_in([row.response for row in rows], Search((reconstruction.PERSON,)))
        except MissingExtraError:
            self.notes.append("no reconstruction of names: finding names needs the extra scrub")
            return None
        masked = self._drawn(reconstruction.masked(rows, spans), MOST_NAMES, "names")
        if not masked:
            self.notes.append("no reconstruction of names: no training row brings up a person whom its prompt does not name")
            return None
        shares = {}
        for key, state in (("said", self.after), ("said_before", self.before)):
            self.local.bench.parameters.load(state)
            shares[key] = reconstruction.share_said(masked, self.local.bench.model, encoder, self.recipe.evaluate.batch_size)
        return {"rows": len(masked), **shares}

    def _scan(self) -> dict[str, Any]:
        """Where 8 words in a row of private rows stand: in the run's files, and in what the model says.

        What PUBLIC rows say too is no trace. Of what the model says, neither is what rows say that it was not trained on.
        """
        grams = scan.grams_of(self._texts(private=True)) - scan.grams_of(self._texts(private=False))
        if not grams:
            self.notes.append(self._nothing_to_scan())
        searched, hits = scan.found_in_files(grams, self.folder)
        unseen = (record for client in self.local.data.clients for record in client.held_out)
        held_out = scan.grams_of(scan.texts_of([*unseen, *self.held_out]))
        return {"grams": len(grams), "files": searched, "hits": hits, "samples": self._said(grams - held_out)}

    def _nothing_to_scan(self) -> str:
        if any(True for private in (True, False) for _ in self._texts(private)):
            return f"scan: no PRIVATE row has a text of {scan.LENGTH} words or more, so there is nothing to look for"
        return "scan: the rows hold no text, and pixels are not looked for"

    def _texts(self, private: bool) -> Iterator[str]:
        """The texts of the private rows, or of the others, trained on or held out, before the prepare steps and after them."""
        before = (record for client in self.local.data.clients for record in (*client.train, *client.held_out))
        every = (*before, *self.trained, *self.generated, *self.held_out)
        return scan.texts_of(record for record in every if record.may_leave is not private)

    def _said(self, grams: scan.Grams) -> dict[str, Any] | None:
        """How many texts, sampled behind the prompts of private training rows, hold one of `grams`; and as many from the base model."""
        encoder = self._talking()
        rows = [record for record in self.trained if isinstance(record, Conversation) and not record.may_leave]
        if encoder is None or not rows or not grams or not self.samples:
            return None
        drawn = self._drawn(rows, self.samples, "samples")
        texts = [render_prompt(row.prompt, encoder.tokenizer, encoder.template) for row in drawn]
        asked, counts = ["\n".join(turn.content for turn in row.prompt) for row in drawn], {}
        for key, state in (("hits", self.after), ("hits_before", self.before)):
            self.local.bench.parameters.load(state)
            seed = stream_seed(self.seed, "audit", "said") % 2**31
            said = generate(
                self.local.bench.model, encoder.tokenizer, texts, SAID_TOKENS, self.recipe.evaluate.batch_size, temperature=1.0, seed=seed
            )
            counts[key] = scan.said_in(grams, said, asked)
        return {"asked": len(drawn), **counts}

    def _talking(self) -> TextEncoder | None:
        """The encoder of a model that answers in words."""
        bench = self.local.bench
        return bench.encoder if bench.kind.talks and isinstance(bench.encoder, TextEncoder) else None

    def _drawn(self, found: Sequence[Any], most: int, purpose: str) -> list[Any]:
        """At the most `most` of them, drawn by the seed, in their order."""
        places = sorted(numpy_stream(self.seed, "audit", purpose).permutation(len(found))[:most].tolist())
        return [found[place] for place in places]


def _audit(recipe: Recipe, folder: RunFolder, local: LocalRun, samples: int, seed: int) -> _Audit:
    trained: list[Record] = []
    generated: list[Record] = []
    held_out: list[Record] = []
    canaries = {name: made for name in local.sites.owners if (made := canaries_of(recipe, name))}
    clients = local.data.clients
    for client, (preparation, told) in zip(clients, preparations(recipe, clients, local.bench), strict=True):
        prepared = preparation.after_steps(client.train, client.held_out, told)
        own = len(prepared.train) - prepared.generated
        trained += without(prepared.train[:own], canaries.get(client.name, ()))
        generated += prepared.train[own:]
        held_out += preparation.alike(prepared.held_out, told)
    local.bench.lent.clear()
    joined = read(folder.path).state if recipe.finish else None
    after = adapter_state(local.bench, folder) if recipe.model.adapter else tuned_bench(recipe, folder).parameters.state()
    task = tasks.get(recipe.task.kind)(**recipe.task.settings)
    notes = _notes(recipe, canaries)
    return _Audit(
        recipe, folder.path, local, task, local.start, after, joined, canaries, trained, generated, held_out, samples, seed, notes
    )


def _notes(recipe: Recipe, canaries: Mapping[str, Sequence[Canary]]) -> list[str]:
    """What the recipe alone says of what can be measured."""
    notes = []
    if not canaries:
        lacking = "the recipe has no prepare step canaries"
        if not issubclass(tasks.get(recipe.task.kind), SFT):
            lacking = f"canaries are questions with an answer, which {recipe.task.kind} does not train"
        notes.append(f"no lower bound on epsilon and no exposure: {lacking}")
    elif recipe.privacy and recipe.privacy.unit == "client":
        notes.append("no lower bound on epsilon: canaries are rows, and privacy.unit client promises an epsilon of whole clients")
    if recipe.finish:
        notes.append(
            f"the finish steps ({', '.join(step.kind for step in recipe.finish)}) worked on what is audited; clients have seen the joined"
            " state before them, of which no more than epsilon_lower_joined is measured"
        )
    return notes


def _unseen(held_out: Sequence[Record], trained: Sequence[Record]) -> list[Record]:
    """Those of `held_out` that nobody has trained on too."""
    known = {content_digest(record) for record in trained}
    return [record for record in held_out if content_digest(record) not in known]


def _inserted(canaries: Sequence[Canary]) -> np.ndarray:
    return np.array([canary.inserted for canary in canaries])
