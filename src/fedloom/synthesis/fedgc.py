"""FedGC (Ye et al. 2023, arXiv 2312.05807): content that is generated at each client, once, before training, against heterogeneous data.

A budget is shared out over clients and their classes. Each client's generator makes that many rows, from a prompt or from a row of its own
that guides it, and they are trained on beside its own rows. Then any algorithm follows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from fedloom.data.generated_rows import MIX, Order
from fedloom.data.pixels import stacked
from fedloom.data.record_sequence import described, digests, kind_of_records
from fedloom.data.records import Conversation, Picture, Provenance, Record
from fedloom.errors import DataError, RecipeError, RefusedMessageError
from fedloom.hooks import PrepareContext, Prepared, PrepareStep, ServerSide, prepare_steps
from fedloom.measures import SHARE, Measure, counted
from fedloom.registry import PLACE, parts_of
from fedloom.synthesis import copies
from fedloom.synthesis.budgets import Budget, allocate
from fedloom.synthesis.content import Asked, Content, made_pictures, made_texts
from fedloom.synthesis.content_prompts import ContentPrompts, Prompts, load_prompts
from fedloom.synthesis.copies import Nearest
from fedloom.synthesis.generator import Generator, generators, picture_generator_of, writer_of
from fedloom.tasks import tasks
from fedloom.tasks.classify import Labels

WHERE = "prepare: fedgc"
CLASS = "class/"
"""What stands before the number of a label in counts."""

SHOWN = 2
"""Own and generated pictures of each class that a client shows, of PUBLIC rows."""

MEASURES = (
    counted("wanted", "rows to generate"),
    counted("generated", "rows generated"),
    counted("known", "of the wanted ones, made before"),
    Measure(
        "unusable",
        "wanted rows that the generator gave nothing usable for",
        SHARE,
        alert=0.5,
        note="the generator makes little that can be trained on; look at it with `fedloom prepare`",
    ),
    counted("guided", "of them guided by an own row"),
    counted("filled", "classes without an own row that got some"),
    Measure("seconds", "seconds of generation", "s", "neither"),
    Measure("near_copies", "guided rows nearer to their guide than the floor", SHARE),
    Measure(
        "guide_nearest",
        "guided rows whose nearest own row is their guide",
        SHARE,
        alert=0.2,
        note="many guided rows are variants of their guide; give pictures more strength, or write guidance: prompt",
    ),
    Measure("distance", "distance of a generated row to the nearest own one, median", "", "higher"),
    Measure("floor", "distance from its guide below which a row is a near copy", "", "neither"),
)


@prepare_steps.register("fedgc")
@dataclass(frozen=True)
class FedGC(PrepareStep):
    """Generates rows of the task's classes at each client, pictures or texts, and mixes them with its own."""

    exchanges: ClassVar[bool] = True
    measures: ClassVar[tuple[Measure, ...]] = MEASURES

    generator: Annotated[
        dict[str, Any],
        Field(
            json_schema_extra=parts_of(generators),
            description="what makes the rows; pictures: diffusion, diffusers, principal; texts: transformers, vllm, endpoint, scripted",
        ),
    ] = field(kw_only=True)
    total: Annotated[int, Field(ge=1, description="rows that all clients together generate")] = 1000
    budget: Annotated[
        Budget, Field(description="how the rows are shared over clients, and over the classes of a client, by what they have")
    ] = "equal"
    prompts: Annotated[
        Prompts, Field(description="single: one prompt for a class; multiple: style by scene; llm: scenes that `writer` writes")
    ] = "single"
    guidance: Annotated[
        Literal["prompt", "real", "mixed"],
        Field(description="prompt: no own row is looked at; real: own rows guide, in classes that it has; mixed: real, and prompt in"
        " the others"),
    ] = "mixed"  # fmt: skip
    strength: Annotated[
        float, Field(gt=0, le=1, description="of guided pictures: noise that the own one gets, from 0 (none) to 1 (nothing of it is left)")
    ] = 0.9
    near_copies: Annotated[
        float, Field(ge=0, le=1, description="share of guided rows that may be near copies of own rows; above, the step is refused")
    ] = 0.05
    order: Annotated[Order, Field(description="how generated and own rows follow one another in each round; mix: one shuffle")] = MIX
    train_on: Annotated[Literal["both", "generated"], Field(description="generated: own rows are left out of training")] = "both"
    weight: Annotated[Literal["private", "all"], Field(description="what a client counts for in averages: its own rows, or all")] = "all"
    prompt: Annotated[
        str | None, Field(json_schema_extra=PLACE, description="file of prompts, or photo or text; null: the one for the task's records")
    ] = None
    writer: Annotated[
        dict[str, Any] | None,
        Field(json_schema_extra=parts_of(generators), description="what writes the scenes with prompts llm; null, of texts: the generator"),
    ] = None
    system: Annotated[
        str | None, Field(description="of texts made from prompts alone: their system turn, as own rows have it; null: none")
    ] = None
    scenes: Annotated[int, Field(ge=1, le=100, description="scenes of each class with prompts llm")] = 12
    noise_on_counts: Annotated[
        float | None,
        Field(gt=0, description="under privacy of rows, with a budget other than equal: standard deviation of the noise on each count"),
    ] = None

    def __post_init__(self) -> None:
        if self.train_on == "generated" and (self.order != MIX or self.weight == "private"):
            raise RecipeError(f"{WHERE}: train_on generated leaves own rows out, so that order is mix and weight all; leave both out")
        if self.budget == "equal" and self.noise_on_counts is not None:
            raise RecipeError(f"{WHERE}: noise_on_counts belongs to the budgets that count rows, inverse and water_filling; leave it out")

    @property
    def row_by_row(self) -> bool:  # type: ignore[override]
        """Own rows stay as they are, and what is made from prompts alone is made of none."""
        return self.guidance == "prompt" and self.train_on == "both"

    @property
    def counts_rows(self) -> bool:
        return self.budget != "equal" or self.guidance == "real"

    def check(self, server: ServerSide) -> None:
        task = tasks.get(server.recipe.task.kind)
        if not issubclass(task, Labels):
            raise RecipeError(f"{WHERE} makes rows of classes, and {server.recipe.task.kind} does not classify; choose a task that does")
        if [step.kind for step in server.recipe.prepare].count("fedgc") > 1:
            raise RecipeError(f"{WHERE} is there twice, and the second would take what the first has made for own rows; leave one out")
        if self.total < len(server.clients):
            raise RecipeError(f"{WHERE}: total {self.total} is less than one row for each of {len(server.clients)} clients; raise it")
        if server.recipe.privacy and server.recipe.privacy.unit == "row" and self.order != MIX:
            raise RecipeError(f"{WHERE}: order {self.order} says which rows a step takes, and under privacy of rows chance does; write mix")
        self._prompts(task.record)
        if task.record == Picture.kind:
            self._check_pictures(server.recipe.task.settings["labels"])
        else:
            self._check_texts()

    def counts(self, context: PrepareContext) -> Mapping[str, float]:
        """The own rows of each class, by the number of its label; zeros where the budget needs none."""
        found = Counter(one.label for one in described(context.records)) if self.counts_rows else Counter[str]()
        return {f"{CLASS}{number}": found[label] for number, label in enumerate(context.labels)}

    def plan(self, counts: Mapping[str, Mapping[str, float]]) -> Mapping[str, Mapping[str, float]]:
        """The rows of each class that each client generates. Counts may have noise: they are made whole, and 0 at the least."""
        known = {client: {name: max(0, round(value)) for name, value in own.items()} for client, own in counts.items()}
        shares = allocate(self.budget, [sum(own.values()) for own in known.values()], self.total)
        return {client: self._of_classes(own, share) for (client, own), share in zip(known.items(), shares, strict=True)}

    def apply(self, context: PrepareContext) -> Prepared:
        """The client's rows and the generated ones behind them. Raises DataError where too many of these are near copies."""
        if context.held_out:
            return Prepared(context.records)
        records = list(context.records)
        asked = self._asked(context, records)
        content, nearest = self._pictures(context, records, asked) if _are_pictures(records) else self._texts(context, records, asked)
        measured = self._measured(context, asked, content, nearest)
        if nearest is not None:
            content = self._without_near_copies(context, content, nearest)
        kept = content.records if self.train_on == "generated" else [*records, *content.records]
        if not kept:
            told = ", ".join(f"{why} {count}" for why, count in content.left_out.items()) or "raise total, or change budget"
            raise DataError(f"{WHERE}: nothing is left to train on of {len(asked)} rows that were to be generated ({told})")
        return Prepared(
            kept,
            content.left_out,
            measured | {"generated": len(content.records)},
            float(len(records)) if self.weight == "private" else None,
            pictures=_shown(records, content.records, context.labels),
            generated=len(content.records),
            order=self.order,
        )

    @property
    def for_privacy(self) -> str:
        return "write guidance: prompt and train_on: both, and give a budget other than equal noise_on_counts"

    def described(self) -> Mapping[str, Any]:
        parts = {name: part for name, part in (("generator", self.generator), ("writer", self.writer)) if part}
        return {"kind": "fedgc", **{name: dict(_identity(part)) for name, part in parts.items()}}

    def _check_pictures(self, labels: Sequence[str]) -> None:
        generator = picture_generator_of(self.generator, f"{WHERE}: generator.kind")
        if self.prompts != "single" and not generator.reads_prompts:
            raise RecipeError(
                f"{WHERE}: prompts {self.prompts} says nothing to {self.generator['kind']}, which reads no words; write single"
            )
        if self.prompts == "llm" and self.writer is None:
            raise RecipeError(f"{WHERE}: writer: is required with prompts llm, such as {{kind: transformers, max_new_tokens: 256}}")
        generator.check(labels)
        if self.prompts == "llm":
            self._scene_writer().check()

    def _check_texts(self) -> None:
        writer = writer_of(self.generator, f"{WHERE}: generator.kind")
        if self.prompts == "single" and self.guidance != "real" and getattr(writer, "temperature", 1.0) == 0:
            raise RecipeError(f"{WHERE}: generator.temperature: is 0, with which all texts of a class would be the same one; write 1.0")
        writer.check()
        if self.prompts == "llm":
            self._scene_writer().check()

    def _scene_writer(self) -> Generator:
        return writer_of(self.writer or self.generator, f"{WHERE}: writer.kind")

    def _prompts(self, record: str) -> ContentPrompts:
        return load_prompts(self.prompt or ("photo" if record == Picture.kind else "text"))

    def _of_classes(self, own: Mapping[str, int], share: int) -> dict[str, float]:
        """The rows of each class that a client with `own` rows of each gets out of its `share`; guided by real ones, of what it has."""
        names = [name for name in own if self.guidance != "real" or own[name] > 0] or list(own)
        given = dict(zip(names, allocate(self.budget, [own[name] for name in names], share), strict=True))
        return {name: float(given.get(name, 0)) for name in own}

    def _asked(self, context: PrepareContext, records: Sequence[Record]) -> list[Asked]:
        """What is asked for, class after class: the prompt, and the own row that guides, each as often as any other, to within one."""
        prompts, wanted = self._prompts(kind_of_records(records)), self._wanted(context)
        scenes = {}
        if self.prompts == "llm":
            lacking = [label for label, count in wanted.items() if count]
            scenes = prompts.scenes(lacking, self.scenes, self._scene_writer(), context.bench.lent, context.progress)
        own = {} if self.guidance == "prompt" else _comparable(records)
        asked = []
        for label, count in wanted.items():
            texts = prompts.of_class(self.prompts, label, scenes.get(label, ()), count, context.stream)
            guides = context.stream.permutation(own.get(label, [])).astype(int).tolist()
            seeds = context.stream.integers(2**31, size=count).tolist()
            for i, (text, seed) in enumerate(zip(texts, seeds, strict=True)):
                asked.append(Asked(label, text, seed, guides[i % len(guides)] if guides else None))
        return asked

    def _wanted(self, context: PrepareContext) -> dict[str, int]:
        """label -> the rows of it that the server has told this client to generate."""
        told = [float(context.told.get(f"{CLASS}{number}", 0)) for number in range(len(context.labels))]
        if any(count < 0 or not count.is_integer() for count in told) or sum(told) > self.total:
            raise RefusedMessageError(f"{WHERE}: is asked for numbers of rows that are none, or for more than total {self.total} in all")
        wanted = dict(zip(context.labels, map(int, told), strict=True))
        if self.guidance == "real":
            known = {one.label for one in described(context.records)}
            return {label: count for label, count in wanted.items() if label in known}
        return wanted

    def _pictures(self, context: PrepareContext, records: Sequence[Any], asked: Sequence[Asked]) -> tuple[Content, Nearest | None]:
        generator = picture_generator_of(self.generator, f"{WHERE}: generator.kind")
        own = self._one_size(records)
        content = made_pictures(generator, asked, records, own.shape[1:], self.strength, context.bench.lent, context.progress)
        made = [record.pixels for record in content.records if isinstance(record, Picture)]

        def compare(places: Sequence[int], numbers: Sequence[int], guides: np.ndarray) -> Nearest:
            return copies.of_pictures(own[list(places)], np.stack([made[number] for number in numbers]), guides)

        return content, _compared(records, content, compare)

    def _texts(self, context: PrepareContext, records: Sequence[Any], asked: Sequence[Asked]) -> tuple[Content, Nearest | None]:
        writer = writer_of(self.generator, f"{WHERE}: generator.kind")
        content = made_texts(writer, asked, records, self._prompts(Conversation.kind), self.system, context.bench.lent, context.progress)
        own, made = ([one.prompt[-1].content for one in rows] for rows in (records, content.records))

        def compare(places: Sequence[int], numbers: Sequence[int], guides: np.ndarray) -> Nearest:
            return copies.of_texts([own[place] for place in places], [made[number] for number in numbers], guides)

        return content, _compared(records, content, compare)

    def _one_size(self, records: Sequence[Any]) -> np.ndarray:
        """The pixels of a client's pictures, uint8 (n, height, width, channels). With guidance prompt, no own one may decide whether the
        generated ones have colours."""
        if self.guidance == "prompt" and len({record.pixels.shape[2] for record in records}) > 1:
            raise DataError(
                f"{WHERE}: some of its pictures are grey and some coloured, which guidance prompt does not look at; make them alike"
            )
        try:
            return stacked(records)
        except DataError as error:
            raise DataError(f"{WHERE}: {error}") from None

    def _without_near_copies(self, context: PrepareContext, content: Content, nearest: Nearest) -> Content:
        """`content` without the guided rows that are near copies. Raises DataError where these are too many of them; under privacy nothing
        tells of that."""
        guided = content.guided
        near = nearest.near(guided)
        if not context.under_privacy and nearest.too_many(guided, self.near_copies):
            pictures = _are_pictures(content.records)
            mend = f"raise strength (it is {self.strength:g})" if pictures and self.strength < 1 else "write guidance: prompt"
            raise DataError(
                f"{WHERE}: {len(near) / len(guided):.0%} of the guided rows of client '{context.client}' are nearer to the own row that"
                f" guided them than own rows of their class are to one another (at most {self.near_copies:.0%} may be); {mend}"
            )
        return content.without(near.tolist(), "near_copy")

    def _measured(self, context: PrepareContext, asked: Sequence[Asked], content: Content, nearest: Nearest | None) -> dict[str, float]:
        known, guided = {one.label for one in described(context.records)}, content.guided
        found = {
            "wanted": len(asked),
            "known": content.known,
            "guided": len(guided),
            "unusable": 1 - len(content.records) / len(asked) if asked else 0.0,
            "filled": len({record.label for record in content.records} - known),
            "seconds": content.seconds,
        }
        if nearest is None:
            return found
        found |= {"distance": float(np.nanmedian(nearest.distance)), "floor": nearest.floor}
        if len(guided):
            guides = np.array([content.asked[i].guide for i in guided])
            found |= {
                "near_copies": len(nearest.near(guided)) / len(guided),
                "guide_nearest": float((nearest.own[guided] == guides).mean()),
            }
        return found


def _places(records: Sequence[Record]) -> dict[str, list[int]]:
    """class -> the places of its rows."""
    found: dict[str, list[int]] = {}
    for place, record in enumerate(described(records)):
        found.setdefault(record.label, []).append(place)
    return found


def _comparable(records: Sequence[Record]) -> dict[str, list[int]]:
    """class -> the places of its rows, of the classes with enough different ones to say what is near to one of them."""
    known = list(digests(records))
    return {label: places for label, places in _places(records).items() if len({known[i] for i in places}) >= copies.LEAST_OWN}


def _compared(
    records: Sequence[Record], content: Content, compare: Callable[[Sequence[int], Sequence[int], np.ndarray], Nearest]
) -> Nearest | None:
    return copies.of_classes(_comparable(records), _places(content.records), [one.guide for one in content.asked], compare)


def _are_pictures(records: Sequence[Record]) -> bool:
    return kind_of_records(records) == Picture.kind


def _identity(part: Mapping[str, Any]) -> Mapping[str, Any]:
    settings = dict(part)
    found: Mapping[str, Any] = generators.get(str(settings.pop("kind")))(**settings).identity()
    return found


def _shown(own: Sequence[Record], made: Sequence[Record], labels: Sequence[str]) -> list[Picture]:
    """A few own and generated pictures of each class, where all own ones are PUBLIC."""
    if not all(isinstance(one, Picture) and one.provenance is Provenance.PUBLIC for one in own):
        return []
    shown = []
    for label in labels:
        for records in (own, made):
            shown += [one for one in records if isinstance(one, Picture) and one.label == label][:SHOWN]
    return shown
