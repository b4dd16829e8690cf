"""What the server holds for open pages, each thing under a key that only its page knows."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import speechkit as sk

T = TypeVar("T")
log = logging.getLogger("speechkit")


@dataclass
class _Entry(Generic[T]):
    thing: T
    lock: threading.Lock = field(default_factory=threading.Lock)
    used_at: float = field(default_factory=time.monotonic)


class Held(Generic[T]):
    """Things in use. One that no page asks for any more is ended after a while.

    Attributes:
        idle_s: seconds after which a page that asks for nothing is gone.
    """

    def __init__(
        self, most: int, idle_s: float, full: str, end: Callable[[T], object] = lambda _: None
    ) -> None:
        """`most` things at once, `full` is said to whom is too many, `end` is called with each."""
        self.idle_s = idle_s
        self._most, self._full, self._end = most, full, end
        self._entries: dict[str, _Entry[T]] = {}
        self._changing = threading.Lock()
        self._watching = False

    def __len__(self) -> int:
        """How many there are."""
        return len(self._entries)

    def add(self, thing: T) -> str:
        """Hold it; returns its key. InputError where there are too many."""
        key = secrets.token_urlsafe()
        with self._changing:
            if len(self._entries) >= self._most:
                raise sk.InputError(self._full)
            self._entries[key] = _Entry(thing)
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="speechkit-held", daemon=True).start()
        return key

    @contextlib.contextmanager
    def use(self, key: str) -> Iterator[T | None]:
        """The thing, for one caller at a time; None where it has ended."""
        entry = self._entries.get(key)
        if entry is None:
            yield None
            return
        with entry.lock:
            entry.used_at = time.monotonic()
            yield entry.thing if self._entries.get(key) is entry else None
            entry.used_at = time.monotonic()

    def end(self, key: str) -> None:
        """End it once nobody uses it; it may have ended already."""
        with self._changing:
            entry = self._entries.pop(key, None)
        if entry:
            with entry.lock:
                try:
                    self._end(entry.thing)
                except Exception:
                    log.exception("what was held could not be ended")

    def close(self) -> None:
        """End all."""
        for key in list(self._entries):
            self.end(key)

    def _watch(self) -> None:
        """End what is idle, until there is nothing."""
        while True:
            time.sleep(1.0)
            late = time.monotonic() - self.idle_s
            for key, entry in list(self._entries.items()):
                if entry.used_at < late and not entry.lock.locked():
                    self.end(key)
            with self._changing:
                if not self._entries:
                    self._watching = False
                    return
