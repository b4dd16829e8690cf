"""When somebody has finished: from the silence, and from whether the words sound finished."""

from __future__ import annotations

import re
from dataclasses import dataclass

from speechkit.errors import InputError
from speechkit.marks import ENDS, WIDE_ENDS
from speechkit.vad import FRAME_S

# After these an English sentence goes on, even with a full stop behind them; it may end as a question.
_GOES_ON = (
    "a an and are as at because but by for from his i if into is its my of or our than that the their "
    "they to um uh was we were when where which while who will with your"
)
LEAST_LEAD = 2 * FRAME_S  # s: a piece is handed out for each frame of 32 ms
# A clause that begins so is half a sentence: "When I was in Rome." waits for what happened then.
_HALF = "although because if once since though unless until when whenever while"
_HALF_WORDS = 4  # at least; "If you like." stands alone
_FINISHED = re.compile(rf"[{ENDS}{WIDE_ENDS}]+[\"'”’)]*$")
_FULL_STOP = re.compile(r"[.。][\"'”’)]*$")


@dataclass(frozen=True)
class TurnTaking:
    """Seconds, unless said otherwise.

    Attributes:
        onset: of speech that begins a turn; less is a click or a cough.
        guess: this silence starts the work on the reply, before the turn has ended.
        finished: this silence ends a turn whose words sound finished,
        unsure: this one if they don't, or
        sure: if the recogniser gives their full stop a smaller probability than this, since it hears
            whether the voice falls,
        trailing: this one if they plainly go on: "and ...", "my ...".
        longest: a turn that lasts longer is ended.
        step: between partial texts.
        duck: of speech during a reply, to make the reply softer.
        confirm: of speech during a reply, to stop it if words are in it and it is not its own echo.
        forget: silence after which a reply that was ducked goes on.
        lead: how far ahead the reply is handed out.
        softer: factor of a ducked reply.
    """

    onset: float = 0.1
    guess: float = 0.15
    finished: float = 0.54
    unsure: float = 0.9
    sure: float = 0.8
    trailing: float = 1.5
    longest: float = 60.0
    step: float = 0.8
    duck: float = 0.03
    confirm: float = 0.4
    forget: float = 0.35
    lead: float = 0.15
    softer: float = 0.2

    def __post_init__(self) -> None:
        """Raises InputError for times that are not in order."""
        if not 0 < self.guess <= self.finished <= self.unsure <= self.trailing < self.longest:
            raise InputError(
                "turn taking: give 0 < guess <= finished <= unsure <= trailing < longest"
            )
        if min(self.onset, self.step, self.duck, self.confirm, self.forget) <= 0:
            raise InputError("turn taking: onset, step, duck, confirm and forget are above 0")
        if not 0 <= self.sure <= 1:
            raise InputError(f"turn taking: sure is {self.sure}; give 0 to 1")
        if self.lead < LEAST_LEAD:
            raise InputError(f"turn taking: lead is {self.lead}; give {LEAST_LEAD} or more")

    def patience(self, text: str, language: str | None = "en", mark: float = 1.0) -> float:
        """The silence that ends a turn with these words.

        Single words count in English only. `mark` is the probability of the punctuation behind them.
        """
        text = text.strip()
        words = re.findall(r"[\w']+", text.lower()) if language == "en" else []
        goes_on = words and words[-1] in _GOES_ON.split() and not text.endswith(("?", "!"))
        if goes_on or text.endswith(("...", "…", ",", "-")):
            return self.trailing
        doubted = mark < self.sure and _FULL_STOP.search(text)
        if doubted or not _FINISHED.search(text) or (words and _is_half(text, words)):
            return self.unsure
        return self.finished


def _is_half(text: str, words: list[str]) -> bool:
    """Whether it begins like "When ..." and no comma ends that clause."""
    begun = words[0] in _HALF.split() and len(words) >= _HALF_WORDS and not text.endswith("?")
    return begun and not re.search(r"(?:[^\s,]+\s+){2}[^\s,]+,", text)
