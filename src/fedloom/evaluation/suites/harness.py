"""The suites that lm-evaluation-harness has: a class for each entry of `harness.yaml`, and `harness` for any other task of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import yaml
from pydantic import Field

from fedloom.errors import MissingExtraError, RecipeError
from fedloom.evaluation.harness_data import sha256_of_place
from fedloom.evaluation.sandbox import check_sandbox
from fedloom.evaluation.suite import Scored, Suite, mean_of, suites
from fedloom.evaluation.talker import Progress, Talker
from fedloom.files import local_path
from fedloom.measures import SHARE, Measure
from fedloom.registry import PLACE

if TYPE_CHECKING:
    from fedloom.evaluation.harness_tasks import Order

TABLE = Path(__file__).with_name("harness.yaml")


@dataclass(frozen=True)
class OfHarness(Suite):
    """What the suites of the harness share: their settings, and how they are run."""

    name: ClassVar[str]
    entry: ClassVar[Mapping[str, Any]] = {}
    """What `harness.yaml` says of it."""

    data: Annotated[str | None, Field(json_schema_extra=PLACE, description="a local copy, file or folder; null: the hub's cache")] = None
    limit: Annotated[int | None, Field(ge=1, description="ask the first of them alone, of each subject; null: all")] = None
    shots: Annotated[int | None, Field(ge=0, description="examples before each question; null: as many as the harness")] = None
    chat: Annotated[bool | None, Field(description="ask in the model's template; null: where it has one")] = None
    _tasks: dict[bool, dict[str, Any]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def check(self) -> None:
        try:
            import lm_eval  # noqa: F401 - it is imported in seconds, by those who use it
        except ImportError:
            raise MissingExtraError("lm-eval", "evaluation", f"the suite {self.name}") from None
        self._built(chat=False)

    def described(self) -> Mapping[str, Any]:
        tasks = {name: str(task.VERSION) for built in self._tasks.values() for name, task in built.items()}
        return {"harness": version("lm_eval"), "tasks": tasks} | self._release()

    def score(self, talker: Talker, progress: Progress) -> Sequence[Scored]:
        from fedloom.evaluation.harness import scored

        has_template = talker.template != "chat" or bool(talker.tokenizer.chat_template)
        chat = has_template if self.chat is None else self.chat
        return [replace(row, values=self._named(row.values)) for row in scored(self._built(chat), talker, chat, self.limit, progress)]

    def order(self, chat: bool) -> Order:
        """What is wanted of the harness, for a model that is asked in conversations or in plain text."""
        from fedloom.evaluation.harness_tasks import FOLDER, Order

        tasks = self.entry.get("chat_tasks", self.entry["tasks"]) if chat else self.entry["tasks"]
        runs_code = getattr(self, "run_code", False)
        folder, columns, part = FOLDER / self.entry["folder"], self.entry["columns"], self.entry.get("part")
        return Order(self.name, tasks, folder, self.data, self.shots, columns, runs_code, part)

    def _built(self, chat: bool) -> dict[str, Any]:
        from fedloom.evaluation.harness_tasks import built

        if chat not in self._tasks:
            self._tasks[chat] = built(self.order(chat))
        return self._tasks[chat]

    def _named(self, values: Mapping[str, float]) -> dict[str, float]:
        """`values` under the names of the suite's measures."""
        keys = [(measure, key) for measure, one in self.entry["measures"].items() for key in one["keys"]]
        return {measure: values[key] for measure, key in keys if key in values}

    def _release(self) -> dict[str, str]:
        """The hash of the data, and which release it is where that is known."""
        if self.data is None:
            return {}
        sha256 = sha256_of_place(self.data)
        releases = self.entry.get("releases", {})
        return {"data_sha256": sha256} | ({"release": releases.get(sha256, "none that is known")} if releases else {})


@dataclass(frozen=True)
class RunsCode(OfHarness):
    """What the suites share that run what a model wrote."""

    run_code: Annotated[bool, Field(description="run the programs that the model wrote, in a sandbox")] = False

    def check(self) -> None:
        if not self.run_code:
            raise RecipeError(
                f"{self.name}.run_code: to run what a model wrote, in a sandbox, is off; allow it with {self.name}.run_code=true"
            )
        check_sandbox()
        super().check()


@suites.register("harness")
@dataclass(frozen=True)
class AnyTask(OfHarness):
    """Any other task, group or tag of lm-evaluation-harness, or of your own in its format, with its measures that are means of rows."""

    name = "harness"

    task: Annotated[str, Field(description="its name in the harness")] = field(kw_only=True)
    include_path: Annotated[str | None, Field(json_schema_extra=PLACE, description="folder of tasks of your own, in YAML")] = None
    _combined: list[bool] = field(default_factory=list, init=False, repr=False, compare=False)

    def check(self) -> None:
        super().check()
        if not self._means():
            raise RecipeError(f"harness.task: '{self.task}' has no measure that is a mean of rows, such as accuracy; choose another")

    def measures_of(self, rows: Sequence[Scored]) -> Sequence[Measure]:
        """METRIC,FILTER, or METRIC where the harness has no filter."""
        values: dict[str, list[float]] = {}
        for row in rows:
            for name, value in row.values.items():
                values.setdefault(name, []).append(value)
        return [self._measure(name, ones) for name, ones in values.items()]

    def _measure(self, name: str, values: Sequence[float]) -> Measure:
        unit = SHARE if min(values) >= 0 and max(values) <= 1 else ""
        return Measure(name, name, unit, "higher" if self._means()[name.partition(",")[0]] else "lower")

    def summary(self, rows: Sequence[Scored], counts: np.ndarray) -> Mapping[str, float]:
        """Means over rows, or of the tasks' means for a group of which the harness says so."""
        of_tasks = self._of_tasks()
        tasks = [row.row.rpartition("/")[0] if of_tasks else "" for row in rows]
        alone = [counts * np.array([task == one for one in tasks]) for task in dict.fromkeys(tasks)]
        names = dict.fromkeys(name for row in rows for name in row.values)
        found = {name: [mean_of(name, rows, part) for part in alone] for name in names}
        return {name: fmean(known) for name, means in found.items() if (known := [one for one in means if one is not None])}

    def _of_tasks(self) -> bool:
        from fedloom.evaluation.harness_tasks import means_of_tasks

        if not self._combined:
            self._combined.append(means_of_tasks(self.order(chat=False)))
        return self._combined[0]

    def order(self, chat: bool) -> Order:
        from fedloom.evaluation.harness_tasks import Order

        return Order(self.name, [self.task], local_path(self.include_path) if self.include_path else None, self.data, self.shots)

    def _named(self, values: Mapping[str, float]) -> dict[str, float]:
        means = self._means()
        return {key.removesuffix(",none"): value for key, value in values.items() if key.partition(",")[0] in means}

    def _means(self) -> dict[str, bool]:
        from fedloom.evaluation.harness_tasks import plain_means

        return plain_means({name: task for built in self._tasks.values() for name, task in built.items()})


def _of_table(name: str, entry: Mapping[str, Any]) -> type[OfHarness]:
    """The class of the suite `name`."""
    measures = tuple(Measure(measure, one["title"], SHARE, "higher") for measure, one in entry["measures"].items())
    described = {"__doc__": entry["what"], "__module__": __name__, "name": name, "entry": entry, "measures": measures}
    return type(name, (RunsCode if entry.get("runs_code") else OfHarness,), described)


for _name, _entry in yaml.safe_load(TABLE.read_text(encoding="utf-8")).items():
    suites.register(_name)(_of_table(_name, _entry))
