"""Code in answers: where it stands, its tokens, and the program that a test runs."""

from __future__ import annotations

import re


def code_in(answer: str) -> str:
    """The first block between fences of three backticks, whatever stands behind the opening ones; to the end of the answer where it is not
    closed, and the whole answer where there is none."""
    lines = answer.replace("\r\n", "\n")
    fenced = re.search(r"```[^`\n]*\n(.*?)(?:^[ \t]*```|\Z)", lines, re.DOTALL | re.MULTILINE)
    return (fenced[1] if fenced else lines).strip("\n")


def code_tokens(code: str, split_case: bool = False) -> list[str]:
    """Words of A-Z, a-z, 0-9 and _, and every other sign alone; quotes of both kinds are one. `split_case`: fooBar is two words. Both as
    CoNaLa's evaluation has it (Ling et al. 2016)."""
    if split_case:
        code = re.sub(r"([a-z])([A-Z])", r"\1 \2", code)
    return re.findall(r"[A-Za-z0-9_]+|[^A-Za-z0-9_\s]", code.replace('"', "`").replace("'", "`"))


def with_function(answer: str, declaration: str, name: str) -> str:
    """The code of `answer` with the function `name` whole: what stands before that in `declaration`, imports and helpers, comes first,
    and an answer that is the body alone follows its head."""
    code = code_in(answer)
    head = re.search(rf"^def {re.escape(name)}\b", declaration, re.MULTILINE)
    if re.search(rf"^def {re.escape(name)}\b", code, re.MULTILINE):
        return f"{declaration[: head.start()] if head else ''}{code}\n"
    return f"{declaration.rstrip()}\n{code}\n"
