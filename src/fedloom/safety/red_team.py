"""Clients that are played as malicious in a run on one machine: which ones, the rows they train on, and the updates they send."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from fedloom.data.clients import ClientData, FederatedData
from fedloom.data.record_sequence import conversations
from fedloom.errors import RecipeError
from fedloom.federation.engine import Assignment, Engine, Reply
from fedloom.federation.messages import Expected, decode, encode, peek
from fedloom.hooks import Behaviour, behaviours
from fedloom.recipe import HookRecipe, Recipe
from fedloom.streams import numpy_stream, torch_stream


def made_behaviour(chosen: HookRecipe | None) -> Behaviour:
    """The behaviour that a recipe names; one that does nothing for none."""
    made: Behaviour = behaviours.get(chosen.kind)(**chosen.settings) if chosen else Behaviour()
    return made


def malicious_clients(recipe: Recipe, names: Sequence[str]) -> set[str]:
    """The clients that behave as `recipe.clients` says, drawn by the seed. Raises RecipeError when no honest client would be left."""
    wanted = recipe.clients.malicious
    if wanted >= len(names):
        raise RecipeError(f"clients.malicious is {wanted}, but the clients that the data gives are {len(names)}; leave one that is honest")
    return {names[i] for i in numpy_stream(recipe.seed, "malicious").permutation(len(names))[:wanted]}


def with_changed_rows(data: FederatedData, recipe: Recipe, malicious: Collection[str]) -> FederatedData:
    """`data` with the rows that malicious clients train on. They measure nothing: an attacker's rows do not measure the joint model."""
    behaviour = made_behaviour(recipe.clients.behaviour)
    clients = []
    for client in data.clients:
        if client.name in malicious:
            rows = client.train
            if type(behaviour).change_rows is not Behaviour.change_rows:  # what changes updates alone goes with every kind of record
                stream = numpy_stream(recipe.seed, "behaviour", client.name)
                rows = list(behaviour.change_rows(client.name, conversations(rows), stream))
            client = ClientData(client.name, rows, [])
        clients.append(client)
    return replace(data, clients=tuple(clients))


@dataclass(frozen=True)
class MaliciousClients:
    """`engine`, with the updates of the clients `malicious` changed as their `behaviour` says. `codec` is the federation's."""

    engine: Engine
    behaviour: HookRecipe | None
    malicious: Collection[str]
    codec: str
    seed: int

    def clients(self) -> Sequence[str]:
        return self.engine.clients()

    def dispatch(self, assignments: Iterable[Assignment], deadline: float) -> Iterator[Reply]:
        for reply in self.engine.dispatch(assignments, deadline):
            yield self._changed(reply) if reply.client in self.malicious and reply.message is not None else reply

    def late_replies(self, round_number: int) -> Iterator[Reply]:
        return self.engine.late_replies(round_number)

    def _changed(self, reply: Reply) -> Reply:
        assert reply.message is not None
        kind, number, envelope = peek(reply.message)
        if kind != "update":
            return reply
        message = decode(reply.message, Expected(kind, number, reply.client, envelope))
        stream = torch_stream(self.seed, "behaviour", number, reply.client)
        update = made_behaviour(self.behaviour).change_update(message.sections["update"], stream)
        return replace(reply, message=encode(replace(message, sections={**message.sections, "update": update}), self.codec))
