"""A model behind an OpenAI-compatible server (vLLM, llama.cpp, a provider): one chat request, tried again when the server is busy."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

from fedloom.errors import ModelError, RecipeError

TRIES = 4
TIMEOUT = 120.0
BUSY = (408, 409, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Endpoint:
    """`url` ends before /chat/completions, such as http://127.0.0.1:8000/v1. The key is in the variable `key_variable`, if it needs one."""

    url: str
    model: str
    key_variable: str = "OPENAI_API_KEY"

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise RecipeError(f"endpoint: should be a URL such as http://127.0.0.1:8000/v1, got '{self.url}'")

    def chat(self, turns: Sequence[dict[str, str]], max_tokens: int, temperature: float = 0.0) -> str:
        """The answer to `turns`. Raises ModelError, without the text that was sent, when there is none."""
        body = {"model": self.model, "messages": list(turns), "max_tokens": max_tokens, "temperature": temperature}
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.key_variable):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(f"{self.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers)
        for attempt in range(1, TRIES + 1):
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                    return str(json.load(response)["choices"][0]["message"]["content"] or "")
            except urllib.error.HTTPError as error:
                reason, busy = f"HTTP {error.code}", error.code in BUSY
            except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                reason, busy = str(getattr(error, "reason", error)), True
            except (KeyError, IndexError, TypeError, ValueError):
                raise ModelError(f"{self.url}: gave no chat completion; check that it is an OpenAI-compatible server") from None
            if not busy or attempt == TRIES:
                break
            time.sleep(2.0**attempt)
        raise ModelError(f"{self.url}: cannot be asked ({reason}); check the address, the model's name and ${self.key_variable}")
