"""The plain templates as chat templates in Jinja, so that other programs ask a tuned model as it was trained."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from fedloom.data.prefixes import lead
from fedloom.data.templates import ALPACA_PREAMBLE, VICUNA_PREAMBLE
from fedloom.models.encoders import TextEncoder
from fedloom.models.save import save_tokenizer

LOOP = (
    "{{%- if messages and messages[0].role == 'system' -%}}{{%- set opening = messages[0].content -%}}"
    "{{%- else -%}}{{%- set opening = {preamble!r} -%}}{{%- endif -%}}"
    "{{{{ {lead!r} + opening + {behind!r} }}}}"
    "{{%- set seen = namespace(said=false) -%}}"
    "{{%- for message in messages -%}}"
    "{{%- if message.role == 'system' and not loop.first -%}}{{{{ raise_exception('a system turn has to be the first') }}}}{{%- endif -%}}"
    "{{%- if message.role == 'user' -%}}"
    "{{{{ ({between!r} if seen.said else '') + {before!r} + message.content + {after!r} }}}}{{%- set seen.said = true -%}}"
    "{{%- elif message.role == 'assistant' -%}}{{{{ ' ' + message.content + {eos!r} }}}}{{%- set seen.said = true -%}}{{%- endif -%}}"
    "{{%- endfor -%}}"
)
"""What `fedloom.data.templates` writes. A prompt needs nothing at its end: the space before a response is the response's."""

PIECES = {
    "alpaca": {
        "preamble": ALPACA_PREAMBLE,
        "behind": "\n\n",
        "before": "### Instruction:\n",
        "after": " \n\n### Response:",
        "between": "\n\n",
    },
    "vicuna": {"preamble": VICUNA_PREAMBLE, "behind": " ", "before": "USER: ", "after": " ASSISTANT:", "between": ""},
}


def chat_tokenizer(encoder: TextEncoder) -> Any:
    """The encoder's tokenizer, with the template of its rows as the chat template: a copy where the tokenizer has another one."""
    if encoder.template == "chat":
        return encoder.tokenizer
    tokenizer = copy.deepcopy(encoder.tokenizer)
    tokenizer.chat_template = jinja(encoder.template, tokenizer)
    return tokenizer


def save_beside(encoder: TextEncoder, folder: Path) -> None:
    """Write the encoder's tokenizer beside an adapter. One with more tokens than the model knows is left with the base model: PEFT would
    add rows to the embedding for it, and these could be said."""
    if encoder.vocabulary is None or len(encoder.tokenizer) <= encoder.vocabulary:
        save_tokenizer(chat_tokenizer(encoder), folder)


def jinja(template: str, tokenizer: Any) -> str:
    """The chat template that renders as `template` does, with what the tokenizer puts in front of a text."""
    first = "".join(tokenizer.convert_ids_to_tokens(lead(tokenizer)))
    return LOOP.format(**PIECES[template], lead=first, eos=tokenizer.eos_token or "")
