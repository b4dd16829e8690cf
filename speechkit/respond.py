"""What to answer to what was heard."""

from __future__ import annotations

from typing import Protocol


class Responder(Protocol):
    """Anything that turns the words of a turn into a reply."""

    def __call__(self, text: str, speaker: str | None) -> str:
        """The reply to `text`, said by `speaker` (None for a voice that isn't known)."""


class Echo:
    """Says back what it heard, and to whom."""

    def __call__(self, text: str, speaker: str | None) -> str:
        """The reply; never empty."""
        address = f"{speaker}, " if speaker else ""
        if not text.strip():
            said = "I heard no words. Please say it again."
        else:
            said = f"you said: {text.strip()}"
        reply = address + said
        return reply[0].upper() + reply[1:]
