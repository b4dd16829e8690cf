"""The reference engine for ECAPA-TDNN: speechbrain's module with its VoxCeleb weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from speechkit.errors import WeightsError
from speechkit.runtime import choose_device, set_up_torch

EMBEDDING_SIZE = 192
N_MELS = 80


class SpeechbrainEngine:
    """`embed` on speechbrain's `ECAPA_TDNN`, in float32."""

    def __init__(self, checkpoint: Path, device: str = "auto") -> None:
        set_up_torch()
        self.device = choose_device(device)
        self.model = _build(checkpoint).to(self.device)

    @torch.inference_mode()
    def embed(self, fbank: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Filter banks (batch, frames, 80), with the valid share of each (0 to 1) → (batch, 192)."""
        embeddings: torch.Tensor = self.model(
            fbank.to(self.device), lengths.to(self.device, torch.float32)
        )
        return embeddings[:, 0].float().cpu()


def _build(checkpoint: Path) -> Any:
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

    model = ECAPA_TDNN(
        N_MELS,
        channels=[1024, 1024, 1024, 1024, 3072],
        kernel_sizes=[5, 3, 3, 3, 1],
        dilations=[1, 2, 3, 4, 1],
        attention_channels=128,
        lin_neurons=EMBEDDING_SIZE,
    )
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        model.load_state_dict(state, strict=True)
    except Exception as e:  # torch raises errors of many kinds for damaged files
        raise WeightsError(
            f"{checkpoint}: not ECAPA-TDNN weights: {e}; fetch the model again"
        ) from e
    return model.eval()
