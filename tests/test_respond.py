"""What is answered: Echo, and Chat against servers on this machine that answer, stall, lie and die."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import speechkit as sk
from speechkit.respond import NO_WORDS, Chat, Echo, pieces

Script = Callable[["Server", Callable[[str], None]], None]


class Server(ThreadingHTTPServer):
    """Speaks OpenAI's chat protocol as a script tells it; remembers what it was asked."""

    daemon_threads = True

    def __init__(self, script: Script, status: int = 200) -> None:
        self.script, self.status = script, status
        self.asked: list[dict[str, Any]] = []
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(json.loads(body))
        self.send_response(self.server.status)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()

        def send(line: str) -> None:
            self.wfile.write(line.encode())
            self.wfile.flush()

        with contextlib.suppress(OSError):  # the client has gone
            self.server.script(self.server, send)

    def log_message(self, *_: object) -> None:
        pass


def event(content: Any) -> str:
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choices = [{"index": 0, "delta": {"content": content}, "finish_reason": None}]
    return f"data: {json.dumps({**chunk, 'choices': choices})}\n\n"


def says(*words: str) -> Script:
    def script(server: Server, send: Callable[[str], None]) -> None:
        for word in words:
            send(event(word))
        send("data: [DONE]\n\n")

    return script


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def one(script: Script, **how: Any) -> Server:
        servers.append(Server(script, **how))
        return servers[-1]

    yield one
    for server in servers:
        server.closing.set()
        server.shutdown()
        server.server_close()


def ask(server: Server, **how: Any) -> tuple[Chat, str]:
    chat = Chat(server.url, **{"timeout_s": 1.0, **how})
    return chat, "".join(chat("Who are you?", None))


def test_echo_says_back_what_it_heard() -> None:
    assert Echo()("hello", "Ada") == "Ada, you said: hello"
    assert Echo()("hello", None) == "You said: hello"
    assert Echo()(" ", None) == NO_WORDS
    assert list(pieces("ab")) == ["ab"]
    assert list(pieces(iter("ab"))) == ["a", "b"]


def test_the_answer_comes_in_pieces_and_is_remembered(serve) -> None:  # type: ignore[no-untyped-def]
    server = serve(says("I am", " a ", "machine."))
    chat = Chat(server.url, model="small", system="Be brief.", history=2)
    assert list(chat("Who are you?", "Ada")) == ["I am", " a ", "machine."]
    assert list(chat("Really?", None))
    first, second = server.asked
    assert first["model"] == "small"
    assert first["stream"] is True
    assert first["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Ada says: Who are you?"},
    ]
    assert second["messages"][1:] == [
        {"role": "user", "content": "Ada says: Who are you?"},
        {"role": "assistant", "content": "I am a machine."},
        {"role": "user", "content": "Really?"},
    ]
    assert len(chat.history) == 2


def test_a_question_is_not_parted_from_its_answer(serve) -> None:  # type: ignore[no-untyped-def]
    server = serve(says("Yes."))
    chat = Chat(server.url, history=3)
    for question in ("One?", "Two?"):
        list(chat(question, None))
    assert [message["content"] for message in chat.history] == ["Two?", "Yes."]


def test_two_conversations_know_nothing_of_each_other(serve) -> None:  # type: ignore[no-untyped-def]
    server = serve(says("Yes."))
    ask(server)
    ask(server)
    assert len(server.asked[1]["messages"]) == 2


def test_the_first_piece_comes_before_the_last_is_made(serve) -> None:  # type: ignore[no-untyped-def]
    def script(server: Server, send: Callable[[str], None]) -> None:
        send(event("One."))
        server.closing.wait(5)

    answer = iter(Chat(serve(script).url)("Count.", None))
    start = time.perf_counter()
    assert next(answer) == "One."
    assert time.perf_counter() - start < 3
    answer.close()  # type: ignore[attr-defined]


def test_no_words_are_not_sent(serve) -> None:  # type: ignore[no-untyped-def]
    server = serve(says("Yes."))
    assert list(Chat(server.url)("  ", None)) == [NO_WORDS]
    assert server.asked == []


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    chat = Chat(url, timeout_s=1)
    assert list(chat("Hello?", None)) == [Chat.GONE]
    assert chat.history == []


def _stall(server: Server, send: Callable[[str], None]) -> None:
    server.closing.wait(20)


def _drip(server: Server, send: Callable[[str], None]) -> None:
    while not server.closing.wait(0.1):
        send(": still here\n\n")


def _garbage(server: Server, send: Callable[[str], None]) -> None:
    send("data: {this is no JSON\n\n")


def _web_page(server: Server, send: Callable[[str], None]) -> None:
    send("<html><body>It works!</body></html>")


def _wrong_types(server: Server, send: Callable[[str], None]) -> None:
    send('data: {"choices": 7}\n\n')


def _nothing(server: Server, send: Callable[[str], None]) -> None:
    send("data: [DONE]\n\n")


def _fault(server: Server, send: Callable[[str], None]) -> None:
    send('data: {"error": {"message": "out of memory"}}\n\n')


@pytest.mark.parametrize(
    "script", [_stall, _drip, _garbage, _web_page, _wrong_types, _nothing, _fault]
)
def test_a_server_that_gives_no_answer_is_apologised_for(serve, script: Script, caplog) -> None:  # type: ignore[no-untyped-def]
    before = set(threading.enumerate())
    start = time.perf_counter()
    chat, answer = ask(serve(script))
    assert answer == Chat.GONE
    assert time.perf_counter() - start < 4
    assert chat.history == []
    assert "no answer from http://127.0.0.1" in caplog.text
    left = [t for t in set(threading.enumerate()) - before if t.name == "speechkit-chat"]
    for thread in left:
        thread.join(3)
    assert not any(thread.is_alive() for thread in left)


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_a_server_that_refuses_is_apologised_for(serve, status: int) -> None:  # type: ignore[no-untyped-def]
    server = serve(lambda _, send: send('{"error": "no"}'), status=status)
    assert ask(server)[1] == Chat.GONE
    assert len(server.asked) == 1


def test_an_answer_that_breaks_off_is_kept_as_far_as_it_was_heard(serve) -> None:  # type: ignore[no-untyped-def]
    def script(server: Server, send: Callable[[str], None]) -> None:
        send(event("The answer is"))
        send("data: {broken\n\n")

    chat, answer = ask(serve(script))
    assert answer == "The answer is" + Chat.LOST
    assert chat.history[-1]["content"] == "The answer is"


def test_a_model_that_does_not_stop_is_stopped(serve) -> None:  # type: ignore[no-untyped-def]
    def script(server: Server, send: Callable[[str], None]) -> None:
        while not server.closing.is_set():
            send(event("la "))

    assert ask(serve(script), max_tokens=50)[1] == "la " * 50


def test_an_interrupted_answer_is_remembered_so_far(serve) -> None:  # type: ignore[no-untyped-def]
    chat = Chat(serve(says("One. ", "Two. ", "Three.")).url)
    answer = iter(chat("Count.", None))
    assert next(answer) == "One. "
    answer.close()  # type: ignore[attr-defined]
    assert chat.history[-1] == {"role": "assistant", "content": "One. "}


def test_a_reply_that_nobody_wants_ends_at_once(serve) -> None:  # type: ignore[no-untyped-def]
    def script(server: Server, send: Callable[[str], None]) -> None:
        send(event("One. "))
        server.closing.wait(20)

    chat = Chat(serve(script).url, timeout_s=10)
    reply = chat("Count.", None)
    heard = iter(reply)
    next(heard)
    start = time.perf_counter()
    threading.Timer(0.2, reply.stop, [""]).start()  # type: ignore[attr-defined]
    assert list(heard) == []
    assert time.perf_counter() - start < 5
    assert chat.history == []


@pytest.mark.parametrize("heard", ["One.", ""])
def test_only_what_was_heard_is_remembered(serve, heard: str) -> None:  # type: ignore[no-untyped-def]
    chat = Chat(serve(says("One. ", "Two.")).url)
    assert list(chat("First.", None))
    reply = chat("Count.", None)
    assert list(reply)
    reply.stop(heard)  # type: ignore[attr-defined]
    said = [message["content"] for message in chat.history]
    assert said == ["First.", "One. Two.", *(["Count.", heard] if heard else [])]


def test_no_other_server_is_asked(serve) -> None:  # type: ignore[no-untyped-def]
    other = serve(says("I know what you said."))

    class Elsewhere(_Handler):
        def do_POST(self) -> None:
            self.send_response(307)
            self.send_header("Location", f"{other.url}/chat/completions")
            self.end_headers()

    server = serve(says())
    server.RequestHandlerClass = Elsewhere
    assert ask(server)[1] == Chat.GONE
    assert other.asked == []


@pytest.mark.parametrize(
    "how", [{"url": "localhost:80"}, {"timeout_s": 0}, {"max_tokens": 0}, {"history": -1}]
)
def test_wrong_settings_are_refused(how: dict[str, Any]) -> None:
    with pytest.raises(sk.InputError):
        Chat(**how)
