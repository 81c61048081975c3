"""Code in answers: where it stands, its tokens, and the program that a test runs."""

from __future__ import annotations

import re


def code_in(answer: str) -> str:
    """The first block between fences of three backticks; the whole answer where there is none, or where its block is not closed."""
    fenced = re.search(r"```[\w+-]*[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", answer, re.DOTALL)
    return (fenced[1] if fenced else answer).strip("\n")


def code_tokens(code: str, split_case: bool = False) -> list[str]:
    """Words and single other signs; quotes of both kinds are one. `split_case`: fooBar is two words, as CoNaLa's evaluation has it."""
    if split_case:
        code = re.sub(r"([a-z])([A-Z])", r"\1 \2", code)
    return re.findall(r"\w+|[^\w\s]", code.replace('"', "`").replace("'", "`"))


def with_function(answer: str, declaration: str, name: str) -> str:
    """The code of `answer` with the function `name` whole: what stands before that in `declaration`, imports and helpers, comes first,
    and an answer that is the body alone follows its head."""
    code = code_in(answer)
    head = re.search(rf"^def {re.escape(name)}\b", declaration, re.MULTILINE)
    if re.search(rf"^def {re.escape(name)}\b", code, re.MULTILINE):
        return f"{declaration[: head.start()] if head else ''}{code}\n"
    return f"{declaration.rstrip()}\n{code}\n"
