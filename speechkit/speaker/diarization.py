"""Who spoke when: speech and overlap, embeddings of short windows, clusters, a path through them.

    recording ─► who speaks in each frame, 10 s at a time ─► speech ─► windows of 1.5 s ─► embeddings
              ─► clusters ─► a voice for each frame, or two ─► turns

The segmentation network tells where how many people speak, and within 10 s which frames are one's; who
that is, the embeddings tell. Windows overlap, so each frame is seen by several; it goes to the voice
whose centroid these resemble most, and that the segmentation's own voices vote for, where a change of
voice costs (Viterbi). Where two people speak at once, the voice with the most votes among the others is
the second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from speechkit.audio import SILENCE, AudioSource, Limits, load_audio
from speechkit.errors import InputError
from speechkit.speaker.encoder import MIN_S, Embedding, SpeakerEncoder, load_speaker_encoder
from speechkit.speaker.segmentation import FIRST, FRAME, FRAMES, Activity, load_segmenter
from speechkit.speaker.turns import Turn

Array = NDArray[np.float64]
Progress = Callable[[float, float], object]
Span = tuple[int, int]  # frames: the first, and the first that is not in it


@dataclass(frozen=True)
class Tuning:
    """What decides; seconds, and cosines of embeddings.

    Attributes:
        window, hop: of the embedded pieces.
        pause: a shorter one does not end a stretch of speech.
        merge: clusters whose windows resemble each other more than this, on average, are one voice.
        least: a voice with fewer windows than this is given to the nearest other.
        change: what a change of voice costs, in units of the resemblance of one second.
        vote: what all votes of the segmentation weigh, in units of resemblance.
        alone: share of a window in which one person at most speaks, for a window that founds a cluster.
        talk_over: two people who spoke at once for so long are two voices, however alike.
    """

    window: float = 1.5
    hop: float = 0.5
    pause: float = 0.3
    merge: float = 0.30
    least: int = 2
    change: float = 0.1
    vote: float = 0.5
    alone: float = 0.5
    talk_over: float = 1.0


TUNING = Tuning()
SAMPLE_RATE = 16_000
FRAME_S = FRAME / SAMPLE_RATE
SHORTEST = 4  # frames of speech: a click is no turn
MAX_CLUSTERED = 3000  # windows that are compared with each other; of more, evenly chosen ones
CLEAN_S = (
    0.5  # of a voice alone tell who it is; of less, what it says over another's voice counts too
)
SPARE = 10  # clusters for windows that are like no other
BLOCK = 1000  # frames that are compared with the windows around them at once
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
    """Who spoke when in a recording, in order of their beginnings; two voices at once too.

    Args:
        source: whatever `load_audio` takes.
        speakers: how many voices there are; found when None.
        encoder: what embeds the windows; loaded when None.
        limits: on the size of the recording.
        progress: called with the seconds done and the seconds in all.
        tuning: how to decide.

    Raises:
        AudioError: audio that can't be read.
        InputError: a number of speakers below 1.
        WeightsError: weights that can't be had.
    """
    if speakers is not None and speakers < 1:
        raise InputError(f"speakers is {speakers}; give 1 or more")
    audio = load_audio(source, SAMPLE_RATE, limits=limits or Limits())
    if audio.duration < MIN_S:  # too short for a voice
        return []

    def report(half: int, share: float) -> None:
        if progress:
            progress(audio.duration * (half + share) / 2, audio.duration)

    activity = load_segmenter().hear(audio.samples, lambda n, total: report(0, n / total))
    count = activity.count()
    speech = _spans(count > 0, tuning)
    windows = [w for w in _windows(speech, audio.duration, tuning) if _is_heard(audio.samples, w)]
    if not windows:
        report(1, 1.0)
        return []
    encoder = encoder or load_speaker_encoder()
    embeddings = _embed(audio.samples, windows, encoder, lambda share: report(1, share))
    centroids = _voices(embeddings, windows, count, speakers, tuning)
    resemblance = _resemblance(windows, embeddings @ centroids.T, speech, len(count), tuning)
    speaks = _assign(speech, count, resemblance, _votes(activity, resemblance), tuning)
    return _number(_turns(speaks, audio.duration))


def _seconds(frame: int) -> float:
    """Where a frame begins."""
    return (FIRST + frame * FRAME) / SAMPLE_RATE


def _runs(on: NDArray[np.bool_]) -> list[Span]:
    """Where it is true without a break."""
    edges = np.flatnonzero(np.diff(np.r_[False, on, False]))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _spans(on: NDArray[np.bool_], tuning: Tuning) -> list[Span]:
    """Stretches of speech, with short pauses bridged."""
    spans: list[Span] = []
    for start, end in _runs(on):
        if spans and (start - spans[-1][1]) * FRAME_S < tuning.pause:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return [(start, end) for start, end in spans if end - start >= SHORTEST]


def _windows(speech: Sequence[Span], duration: float, tuning: Tuning) -> list[tuple[float, float]]:
    """Start and end of the pieces to embed: they cover the speech and begin `hop` apart at most."""
    found = []
    for first, last in speech:
        start, end = _seconds(first), min(_seconds(last), duration)
        room = end - start - tuning.window
        if room <= 0:  # a short stretch with what is around it
            middle = (start + end) / 2
            start = min(max(0.0, middle - tuning.window / 2), max(0.0, duration - tuning.window))
            found.append((start, min(start + tuning.window, duration)))
            continue
        for at in np.linspace(start, start + room, int(room / tuning.hop) + 2):
            found.append((float(at), float(at) + tuning.window))
    return found


def _is_heard(samples: NDArray[np.float32], window: tuple[float, float]) -> bool:
    """Whether there is more than silence, which can't be embedded."""
    start, end = (round(second * SAMPLE_RATE) for second in window)
    return float(np.ptp(samples[start:end])) >= 2 * SILENCE


def _embed(
    samples: NDArray[np.float32],
    windows: Sequence[tuple[float, float]],
    encoder: SpeakerEncoder,
    report: Callable[[float], None],
) -> Embedding:
    found = []
    for at in range(0, len(windows), BATCH):
        bounds = [[round(s * SAMPLE_RATE) for s in w] for w in windows[at : at + BATCH]]
        found.append(encoder.embed_many([(SAMPLE_RATE, samples[a:b]) for a, b in bounds]))
        report(min(at + BATCH, len(windows)) / len(windows))
    return np.concatenate(found)


def _voices(
    embeddings: Embedding,
    windows: Sequence[tuple[float, float]],
    count: NDArray[np.intp],
    speakers: int | None,
    tuning: Tuning,
) -> Embedding:
    """The centroids, from windows in which mostly one person speaks, where there are enough."""
    both = np.r_[0.0, np.cumsum(count > 1)] * FRAME_S  # seconds until each frame
    edges = np.clip(np.rint(np.array(windows) / FRAME_S).astype(int), 0, len(count))
    share = (both[edges[:, 1]] - both[edges[:, 0]]) / tuning.window
    alone = share <= 1 - tuning.alone
    enough = alone.sum() >= max(2 * tuning.least, speakers or 0)
    chosen = embeddings[alone] if enough else embeddings
    centroids = _centroids(chosen, speakers, tuning)
    if not speakers and len(centroids) == 1 and both[-1] >= tuning.talk_over:
        return _centroids(chosen, 2, tuning)
    return centroids


def _centroids(embeddings: Embedding, speakers: int | None, tuning: Tuning) -> Embedding:
    """The mean voice of each cluster: (speakers, 192), of length 1.

    A window unlike all others is no voice. So of a given number of clusters all have to be large; else
    more are tried, whose large ones have to be as many, and unlike each other.
    """
    chosen = embeddings[:: -(-len(embeddings) // MAX_CLUSTERED)]
    if not speakers:
        return _cluster(chosen, None, tuning.least, tuning)
    speakers = min(speakers, len(chosen))
    for number in range(speakers, min(speakers + SPARE, len(chosen)) + 1):
        found = _cluster(chosen, number, tuning.least, tuning)
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
    windows: Sequence[tuple[float, float]],
    scores: NDArray[np.float32],
    speech: Sequence[Span],
    frames: int,
    tuning: Tuning,
) -> Array:
    """(frames, voices): the mean over the windows around a frame, the nearer ones weigh more."""
    found = np.full((frames, scores.shape[1]), np.nan)
    centres, half = np.array(windows).mean(axis=1), tuning.window / 2
    blocks = [
        (at, min(at + BLOCK, end)) for start, end in speech for at in range(start, end, BLOCK)
    ]
    for start, end in blocks:
        middles = np.array([_seconds(frame) + FRAME_S / 2 for frame in range(start, end)])
        near = np.flatnonzero((centres > middles[0] - half) & (centres < middles[-1] + half))
        if not len(near):  # its own windows are silent
            near = np.abs(centres - middles.mean()).argmin(keepdims=True)
        away = np.abs(middles[:, None] - centres[near])
        weights = np.maximum(0.0, 1 - away / half)
        weights[np.arange(len(weights)), away.argmin(axis=1)] += 1e-3
        found[start:end] = (weights @ scores[near]) / weights.sum(axis=1, keepdims=True)
    return found


def _votes(activity: Activity, resemblance: Array) -> Array:
    """(frames, voices): for each voice, the share of the chunks that have it in a frame.

    A chunk's own voices become different ones of the recording, those that they resemble most where
    they speak alone.
    """
    votes = np.zeros(resemblance.shape)
    for start, active in zip(activity.starts, activity.active, strict=True):
        seen = resemblance[start : start + FRAMES]
        known, alone = ~np.isnan(seen[:, 0]), active.sum(axis=1) == 1
        own, means = [], []
        for voice in range(active.shape[1]):
            on = active[:, voice] & known
            if on.any():
                clean = on & alone
                own.append(voice)
                means.append(seen[clean if clean.sum() * FRAME_S >= CLEAN_S else on].mean(axis=0))
        if own:
            for i, k in zip(*linear_sum_assignment(-np.array(means)), strict=True):
                votes[start : start + FRAMES, k] += active[:, own[i]]
    return votes / activity.heard()[:, None]


def _assign(
    speech: Sequence[Span],
    count: NDArray[np.intp],
    resemblance: Array,
    votes: Array,
    tuning: Tuning,
) -> NDArray[np.bool_]:
    """(frames, voices): who speaks in each frame; two at most."""
    speaks = np.zeros(resemblance.shape, bool)
    for start, end in speech:
        at = np.arange(start, end)
        scores = resemblance[at] + tuning.vote * votes[at]
        first = _best_path(scores * FRAME_S, tuning.change)
        speaks[at, first] = True
        others = votes[at] + 0.1 * resemblance[at]
        others[np.arange(len(at)), first] = -np.inf
        both = count[at] > 1
        if resemblance.shape[1] > 1:
            speaks[at[both], others[both].argmax(axis=1)] = True
    return speaks


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


def _turns(speaks: NDArray[np.bool_], duration: float) -> list[Turn]:
    """Who speaks in each frame → turns, in which a voice is a number."""
    return [
        Turn(_seconds(start) if start else 0.0, min(_seconds(end), duration), str(voice))
        for voice in range(speaks.shape[1])
        for start, end in _runs(speaks[:, voice])
        if _seconds(start) < duration
    ]


def _number(turns: Iterable[Turn]) -> list[Turn]:
    """In order, and the voices by when they are heard first."""
    ordered = sorted(turns, key=lambda turn: (turn.start, turn.end))
    names: dict[str, str] = {}
    for turn in ordered:
        names.setdefault(turn.speaker, f"speaker {len(names) + 1}")
    return [replace(turn, speaker=names[turn.speaker]) for turn in ordered]
