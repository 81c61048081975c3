"""A model behind an OpenAI-compatible server (vLLM, llama.cpp, a provider): one chat request, tried again while the server is busy or down,
or answers with something else, such as the page of a gateway.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import json
import os
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from fedloom.errors import ModelError, RecipeError

OPENAI = "OPENAI_API_KEY"
ALLOWED = "FEDLOOM_KEY_VARIABLES"
"""The environment variable in which a user names the variables whose keys may be sent to the endpoints of recipes."""

TRIES = 4
TIMEOUT = 120.0
BUSY = (408, 409, 429, 500, 502, 503, 504)
REFUSED = (400, 413, 422)
LOCALHOST = "localhost"


class TextRefusedError(ModelError):
    """The server does not take this request, and would not the next time: its text is too long, or is objected to."""


@dataclass(frozen=True, repr=False)
class ChatReply:
    """An answer, the tokens that it and the request have as the server counts them (0: it does not say), and whether it came to its end."""

    text: str
    tokens: int
    prompt_tokens: int
    ended: bool


@dataclass(frozen=True)
class Endpoint:
    """`url` ends before /chat/completions, such as http://127.0.0.1:8000/v1. The key is in the variable `key_variable`, if it needs one.

    A recipe may come from someone else, and names both: so a key goes where its owner has allowed it alone. $OPENAI_API_KEY goes to
    api.openai.com; any other, and that one elsewhere, when $FEDLOOM_KEY_VARIABLES names it.
    """

    url: str
    model: str
    key_variable: str = "OPENAI_API_KEY"

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:  # of a port that is no number, or brackets that are not closed
            usable = False
        if not usable or not re.fullmatch(r"[!-~]+", self.url):
            raise RecipeError("endpoint: should be a URL such as http://127.0.0.1:8000/v1")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise RecipeError(
                "endpoint: should hold no password and no key (user:password@, ?key=...), which would stand in the run folder; put the key"
                " into an environment variable, and name that in key_variable"
            )
        if self.key_variable != OPENAI and self.key_variable not in _allowed():
            raise RecipeError(
                f"key_variable: you have not allowed {self.key_variable} to be sent; if it is meant, set {ALLOWED}={self.key_variable}"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether the URL names this machine's own loopback, by its address or as `localhost`. No other name is trusted, whatever it is
        looked up as: the next look-up may give another machine."""
        host = str(urlsplit(self.url).hostname)
        if host == LOCALHOST:
            return True
        try:
            return "%" not in host and ipaddress.ip_address(host).is_loopback  # urllib would read %5D, behind an address, as a bracket
        except ValueError:
            return False

    def chat(self, turns: Sequence[dict[str, str]], max_tokens: int, temperature: float = 0.0) -> str:
        """The text of `ask`."""
        return self.ask(turns, max_tokens, temperature).text

    def ask(
        self,
        turns: Sequence[dict[str, str]],
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        timeout: float = TIMEOUT,
    ) -> ChatReply:
        """The answer to `turns`, which may take `timeout` seconds from the request to its last byte.

        Raises ModelError, without the text that was sent, when there is none; TextRefusedError when others may have one.
        """
        body: dict[str, Any] = {"model": self.model, "messages": list(turns), "max_tokens": max_tokens, "temperature": temperature}
        body |= {"seed": seed} if seed is not None else {}
        body |= {"stop": list(stop)} if stop else {}
        headers = {"Content-Type": "application/json"}
        if key := self._key():
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(f"{self.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers)
        opener, kind = NO_PROXY if self.is_loopback else OPENER, ModelError
        for attempt in range(1, TRIES + 1):
            try:
                with opener.open(request, timeout=timeout) as response:
                    return _reply(json.load(response))
            except urllib.error.HTTPError as error:
                moved = " to another address, which keys do not follow; give that one" if 300 <= error.code < 400 else ""
                reason, busy = f"HTTP {error.code}{moved}", error.code in BUSY
                kind = TextRefusedError if error.code in REFUSED else ModelError
            except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                reason, busy = str(getattr(error, "reason", error)), True
            except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError, http.client.HTTPException):
                reason, busy = "it gave no chat completion; is it an OpenAI-compatible server?", True
            if not busy or attempt == TRIES:
                break
            time.sleep(2.0**attempt)
        raise kind(f"{self.url}: cannot be asked ({reason}); check the address, the model's name and ${self.key_variable}{self._unsent()}")

    def _key(self) -> str | None:
        """The key, where it may be sent to this address."""
        home = self.key_variable == OPENAI and self.url.startswith("https://api.openai.com/")
        return os.environ.get(self.key_variable) if home or self.key_variable in _allowed() else None

    def _unsent(self) -> str:
        held_back = self.key_variable in os.environ and self._key() is None
        return f" (it was not sent: {ALLOWED} does not name it)" if held_back else ""


def _reply(found: Any) -> ChatReply:
    choice, usage = found["choices"][0], found.get("usage") or {}
    ended = choice.get("finish_reason") != "length"
    tokens, prompt_tokens = (int(usage.get(name) or 0) for name in ("completion_tokens", "prompt_tokens"))
    text = str(choice["message"]["content"] or "").encode(errors="replace").decode()  # JSON may hold halves of a character, files may not
    return ChatReply(text, tokens, prompt_tokens, ended)


def _allowed() -> set[str]:
    return {name.strip() for name in os.environ.get(ALLOWED, "").split(",")} - {""}


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key and the texts to another host."""

    def redirect_request(self, *_: object) -> None:
        return None


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_connection, http.client.HTTPConnection), req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_connection, http.client.HTTPSConnection), req)


def _connection(kind: type[http.client.HTTPConnection], host: str, **how: Any) -> http.client.HTTPConnection:
    connection = kind(host, **how)
    connection.response_class = _TimelyResponse
    connection._create_connection = _connected  # type: ignore[attr-defined]
    return connection


def _connected(address: tuple[str, int], *how: Any) -> socket.socket:
    """A socket to `address`. `localhost` is not looked up: a name server could name another machine."""
    host, port = address
    if host.lower() != LOCALHOST:
        return socket.create_connection(address, *how)
    try:
        return socket.create_connection(("127.0.0.1", port), *how)
    except ConnectionRefusedError:
        return socket.create_connection(("::1", port), *how)


class _TimelyResponse(http.client.HTTPResponse):
    """A response that has to be there, to its last byte, within the socket's timeout, which by itself begins anew with every byte."""

    def __init__(self, sock: socket.socket, *how: Any, **more: Any) -> None:
        super().__init__(sock, *how, **more)
        self.fp: io.BufferedReader = io.BufferedReader(_Timely(sock, self.fp.detach()))


class _Timely(io.RawIOBase):
    """What comes from `sock` by `file` within the timeout of `sock`."""

    def __init__(self, sock: socket.socket, file: io.RawIOBase) -> None:
        self._sock, self._file, self._end = sock, file, monotonic() + (sock.gettimeout() or TIMEOUT)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._end - monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


OPENER = urllib.request.build_opener(_NoRedirects, _Http, _Https)
NO_PROXY = urllib.request.build_opener(_NoRedirects, _Http, _Https, urllib.request.ProxyHandler({}))
"""For this machine's loopback: a proxy would be another machine."""
