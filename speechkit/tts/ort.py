"""The fast engine for VITS: ONNX Runtime on a Piper voice's own graph, which speaks window by window."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speechkit.errors import InputError, WeightsError
from speechkit.runtime import threads
from speechkit.tts.engine import Controls, Latent, Samples
from speechkit.tts.graph import SPEAKER, Part, VoiceGraphs, cut_voice
from speechkit.tts.piper import VoiceConfig

FLOW_BLOCK = 64  # frames
SHARED = 128  # frames, from which on the decoder's work is shared out


@dataclass(frozen=True)
class _Planned(Latent):
    """A draw from the prior, and what the flow has made of it so far: start of a block → its z."""

    flowed: dict[int, Samples] = field(default_factory=dict)


class OnnxEngine:
    """`plan` and `render` on ONNX Runtime, on the CPU, in float32.

    Several threads may share it. The random numbers are those of Coqui's `Vits.inference`, so equal
    seeds say the same on both engines.

    Attributes:
        config: the voice's configuration.
        hop_length: samples that one frame becomes.
        alone: the same voice in one thread.
    """

    def __init__(
        self,
        path: Path,
        config: VoiceConfig,
        graphs: VoiceGraphs,
        alone: OnnxEngine | None = None,
    ) -> None:
        """One thread, or, with the engine of one thread to lean on, all of them."""
        self.config, self.hop_length = config, graphs.hop_length
        self._flow_seen, self._seen = graphs.flow_context, graphs.decoder_context
        self._flat = graphs.flat
        self.alone = alone or self
        self._threads = threads() if alone else 1
        self._text, self._flow, self._decoder = (
            _Session(path, part, self._threads)
            for part in (graphs.text, graphs.flow, graphs.decoder)
        )
        self._pool = ThreadPoolExecutor(self._threads, "speechkit-tts")

    def plan(self, ids: list[int], controls: Controls, least: Mapping[int, int] = {}) -> Latent:
        """Text encoder, durations, and a draw from the prior; the flow waits for `render`."""
        if not ids:
            raise InputError("no symbols to speak; give a text with at least one letter")
        random = torch.Generator().manual_seed(controls.seed)
        mean, log_scale, durations = self._text.run(
            np.array([ids]),
            np.array([len(ids)]),
            np.array([1.0, controls.length_scale, controls.noise_w], np.float32),
            torch.randn(1, 2, len(ids), generator=random).numpy(),
            speaker=controls.speaker,
        )
        counts = durations[0, 0].astype(np.int64)
        for at, frames in least.items():
            counts[at] = max(counts[at], frames)
        if counts.sum() < 2:
            counts[-1] += 2 - counts.sum()
        mean, log_scale = (x[0].repeat(counts, axis=1) for x in (mean, log_scale))
        # Coqui draws in the order of memory, in which its mean has the channels last.
        noise = torch.empty(1, mean.shape[1], mean.shape[0]).transpose(1, 2)
        noise = noise.normal_(generator=random).numpy()[0]
        z = mean + noise * np.exp(log_scale) * np.float32(controls.noise_scale)
        return _Planned(z, counts.tolist(), controls.speaker)

    def render(self, latent: Latent, start: int, stop: int) -> Samples:
        """The decoder on the frames asked for and the context that it sees.

        Many frames are shared out: threads that decode a part each are quicker than threads that
        share each step.
        """
        if self._threads == 1 or stop - start < SHARED:
            return self._decode(latent, start, stop)
        # Computed once, before the parts ask for it.
        self._z(latent, max(0, start - self._seen), min(stop + self._seen, latent.frames))
        bounds = [start + (stop - start) * i // self._threads for i in range(self._threads + 1)]
        parts = [self._pool.submit(self.alone._decode, latent, *pair) for pair in pairwise(bounds)]
        return np.concatenate([part.result() for part in parts])

    def _decode(self, latent: Latent, start: int, stop: int) -> Samples:
        first, last = max(0, start - self._seen), min(stop + self._seen, latent.frames)
        z = self._z(latent, first, last)
        (samples,) = self._decoder.run(z[:, :, None] if self._flat else z, speaker=latent.speaker)
        hop = self.hop_length
        cut: Samples = samples.reshape(-1)[(start - first) * hop : (stop - first) * hop]
        return cut

    def _z(self, latent: Latent, first: int, last: int) -> Samples:
        """Frames of z, shape (1, channels, last - first).

        The flow runs on blocks, each twice as long as the one before, which are kept; when all is
        asked for at once, on a single one.
        """
        assert isinstance(latent, _Planned)
        flowed = latent.flowed
        if (first, last) == (0, latent.frames) and not flowed:
            flowed[0] = self._flow_block(latent, 0, last)
        parts, at, size = [], 0, FLOW_BLOCK
        while at < last:
            if at + size > first and at not in flowed:
                flowed[at] = self._flow_block(latent, at, min(at + size, latent.frames))
            if at in flowed:
                parts.append(flowed[at][:, :, max(0, first - at) : last - at])
            at, size = at + (flowed[at].shape[2] if at in flowed else size), 2 * size
        return np.concatenate(parts, axis=2)

    def _flow_block(self, latent: Latent, start: int, stop: int) -> Samples:
        first, last = max(0, start - self._flow_seen), min(stop + self._flow_seen, latent.frames)
        mask = np.ones((1, 1, last - first), np.float32)
        (z,) = self._flow.run(latent.z[None, :, first:last], mask, speaker=latent.speaker)
        return z[:, :, start - first : stop - first]


class _Session:
    """One part of the graph."""

    def __init__(self, path: Path, part: Part, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Threads that went on spinning would take time from the next session's, and other programs'.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            self._session: Any = onnxruntime.InferenceSession(
                part.model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as e:  # ONNX Runtime's own classes, of which only the text tells
            raise WeightsError(
                f"{path}: ONNX Runtime can't load it: {e}; fetch the voice again"
            ) from e
        self._inputs, self._outputs = part.inputs, part.outputs

    def run(self, *arrays: NDArray[Any], speaker: int) -> list[Samples]:
        """The outputs for the inputs in order; `speaker` goes where the part wants one."""
        given = [name for name in self._inputs if name != SPEAKER]
        feed = dict(zip(given, arrays, strict=True))
        if SPEAKER in self._inputs:
            feed[SPEAKER] = np.array([speaker])
        try:
            outputs: list[Samples] = self._session.run(self._outputs, feed)
        except Exception as e:
            if type(e).__module__.startswith("onnxruntime"):
                raise WeightsError(f"ONNX Runtime can't run this voice: {e}; fetch it again") from e
            raise
        return outputs


def load_engine(folder: Path, name: str) -> OnnxEngine:
    """The engine for `NAME.onnx` and `NAME.onnx.json` in `folder`.

    Raises:
        WeightsError: a file is missing or damaged.
    """
    config = VoiceConfig.read(folder / f"{name}.onnx.json")
    path = folder / f"{name}.onnx"
    graphs = cut_voice(path)
    if graphs.has_speakers != (len(config.speakers) > 1):
        raise WeightsError(
            f"{path}: its graph and its configuration disagree about its speakers; "
            "fetch the voice again"
        )
    alone = OnnxEngine(path, config, graphs)
    return OnnxEngine(path, config, graphs, alone) if threads() > 1 else alone
