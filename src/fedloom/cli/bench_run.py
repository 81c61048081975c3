"""The command `fedloom bench run`: the methods of FedLLM-Bench side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedloom.cli.bench import bench_app
from fedloom.cli.parts import AsJson, Overrides, RecipeArgument, TrustPlugins

ALL = "local,fedavg,fedprox,scaffold,fedavgm,fedadagrad,fedyogi,fedadam"


@bench_app.command("run")
def bench_run(
    recipe: RecipeArgument,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the study; the same command again goes on in it.")],
    overrides: Overrides = None,
    methods: Annotated[str, typer.Option("--methods", help="Algorithms with commas between; local: each client alone.")] = ALL,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds with commas between.")] = "1,2,3",
    as_json: AsJson = False,
    trusted: TrustPlugins = False,
) -> None:
    """Run methods and seeds on a federation of FedLLM-Bench, and write methods x measures: a table, LaTeX, CSV and a picture.

    RECIPE is one of fed_aya, fed_chatbot_it, fed_wildchat, fed_chatbot_pa, their _small siblings, or your own. A setting that only some of
    the methods have, such as algorithm.beta1=0.9, holds for those; the presets have the published 0.5.
    Suites that the recipe names in evaluate.suites stand in the tables, too.

    Example: `fedloom bench run fed_aya_small --methods local,fedavg,scaffold --seeds 1,2 --out runs/aya`
    """
    from fedloom.cli.sweeps import run_and_tell
    from fedloom.errors import RecipeError
    from fedloom.studies.methods import plan_methods

    numbers = [seed.strip() for seed in seeds.split(",")]
    if not all(seed.isdigit() for seed in numbers):
        raise RecipeError(f"--seeds: should be whole numbers with commas between, such as 1,2,3; got {seeds}")
    named = [method.strip() for method in methods.split(",") if method.strip()]
    run_and_tell(plan_methods(recipe, named, list(map(int, numbers)), overrides or [], out_folder), as_json)
