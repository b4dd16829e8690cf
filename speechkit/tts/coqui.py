"""The reference engine for VITS: Coqui's `Vits` module with the weights of a Piper voice."""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from speechkit.errors import InputError, WeightsError
from speechkit.runtime import choose_device, seeded, set_up_torch
from speechkit.tts.engine import Controls, Latent, Samples
from speechkit.tts.piper import (
    BEGIN,
    END,
    PAD,
    VitsWeights,
    VoiceConfig,
    decoder_context,
    read_weights,
)

# Parts that only training uses; a Piper file does not have them.
TRAINING_ONLY = ("posterior_encoder.", "duration_predictor.flows.1.", "duration_predictor.post_")
_BLANK = "<BLNK>"  # Coqui's name for the symbol between phonemes; Piper uses its pad there


class CoquiEngine:
    """`plan` and `render` on Coqui's modules, in float32.

    Attributes:
        config: the voice's configuration, with the symbols numbered as Coqui numbers them.
        hop_length: samples that one frame becomes.
    """

    alone = None  # its random numbers are torch's global ones

    def __init__(self, model: Any, config: VoiceConfig, device: str = "auto") -> None:
        """`model` is a `Vits` whose symbols `config` numbers."""
        set_up_torch()
        self.device = choose_device(device)
        self.config = config
        self.model = model.eval().to(self.device)
        self.hop_length = int(self.model.config.audio.hop_length)
        self._context = decoder_context(self.model.args.to_dict())

    @torch.inference_mode()
    def plan(self, ids: list[int], controls: Controls, least: Mapping[int, int] = {}) -> Latent:
        """Text encoder, durations and flow: everything before the waveform decoder.

        The steps of `Vits.inference`, in its order, so equal seeds give equal numbers.
        """
        from TTS.tts.utils.helpers import generate_path, sequence_mask

        if not ids:
            raise InputError("no symbols to speak; give a text with at least one letter")
        model = self.model
        x = torch.tensor([ids], device=self.device)
        with seeded(controls.seed):
            speaker = torch.tensor([controls.speaker], device=self.device)
            g = model.emb_g(speaker).unsqueeze(-1) if model.args.use_speaker_embedding else None
            x, mean, log_scale, x_mask = model.text_encoder(
                x, torch.tensor([len(ids)], device=self.device), lang_emb=None
            )
            log_durations = model.duration_predictor(
                x, x_mask, g=g, reverse=True, noise_scale=controls.noise_w, lang_emb=None
            )
            durations = torch.ceil(torch.exp(log_durations) * x_mask * controls.length_scale)
            for at, count in least.items():
                durations[0, 0, at].clamp_(min=count)
            frames = durations.sum([1, 2]).clamp_min(2).long()  # Coqui's path fails on one frame
            mask = sequence_mask(frames, None).to(x_mask.dtype).unsqueeze(1)
            path = generate_path(
                durations.squeeze(1), (x_mask * mask.transpose(1, 2)).squeeze(1).transpose(1, 2)
            )
            # Coqui's order of axes: the noise is drawn in the order of memory.
            mean = (path.transpose(1, 2) @ mean.transpose(1, 2)).transpose(1, 2)
            log_scale = (path.transpose(1, 2) @ log_scale.transpose(1, 2)).transpose(1, 2)
            noise = torch.randn_like(mean) * torch.exp(log_scale) * controls.noise_scale
            z = model.flow(mean + noise, mask, g=g, reverse=True)
        return Latent(z[0].numpy(force=True), durations[0, 0].long().tolist(), controls.speaker)

    @torch.inference_mode()
    def render(self, latent: Latent, start: int, stop: int) -> Samples:
        """The decoder on the frames asked for and the context that it sees."""
        low, high = max(0, start - self._context), min(stop + self._context, latent.frames)
        z = torch.from_numpy(latent.z[None, :, low:high]).to(self.device)
        g = None
        if self.model.args.use_speaker_embedding:
            g = self.model.emb_g(torch.tensor([latent.speaker], device=self.device)).unsqueeze(-1)
        samples: Samples = self.model.waveform_decoder(z, g=g)[0, 0].float().cpu().numpy()
        return samples[(start - low) * self.hop_length : (stop - low) * self.hop_length]


def load_engine(folder: Path, name: str, device: str = "auto") -> CoquiEngine:
    """The engine for `NAME.onnx` and `NAME.onnx.json` in `folder`.

    Raises:
        WeightsError: a file is missing or damaged.
        ProcessorError: the device can't be used.
    """
    config = VoiceConfig.read(folder / f"{name}.onnx.json")
    weights = read_weights(folder / f"{name}.onnx")
    vocabulary = _vocabulary(config)
    model = _build(_coqui_config(weights, config, vocabulary), weights, config, vocabulary)
    numbers = {symbol: [i] for i, symbol in enumerate(vocabulary)}
    numbers[PAD] = numbers.pop(_BLANK)
    return CoquiEngine(model, replace(config, symbols=numbers), device)


def save_coqui_checkpoint(folder: Path, name: str, out: str | Path) -> tuple[Path, Path]:
    """Save a Piper voice as a Coqui checkpoint, which `TTS.api.TTS(model_path, config_path)` loads.

    Coqui turns text into phonemes by itself there, with gruut (`pip install gruut`), which leaves out
    the stress marks: the speech is understandable, but flatter than speechkit's own.

    Returns:
        The paths of `model.pth` and `config.json` in the folder `out`.

    Raises:
        WeightsError: a file of the voice is missing or damaged.
        InputError: the folder `out` can't be made or written to.
    """
    config = VoiceConfig.read(folder / f"{name}.onnx.json")
    weights = read_weights(folder / f"{name}.onnx")
    vocabulary = _vocabulary(config)
    coqui_config = _coqui_config(weights, config, vocabulary)
    model = _build(coqui_config, weights, config, vocabulary)
    coqui_config.use_phonemes = True
    coqui_config.phonemizer = "gruut"
    coqui_config.phoneme_language = config.language
    coqui_config.text_cleaner = "phoneme_cleaners"
    coqui_config.add_blank = True
    coqui_config.enable_eos_bos_chars = True
    return _save(model.state_dict(), coqui_config.to_dict(), Path(out))


def _save(state: dict[str, Any], config: dict[str, Any], out: Path) -> tuple[Path, Path]:
    """Write `model.pth` and `config.json` into the folder `out`, which is made where it is missing."""
    model_path, config_path = out / "model.pth", out / "config.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        with model_path.open("wb") as file:  # torch's own file writer hides the cause of a fault
            torch.save({"model": state}, file)
        config_path.write_text(json.dumps(config, indent=2), encoding="utf-8")
    except OSError as e:
        raise InputError(
            f"{out}: can't be written: {e.strerror}; choose a folder that is yours, with room"
        ) from e
    return model_path, config_path


def _vocabulary(config: VoiceConfig) -> list[str]:
    """The voice's symbols in the order in which Coqui numbers them."""
    others = [s for s, ids in config.symbols.items() if ids and s not in (PAD, BEGIN, END)]
    return [PAD, END, BEGIN, _BLANK, *others]


def _coqui_config(weights: VitsWeights, config: VoiceConfig, vocabulary: list[str]) -> Any:
    """Coqui's `VitsConfig` for these weights."""
    from TTS.tts.configs.shared_configs import CharactersConfig
    from TTS.tts.configs.vits_config import VitsArgs, VitsConfig

    arguments = VitsArgs(
        **{**weights.arguments, "num_chars": len(vocabulary)},
        init_discriminator=False,
        inference_noise_scale=config.noise_scale,
        inference_noise_scale_dp=config.noise_w,
        length_scale=config.length_scale,
    )
    characters = CharactersConfig(
        characters_class="TTS.tts.utils.text.characters.IPAPhonemes",
        pad=PAD,
        eos=END,
        bos=BEGIN,
        blank=_BLANK,
        characters="".join(vocabulary[4:]),
        phonemes="".join(vocabulary[4:]),
        punctuations="",
        is_unique=False,
        is_sorted=False,
    )
    coqui = VitsConfig(model_args=arguments, characters=characters)
    if "emb_g.weight" in weights.state:
        coqui.speakers = [str(number) for number in range(len(weights.state["emb_g.weight"]))]
    coqui.audio.sample_rate = config.sample_rate
    coqui.audio.hop_length = math.prod(weights.arguments["upsample_rates_decoder"])
    return coqui


def new_vits(coqui: Any) -> Any:
    """Coqui's `Vits` for a `VitsConfig`, with random weights."""
    logging.getLogger("TTS").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from TTS.tts.models.vits import Vits

        with seeded(0):
            return Vits(coqui)


def _build(coqui: Any, weights: VitsWeights, config: VoiceConfig, vocabulary: list[str]) -> Any:
    """`Vits` with the weights; the parts that only training uses are left as they were born."""
    model = new_vits(coqui)
    rows = [config.symbols[PAD if symbol == _BLANK else symbol][0] for symbol in vocabulary]
    try:
        state = dict(weights.state)
        state["text_encoder.emb.weight"] = state["text_encoder.emb.weight"][rows]
        result = model.load_state_dict(state, strict=False)
    except (RuntimeError, IndexError) as e:  # another shape, or an id beyond the table
        raise WeightsError(
            f"this voice's weights do not fit Coqui's Vits: {e}; use another voice"
        ) from e
    missing = [key for key in result.missing_keys if not key.startswith(TRAINING_ONLY)]
    if missing or result.unexpected_keys:
        raise WeightsError(
            "this voice's weights do not fit Coqui's Vits: "
            f"missing {missing[:3]}, unexpected {result.unexpected_keys[:3]}; use another voice"
        )
    return model
