"""What attack, repair and test must not share: a prompt of one is left out of the next, wherever the user's own files overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedloom.data.records import Provenance

if TYPE_CHECKING:
    from fedloom.workshop import Workshop


def attack_prompts(workshop: Workshop) -> set[str]:
    """The requests that malicious clients train on with unaligned answers."""
    trained = (example for client in workshop.data.clients for example in client.train)
    return {example.prompt[-1].content for example in trained if example.provenance is Provenance.UNALIGNED}


def asked_prompts(workshop: Workshop) -> set[str]:
    """What the run's probes of refusal ask."""
    from fedloom.safety.probes import Refusals

    probes = (Refusals(**probe.settings) for probe in workshop.recipe.evaluate.probes if probe.kind == "refusals")
    return {prompt for probe in probes for asked in probe.asked(workshop) for prompt in asked}
