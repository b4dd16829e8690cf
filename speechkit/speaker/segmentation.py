"""Who speaks in each 17 ms, two voices at once too: pyannote's segmentation network on its weights.

It hears 10 s and tells up to three voices apart, of which two may speak at once: a band-pass filter
bank whose cut-offs were learned (SincNet), an LSTM in both directions, and for each frame one of seven
classes: nobody, one of three voices, two of them. Which voice is called the first differs from one
10 s to the next.

Source: Plaquet and Bredin 2023, "Powerset multi-class cross entropy loss for neural speaker
diarization"; Ravanelli and Bengio 2018, "Speaker recognition from raw waveform with SincNet";
pyannote/segmentation-3.0 (MIT).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from speechkit import hub
from speechkit.errors import WeightsError
from speechkit.runtime import set_up_torch

SAMPLE_RATE = 16_000
CHUNK = 10 * SAMPLE_RATE  # samples that are heard at once
FRAME, FIRST = 270, 360  # samples: a frame's length, and where the first one begins
FRAMES = 589  # of a chunk
HOP = 60  # frames between the beginnings of two chunks: 1.01 s
VOICES = 3  # that are told apart in a chunk
BATCH = 8  # chunks that are heard together
MODEL = "segmentation-3.0"

_loading = threading.Lock()
_CLASSES = ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
SPEAKS = np.array([[voice in one for voice in range(VOICES)] for one in _CLASSES])
_SINC, _BANDS = 251, 40  # taps of a filter; bands, each with a cosine and a sine
_LEAST_HZ = 50.0  # of a band's lower edge, and of its width


@dataclass(frozen=True)
class Activity:
    """Who speaks, chunk by chunk.

    Attributes:
        starts: the first frame of each chunk.
        active: (chunks, FRAMES, VOICES) bool; the voices of one chunk are not those of another.
    """

    starts: list[int]
    active: NDArray[np.bool_]

    def heard(self) -> NDArray[np.intp]:
        """How many chunks hear each frame: (frames,)."""
        return self._add(np.ones(self.active.shape[:2], np.intp))

    def count(self) -> NDArray[np.intp]:
        """How many people speak in each frame, in the mean of the chunks that hear it: (frames,)."""
        return np.rint(self._add(self.active.sum(axis=2)) / self.heard()).astype(np.intp)

    def _add(self, values: NDArray[np.intp]) -> NDArray[np.intp]:
        """(chunks, FRAMES) → (frames,): the sum over the chunks."""
        total = np.zeros(self.starts[-1] + FRAMES, np.intp)
        for start, chunk in zip(self.starts, values, strict=True):
            total[start : start + FRAMES] += chunk
        return total


class Segmenter(nn.Module):
    """The network: (chunks, samples) at 16 kHz → logits (chunks, frames, 7)."""

    def __init__(self) -> None:
        super().__init__()
        self.wave_norm = nn.InstanceNorm1d(1, affine=True)
        self.sinc = nn.Conv1d(1, 2 * _BANDS, _SINC, stride=10, bias=False)
        self.convs = nn.ModuleList([nn.Conv1d(2 * _BANDS, 60, 5), nn.Conv1d(60, 60, 5)])
        self.norms = nn.ModuleList([nn.InstanceNorm1d(n, affine=True) for n in (80, 60, 60)])
        self.lstm = nn.LSTM(60, 128, num_layers=4, batch_first=True, bidirectional=True)
        self.linear = nn.ModuleList([nn.Linear(256, 128), nn.Linear(128, 128)])
        self.classifier = nn.Linear(128, len(_CLASSES))

    def forward(self, samples: Tensor) -> Tensor:
        """As the class says."""
        x = self.sinc(self.wave_norm(samples[:, None])).abs()
        x = F.leaky_relu(self.norms[0](F.max_pool1d(x, 3)))
        for conv, norm in zip(self.convs, list(self.norms)[1:], strict=True):
            x = F.leaky_relu(norm(F.max_pool1d(conv(x), 3)))
        x, _ = self.lstm(x.transpose(1, 2))
        for layer in self.linear:
            x = F.leaky_relu(layer(x))
        logits: Tensor = self.classifier(x)
        return logits

    @torch.inference_mode()
    def hear(
        self, samples: NDArray[np.float32], progress: Callable[[int, int], object] | None = None
    ) -> Activity:
        """Who speaks in a recording of any length: (n,) at 16 kHz.

        Args:
            samples: fewer than 10 s are filled up with silence.
            progress: called with the chunks done and the chunks in all.
        """
        length = FRAME * HOP
        count = 1 + max(0, -(-(len(samples) - CHUNK) // length))
        padded = np.pad(samples, (0, max(0, (count - 1) * length + CHUNK - len(samples))))
        found = []
        for at in range(0, count, BATCH):
            some = range(at, min(at + BATCH, count))
            chunks = np.stack([padded[i * length : i * length + CHUNK] for i in some])
            found.append(self(torch.from_numpy(chunks)).argmax(dim=-1).numpy())
            if progress:
                progress(some.stop, count)
        return Activity([i * HOP for i in range(count)], SPEAKS[np.concatenate(found)])


def load_segmenter() -> Segmenter:
    """The network with its weights, fetched first where they are missing; one for all callers.

    Raises:
        WeightsError: the weights can't be had or are damaged.
    """
    checkpoint = hub.fetch(MODEL) / "pytorch_model.bin"
    with _loading:  # torch's list of what a checkpoint may name is one for all threads
        return _load(checkpoint)


@lru_cache(maxsize=1)
def _load(checkpoint: Path) -> Segmenter:
    set_up_torch()
    model = Segmenter()
    try:
        with torch.serialization.safe_globals([(_Nothing, name) for name in _OTHER_OBJECTS]):
            stored = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        model.load_state_dict(_renamed(stored))
    except Exception as e:  # torch raises errors of many kinds for damaged files
        raise WeightsError(
            f"{checkpoint}: not pyannote's segmentation weights: {e}; "
            f"run `speechkit models fetch {MODEL}`"
        ) from e
    return model.eval()


class _Nothing:
    """Stands where the checkpoint names a class: nothing of it is built."""

    def __init__(self, *given: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


_OTHER_OBJECTS = (
    "torch.torch_version.TorchVersion",
    "pyannote.audio.core.task.Specifications",
    "pyannote.audio.core.task.Problem",
    "pyannote.audio.core.task.Resolution",
)


def _renamed(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """pyannote's names → ours, with the filters in place of their cut-offs."""
    bank = "sincnet.conv1d.0.filterbank."
    names = {"sincnet.wav_norm1d": "wave_norm", "sincnet.norm1d": "norms"}
    names |= {"sincnet.conv1d.1": "convs.0", "sincnet.conv1d.2": "convs.1"}
    tensors = {"sinc.weight": band_pass(stored[f"{bank}low_hz_"], stored[f"{bank}band_hz_"])}
    for name, tensor in stored.items():
        if name.startswith(bank):
            continue
        for theirs, own in names.items():
            name = name.replace(theirs, own)
        tensors[name] = tensor
    return tensors


def band_pass(low: Tensor, width: Tensor) -> Tensor:
    r"""SincNet's filters: (bands, 1) each, Hz → (2 bands, 1, taps), cosines and then sines.

    A band from f to g is the difference of two low-pass filters,
    :math:`(\sin 2\pi g n - \sin 2\pi f n) / \pi n` at tap n, with a Hamming window and 1 in the middle;
    its sine twin is a quarter of a period late.
    """
    low = _LEAST_HZ + low.abs()
    high = (low + _LEAST_HZ + width.abs()).clamp(_LEAST_HZ, SAMPLE_RATE / 2)
    half = _SINC // 2
    phase = 2 * torch.pi * torch.arange(-half, 0.0) / SAMPLE_RATE
    window = torch.hamming_window(_SINC, periodic=False)[:half]
    scale = window / (phase * (high - low))
    cosine = (torch.sin(high * phase) - torch.sin(low * phase)) * scale
    sine = (torch.cos(low * phase) - torch.cos(high * phase)) * scale
    one = torch.ones(len(low), 1)
    even = torch.cat([cosine, one, cosine.flip(1)], dim=1)
    odd = torch.cat([sine, 0 * one, -sine.flip(1)], dim=1)
    return torch.cat([even, odd])[:, None]
