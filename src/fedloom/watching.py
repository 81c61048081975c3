"""Whoever watches a run: the user's own observer, and the recipe's loggers beside it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from fedloom.federation.observer import Observer, Plan
from fedloom.recipe import Recipe
from fedloom.report.loggers import MetricLogger, loggers


class Watchers(Observer):
    """Passes everything on to the user's observer, and measures to the recipe's loggers. A context manager: it closes the loggers."""

    def __init__(self, observer: Observer, recipe: Recipe, folder: Path) -> None:
        self._observer, self._recipe, self._folder = observer, recipe, folder
        self._loggers: list[MetricLogger] = []
        self._closing = ExitStack()

    def __enter__(self) -> Watchers:
        with ExitStack() as closing:
            for name in self._recipe.loggers:
                logger = loggers.get(name)(self._folder, self._recipe.name, self._recipe.plain())
                closing.callback(logger.close)
                self._loggers.append(logger)
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def plan(self, plan: Plan) -> None:
        self._observer.plan(plan)

    def stage(self, name: str, total: int) -> None:
        self._observer.stage(name, total)

    def client_done(self, stage: str, client: str, failure: str | None) -> None:
        self._observer.client_done(stage, client, failure)

    def client_progress(self, client: str, done: int, total: int, pace: str) -> None:
        self._observer.client_progress(client, done, total, pace)

    def metric(self, round_number: int | None, client: str | None, name: str, value: float) -> None:
        self._observer.metric(round_number, client, name, value)
        for logger in list(self._loggers):
            try:
                logger.log({"round": round_number, "client": client, "name": name, "value": value})
            except Exception as error:  # noqa: BLE001 - a tracker that is away must not end a run of hours; its measures are in metrics.jsonl
                self._loggers.remove(logger)
                self.note(f"the logger {type(logger).__name__} failed and is left out from here on: {type(error).__name__}")

    def note(self, text: str) -> None:
        self._observer.note(text)
