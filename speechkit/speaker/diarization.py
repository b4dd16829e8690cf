"""Who spoke when: speech detection, embeddings of short windows, clusters, a path through them.

    recording ─► speech ─► windows of 1.5 s ─► embeddings ─► clusters ─► a voice for each 0.1 s ─► turns

Windows overlap, so each stretch of 0.1 s is seen by several; it goes to the voice whose centroid these
resemble most, where a change of voice costs (Viterbi). Where two voices talk at once, the one that is
resembled more is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from speechkit.audio import SILENCE, AudioSource, Limits, load_audio
from speechkit.errors import InputError
from speechkit.speaker.encoder import MIN_S, Embedding, SpeakerEncoder, load_speaker_encoder
from speechkit.speaker.turns import Turn
from speechkit.vad import FRAME, SAMPLE_RATE, Stretch, detect_speech

Array = NDArray[np.float64]
Progress = Callable[[float, float], object]


@dataclass(frozen=True)
class Tuning:
    """What decides; seconds, and cosines of embeddings.

    Attributes:
        window, hop: of the embedded pieces.
        step: for each so long a voice is chosen.
        merge: clusters whose windows resemble each other more than this, on average, are one voice.
        least: a voice with fewer windows than this is given to the nearest other.
        change: what a change of voice costs, in units of the resemblance of one step.
        speech: probability from which on somebody speaks.
        pause: a shorter one does not end a stretch of speech.
    """

    window: float = 1.5
    hop: float = 0.25
    step: float = 0.1
    merge: float = 0.30
    least: int = 4
    change: float = 1.0
    speech: float = 0.35
    pause: float = 0.5


TUNING = Tuning()
MAX_CLUSTERED = 3000  # windows that are compared with each other; of more, evenly chosen ones
LEVEL = 0.2  # root mean square that loud frames are brought to before speech is looked for
LOUD = 0.95  # share of the frames that are softer than these
MAX_GAIN = 300.0  # 50 dB
SPARE = 10  # clusters for windows that are like no other
BATCH = 64  # windows that are embedded between two reports of progress


def diarize(
    source: AudioSource,
    *,
    speakers: int | None = None,
    encoder: SpeakerEncoder | None = None,
    limits: Limits | None = None,
    progress: Progress | None = None,
    tuning: Tuning = TUNING,
) -> list[Turn]:
    """Who spoke when in a recording, in order of their beginnings.

    Args:
        source: whatever `load_audio` takes.
        speakers: how many voices there are; found when None.
        encoder: what embeds the windows; loaded when None.
        limits: on the size of the recording.
        progress: called with the windows done and the windows in all.
        tuning: how to decide.

    Raises:
        AudioError: audio that can't be read.
        InputError: a number of speakers below 1.
    """
    if speakers is not None and speakers < 1:
        raise InputError(f"speakers is {speakers}; give 1 or more")
    audio = load_audio(source, SAMPLE_RATE, limits=limits or Limits())
    speech = _find_speech(audio.samples, tuning, limits)
    windows = [w for w in _windows(speech, audio.duration, tuning) if _is_heard(audio.samples, w)]
    if not windows or audio.duration < MIN_S:  # too short for a voice
        return []
    embeddings = _embed(audio.samples, windows, encoder or load_speaker_encoder(), progress)
    centroids = _centroids(embeddings, speakers, tuning)
    centres, scores = np.array(windows).mean(axis=1), embeddings @ centroids.T
    turns: list[Turn] = []
    for stretch in speech:
        resemblance = _resemblance(stretch, centres, scores, tuning)
        turns += _runs(_best_path(resemblance, tuning.change), stretch)
    return _number(turns)


def _find_speech(
    samples: NDArray[np.float32], tuning: Tuning, limits: Limits | None
) -> list[Stretch]:
    """Where somebody speaks, in a recording from afar too: it is made louder first."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    level = float(np.sqrt(np.quantile(frames.var(axis=1), LOUD))) if len(frames) else 1.0
    gain = min(max(1.0, LEVEL / max(level, 1e-9)), MAX_GAIN)
    louder = (SAMPLE_RATE, np.clip(samples * np.float32(gain), -1, 1))
    return detect_speech(louder, threshold=tuning.speech, min_pause=tuning.pause, limits=limits)


def _is_heard(samples: NDArray[np.float32], window: tuple[float, float]) -> bool:
    """Whether there is more than silence, which can't be embedded."""
    start, end = (round(second * SAMPLE_RATE) for second in window)
    return float(np.ptp(samples[start:end])) >= 2 * SILENCE


def _windows(
    speech: Sequence[Stretch], duration: float, tuning: Tuning
) -> list[tuple[float, float]]:
    """Start and end of the pieces to embed: they cover the speech and begin `hop` apart at most."""
    found = []
    for stretch in speech:
        room = stretch.end - stretch.start - tuning.window
        if room <= 0:  # a short stretch with what is around it
            middle = (stretch.start + stretch.end) / 2
            start = min(max(0.0, middle - tuning.window / 2), max(0.0, duration - tuning.window))
            found.append((start, min(start + tuning.window, duration)))
            continue
        for start in np.linspace(stretch.start, stretch.start + room, int(room / tuning.hop) + 2):
            found.append((float(start), float(start) + tuning.window))
    return found


def _embed(
    samples: NDArray[np.float32],
    windows: Sequence[tuple[float, float]],
    encoder: SpeakerEncoder,
    progress: Progress | None,
) -> Embedding:
    found = []
    for at in range(0, len(windows), BATCH):
        bounds = [[round(s * SAMPLE_RATE) for s in w] for w in windows[at : at + BATCH]]
        found.append(encoder.embed_many([(SAMPLE_RATE, samples[a:b]) for a, b in bounds]))
        if progress:
            progress(min(at + BATCH, len(windows)), len(windows))
    return np.concatenate(found)


def _centroids(embeddings: Embedding, speakers: int | None, tuning: Tuning) -> Embedding:
    """The mean voice of each cluster: (speakers, 192), of length 1.

    A window unlike all others is no voice. So of a given number of clusters all have to be large; else
    more are tried, whose large ones have to be as many, and unlike each other.
    """
    chosen = embeddings[:: -(-len(embeddings) // MAX_CLUSTERED)]
    least = math.ceil(tuning.least * len(chosen) / len(embeddings))
    if not speakers:
        return _cluster(chosen, None, least, tuning)
    speakers = min(speakers, len(chosen))
    for number in range(speakers, min(speakers + SPARE, len(chosen)) + 1):
        found = _cluster(chosen, number, least, tuning)
        alike = (found @ found.T)[np.triu_indices(len(found), 1)]
        if len(found) == speakers and not np.any(alike > 1 - (1 - tuning.merge) / 2):
            return found
    return _cluster(chosen, speakers, 1, tuning)


def _cluster(embeddings: Embedding, number: int | None, least: int, tuning: Tuning) -> Embedding:
    """The centroids of clusters with at least `least` windows, and of the largest."""
    from sklearn.cluster import AgglomerativeClustering

    if len(embeddings) == 1 or number == 1:
        labels = np.zeros(len(embeddings), np.intp)
    else:
        labels = AgglomerativeClustering(
            n_clusters=number,
            distance_threshold=None if number else 1 - tuning.merge,
            metric="cosine",
            linkage="average",
        ).fit_predict(embeddings)
    counts = np.bincount(labels)
    kept = np.flatnonzero((counts >= least) | (counts == counts.max()))
    means = np.stack([embeddings[labels == k].mean(axis=0) for k in kept])
    unit: Embedding = means / np.linalg.norm(means, axis=1, keepdims=True)
    return unit


def _resemblance(
    stretch: Stretch, centres: Array, scores: NDArray[np.float32], tuning: Tuning
) -> Array:
    """(steps, voices): the mean over the windows around a step, the nearer ones weigh more."""
    count = max(1, round((stretch.end - stretch.start) / tuning.step))
    middles = stretch.start + (np.arange(count) + 0.5) * (stretch.end - stretch.start) / count
    half = tuning.window / 2
    near = np.flatnonzero((centres > stretch.start - half) & (centres < stretch.end + half))
    centres, scores = centres[near], scores[near]
    weights = np.maximum(0.0, 1 - np.abs(middles[:, None] - centres[None]) / half)
    nearest = np.abs(middles[:, None] - centres[None]).argmin(axis=1)
    weights[np.arange(count), nearest] += 1e-3
    found: Array = (weights @ scores) / weights.sum(axis=1, keepdims=True)
    return found


def _best_path(scores: Array, change: float) -> NDArray[np.intp]:
    """The voice of each step: the highest sum of scores, less `change` for each change (Viterbi)."""
    total, came = scores[0].copy(), np.zeros(scores.shape, np.intp)
    for t in range(1, len(scores)):
        best = int(total.argmax())
        stay = total >= total[best] - change
        came[t] = np.where(stay, np.arange(len(total)), best)
        total = np.maximum(total, total[best] - change) + scores[t]
    path = np.empty(len(scores), np.intp)
    path[-1] = total.argmax()
    for t in range(len(scores) - 1, 0, -1):
        path[t - 1] = came[t, path[t]]
    return path


def _runs(path: NDArray[np.intp], stretch: Stretch) -> list[Turn]:
    """The voice of each step → turns, in which a voice is a number."""
    step = (stretch.end - stretch.start) / len(path)
    cuts = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    return [
        Turn(stretch.start + a * step, stretch.start + b * step, str(path[a]))
        for a, b in pairwise(cuts)
    ]


def _number(turns: Iterable[Turn]) -> list[Turn]:
    """In order, and the voices by when they are heard first."""
    ordered = sorted(turns, key=lambda turn: (turn.start, turn.end))
    names: dict[str, str] = {}
    for turn in ordered:
        names.setdefault(turn.speaker, f"speaker {len(names) + 1}")
    return [replace(turn, speaker=names[turn.speaker]) for turn in ordered]
