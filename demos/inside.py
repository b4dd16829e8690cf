"""What the models attend to, taken out of the reference engines by hooks on their modules."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import speechkit as sk

Weights = NDArray[np.float32]
WINDOW_S, MOMENT_S, FRAME_S = 30.0, 0.02, 0.01  # Whisper's window, its positions, ECAPA's frames


@lru_cache(maxsize=1)
def whisper() -> Any:
    """openai-whisper's base."""
    return sk.load_asr("base", engine="reference").engine


@lru_cache(maxsize=1)
def ecapa() -> Any:
    """speechbrain's ECAPA-TDNN."""
    return sk.load_speaker_encoder(engine="reference").engine


def cross_attention(audio: sk.Audio, language: str) -> tuple[list[str], Weights]:
    """Whisper's words for the first 30 s of `audio`, token by token, and where it looked for each.

    The weights, (tokens, moments of 0.02 s), are the mean over the heads that openai-whisper aligns
    words with; those of one token sum to 1 over the 30 s.
    """
    import torch
    from whisper.model import disable_sdpa  # its attention gives no weights otherwise

    from speechkit.asr.engine import DecodeOptions
    from speechkit.features import whisper_log_mel

    engine = whisper()
    samples = audio.resample(16_000).samples[: round(WINDOW_S * 16_000)]
    whole = np.zeros((1, round(WINDOW_S * 16_000)), np.float32)
    whole[0, : len(samples)] = samples
    states = engine.encode(whisper_log_mel(torch.from_numpy(whole), engine.n_mels))
    options = DecodeOptions(language)
    tokens = list(engine.decode(states, options)[0].tokens)
    tokenizer = engine.tokenizer(language, "transcribe")
    start = [*tokenizer.sot_sequence_including_notimestamps]
    scores: dict[int, Any] = {}

    def keep(layer: int) -> Any:
        return lambda module, given, found: scores.__setitem__(layer, found[1])

    hooks = [
        block.cross_attn.register_forward_hook(keep(layer))
        for layer, block in enumerate(engine.model.decoder.blocks)
    ]
    try:
        with torch.inference_mode(), disable_sdpa():
            engine.model.decoder(torch.tensor([[*start, *tokens]]).to(states.device), states)
    finally:
        for hook in hooks:
            hook.remove()
    heads = engine.model.alignment_heads.indices().T.tolist()
    weights = torch.stack([scores[layer][0, head].softmax(dim=-1) for layer, head in heads])
    # The row of a token's predecessor is the one that wrote the token.
    rows = weights.mean(dim=0)[len(start) - 1 : len(start) - 1 + len(tokens)]
    moments = max(1, round(len(samples) / 16_000 / MOMENT_S))
    return [tokenizer.decode([t]) for t in tokens], rows[:, :moments].numpy(force=True)


def pooling_attention(audio: sk.Audio) -> Weights:
    """How much each frame of 0.01 s counts in ECAPA-TDNN's statistics: (frames,), 1 on average.

    The mean over its 3072 channels, each of which attends on its own.
    """
    import torch

    from speechkit.features import ecapa_fbank

    engine = ecapa()
    kept: list[Any] = []
    hook = engine.model.asp.conv.register_forward_hook(
        lambda module, given, found: kept.append(found)
    )
    try:
        engine.embed([ecapa_fbank(torch.tensor(audio.resample(16_000).samples))])
    finally:
        hook.remove()
    weights = kept[0][0].softmax(dim=-1)
    return (weights.mean(dim=0) * weights.shape[-1]).numpy(force=True)
