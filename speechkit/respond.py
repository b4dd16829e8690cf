"""What to answer to what was heard: back what was said, from documents, or by a language model."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from speechkit.errors import InputError

log = logging.getLogger("speechkit")

NO_WORDS = "I heard no words. Please say it again."


class Responder(Protocol):
    """Anything that turns the words of a turn into a reply.

    One that has an attribute `speculative` that is true may be asked before it is certain that the
    turn has ended, and its answer thrown away: it must remember nothing.
    """

    def __call__(self, text: str, speaker: str | None) -> str | Iterable[str]:
        """The reply to `text`, said by `speaker` (None for a voice that isn't known).

        Either whole, or in pieces as they come, which are joined without a space.
        """


def pieces(reply: str | Iterable[str]) -> Iterator[str]:
    """The pieces of a reply of either kind."""
    if isinstance(reply, str):
        yield reply
    else:
        yield from reply


class Echo:
    """Says back what it heard, and to whom."""

    speculative = True

    def __call__(self, text: str, speaker: str | None) -> str:
        """The reply; never empty."""
        address = f"{speaker}, " if speaker else ""
        said = f"you said: {text.strip()}" if text.strip() else NO_WORDS
        reply = address + said
        return reply[0].upper() + reply[1:]


class Chat:
    """Answers by a language model behind any endpoint that speaks OpenAI's chat protocol.

    It remembers the conversation, so each conversation needs its own. The answer comes in pieces as
    the model writes it. When the server is gone, stalls or sends nonsense, an apology is said in its
    place, and the log says why.
    """

    speculative = False
    SYSTEM = (
        "You are a voice assistant. Your answer is spoken: two or three short sentences, "
        "no lists, no markup."
    )
    GONE = "Sorry, I can't reach my language model right now."
    LOST = " Sorry, I lost the connection to my language model."

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080/v1",
        model: str = "default",
        *,
        key: str = "none",
        system: str = SYSTEM,
        timeout_s: float = 10.0,
        max_tokens: int = 300,
        history: int = 20,
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: of the endpoint, up to "/v1".
            model: as the server calls it.
            key: for the server, if it asks for one.
            system: tells the model how to answer.
            timeout_s: how long to wait for the next piece of the answer.
            max_tokens: of one answer.
            history: messages of the conversation that are sent along.

        Raises:
            InputError: a url that is none, a time or numbers that are not positive.
        """
        if not url.startswith(("http://", "https://")):
            raise InputError(f"url {url!r} is none; give one such as http://127.0.0.1:8080/v1")
        if min(timeout_s, max_tokens) <= 0 or history < 0:
            raise InputError("timeout_s and max_tokens must be above 0, history 0 or more")
        self._url, self._key, self._model, self._system = url, key, model, system
        self._timeout_s, self._max_tokens, self._keep = timeout_s, max_tokens, history
        self.history: list[dict[str, str]] = []

    def __call__(self, text: str, speaker: str | None) -> Iterator[str]:
        """The reply in pieces."""
        if not text.strip():
            yield NO_WORDS
            return
        said = f"{speaker} says: {text}" if speaker else text
        question = {"role": "user", "content": said}
        messages = [{"role": "system", "content": self._system}, *self.history, question]
        answer = ""
        try:
            for piece in self._stream(messages):
                answer += piece
                yield piece
        except _ChatError as e:
            log.warning("no answer from %s: %s", self._url, e)
            yield self.LOST if answer else self.GONE
        finally:  # an answer that was interrupted was heard up to there
            if answer:
                self.history += [question, {"role": "assistant", "content": answer}]
                self.history = self.history[-self._keep :] if self._keep else []

    def _stream(self, messages: list[dict[str, str]]) -> Iterator[str]:
        """The pieces of the model's answer; raises _ChatError for whatever goes wrong.

        A thread reads, so that a server that sends signs of life and no words can be left.
        """
        from openai import OpenAI

        found: queue.Queue[str | Exception | None] = queue.Queue(64)
        gone = threading.Event()
        client = OpenAI(
            base_url=self._url, api_key=self._key, timeout=self._timeout_s, max_retries=0
        )

        def put(item: str | Exception | None) -> None:
            while not gone.is_set():
                try:
                    return found.put(item, timeout=0.1)
                except queue.Full:
                    continue

        def read() -> None:
            try:
                for piece in self._ask(client, messages):
                    put(piece)
                    if gone.is_set():
                        return
                put(None)
            except Exception as e:  # the library's, the network's, or made of what the server sent
                put(e)

        reader = threading.Thread(target=read, daemon=True, name="speechkit-chat")
        reader.start()
        try:
            while True:
                try:
                    piece = found.get(timeout=self._timeout_s)
                except queue.Empty:
                    raise _ChatError(f"nothing came for {self._timeout_s:g} s") from None
                if piece is None:
                    return
                if isinstance(piece, Exception):
                    raise _ChatError(f"{type(piece).__name__}: {piece}") from piece
                yield piece
        finally:
            gone.set()
            client.close()  # ends a read that waits

    def _ask(self, client: Any, messages: list[dict[str, str]]) -> Iterator[str]:
        """What the server sends, as long as it sends words."""
        with client.chat.completions.create(
            model=self._model, messages=messages, max_tokens=self._max_tokens, stream=True
        ) as stream:
            count = 0
            for chunk in stream:
                piece = chunk.choices[0].delta.content if chunk.choices else None
                if not piece:
                    continue
                count += 1
                yield str(piece)
                if count >= self._max_tokens:  # of a server that does not know when to stop
                    return
        if not count:
            raise _ChatError("the answer was empty")


class _ChatError(Exception):
    """Why there is no answer."""
