"""The suites that come with Fedloom. Importing it registers them."""

from fedloom.evaluation.suite import suites
from fedloom.evaluation.suites import evals_sets, harness, questions

__all__ = ["evals_sets", "harness", "questions", "suites"]
