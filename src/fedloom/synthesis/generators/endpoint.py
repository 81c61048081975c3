"""The generator `endpoint`: a model behind an OpenAI-compatible server. It reads public text, and private text on this machine alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from fedloom.errors import ModelError, RunStoppedError
from fedloom.models.endpoint import Endpoint, TextRefusedError
from fedloom.synthesis.generator import (
    LEAVING,
    BudgetSpentError,
    Generator,
    MaxNewTokens,
    Prompt,
    Reply,
    Seed,
    Temperature,
    generators,
    refuse_leaving,
)


@generators.register("endpoint")
@dataclass(frozen=True)
class EndpointGenerator(Generator):
    """A model behind an OpenAI-compatible server.

    PRIVATE text is refused by its type, unless the server is on this machine's loopback and `private_on_loopback` says that it may be sent
    there. A server that is busy, down or says something else is asked again, then the run stops and can be resumed. A prompt that it does
    not take, such as one that is too long, gets an empty reply, unless it takes none at all.
    """

    url: Annotated[str, Field(description="address up to /v1, such as http://127.0.0.1:8000/v1")] = field(kw_only=True)
    model: Annotated[str, Field(description="name of the model at the server")] = field(kw_only=True)
    key_variable: Annotated[str, Field(description="environment variable that holds the server's key")] = "OPENAI_API_KEY"
    private_on_loopback: Annotated[
        bool, Field(description="whether private text may go to a server on this machine's loopback address")
    ] = False
    at_once: Annotated[int, Field(ge=1, le=256, description="requests under way at the same time")] = 4
    timeout: Annotated[float, Field(gt=0, description="seconds that a reply may take")] = 120.0
    max_new_tokens: MaxNewTokens = 256
    temperature: Temperature = 0.0
    seed: Seed = 0

    def __post_init__(self) -> None:
        _ = self._server

    def identity(self) -> Mapping[str, Any]:
        left_out = ("key_variable", "private_on_loopback", "at_once", "timeout")
        return {"kind": "endpoint"} | {name: value for name, value in vars(self).items() if name not in left_out}

    def allow(self, prompt: Prompt) -> None:
        if prompt.provenance in LEAVING or (self.private_on_loopback and self._server.is_loopback):
            return
        refuse_leaving(prompt, f"{self.url} (a server on this machine may get it: generator.private_on_loopback)")

    def replies(
        self, prompts: Sequence[Prompt], stop: Sequence[str], known: Collection[int], lent: dict[str, Any]
    ) -> Iterator[tuple[int, Reply]]:
        """See `Generator.replies`. When a request fails or the budget is spent, no other is begun, and those under way, which are paid for,
        are taken in."""
        left = deque(place for place in range(len(prompts)) if place not in known)
        takes_prompts, refused, stopped = bool(known), dict[int, TextRefusedError](), None
        for place, request in _as_they_come(lambda place: self._reply(prompts[place], stop), left, self.at_once):
            try:
                yield place, request.result()
                takes_prompts = True
            except TextRefusedError as error:
                refused[place] = error
            except (ModelError, BudgetSpentError) as error:
                stopped = stopped or error
                left.clear()
        if refused and not takes_prompts:  # then it is the request that is wrong, and no single text
            stopped = stopped or next(iter(refused.values()))
        if isinstance(stopped, ModelError):
            raise RunStoppedError(
                f"generator: {stopped}; mend it, in the run's recipe.yaml if it stands there, and resume; what was written is kept"
            ) from None
        if stopped is None:
            yield from ((place, Reply("", 0, 0, ended=True)) for place in refused)

    @property
    def _server(self) -> Endpoint:
        return Endpoint(self.url, self.model, self.key_variable)

    def _reply(self, prompt: Prompt, stop: Sequence[str]) -> Reply:
        """The server begins the reply by itself: what it was to begin with is put before what it says unless it says so."""
        self.allow(prompt)
        turns = [{"role": turn.role, "content": turn.content} for turn in prompt.turns]
        said = self._server.ask(turns, self.max_new_tokens, self.temperature, self.seed + prompt.draw, stop, self.timeout)
        text = said.text.lstrip()
        begun = "" if text.startswith(prompt.begun) else f"{prompt.begun} "
        return Reply(begun + text, said.tokens, said.prompt_tokens, said.ended)


def _as_they_come(ask: Callable[[int], Reply], left: deque[int], at_once: int) -> Iterator[tuple[int, Future[Reply]]]:
    """(place, request) of each place that is `left`, as soon as it is answered. Whoever empties `left` ends it with those under way."""
    with ThreadPoolExecutor(at_once) as pool:
        under_way: dict[Future[Reply], int] = {}
        while left or under_way:
            while left and len(under_way) < at_once:
                place = left.popleft()
                under_way[pool.submit(ask, place)] = place
            for request in wait(under_way, return_when=FIRST_COMPLETED).done:
                yield under_way.pop(request), request
