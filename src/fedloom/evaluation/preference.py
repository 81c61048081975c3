"""Which of several answers a model prefers: how likely it finds each, rendered as in training."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fedloom.data.answers import UNCUT, tokenise_answers
from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.data.templates import VERSION
from fedloom.evaluation.kept_replies import KeptReplies
from fedloom.evaluation.talker import FOLDER, Progress, Talker
from fedloom.models.generate import evaluating
from fedloom.tasks.likelihood import log_probs

Choice = tuple[Sequence[Turn], Sequence[str]]
"""What is asked, and the answers that are compared."""


def answer_log_probs(talker: Talker, choices: Sequence[Choice], progress: Progress) -> list[list[float]]:
    """log p(answer | what is asked) of every answer of each choice: the sum over its tokens, the end of the turn included, as in training.

    Those that are on disk are not computed again.
    """
    kept = KeptReplies(FOLDER, f"likelihoods {talker.identity} {talker.template} {VERSION}")
    found = []
    for place, (asked, answers) in enumerate(choices):
        key = [[[turn.role, turn.content] for turn in asked], list(answers)]
        said = kept.get(key)
        if said is None:
            said = " ".join(map(repr, _computed(talker, asked, answers)))
            kept.keep(key, said)
        found.append([float(value) for value in said.split()])
        progress(place + 1, len(choices))
    return found


def _computed(talker: Talker, asked: Sequence[Turn], answers: Sequence[str]) -> list[float]:
    each = [Conversation((*asked, Turn("assistant", answer)), Provenance.PUBLIC) for answer in answers]
    rows = tokenise_answers([each], [-1], talker.tokenizer, talker.template, UNCUT, UNCUT)
    ids, labels, _ = rows.padded([0])
    with evaluating(talker.model), torch.inference_mode():
        return [float(value) for value in log_probs(talker.model, ids, labels)]
