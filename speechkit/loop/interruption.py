"""Speech during a reply: a cough, the reply's own echo, or somebody who wants to speak."""

from __future__ import annotations

from concurrent.futures import Future

from speechkit.loop.turn_taking import TurnTaking
from speechkit.vad import FRAME_S

# Of speech: so much before it is enough it is asked whether somebody speaks, and after so much again.
EARLY_S, AGAIN_S = 0.15, 0.1


class Interruption:
    """A burst of speech during a reply, and what is known of it.

    Attributes:
        start: number of its first frame.
        asking: whether somebody speaks, once that is known; its result None is "no word so far".
    """

    def __init__(self, taking: TurnTaking) -> None:
        self._taking = taking
        self.forget()

    def forget(self) -> None:
        """It was nothing: the next speech is a new one."""
        self.start = self._frames = self._quiet = 0
        self._ask_at = self._taking.confirm - EARLY_S
        self.asking: Future[bool | None] | None = None

    def hear(self, speech: bool, number: int) -> None:
        """The next frame of the reply's time."""
        if not speech:
            self._quiet += 1
            return
        if not self._frames:
            self.start = number
        self._frames, self._quiet = self._frames + 1, 0

    @property
    def seconds(self) -> float:
        """Of speech so far."""
        return self._frames * FRAME_S

    @property
    def is_to_be_asked(self) -> bool:
        """Whether it has lasted long enough to ask whether somebody speaks."""
        return bool(self._frames) and self.asking is None and self.seconds >= self._ask_at

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer, and enough speech for it to count."""
        return self.asking is not None and self.asking.done() and self.is_enough

    @property
    def is_pending(self) -> bool:
        """Whether an answer that will count is waited for."""
        return self.asking is not None and self.is_enough

    @property
    def is_enough(self) -> bool:
        """Whether it has lasted long enough to count as speech, if it is."""
        return self.seconds >= self._taking.confirm

    @property
    def is_over(self) -> bool:
        """Whether nothing follows it, and no answer is waited for."""
        silent = self._quiet * FRAME_S >= self._taking.forget
        return bool(self._frames) and silent and not self.is_pending

    def ask(self, asking: Future[bool | None]) -> None:
        """It is being found out whether somebody speaks."""
        self.asking, self._ask_at = asking, self.seconds + AGAIN_S

    def answer(self) -> bool | None:
        """The answer that has come; if it is None, it is asked again."""
        assert self.asking is not None
        asking, self.asking = self.asking, None
        return asking.result()
