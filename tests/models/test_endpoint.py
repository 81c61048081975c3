"""Endpoints: what is asked, when it is asked again, and where private text and proxies come in."""

import socket
import threading
import time

import pytest

from fedloom.errors import ModelError
from fedloom.models.endpoint import TRIES, Endpoint, TextRefusedError


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


@pytest.mark.parametrize("at_once", [0, b"\r\n\r\n"], ids=["head", "body"])
def test_a_server_that_gives_byte_after_byte_is_late_and_asked_again(at_once, serve, monkeypatch):
    content = b'{"choices": [{"message": {"content": "late"}}]}'
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)
    begun = reply.index(at_once) + len(at_once) if at_once else 0
    server, asked, over = socket.create_server(("127.0.0.1", 0)), [], threading.Event()

    def drip(line):
        line.recv(1 << 16)
        line.sendall(reply[:begun])
        for byte in reply[begun:]:
            over.wait(0.1)
            try:
                line.sendall(bytes([byte]))
            except OSError:  # the asker has gone
                return
        asked.append("to its end")

    def answer():
        while not over.is_set():
            line, _ = server.accept()
            asked.append("begun")
            with line:
                drip(line)

    monkeypatch.setattr("fedloom.models.endpoint.TRIES", 2)
    threading.Thread(target=answer, daemon=True).start()
    begin = time.monotonic()
    with pytest.raises(ModelError, match=r"cannot be asked .*timed out"):
        Endpoint(f"http://127.0.0.1:{server.getsockname()[1]}/v1", "m").ask([{"role": "user", "content": "x"}], 8, timeout=0.3)
    over.set()
    server.close()
    assert time.monotonic() - begin < 4  # one alone would take 4.7 s and more
    assert asked[:2] == ["begun", "begun"]


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_text_that_the_server_does_not_take_is_told_from_a_server_that_cannot_be_asked(status, serve):
    server = serve(lambda _: status)
    with pytest.raises(TextRefusedError, match=f"HTTP {status}"):
        Endpoint(server.url, "m").chat([{"role": "user", "content": "x"}], 8)
    assert len(server.asked) == 1
    with pytest.raises(ModelError) as caught:
        Endpoint(serve(lambda _: 404).url, "m").chat([{"role": "user", "content": "x"}], 8)
    assert not isinstance(caught.value, TextRefusedError)


@pytest.mark.parametrize("name", ["localhost", "LocalHost"])
def test_localhost_is_asked_on_this_machine_whatever_a_name_server_says(name, serve, monkeypatch):
    server, known, looked_up = serve(lambda _: "here"), socket.getaddrinfo, []

    def rebound(host, *how, **more):
        looked_up.append(host)
        return known("192.0.2.1" if host.lower() == "localhost" else host, *how, **more)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    endpoint = Endpoint(server.url.replace("127.0.0.1", name), "m")
    assert endpoint.is_loopback
    assert looked_up == []
    assert endpoint.ask([{"role": "user", "content": "x"}], 8, timeout=5).text == "here"
    assert looked_up == ["127.0.0.1"]
    assert server.asked[0][1]["Host"] == f"{name}:{server.http.server_port}"


def test_localhost_is_asked_at_the_other_address_where_nobody_listens_at_the_first(monkeypatch):
    asked = []

    def connect(address, *_):
        asked.append(address)
        raise ConnectionRefusedError(f"{address[0]} refuses")

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr("fedloom.models.endpoint.TRIES", 1)
    with pytest.raises(ModelError, match="::1 refuses"):
        Endpoint("http://localhost:8000/v1", "m").chat([{"role": "user", "content": "x"}], 8)
    assert asked == [("127.0.0.1", 8000), ("::1", 8000)]


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
        ("http://this-machine.example/v1", False),
        ("http://localhost.example/v1", False),
        ("http://[::1%5D.example]/v1", False),
    ],
)
def test_loopback_is_known_by_its_addresses_and_no_look_up(url, loopback, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))])
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


def test_half_a_character_in_a_reply_becomes_a_question_mark(serve):
    server = serve(lambda _: "a\ud800b")
    assert Endpoint(server.url, "m").chat([{"role": "user", "content": "x"}], 8) == "a?b"
