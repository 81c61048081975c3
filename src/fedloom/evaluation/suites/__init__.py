"""The suites that come with Fedloom. Importing it registers them."""

from fedloom.evaluation.suite import suites
from fedloom.evaluation.suites import questions

__all__ = ["questions", "suites"]
