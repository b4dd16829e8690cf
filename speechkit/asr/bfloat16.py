"""Whisper's encoder in bfloat16, for processors that multiply matrices faster in it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from speechkit.asr.openai import build
from speechkit.errors import WeightsError

log = logging.getLogger("speechkit")


class Encoder(Protocol):
    """Log-mel (batch, n_mels, frames) → states (batch, frames / 2, state); `wide`: on all threads."""

    def __call__(self, mel: torch.Tensor, wide: bool) -> NDArray[np.float32]: ...


class Bfloat16Encoder:
    """openai-whisper's `AudioEncoder` in bfloat16, for windows of any length."""

    def __init__(self, encoder: Any) -> None:
        self.encoder = encoder.to(torch.bfloat16)
        for module in self.encoder.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.float()  # openai-whisper's take their input in float32
        self._wide = ThreadPoolExecutor(1)  # a Python thread in which torch has all its threads

    def __call__(self, mel: torch.Tensor, wide: bool) -> NDArray[np.float32]:
        """Encode as `Encoder` says."""
        return self._wide.submit(self._run, mel).result() if wide else self._run(mel)

    @torch.inference_mode()
    def _run(self, mel: torch.Tensor) -> NDArray[np.float32]:
        net = self.encoder
        x = F.gelu(net.conv2(F.gelu(net.conv1(mel.bfloat16())))).transpose(1, 2)
        x = x + net.positional_embedding[: x.shape[1]]
        for block in net.blocks:
            x = block(x)
        states: NDArray[np.float32] = net.ln_post(x).float().numpy()
        return states


def quicker_encoder(other: Encoder, folder: Path, name: str) -> Bfloat16Encoder | None:
    """An encoder in bfloat16 if it is quicker than `other`, found by timing both.

    A matrix product comes first, for it costs milliseconds: without units for bfloat16 it is slower than
    in float32, and there is nothing to gain. Weights that only CTranslate2 reads have none either.
    """
    single = torch.ones(1024, 512)
    half = single.bfloat16()
    if _seconds(lambda: half @ half.T, 5) * 2 > _seconds(lambda: single @ single.T, 5):
        return None
    try:
        encoder = Bfloat16Encoder(build(folder, name, "cpu").encoder)
    except WeightsError as e:
        log.debug("no encoder in bfloat16: %s", e)
        return None
    mel = torch.zeros(1, encoder.encoder.conv1.in_channels, 800)
    theirs = _seconds(lambda: other(mel, wide=True), 3)
    ours = _seconds(lambda: encoder(mel, wide=True), 3)
    log.debug("encoder of 8 s: CTranslate2 %.3f s, torch bfloat16 %.3f s", theirs, ours)
    return encoder if ours < theirs else None


def _seconds(work: Callable[[], object], runs: int) -> float:
    """The least time of some runs, after one to warm up."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
