"""The voice loop on stand-ins: turns, partial words, replies, interruptions, echo, faults."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest
from scripted_asr import RATE, AmplitudeDetector, Window, say, signal, text
from scripted_kit import OWN_LEVEL, VOICE_RATE, ScriptedKit

import speechkit as sk
from speechkit.asr import Transcript
from speechkit.loop import (
    Ducked,
    Event,
    FinalText,
    Interrupted,
    PartialText,
    ReplyAudio,
    ReplyText,
    Resumed,
    SpeakerHeard,
    SpeechStarted,
    TurnDone,
    TurnTaking,
    VoiceLoop,
)
from speechkit.loop.player import Player
from speechkit.loop.work import APOLOGY, REFUSAL, Answer, sentences_of

TAKING = TurnTaking()
LONG = "This is a reply that goes on for a while, so that there is time to speak."


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch, amplitude_detector: None) -> None:
    monkeypatch.setattr("speechkit.loop.voice_loop.SpeechDetector", AmplitudeDetector)


@pytest.fixture
def make() -> Iterator[Callable[..., VoiceLoop]]:
    loops = []

    def one(kit: ScriptedKit | None = None, respond=None, **how: object) -> VoiceLoop:  # type: ignore[no-untyped-def]
        respond = respond or (lambda words, name: f"Yes, {words}.")
        loops.append(VoiceLoop(kit or ScriptedKit(), respond=respond, **how))  # type: ignore[arg-type]
        return loops[-1]

    yield one
    for loop in loops:
        loop.close()


def pieces(samples: np.ndarray, size: int = 1600) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(samples), size):
        yield RATE, samples[start : start + size]


def run(loop: VoiceLoop, *parts: object) -> list[Event]:
    return list(loop.run(pieces(signal(*parts)), wait=True))  # type: ignore[arg-type]


def of(kind: type, events: list[Event]) -> list:  # type: ignore[type-arg]
    return [event for event in events if isinstance(event, kind)]


def played(events: list[Event]) -> np.ndarray:
    return np.concatenate([e.audio.samples for e in of(ReplyAudio, events)] or [np.zeros(0)])


def test_a_turn_tells_all_in_order(make) -> None:  # type: ignore[no-untyped-def]
    events = run(make(), 0.5, [1, 2], 2.0)
    kinds = [type(e) for e in events if not isinstance(e, PartialText | ReplyAudio)]
    assert kinds == [SpeechStarted, FinalText, SpeakerHeard, ReplyText, TurnDone]
    assert of(FinalText, events)[0].text == text(1, 2)
    assert of(ReplyText, events)[0].text == "Yes, w1 w2."
    assert {event.turn for event in events} == {1}
    assert [e.at for e in events] == sorted(e.at for e in events)
    done = of(TurnDone, events)[0]
    assert not done.interrupted
    assert set(done.timings) == {"silence", "wait", "hear", "recognise", "answer", "speak"}


def test_the_reply_is_handed_out_whole_and_at_its_own_speed(make) -> None:  # type: ignore[no-untyped-def]
    kit = ScriptedKit()
    events = run(make(kit, lambda *_: LONG), 0.5, 1, 2.0)
    np.testing.assert_array_equal(played(events), kit.voice.synthesize(LONG).samples)
    pieces_given = of(ReplyAudio, events)
    start, given = pieces_given[0].at, 0.0
    for event in pieces_given:
        assert given <= event.at - start + TAKING.lead + 1e-6
        given += event.audio.duration
    assert of(TurnDone, events)[0].at >= start + given - 0.1


@pytest.mark.parametrize(
    ("said", "silence"),
    [("It is done.", TAKING.finished), ("it is", TAKING.trailing), ("the cat", TAKING.unsure)],
)
def test_words_that_go_on_are_waited_for(make, said: str, silence: float) -> None:  # type: ignore[no-untyped-def]
    kit = ScriptedKit(script=lambda window, _: say(said))
    events = run(make(kit), 0.5, [1, 2], 2.5)
    assert of(TurnDone, events)[0].timings["silence"] == pytest.approx(silence, abs=0.11)
    assert of(FinalText, events)[0].text == said


@pytest.mark.parametrize(
    ("said", "silence"),
    [
        ("How are you?", TAKING.finished),
        ("Where are you from?", TAKING.finished),
        ("Thank you.", TAKING.finished),
        ("Turn it on.", TAKING.finished),
        ("I think so.", TAKING.finished),
        ("I went to the.", TAKING.trailing),
        ("I would like to...", TAKING.trailing),
        ("first of all,", TAKING.trailing),
        ("tell me more", TAKING.unsure),
        ("When I was in Rome.", TAKING.unsure),
        ("When, however, I was in Rome.", TAKING.unsure),
        ("When I was in Rome, it rained.", TAKING.finished),
        ("When was he in Rome?", TAKING.finished),
        ("If you like.", TAKING.finished),
        ("मैं ठीक हूँ।", TAKING.finished),
    ],
)
def test_whether_words_sound_finished(said: str, silence: float) -> None:
    assert TAKING.patience(said) == silence


def test_a_mark_that_the_recogniser_doubts_ends_no_turn_at_once(make) -> None:  # type: ignore[no-untyped-def]
    assert TAKING.patience("Thank you.", mark=TAKING.sure) == TAKING.finished
    assert TAKING.patience("Thank you.", mark=TAKING.sure - 0.01) == TAKING.unsure
    assert TAKING.patience("I went to the.", mark=0.1) == TAKING.trailing
    assert TAKING.patience("How are you?", mark=0.1) == TAKING.finished  # it may be "!" as well
    for mark, silence in ((0.9, TAKING.finished), (0.5, TAKING.unsure)):
        kit = ScriptedKit(script=lambda window, _: say("It is done."))
        kit.asr.engine.mark = mark
        events = run(make(kit), 0.5, [1, 2], 2.5)
        assert of(TurnDone, events)[0].timings["silence"] == pytest.approx(silence, abs=0.11)


def test_a_softer_reply_is_made_no_further_ahead_than_a_second() -> None:
    player, second = Player(0.15), sk.Audio(np.zeros(1000, np.float32), 1000)
    assert player.put(0, second)
    assert not player.full
    player.duck(1.0)  # as in the demo, whose page makes it softer
    assert player.full
    waiting = threading.Thread(target=player.put, args=(0, second))
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    player.resume()
    waiting.join(5)
    assert not waiting.is_alive()
    assert not player.full


def test_single_words_count_in_english_only() -> None:
    assert TAKING.patience("Fang an.", "de") == TAKING.finished
    assert TAKING.patience("Fang an.", None) == TAKING.finished


def test_a_recording_in_one_piece_is_heard_as_in_many(make) -> None:  # type: ignore[no-untyped-def]
    heard = signal(0.5, [1, 2], 6.0, [3], 2.0)
    many, one = make(respond=lambda *_: "Yes."), make(respond=lambda *_: "Yes.")
    events = list(many.run(pieces(heard), wait=True))
    at_once = list(one.run([(RATE, heard)], wait=True))
    assert [e.text for e in of(FinalText, at_once)] == [text(1, 2), text(3)]
    assert [e.text for e in of(FinalText, events)] == [text(1, 2), text(3)]
    np.testing.assert_array_equal(played(at_once), played(events))


def test_a_short_pause_ends_nothing(make) -> None:  # type: ignore[no-untyped-def]
    events = run(make(), 0.5, [1, 2], 0.5, [3], 2.0)
    assert [e.text for e in of(FinalText, events)] == [text(1, 2, 3)]
    assert len(of(SpeechStarted, events)) == 1


def test_who_goes_on_before_the_reply_has_begun_is_heard_whole(make) -> None:  # type: ignore[no-untyped-def]
    slow = threading.Event()

    def respond(words: str, name: str | None) -> str:
        slow.wait(10)
        return "Yes."

    loop = make(respond=respond)
    events = [e for _, piece in pieces(signal(0.5, [1], 1.2)) for e in loop.feed((RATE, piece))]
    while loop.state != "waiting" or not of(FinalText, events):
        events += loop.feed((RATE, np.zeros(1600, np.float32)))
    longer_than_a_turn = signal(TAKING.longest + 10.0, [2])
    events += [e for _, piece in pieces(longer_than_a_turn) for e in loop.feed((RATE, piece))]
    assert loop.state == "listening"
    slow.set()
    events += list(loop.run(pieces(signal(2.0)), wait=True))
    assert [(e.turn, e.text) for e in of(FinalText, events)] == [(1, text(1)), (1, text(1, 2))]
    assert len(of(TurnDone, events)) == 1


def test_a_click_does_not_reopen_a_turn(make) -> None:  # type: ignore[no-untyped-def]
    slow = threading.Event()
    loop = make(respond=lambda *_: slow.wait(10) and "Yes.")
    events = [e for _, piece in pieces(signal(0.5, [1], 1.2)) for e in loop.feed((RATE, piece))]
    while loop.state != "waiting" or not of(FinalText, events):
        events += loop.feed((RATE, np.zeros(1600, np.float32)))
    click = 0.9 * np.sin(np.arange(round(0.06 * RATE)) * 0.3).astype(np.float32)
    events += loop.feed((RATE, np.concatenate([click, signal(0.2)])))
    assert loop.state == "waiting"
    slow.set()
    events += list(loop.run(pieces(signal(1.0)), wait=True))
    assert len(of(FinalText, events)) == 1


class Stoppable:
    """A reply that notes what was heard of it."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __iter__(self) -> Iterator[str]:
        for _ in range(50):
            yield "Twenty letters here. "

    def stop(self, heard: str) -> None:
        self.heard.append(heard)


def test_a_reply_is_told_how_much_of_it_was_heard(make) -> None:  # type: ignore[no-untyped-def]
    reply = Stoppable()
    room = Room(make(respond=lambda *_: reply))
    room.hear(signal(0.5, 1))
    while room.loop.state != "replying":
        room.hear(signal(0.1))
    room.hear(signal(3.0))  # a sentence takes 2 s, and a pause
    events = room.hear(signal([4, 5, 6]))
    assert of(Interrupted, events)
    assert reply.heard == ["Twenty letters here. Twenty letters here."]


def test_a_reply_to_half_a_question_was_not_heard(make) -> None:  # type: ignore[no-untyped-def]
    replies: list[Stoppable] = []

    def respond(words: str, name: str | None) -> Stoppable:
        replies.append(Stoppable())
        return replies[-1]

    respond.speculative = True  # type: ignore[attr-defined]
    loop = make(respond=respond)
    for _, piece in pieces(signal(0.5, [1], 0.3)):
        loop.feed((RATE, piece))
        loop.settle()
    assert replies
    for _, piece in pieces(signal([2])):
        loop.feed((RATE, piece))
    assert replies[0].heard == [""]


def test_turns_follow_each_other(make) -> None:  # type: ignore[no-untyped-def]
    loop = make(respond=lambda words, _: "Yes.")
    events = run(loop, 0.5, [1, 2], 4.0, [3], 2.0)
    assert [e.text for e in of(FinalText, events)] == [text(1, 2), text(3)]
    assert [e.turn for e in of(TurnDone, events)] == [1, 2]
    assert loop.state == "idle"


def test_partial_words_only_grow(make) -> None:  # type: ignore[no-untyped-def]
    partial = of(PartialText, run(make(), 0.5, [1, 2, 3, 4, 5, 6, 7, 8], 2.0))
    assert len(partial) >= 3
    for before, after in pairwise(partial):
        assert after.text.startswith(before.text)
    assert len(partial[-1].text.split()) >= 4
    assert text(1, 2, 3, 4, 5, 6, 7, 8).startswith(partial[-1].text)


def test_noise_without_words_gives_no_reply(make) -> None:  # type: ignore[no-untyped-def]
    kit = ScriptedKit(script=lambda *_: say("", no_speech=0.9))
    events = run(make(kit), 0.5, 1, 3.0)
    assert [type(e) for e in events if not isinstance(e, PartialText)] == [SpeechStarted, TurnDone]


def test_a_long_turn_is_ended(make) -> None:  # type: ignore[no-untyped-def]
    loop = make(respond=lambda *_: "Yes.", turn_taking=TurnTaking(longest=3.0))
    events = run(loop, 0.5, list(range(16)), 1.0)
    first = of(FinalText, events)[0]
    assert first.at < 3.5
    assert first.text.startswith(text(0, 1, 2, 3))
    heard = of(FinalText, events)
    assert len(heard) == len(of(TurnDone, events)) == len({e.turn for e in heard}) > 1


def test_long_speech_with_pauses_is_heard_whole(make) -> None:  # type: ignore[no-untyped-def]
    words = list(range(60))
    parts = [part for i in range(0, 60, 20) for part in (words[i : i + 20], 0.6)]
    events = run(make(turn_taking=TurnTaking(unsure=1.0)), 0.5, *parts, 2.0)
    assert [e.text for e in of(FinalText, events)] == [text(*words)]


def test_a_guess_that_was_wrong_is_not_said(make) -> None:  # type: ignore[no-untyped-def]
    asked: list[str] = []

    class Guessing:
        speculative = True

        def __call__(self, words: str, name: str | None) -> str:
            asked.append(words)
            return f"Yes, {words}."

    events = run(make(respond=Guessing()), 0.5, [1], 0.5, [2], 2.0)
    assert asked == [text(1), text(1, 2)]
    assert [e.text for e in of(ReplyText, events)] == ["Yes, w1 w2."]
    assert len(played(events)) == round(0.1 * len("Yes, w1 w2.") * VOICE_RATE)


def test_a_responder_that_remembers_is_asked_once(make) -> None:  # type: ignore[no-untyped-def]
    asked: list[str] = []
    events = run(make(respond=lambda w, _: asked.append(w) or "Yes."), 0.5, [1], 0.5, [2], 2.0)
    assert asked == [text(1, 2)]
    assert len(of(ReplyAudio, events)) > 0


def test_a_reply_in_pieces_is_spoken_sentence_by_sentence(make) -> None:  # type: ignore[no-untyped-def]
    events = run(make(respond=lambda *_: iter(["One", " two. Th", "ree", " four."])), 0.5, 1, 2.0)
    assert [e.text for e in of(ReplyText, events)] == ["One two.", "Three four."]
    voiced = np.abs(played(events)) > 0
    assert voiced.sum() == pytest.approx(0.1 * 19 * VOICE_RATE, rel=0.02)


def test_known_voices_have_names_and_strangers_may_be_refused(make) -> None:  # type: ignore[no-untyped-def]
    kit = ScriptedKit(names={"Ada": 0.99})
    events = run(make(kit, lambda words, name: f"Hello {name}."), 0.5, 1, 2.0)
    assert of(SpeakerHeard, events)[0].name == "Ada"
    assert of(ReplyText, events)[0].text == "Hello Ada."
    asked: list[str] = []
    stranger = make(respond=lambda words, _: asked.append(words) or "No.", only_enrolled=True)
    events = run(stranger, 0.5, 1, 2.0)
    assert of(FinalText, events)[0].text == text(1)
    assert "".join(e.text + " " for e in of(ReplyText, events)).strip() == REFUSAL
    assert asked == []


# While the reply is playing ------------------------------------------------------------------------


class Room:
    """Feeds a loop in pieces of 0.1 s; what it plays may come back."""

    def __init__(self, loop: VoiceLoop, echo: float = 0.0, delay_s: float = 0.2) -> None:
        self.loop, self.echo, self.delay = loop, echo, round(delay_s * RATE)
        self.events: list[Event] = []
        self.heard = np.zeros(0, np.float32)  # the reply's echo that is still to come

    def hear(self, samples: np.ndarray) -> list[Event]:
        events: list[Event] = []
        for _, piece in pieces(samples):
            if self.echo and len(self.heard):
                own = self.heard[: len(piece)]
                self.heard = self.heard[len(piece) :]
                piece = piece + self.echo * np.pad(own, (0, len(piece) - len(own)))
            for event in [*self.loop.feed((RATE, piece)), *self.loop.settle()]:
                events.append(event)
                if isinstance(event, ReplyAudio):
                    fresh = event.audio.resample(RATE).samples
                    if not len(self.heard):
                        self.heard = np.zeros(self.delay, np.float32)
                    self.heard = np.concatenate([self.heard, fresh])
        self.events += events
        return events


@pytest.fixture
def replying(make) -> Callable[..., Room]:  # type: ignore[no-untyped-def]
    """A room in which the reply has just begun."""

    def room(reply: str = LONG, kit: ScriptedKit | None = None, **how: float) -> Room:
        room = Room(make(kit, lambda *_: reply), **how)
        room.hear(signal(0.5, 1))
        while room.loop.state != "replying":
            room.hear(signal(0.1))
        return room

    return room


def test_speech_stops_the_reply_and_begins_a_turn(replying) -> None:  # type: ignore[no-untyped-def]
    room = replying()
    began = room.loop._now
    events = room.hear(signal([4, 5, 6]))
    assert of(Ducked, events)[0].at - began <= 0.15
    [stop] = of(Interrupted, events)
    assert stop.at - began <= TAKING.confirm + 0.25
    assert not of(ReplyAudio, [e for e in events if events.index(e) > events.index(stop)])
    assert of(TurnDone, events)[0].interrupted
    events += room.hear(signal(2.0))
    assert of(FinalText, events)[0].text == text(4, 5, 6)
    assert of(FinalText, events)[0].turn == 2


def test_the_reply_is_softer_while_it_is_not_known_who_speaks(replying) -> None:  # type: ignore[no-untyped-def]
    room = replying()
    before = np.abs(played(room.hear(signal(0.3)))).max()
    events = room.hear(signal([4]))
    after = [e for e in of(ReplyAudio, events) if e.at > of(Ducked, events)[0].at]
    assert np.abs(after[-1].audio.samples).max() == pytest.approx(TAKING.softer * before, rel=0.05)


def test_after_a_cough_the_reply_goes_on(replying) -> None:  # type: ignore[no-untyped-def]
    room = replying()
    cough = 0.9 * np.sin(np.arange(round(0.2 * RATE)) * 0.3).astype(np.float32)
    events = room.hear(np.concatenate([cough, signal(9.0)]))
    assert [type(e) for e in events if isinstance(e, Ducked | Resumed | Interrupted)] == [
        Ducked,
        Resumed,
    ]
    assert of(TurnDone, events)[0].interrupted is False
    whole = len(played(room.events))
    assert whole == len(room.loop.kit.voice.synthesize(LONG).samples)
    assert room.loop.underruns == 0
    loud = np.abs(of(ReplyAudio, events)[-1].audio.samples).max()
    assert loud == pytest.approx(OWN_LEVEL, rel=0.05)


def test_a_cough_at_the_end_of_a_reply_leaves_nothing_soft(replying) -> None:  # type: ignore[no-untyped-def]
    room = replying("Yes, it is so.")  # 1.4 s
    room.hear(signal(0.9))
    cough = 0.9 * np.sin(np.arange(round(0.25 * RATE)) * 0.3).astype(np.float32)
    events = room.hear(np.concatenate([cough, signal(2.0)]))
    kinds = [type(e) for e in events if isinstance(e, Ducked | Resumed | Interrupted | TurnDone)]
    assert kinds == [Ducked, Resumed, TurnDone]


def test_a_confirmation_that_fails_ends_the_turn_only(replying, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    room = replying()

    def broken(source: object) -> np.ndarray:
        raise sk.WeightsError("the weights are gone")

    with monkeypatch.context() as patch:
        patch.setattr(room.loop.kit.encoder, "embed", broken)
        with pytest.raises(sk.WeightsError, match="are gone"):
            room.hear(signal([4, 5, 6]))
    assert room.loop.state == "idle"
    events = room.hear(signal(9.0, [7], 2.0))  # what was said meanwhile is a turn of its own
    assert of(FinalText, events)[-1].text == text(7)


def test_noise_that_holds_no_words_does_not_stop_the_reply(replying) -> None:  # type: ignore[no-untyped-def]
    words = ["Please go on."]
    room = replying(kit=ScriptedKit(script=lambda *_: say(*words[:1] or [""])))
    words.clear()
    events = room.hear(np.concatenate([0.9 * signal([4]), signal(9.0)]))
    assert not of(Interrupted, events)
    assert of(Resumed, events)


def test_words_that_are_not_there_at_once_still_stop_the_reply(replying) -> None:  # type: ignore[no-untyped-def]
    words = ["Please go on.", "", "Wait, please."]
    room = replying(kit=ScriptedKit(script=lambda *_: say(words[0])))
    words.pop(0)
    calls = []
    words_of = room.loop._worker._words

    def heard(samples: np.ndarray, **how: int) -> Transcript:
        calls.append(len(samples))
        found = words_of(samples, **how)
        if len(words) > 1:
            words.pop(0)
        return found

    room.loop._worker._words = heard
    events = room.hear(signal([4, 5, 6]))
    assert len(of(Ducked, events)) == len(of(Interrupted, events)) == 1
    assert not of(Resumed, events)
    assert calls[1] > calls[0]


def test_too_little_speech_does_not_stop_the_reply_whatever_it_says(replying) -> None:  # type: ignore[no-untyped-def]
    room = replying(kit=ScriptedKit(script=lambda *_: say("Hm.")))
    sound = 0.9 * np.sin(np.arange(round(0.35 * RATE)) * 0.3).astype(np.float32)
    events = room.hear(np.concatenate([sound, signal(9.0)]))
    assert [type(e) for e in events if isinstance(e, Ducked | Resumed | Interrupted)] == [
        Ducked,
        Resumed,
    ]


@pytest.mark.parametrize("before_s", [0.3, 0.45, 0.5, 0.55, 0.6, 0.65])
def test_words_over_the_end_of_a_reply_are_heard_whole(replying, before_s: float) -> None:  # type: ignore[no-untyped-def]
    reply = "Yes, it is so."
    room = replying(reply)
    left = len(room.loop.kit.voice.synthesize(reply).samples) / VOICE_RATE
    left -= room.loop._player.given / VOICE_RATE - TAKING.lead
    room.hear(signal(left - before_s))
    events = room.hear(signal(4, 0.2, [5, 6], 3.0))
    assert of(FinalText, events)[0].text == text(4, 5, 6)


def test_words_before_the_end_of_a_reply_are_waited_for(replying) -> None:  # type: ignore[no-untyped-def]
    room = replying("Yes, it is so.")
    hold = threading.Event()
    words_of = room.loop._worker._words
    room.loop._worker._words = lambda *given, **how: hold.wait(5) and words_of(*given, **how)
    for _, piece in pieces(signal([4, 5], 1.0)):
        room.events += room.loop.feed((RATE, piece))
    assert room.loop.state == "replying"
    hold.set()
    assert of(Interrupted, room.hear(signal(0.5)))


def test_a_guess_of_a_turn_that_failed_is_not_of_the_next(make) -> None:  # type: ignore[no-untyped-def]
    kit, hold = ScriptedKit(), threading.Event()
    loop = make(kit)
    words_of = loop._worker._words
    loop._worker._words = lambda *given, **how: hold.wait(5) and words_of(*given, **how)
    for _, piece in pieces(signal(0.5, [1, 2])):
        loop.feed((RATE, piece))
    assert loop._guess
    loop._answer = Answer(0, fault=sk.WeightsError("gone"))
    with pytest.raises(sk.WeightsError):
        loop.feed((RATE, np.zeros(1600, np.float32)))
    for _, piece in pieces(signal([7, 8, 9])):
        loop.feed((RATE, piece))
    hold.set()
    events = [*loop.settle(), *run(loop, 2.0)]
    assert not any("w1" in e.text + e.pending for e in of(PartialText, events))
    assert of(FinalText, events)[0].text.endswith(text(7, 8, 9))


@pytest.mark.parametrize(
    "how", [{"lead": 0.0}, {"duck": 0.0}, {"onset": 0.0}, {"forget": -1.0}, {"sure": 1.1}]
)
def test_times_that_cannot_be_are_refused(how) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(sk.InputError, match=next(iter(how))):
        TurnTaking(**how)


def test_the_shortest_patience_and_the_shortest_speech(make) -> None:  # type: ignore[no-untyped-def]
    taking = TurnTaking(finished=0.2, unsure=0.2, trailing=0.2)
    loop = make(turn_taking=taking)
    sound = 0.9 * np.sin(np.arange(round(0.125 * RATE)) * 0.3).astype(np.float32)
    assert of(TurnDone, [*loop.run(pieces(np.concatenate([sound, signal(3.0)])), wait=True)])


@pytest.mark.parametrize("delay_s", [0.05, 0.2, 0.45])
def test_its_own_echo_changes_nothing(make, monkeypatch, delay_s: float) -> None:  # type: ignore[no-untyped-def]
    # So sensitive a detector takes the echo for speech.
    monkeypatch.setattr(AmplitudeDetector, "feed", _sensitive(AmplitudeDetector.feed))
    reply, rng = LONG, np.random.default_rng(0)
    kit = ScriptedKit()
    babble = (0.3 * rng.standard_normal(round(0.1 * len(reply) * VOICE_RATE))).astype(np.float32)
    kit.voice.synthesize = lambda text, **_: sk.Audio(babble, VOICE_RATE)  # type: ignore[method-assign]
    room = Room(make(kit, lambda *_: reply), echo=10 ** (-10 / 20), delay_s=delay_s)
    room.hear(signal(0.5, 1))
    events = room.hear(signal(10.0))
    assert len(played(room.events)) == len(babble)
    assert not of(Interrupted, events)
    assert not of(Ducked, events)


def _sensitive(feed: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    return lambda self, samples: np.minimum(1.0, 20 * feed(self, samples))


# Faults and ends -----------------------------------------------------------------------------------


def test_a_responder_that_fails_is_apologised_for(make, caplog) -> None:  # type: ignore[no-untyped-def]
    def broken(words: str, name: str | None) -> str:
        raise ValueError("no idea")

    loop = make(respond=broken)
    events = run(loop, 0.5, 1, 2.0)
    assert [e.text for e in of(ReplyText, events)] == [APOLOGY]
    assert "no idea" in caplog.text
    assert loop.state == "idle"


def test_a_model_that_fails_is_an_error_of_feed(make) -> None:  # type: ignore[no-untyped-def]
    def broken(window: Window, options: object) -> None:
        raise sk.WeightsError("the weights are gone")

    loop = make(ScriptedKit(script=broken))
    with pytest.raises(sk.WeightsError, match="are gone"):
        run(loop, 0.5, 1, 3.0)
    assert loop.state == "idle"
    loop.feed((RATE, np.zeros(160, np.float32)))  # it listens on


def test_a_reply_that_cannot_be_spoken_is_passed_over(make) -> None:  # type: ignore[no-untyped-def]
    events = run(make(respond=lambda *_: ""), 0.5, 1, 2.0)
    assert not of(ReplyAudio, events)
    assert of(TurnDone, events)


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000])
def test_any_rate_and_any_length_of_frames(make, rate: int) -> None:  # type: ignore[no-untyped-def]
    heard = sk.Audio(signal(0.5, [1, 2], 2.0), RATE).resample(rate).samples
    whole = (heard * 32767).astype(np.int16)
    rng, frames, at = np.random.default_rng(1), [], 0
    while at < len(whole):
        size = int(rng.integers(0, rate // 3))
        frames.append((rate, whole[at : at + size]))
        at += size
    events = list(make().run(frames, wait=True))
    if rate > 8000:  # the tones of the words reach up to 6 kHz
        assert of(FinalText, events)[0].text == text(1, 2)
    assert len(of(TurnDone, events)) == 1


def test_bad_frames_are_refused(make) -> None:  # type: ignore[no-untyped-def]
    loop = make()
    loop.feed((RATE, np.zeros(160, np.float32)))
    with pytest.raises(sk.AudioError, match="changes from 16000 to 48000"):
        loop.feed((48_000, np.zeros(160, np.float32)))
    with pytest.raises(sk.AudioError, match="a piece of the stream is a str"):
        loop.feed("hello")
    with pytest.raises(sk.InputError, match="guess <= finished"):
        TurnTaking(finished=0.1)


def test_nothing_is_left_when_it_is_closed(make) -> None:  # type: ignore[no-untyped-def]
    before = set(threading.enumerate())
    loop = VoiceLoop(ScriptedKit(), respond=lambda *_: LONG * 20)
    for _, piece in pieces(signal(0.5, 1, 1.5)):
        loop.feed((RATE, piece))
        loop.settle()
    assert loop.state == "replying"
    loop.close()
    assert {
        t for t in set(threading.enumerate()) - before if "speechkit-asr" not in t.name
    } == set()
    with pytest.raises(sk.SpeechkitError, match="closed"):
        loop.feed((RATE, np.zeros(160, np.float32)))


def test_conversations_on_one_kit_do_not_meet(make) -> None:  # type: ignore[no-untyped-def]
    kit = ScriptedKit()
    one, two = (make(kit, lambda words, _, n=n: f"{n} heard {words}.") for n in "ab")
    found: dict[str, list[Event]] = {"a": [], "b": []}
    for (_, x), (_, y) in zip(
        pieces(signal(0.5, 1, 2.0)), pieces(signal(0.5, 2, 2.0)), strict=True
    ):
        for name, loop, piece in (("a", one, x), ("b", two, y)):
            found[name] += [*loop.feed((RATE, piece)), *loop.settle()]
    assert [e.text for e in of(ReplyText, found["a"])] == ["a heard w1."]
    assert [e.text for e in of(ReplyText, found["b"])] == ["b heard w2."]


def test_hours_take_no_more_memory_than_minutes(make) -> None:  # type: ignore[no-untyped-def]
    loop = make(respond=lambda *_: "Yes.")

    def held() -> int:
        echo = len(loop._echo._played)
        return echo + sum(map(len, loop._recent)) + sum(map(len, loop._turn.frames))

    sizes = []
    for _ in range(30):
        for _, piece in pieces(signal(1.0, [1, 2], 5.0)):
            loop.feed((RATE, piece))
            loop.settle()
        sizes.append(held())
    assert loop.turn == 30
    assert max(sizes[20:]) <= max(sizes[5:10]) * 1.05


def test_sentences_are_known_as_soon_as_the_next_begins() -> None:
    given: list[str] = []

    def parts() -> Iterator[str]:
        for part in ["Dr. Sm", "ith is in. ", "He", " waits.", " Bye"]:
            yield part
            given.append(part)

    found = sentences_of(parts())
    assert next(found) == "Dr. Smith is in."
    assert len(given) == 2
    assert list(found) == ["He waits.", "Bye"]
    assert list(sentences_of([])) == list(sentences_of(["", " "])) == []


def test_what_begins_like_a_sentence_may_be_a_name() -> None:
    assert list(sentences_of(["It is by J. He", "ndrix. Good. ", "Yes"])) == [
        "It is by J. Hendrix.",
        "Good.",
        "Yes",
    ]


def test_a_new_paragraph_ends_a_sentence_in_pieces_too() -> None:
    pieces_of = ["Hello there. Title\n", "\nBody text. ", "End"]
    assert list(sentences_of(pieces_of)) == ["Hello there.", "Title", "Body text.", "End"]


def test_a_sentence_of_a_script_without_spaces_is_known_at_its_end() -> None:
    found = sentences_of(iter(["元気です｡は", "い。"]))
    assert next(found) == "元気です｡"
    assert list(found) == ["はい。"]


def test_a_seed_out_of_range_is_refused_at_once() -> None:
    with pytest.raises(sk.InputError, match="seed"):
        VoiceLoop(ScriptedKit(), seed=-1)  # type: ignore[arg-type]


@pytest.mark.parametrize("end", ["close", "fault"])
def test_whatever_ends_a_reply_stops_its_maker(make, end: str) -> None:  # type: ignore[no-untyped-def]
    reply = Stoppable()
    room = Room(make(respond=lambda *_: reply))
    room.hear(signal(0.5, 1))
    while room.loop.state != "replying":
        room.hear(signal(0.1))
    if end == "close":
        room.loop.close()
    else:
        room.loop._answer.fault = sk.WeightsError("gone")  # type: ignore[union-attr]
        with pytest.raises(sk.WeightsError):
            room.hear(signal(0.1))
    assert reply.heard == ["Twenty letters here."]


def test_what_is_said_while_a_long_turn_is_answered_is_for_the_next(make) -> None:  # type: ignore[no-untyped-def]
    slow = threading.Event()
    loop = make(
        respond=lambda *_: "Yes." if slow.wait(5) else "", turn_taking=TurnTaking(longest=2.0)
    )
    events: list[Event] = []
    for _, piece in pieces(signal(0.5, list(range(16)))):
        events += loop.feed((RATE, piece))
        time.sleep(0.01)
    assert loop.state == "waiting"
    slow.set()
    events += run(loop, 3.0)
    heard = " ".join(e.text for e in of(FinalText, events)).split()
    assert set(heard) == {f"w{word}" for word in range(16)}
    assert len(heard) <= 17  # the word in which it was cut may be in both


def test_a_sentence_is_told_before_its_audio(make) -> None:  # type: ignore[no-untyped-def]
    slow = threading.Event()
    loop = make(respond=lambda *_: "Yes." if slow.wait(5) else "")
    events: list[Event] = []
    for _, piece in pieces(signal(0.5, 1, 2.0)):
        events += loop.feed((RATE, piece))
        time.sleep(0.01)
    assert of(SpeakerHeard, events)
    slow.set()
    while loop._busy():
        time.sleep(0.01)
    kinds = [type(e) for e in loop.feed((RATE, np.zeros(1600, np.float32)))]
    assert kinds[:2] == [ReplyText, ReplyAudio]


def test_a_turn_without_a_reply_leaves_nothing_to_the_next(make) -> None:  # type: ignore[no-untyped-def]
    room = Room(make(respond=lambda *_: ""))
    room.hear(signal(0.5, 1))
    while room.loop.state != "idle":
        room.hear(signal(0.1))
    events = room.hear(signal([2], 2.0))
    assert [e.text for e in of(FinalText, events)] == [text(2)]


def test_a_doubt_about_settled_words_is_kept_when_nothing_follows(make) -> None:  # type: ignore[no-untyped-def]
    loop = make(ScriptedKit(script=lambda *_: say("")))
    answer = Answer(0, mark=0.3)
    loop._worker._hear(answer, "So it was.", np.zeros(RATE, np.float32))
    assert (answer.text, answer.mark) == ("So it was.", 0.3)


def test_a_doubt_lasts_over_a_sound_without_words(make) -> None:  # type: ignore[no-untyped-def]
    def script(window: Window, _: object) -> object:
        return say("It rained." if len(window) > 8 else "")

    kit = ScriptedKit(script=script)
    kit.asr.engine.mark = 0.5
    events = run(make(kit), 0.5, [*range(8, 42)], 0.6, [7], 3.0)
    [done] = of(TurnDone, events)
    assert of(FinalText, events)[0].text == "It rained."
    assert done.timings["silence"] == pytest.approx(TAKING.unsure, abs=0.11)


def test_a_click_before_a_reply_does_not_soften_it(make) -> None:  # type: ignore[no-untyped-def]
    slow = threading.Event()
    loop = make(respond=lambda *_: LONG if slow.wait(5) else "")
    events: list[Event] = []
    for _, piece in pieces(np.concatenate([signal(0.5, 1, 2.0), 0.9 * np.ones(512, np.float32)])):
        events += loop.feed((RATE, piece))
        time.sleep(0.01)
    assert loop.state == "waiting"
    slow.set()
    for _, piece in pieces(signal(1.0)):
        events += [*loop.feed((RATE, piece)), *loop.settle()]
    assert of(ReplyAudio, events)
    assert not of(Ducked, events)


def test_words_count_in_english_however_it_is_written(make) -> None:  # type: ignore[no-untyped-def]
    kit = ScriptedKit(script=lambda *_: say("it is"))
    [done] = of(TurnDone, run(make(kit, language="EN"), 0.5, [1, 2], 2.5))
    assert done.timings["silence"] == pytest.approx(TAKING.trailing, abs=0.11)


def test_speech_too_soft_to_have_a_voice_does_not_stop_the_reply(replying, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def soft(source: object) -> np.ndarray:
        raise sk.AudioError("silent")

    room = replying()
    monkeypatch.setattr(room.loop.kit.encoder, "embed", soft)
    events = room.hear(signal([4], 9.0))
    assert of(Resumed, events)
    assert not of(Interrupted, events)
