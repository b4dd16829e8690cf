"""What to answer to what was heard: back what was said, from documents, or by a language model."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from speechkit.errors import InputError

if TYPE_CHECKING:
    from openai import OpenAI

log = logging.getLogger("speechkit")

NO_WORDS = "I heard no words. Please say it again."


class Responder(Protocol):
    """Anything that turns the words of a turn into a reply.

    One that has an attribute `speculative` that is true may be asked before it is certain that the
    turn has ended, and its answer thrown away: it must remember nothing.
    """

    def __call__(self, text: str, speaker: str | None) -> str | Iterable[str]:
        """The reply to `text`, said by `speaker` (None for a voice that isn't known).

        Either whole, or in pieces as they come, which are joined without a space. If what gives the
        pieces has a method `stop(heard)`, it is called when nobody wants the rest, with the sentences
        that were heard. A `VoiceLoop` speaks it sentence by sentence, as plain text.
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
            history: messages of the conversation that are sent along; an odd number counts as one less.

        Raises:
            InputError: a url that is none, a time or numbers that are not positive.
        """
        if not url.startswith(("http://", "https://")):
            raise InputError(f"url {url!r} is none; give one such as http://127.0.0.1:8080/v1")
        if min(timeout_s, max_tokens) <= 0 or history < 0:
            raise InputError("timeout_s and max_tokens must be above 0, history 0 or more")
        self._url, self._key, self._model, self._system = url, key, model, system
        self._timeout_s, self._max_tokens = timeout_s, max_tokens
        self._keep = history // 2 * 2  # a question and its answer stay together
        self.history: list[dict[str, str]] = []

    def __call__(self, text: str, speaker: str | None) -> Iterable[str]:
        """The reply in pieces, to be read once: a `ChatReply`, or that nothing was heard."""
        if not text.strip():
            return [NO_WORDS]
        return ChatReply(self, f"{speaker} says: {text}" if speaker else text)

    def _client(self) -> OpenAI:
        """It goes where it was told, and nowhere else: no redirection is followed."""
        from openai import DefaultHttpxClient, OpenAI

        return OpenAI(
            base_url=self._url,
            api_key=self._key,
            timeout=self._timeout_s,
            max_retries=0,
            http_client=DefaultHttpxClient(follow_redirects=False),
        )


class ChatReply:
    """An answer of `Chat`, in pieces as the model writes them; at its end the chat remembers it."""

    def __init__(self, chat: Chat, question: str) -> None:
        """Nothing is sent yet."""
        self._chat = chat
        self._pair = [{"role": "user", "content": question}, {"role": "assistant", "content": ""}]
        self._found: queue.Queue[str | Exception | None] = queue.Queue(64)
        self._stopped = threading.Event()
        self._heard: str | None = None
        self._changing = threading.Lock()

    def __iter__(self) -> Iterator[str]:
        """The pieces; an apology where they fail to come."""
        chat, answer = self._chat, ""
        system = {"role": "system", "content": chat._system}
        try:
            for piece in self._read([system, *chat.history, self._pair[0]]):
                answer += piece
                yield piece
        except _ChatError as e:
            log.warning("no answer from %s: %s", chat._url, e)
            yield chat.LOST if answer else chat.GONE
        finally:
            with self._changing:
                self._pair[1]["content"] = answer if self._heard is None else self._heard
                if self._pair[1]["content"]:
                    chat.history += self._pair
                    chat.history = chat.history[-chat._keep :] if chat._keep else []

    def stop(self, heard: str) -> None:
        """Nobody wants the rest. What was heard of the answer is what the chat remembers of it."""
        with self._changing:
            self._heard = self._pair[1]["content"] = heard
            if not heard:
                pair = set(map(id, self._pair))
                self._chat.history = [m for m in self._chat.history if id(m) not in pair]
        self._stopped.set()
        with contextlib.suppress(queue.Full):  # then nobody waits
            self._found.put_nowait(None)

    def _read(self, messages: list[dict[str, str]]) -> Iterator[str]:
        """The pieces of the model's answer; raises _ChatError for whatever goes wrong.

        A thread reads, so that a server that sends signs of life and no words can be left.
        """
        client = self._chat._client()
        reader = threading.Thread(
            target=self._ask, args=(client, messages), daemon=True, name="speechkit-chat"
        )
        reader.start()
        timeout_s = self._chat._timeout_s
        try:
            while True:
                try:
                    piece = self._found.get(timeout=timeout_s)
                except queue.Empty:
                    raise _ChatError(f"nothing came for {timeout_s:g} s") from None
                if piece is None or self._stopped.is_set():
                    return
                if isinstance(piece, Exception):
                    raise _ChatError(f"{type(piece).__name__}: {piece}") from piece
                yield piece
        finally:
            self._stopped.set()
            client.close()  # ends a read that waits

    def _ask(self, client: OpenAI, messages: list[dict[str, str]]) -> None:
        """What the server sends, into the queue; at its end None."""
        try:
            for piece in self._words(client, messages):
                self._put(piece)
                if self._stopped.is_set():
                    return
            self._put(None)
        except Exception as e:  # the library's, the network's, or made of what the server sent
            self._put(e)

    def _put(self, item: str | Exception | None) -> None:
        while not self._stopped.is_set():
            try:
                return self._found.put(item, timeout=0.1)
            except queue.Full:
                continue

    def _words(self, client: Any, messages: list[dict[str, str]]) -> Iterator[str]:
        """What the server sends, as long as it sends words."""
        count, most = 0, self._chat._max_tokens
        with client.chat.completions.create(
            model=self._chat._model, messages=messages, max_tokens=most, stream=True
        ) as stream:
            for chunk in stream:
                piece = chunk.choices[0].delta.content if chunk.choices else None
                if not piece:
                    continue
                count += 1
                yield str(piece)
                if count >= most:  # of a server that does not know when to stop
                    return
        if not count:
            raise _ChatError("the answer was empty")


class _ChatError(Exception):
    """Why there is no answer."""
