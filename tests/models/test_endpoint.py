"""Endpoints: what is asked, when it is asked again, and where private text and proxies come in."""

import socket
import threading

import pytest

from fedloom.errors import ModelError
from fedloom.models.endpoint import TRIES, Endpoint


def test_an_endpoint_is_asked_with_the_key_of_its_variable_and_tried_again_when_busy(serve, monkeypatch):
    monkeypatch.setenv("MY_KEY", "k1")
    monkeypatch.setenv("FEDLOOM_KEY_VARIABLES", "MY_KEY")
    server = serve(lambda turns: turns[-1]["content"].upper(), [503, 429])
    assert Endpoint(server.url, "judge", "MY_KEY").chat([{"role": "user", "content": "hello"}], 8) == "HELLO"
    path, headers, body = server.asked[-1]
    assert (path, headers["Authorization"], body["model"], len(server.asked)) == ("/v1/chat/completions", "Bearer k1", "judge", 3)


@pytest.mark.parametrize(
    ("statuses", "said"), [([401], "HTTP 401"), ([503] * 9, "HTTP 503"), (["<html>busy</html>"] * 9, "it gave no chat completion")]
)
def test_an_endpoint_that_does_not_answer_is_one_line_without_what_was_asked(serve, statuses, said):
    with pytest.raises(ModelError, match=said) as caught:
        Endpoint(serve(lambda _: "", statuses).url, "judge").chat([{"role": "user", "content": "SECRET"}], 8)
    assert "SECRET" not in str(caught.value)


def test_a_server_that_is_not_there_is_one_line(serve):
    with pytest.raises(ModelError, match=r"http://127\.0\.0\.1:9/v1: cannot be asked"):
        Endpoint("http://127.0.0.1:9/v1", "judge").chat([{"role": "user", "content": "x"}], 8)


def test_a_page_of_a_gateway_is_no_answer_and_asked_again(serve):
    server = serve(lambda _: "fine", ["<html>starting</html>", "[]", '{"choices": []}'])
    assert Endpoint(server.url, "m").chat([{"role": "user", "content": "x"}], 8) == "fine"
    assert len(server.asked) == 4


def test_a_reply_says_its_tokens_and_whether_it_came_to_its_end(serve):
    server = serve(lambda _: "cut", usage={"completion_tokens": 7, "prompt_tokens": 11}, finish="length")
    said = Endpoint(server.url, "m").ask([{"role": "user", "content": "x"}], 8, 0.5, seed=3, stop=["END"])
    assert (said.text, said.tokens, said.prompt_tokens, said.ended) == ("cut", 7, 11, False)
    body = server.asked[0][2]
    assert (body["seed"], body["stop"], body["temperature"], body["max_tokens"]) == (3, ["END"], 0.5, 8)


def test_a_slow_server_is_given_up(serve, monkeypatch):
    server = serve(lambda _: "late", seconds=0.5)
    monkeypatch.setattr("fedloom.models.endpoint.TRIES", 1)
    with pytest.raises(ModelError, match=r"cannot be asked .*timed out"):
        Endpoint(server.url, "m").ask([{"role": "user", "content": "x"}], 8, timeout=0.05)


def test_what_goes_to_loopback_goes_through_no_proxy(serve, monkeypatch):
    server, proxy = serve(lambda _: "direct"), serve(lambda _: "by the proxy")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
    assert Endpoint(server.url, "m").chat([{"role": "user", "content": "x"}], 8) == "direct"
    assert proxy.asked == []


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("http://127.1.2.3/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://localhost:8000/v1", True),
        ("http://192.0.2.1/v1", False),
        ("http://0.0.0.0:8000/v1", False),
        ("https://no-such-host.invalid/v1", False),
    ],
)
def test_loopback_is_known_by_its_addresses(url, loopback):
    assert Endpoint(url, "m").is_loopback is loopback


@pytest.mark.parametrize(
    "reply",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
        b"HTTP/1.1 200 " + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 200_000,
    ],
    ids=["no status", "short", "long status", "deep"],
)
def test_a_server_that_answers_nonsense_is_one_line(reply, serve):
    server = socket.create_server(("127.0.0.1", 0))

    def answer():
        for _ in range(TRIES):
            line, _ = server.accept()
            line.recv(1 << 16)
            line.sendall(reply)
            line.shutdown(socket.SHUT_WR)
            while line.recv(1 << 16):  # a request that is not read to its end would be answered by a reset
                pass
            line.close()

    threading.Thread(target=answer, daemon=True).start()
    with server, pytest.raises(ModelError, match=r"it gave no chat completion; is it an OpenAI-compatible server\?"):
        Endpoint(f"http://127.0.0.1:{server.getsockname()[1]}/v1", "judge").chat([{"role": "user", "content": "x"}], 8)
