"""The commands of FedLLM-Bench."""

from __future__ import annotations

import typer

bench_app = typer.Typer(help="FedLLM-Bench: federations of real users, measured.", no_args_is_help=True)
