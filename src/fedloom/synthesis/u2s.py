"""FedIT-U2S (Ye et al. 2024, arXiv 2409.07136): unstructured text becomes instruction data on the client, once, before training.

For each piece d of a client's documents a model that runs there is asked: the instruction, k examples (document, question, answer), d. Its
reply is parsed and filtered, and what is kept is trained on. With `examples: retrieved` the examples are those of the server's public pool
whose documents are nearest to d.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from fedloom.data.pieces import SHA256, pieces_of
from fedloom.data.records import Conversation, Document, Provenance, Record, Turn
from fedloom.errors import DataError, RecipeError, RunStoppedError
from fedloom.hooks import PrepareContext, Prepared, PrepareStep, ServerSide, prepare_steps
from fedloom.measures import Measure, counted
from fedloom.models.encoders import Encoder, TextEncoder
from fedloom.registry import PLACE, SERVER_PLACE, parts_of
from fedloom.synthesis.embedding import require_embedder
from fedloom.synthesis.examples import Choice, Chosen, choose, load_pool
from fedloom.synthesis.filters import DEFAULT, PairFilter, filtered, pair_filters, supported
from fedloom.synthesis.generator import Generator, generators, writer_of
from fedloom.synthesis.prompting import Pair, PairPrompt, load_prompt
from fedloom.synthesis.words import content_words, count_words
from fedloom.synthesis.writing import Budget, Written, write
from fedloom.tasks import SFT, tasks

BINS = 10
"""Bins of the histogram of cosines, from 0 to 1."""
SHOWN = 10
"""Pairs from PUBLIC documents that a report shows."""
OVER_BUDGET = "over_budget"
UNREADABLE = ("unparsed", "cut_short")


MEASURES = (
    counted("documents", "documents"),
    counted("pieces", "pieces"),
    counted("replies", "replies"),
    counted("parsed", "replies that could be read"),
    counted("kept", "pairs kept"),
    counted("answer_words", "content words of their answers"),
    counted("grounded_words", "of them words of the passage"),
    counted("known", "replies written before"),
    counted("tokens", "tokens written"),
    counted("prompt_tokens", "tokens of prompts read"),
    Measure("seconds", "seconds of writing", "s", "neither"),
    counted("zero_shot", "pieces without an example above the floor"),
    counted("examples_known", "examples whose domain is known, as the piece's"),
    counted("examples_right", "of them examples of the piece's domain"),
    *(
        counted(f"cosine/{number / BINS:.1f}", f"pieces whose nearest example has a cosine from {number / BINS:.1f}")
        for number in range(BINS)
    ),
)


@prepare_steps.register("u2s")
@dataclass(frozen=True)
class U2S(PrepareStep):
    """Writes a question and its answer from every piece of a client's documents, and keeps the pairs that no filter speaks against."""

    measures: ClassVar[tuple[Measure, ...]] = MEASURES

    examples: Annotated[
        Choice,
        Field(description="examples before a piece: retrieved (the nearest of the pool), random, fixed (the first of the pool), none"),
    ] = "retrieved"
    shots: Annotated[int, Field(ge=1, le=32, description="examples before a piece")] = 3
    pool: Annotated[
        str,
        Field(
            json_schema_extra=SERVER_PLACE,
            description="public examples that the server sends: general, or a file with the columns"
            " document, question, answer and, if known, domain",
        ),
    ] = "general"
    embedder: Annotated[
        str,
        Field(
            json_schema_extra=PLACE,
            description="what makes vectors of texts: words, all-minilm-l6-v2 (a package of 83 MB), or a model of sentence-transformers",
        ),
    ] = "all-minilm-l6-v2"
    floor: Annotated[float, Field(ge=-1, le=1, description="cosine below which a retrieved example is not shown")] = 0.2
    domain: Annotated[str, Field(description="field of the documents that is compared with the examples' domain, for the report")] = (
        "domain"
    )
    prompt: Annotated[str, Field(json_schema_extra=PLACE, description="pairs, or a file of your own in its form")] = "pairs"
    piece_tokens: Annotated[int, Field(ge=16, description="longest piece of a document, in tokens of the model that is trained")] = 256
    overlap: Annotated[int, Field(ge=0, description="tokens of whole sentences that a piece repeats of the one before")] = 0
    shortest_piece: Annotated[int, Field(ge=1, description="words below which a piece is left out")] = 15
    pieces: Annotated[int | None, Field(ge=1, description="pieces that a client writes from at the most, drawn by the seed; null: all")] = (
        None
    )
    pairs: Annotated[int | None, Field(ge=1, description="pairs that a client trains on at the most, the first ones; null: all")] = None
    generator: Annotated[
        dict[str, Any], Field(json_schema_extra=parts_of(generators), description="the writer: transformers, vllm, endpoint, scripted")
    ] = field(default_factory=lambda: {"kind": "transformers"})
    filters: Annotated[
        list[dict[str, Any]], Field(json_schema_extra=parts_of(pair_filters), description="what pairs have to pass, in this order")
    ] = field(default_factory=lambda: [dict(one) for one in DEFAULT])
    weight: Annotated[
        Literal["pairs", "documents"], Field(description="what a client counts for in averages: pairs kept, or documents")
    ] = "pairs"
    token_budget: Annotated[int | None, Field(ge=1, description="tokens that a client writes at the most; null: no bound")] = None
    seconds_budget: Annotated[float | None, Field(gt=0, description="seconds that a client writes at the most; null: no bound")] = None

    def __post_init__(self) -> None:
        if self.overlap >= self.piece_tokens // 2:
            raise RecipeError(f"prepare: u2s: overlap {self.overlap} should be less than half of piece_tokens ({self.piece_tokens})")
        _ = self._generator, self._filters

    def check(self, server: ServerSide) -> None:
        if not isinstance(server.bench.encoder, TextEncoder):
            raise RecipeError(f"prepare: u2s writes conversations, which {server.recipe.task.kind} does not train on; choose another task")
        if not issubclass(tasks.get(server.recipe.task.kind), SFT):
            raise RecipeError(
                f"task.kind: u2s writes questions with one answer each, and {server.recipe.task.kind} needs more than that; write sft"
            )
        load_prompt(self.prompt)
        if self.examples != "none":
            self.sends()
        if self.examples == "retrieved":
            require_embedder(self.embedder)
        self._generator.check()
        for one in self._filters:
            one.check()

    def sends(self) -> Sequence[Conversation]:
        """The pool, or what of it the clients can need."""
        if self.examples == "none":
            return ()
        pool = load_pool(self.pool)
        return pool[: self.shots] if self.examples == "fixed" else pool

    def described(self) -> Mapping[str, Any]:
        prompt = load_prompt(self.prompt)
        return {
            "kind": "u2s",
            "prompt": {"name": prompt.file.name, "version": prompt.file.version, "sha256": prompt.sha256},
            "generator": dict(self._generator.identity()),
            "filters": [one["kind"] for one in self.filters],
        }

    def preview(self, records: Sequence[Record], encoder: Encoder) -> Mapping[str, int]:
        assert isinstance(encoder, TextEncoder)
        cut = _pieces(records, encoder.tokenizer, self.piece_tokens, self.overlap)
        lengths = encoder.tokenizer([piece.text for piece in cut], add_special_tokens=False, verbose=False)["input_ids"] if cut else []
        return {"pieces": len(cut), "tokens": sum(map(len, lengths))}

    def apply(self, context: PrepareContext) -> Prepared:
        """Pairs of the client's documents. Raises RunStoppedError, with the counts by reason, when no piece gives one."""
        encoder = context.bench.encoder
        assert isinstance(encoder, TextEncoder)
        prompt, counts = load_prompt(self.prompt), Counter[str]()
        cut = _pieces(context.records, encoder.tokenizer, self.piece_tokens, self.overlap)
        long = [piece for piece in cut if count_words(piece.text) >= self.shortest_piece]
        pieces = self._drawn(long, context)
        counts["too_short_piece"], counts["not_drawn"] = len(cut) - len(long), len(long) - len(pieces)
        chosen = choose(self.examples, context.sent, pieces, self.shots, self.floor, self.embedder, context.stream)
        asked = [prompt.prompt(piece, one.examples) for piece, one in zip(pieces, chosen, strict=True)]
        budget = Budget(self.token_budget, self.seconds_budget)
        written = write(self._generator, asked, prompt.file.stop, budget, context.bench.lent, context.progress)
        parsed = _parsed(prompt, pieces, chosen, written, counts)
        pairs, reasons = filtered(parsed, self._filters)
        counts += reasons
        if self.pairs is not None and len(pairs) > self.pairs:
            counts["over_limit"], pairs = len(pairs) - self.pairs, pairs[: self.pairs]
        if not pairs and not context.held_out:
            told = ", ".join(f"{reason} {count}" for reason, count in counts.most_common() if count)
            raise RunStoppedError(
                f"prepare: u2s: none of {len(cut)} pieces gave a pair ({told}); use a stronger writer or other filters, what was written"
                " is kept"
            )
        measured = self._measured(context.records, pieces, chosen, written, parsed) | {"kept": len(pairs)}
        rows = [(_row(pair), pair.piece) for pair in pairs]
        shown = [(row, piece) for row, piece in rows if piece.provenance is Provenance.PUBLIC][:SHOWN]
        weight = float(len(context.records)) if self.weight == "documents" else None
        return Prepared([row for row, _ in rows], {reason: count for reason, count in counts.items() if count}, measured, weight, shown)

    @property
    def _generator(self) -> Generator:
        return writer_of(self.generator, "prepare: u2s: generator.kind")

    @property
    def _filters(self) -> list[PairFilter]:
        return [pair_filters.get(kind)(**settings) for kind, settings in map(_kind_and_settings, self.filters)]

    def _drawn(self, pieces: list[Document], context: PrepareContext) -> list[Document]:
        if self.pieces is None or self.pieces >= len(pieces):
            return pieces
        return [pieces[i] for i in sorted(context.stream.permutation(len(pieces))[: self.pieces].tolist())]

    def _measured(
        self, documents: Sequence[Any], pieces: Sequence[Document], chosen: Sequence[Chosen], written: Written, parsed: Sequence[Pair]
    ) -> dict[str, float]:
        shown = [
            (piece.fields[self.domain], example.fields["domain"])
            for piece, one in zip(pieces, chosen, strict=True)
            for example in one.examples
            if self.domain in piece.fields and "domain" in example.fields
        ]
        cosines = [one.cosine for one in chosen if one.cosine is not None]
        bins = Counter(f"cosine/{min(int(max(cosine, 0.0) * BINS), BINS - 1) / BINS:.1f}" for cosine in cosines)
        return {
            "documents": len(documents),
            "pieces": len(pieces),
            "replies": sum(reply is not None for reply in written.replies),
            "parsed": len(parsed),
            "answer_words": sum(len(content_words(pair.answer)) for pair in parsed),
            "grounded_words": sum(len(supported(pair)) for pair in parsed),
            "known": written.known,
            "tokens": written.tokens,
            "prompt_tokens": written.prompt_tokens,
            "seconds": written.seconds,
            "zero_shot": sum(not one.examples for one in chosen) if self.examples == "retrieved" else 0,
            "examples_known": len(shown),
            "examples_right": sum(own == other for own, other in shown),
            **bins,
        }  # fmt: skip


def _kind_and_settings(part: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    settings = dict(part)
    return str(settings.pop("kind")), settings


def _pieces(records: Sequence[Record], tokenizer: Any, longest: int, overlap: int) -> list[Document]:
    found: list[Document] = []
    for record in records:
        if not isinstance(record, Document):
            raise DataError(f"prepare: u2s writes from documents, and these rows are {record.kind}s; name documents:FOLDER in data.source")
        found += pieces_of(record, tokenizer, longest, overlap)
    return found


def _parsed(prompt: PairPrompt, pieces: Sequence[Document], chosen: Sequence[Chosen], written: Written, counts: Counter[str]) -> list[Pair]:
    """The pairs of the replies that can be read; the others are counted by their reason."""
    pairs = []
    for piece, one, reply in zip(pieces, chosen, written.replies, strict=True):
        read = OVER_BUDGET if reply is None else prompt.read(reply)
        if isinstance(read, str):
            counts[read] += 1
        else:
            pairs.append(Pair(*read, piece, one.examples))
    return pairs


def _row(pair: Pair) -> Conversation:
    """A pair as a row to train on. What was written from a text that may not leave its client may not leave it either."""
    provenance = Provenance.SYNTHETIC if pair.piece.provenance is Provenance.PUBLIC else pair.piece.provenance
    kept = {name: value for name, value in pair.piece.fields.items() if name != SHA256}
    fields = {**kept, "written_from": pair.piece.fields[SHA256]}
    return Conversation((Turn("user", pair.question), Turn("assistant", pair.answer)), provenance, fields)
