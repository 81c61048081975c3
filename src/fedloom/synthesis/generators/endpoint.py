"""The generator `endpoint`: a model behind an OpenAI-compatible server. It reads public text, and private text on this machine alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from fedloom.errors import ModelError, RunStoppedError
from fedloom.models.endpoint import Endpoint
from fedloom.synthesis.generator import LEAVING, Generator, MaxNewTokens, Prompt, Reply, Seed, Temperature, generators, refuse_leaving


@generators.register("endpoint")
@dataclass(frozen=True)
class EndpointGenerator(Generator):
    """A model behind an OpenAI-compatible server.

    PRIVATE text is refused by its type, unless the server is on this machine's loopback and `private_on_loopback` says that it may be sent
    there. A server that is busy, down or says something else is asked again, then the run stops and can be resumed.
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
        with ThreadPoolExecutor(self.at_once) as pool:
            asked = {pool.submit(self._reply, prompts[place], stop): place for place in range(len(prompts)) if place not in known}
            try:
                for done in as_completed(asked):
                    yield asked[done], done.result()
            except ModelError as error:
                raise RunStoppedError(f"generator: {error}; mend it and resume, what was written is kept") from None
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    @property
    def _server(self) -> Endpoint:
        return Endpoint(self.url, self.model, self.key_variable)

    def _reply(self, prompt: Prompt, stop: Sequence[str]) -> Reply:
        """The server begins the reply by itself: what it was to begin with is put before what it says unless it says so."""
        self.allow(prompt)
        turns = [{"role": turn.role, "content": turn.content} for turn in prompt.turns]
        said = self._server.ask(turns, self.max_new_tokens, self.temperature, self.seed, stop, self.timeout)
        text = said.text.lstrip()
        begun = "" if text.startswith(prompt.begun) else f"{prompt.begun} "
        return Reply(begun + text, said.tokens, said.prompt_tokens, said.ended)
