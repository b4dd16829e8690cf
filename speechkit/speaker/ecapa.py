"""The reference engine for ECAPA-TDNN: speechbrain's module with its VoxCeleb weights."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from speechkit.errors import WeightsError
from speechkit.runtime import choose_device, set_up_torch
from speechkit.speaker.encoder import EMBEDDING_SIZE

N_MELS = 80


class SpeechbrainEngine:
    """`embed` on speechbrain's `ECAPA_TDNN`, in float32."""

    def __init__(self, checkpoint: Path, device: str = "auto") -> None:
        """Raises WeightsError for a checkpoint that is damaged, or of another network."""
        from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

        set_up_torch()
        self.device = choose_device(device)
        model = ECAPA_TDNN(
            N_MELS,
            channels=[1024, 1024, 1024, 1024, 3072],
            kernel_sizes=[5, 3, 3, 3, 1],
            dilations=[1, 2, 3, 4, 1],
            attention_channels=128,
            lin_neurons=EMBEDDING_SIZE,
        )
        try:
            model.load_state_dict(read_weights(checkpoint), strict=True)
        except RuntimeError as e:
            raise not_these(checkpoint, e) from e
        self.model = model.eval().to(self.device)

    @torch.inference_mode()
    def embed(self, fbanks: Iterable[torch.Tensor]) -> NDArray[np.float32]:
        """Filter banks, each (frames, 80) → (n, 192); one by one, for padding would change them."""
        found = [self.model(fbank[None].to(self.device))[:, 0].float() for fbank in fbanks]
        embeddings: NDArray[np.float32] = torch.cat(found).numpy(force=True)
        return embeddings


def read_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The tensors of `embedding_model.ckpt`, by speechbrain's names.

    Raises:
        WeightsError: a checkpoint that is missing or damaged.
    """
    try:
        return dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    except Exception as e:  # torch raises errors of many kinds for damaged files
        raise not_these(checkpoint, e) from e


def not_these(checkpoint: Path, fault: Exception) -> WeightsError:
    """The error to raise for weights that don't fit."""
    return WeightsError(f"{checkpoint}: not ECAPA-TDNN weights: {fault}; fetch the model again")
