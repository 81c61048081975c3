"""The suites that come with Fedloom. Importing it registers them."""

from fedloom.evaluation.suite import suites
from fedloom.evaluation.suites import (
    advbench,
    alpaca_eval,
    code_text,
    ds1000,
    evals_sets,
    finance,
    harness,
    hhh,
    humaneval_pack,
    mt_bench,
    questions,
    ref_gpt4,
    vicuna,
)

__all__ = [
    "advbench",
    "alpaca_eval",
    "code_text",
    "ds1000",
    "evals_sets",
    "finance",
    "harness",
    "hhh",
    "humaneval_pack",
    "mt_bench",
    "questions",
    "ref_gpt4",
    "suites",
    "vicuna",
]
