"""Coqui VITS checkpoints: a folder with `config.json` and a `.pth` file, or a name of Coqui's zoo.

Weights are read as tensors only, and of the configuration what says sizes and symbols: it names no
class that is built and no file that is opened.
"""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from speechkit.errors import InputError, WeightsError
from speechkit.tts.coqui import TRAINING_ONLY, CoquiEngine, new_vits
from speechkit.tts.piper import BEGIN, END, PAD, VoiceConfig

ZOO = "coqui:"
_CLASSES = ("VitsCharacters", "IPAPhonemes", "Graphemes")
_PATHS = ("_file", "_path")  # how arguments end that name files


def load_checkpoint(folder: Path, device: str = "auto") -> CoquiEngine:
    """The reference engine for the checkpoint in `folder`.

    Raises:
        WeightsError: a file is missing or damaged, or the model is no VITS that can be run here.
        ProcessorError: the device can't be used.
    """
    try:
        data = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if data["model"] != "vits":
            raise ValueError(f"a {data['model']} model")
        if data["model_args"].get("use_d_vector_file"):
            raise ValueError("a model that takes speaker vectors")
        if data["model_args"].get("use_language_embedding"):
            raise ValueError("a model of several languages")
        model = new_vits(_coqui_config(data, folder))
        config = _voice_config(data, model)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pickle.UnpicklingError) as e:
        raise WeightsError(
            f"{folder}: not a Coqui VITS checkpoint that can be used: {e!r}; it needs a config.json of "
            "a VITS model with one language, and a .pth file"
        ) from e
    _load_weights(model, folder)
    return CoquiEngine(model, config, device)


def fetch_from_zoo(name: str) -> Path:
    """The folder of a model of Coqui's zoo, such as "tts_models/en/ljspeech/vits", downloaded by Coqui.

    Raises:
        InputError: no such model.
        WeightsError: it can't be had.
    """
    from TTS.utils.manage import ModelManager

    from speechkit.hub import home, offline

    if offline():
        raise WeightsError(
            f"{name} would be fetched by Coqui and SPEECHKIT_OFFLINE forbids the network; unset it"
        )
    manager = ModelManager(output_prefix=home() / "coqui", progress_bar=False)
    if name not in manager.list_models():
        raise InputError(
            f"Coqui's zoo has no {name!r}; give a name such as tts_models/en/ljspeech/vits"
        )
    try:
        model, _, _ = manager.download_model(name)
    except Exception as e:  # whatever the network raises
        raise WeightsError(
            f"{name} can't be fetched from Coqui's zoo: {e}; try again with a network"
        ) from e
    path = Path(model)
    return path if path.is_dir() else path.parent


def _coqui_config(data: dict[str, Any], folder: Path) -> Any:
    """A `VitsConfig` of sizes and symbols alone."""
    from TTS.tts.configs.shared_configs import CharactersConfig
    from TTS.tts.configs.vits_config import VitsArgs, VitsConfig

    known = {field.name for field in fields(VitsArgs)}
    sizes = {
        name: value
        for name, value in data["model_args"].items()
        if name in known and not name.endswith(_PATHS)
    }
    sizes |= {"init_discriminator": False, "use_speaker_encoder_as_loss": False}
    named = data.get("characters") or {}
    kind = str(named.get("characters_class") or "VitsCharacters").rpartition(".")[2]
    if kind not in _CLASSES:
        raise ValueError(f"symbols of the class {kind}")
    module = "TTS.tts.models.vits" if kind == "VitsCharacters" else "TTS.tts.utils.text.characters"
    known = {field.name for field in fields(CharactersConfig)}
    symbols = {name: value for name, value in named.items() if name in known}
    characters = CharactersConfig(**{**symbols, "characters_class": f"{module}.{kind}"})
    coqui = VitsConfig(model_args=VitsArgs(**sizes), characters=characters)
    coqui.add_blank = bool(data.get("add_blank", True))
    coqui.audio.sample_rate = int(data["audio"]["sample_rate"])
    coqui.audio.hop_length = int(data["audio"]["hop_length"])
    if sizes.get("use_speaker_embedding"):
        coqui.speakers = _speakers(data, folder)
    return coqui


def _speakers(data: dict[str, Any], folder: Path) -> list[str]:
    """Names of the speakers in the order of their numbers."""
    if data.get("speakers"):
        return [str(name) for name in data["speakers"]]
    numbers = _speaker_numbers(folder)
    return sorted((str(name) for name in numbers), key=lambda name: int(numbers[name]))


def _speaker_numbers(folder: Path) -> dict[str, Any]:
    for name in ("speaker_ids", "speakers"):
        if (path := folder / f"{name}.json").is_file():
            return dict(json.loads(path.read_text(encoding="utf-8")))
        if (path := folder / f"{name}.pth").is_file():
            return dict(torch.load(path, map_location="cpu", weights_only=True))
    raise ValueError("several speakers, and no speaker_ids.json or speakers.pth that names them")


def _voice_config(data: dict[str, Any], model: Any) -> VoiceConfig:
    """What the front end needs to know, in the terms of a Piper voice."""
    tokenizer, args = model.tokenizer, model.args
    characters = tokenizer.characters
    symbols: dict[str, list[int]] = {}
    for number, symbol in enumerate(characters.vocab):
        symbols.setdefault(symbol, [number])
    blank = [characters.char_to_id(characters.blank)] if data.get("add_blank", True) else []
    framed = bool(data.get("enable_eos_bos_chars"))
    symbols[PAD] = blank
    symbols[BEGIN] = [characters.bos_id] if framed else []
    symbols[END] = [characters.eos_id] if framed else []
    language = str(data.get("phoneme_language") or data.get("language") or "en-us")
    speakers = model.speaker_manager.name_to_id if model.speaker_manager else {"0": 0}
    return VoiceConfig(
        sample_rate=int(data["audio"]["sample_rate"]),
        language=language.lower(),
        symbols=symbols,
        noise_scale=float(args.inference_noise_scale),
        noise_w=float(args.inference_noise_scale_dp),
        length_scale=float(args.length_scale),
        speakers=dict(speakers),
        reads_letters=not data.get("use_phonemes", False),
        unicode_form="NFC",
    )


def _load_weights(model: Any, folder: Path) -> None:
    """`model.pth`, else the best, else the one of the latest step."""
    names = ["model.pth", "model_file.pth", "best_model.pth"]
    found = [folder / name for name in names if (folder / name).is_file()]
    steps = {
        int(step[1]): path
        for path in folder.glob("*.pth")
        if (step := re.search(r"_(\d+)\.pth$", path.name))
    }
    found += [steps[step] for step in sorted(steps, reverse=True)]
    if not found:
        raise WeightsError(f"{folder}: no weights; put model.pth or best_model.pth there")
    try:
        state = torch.load(found[0], map_location="cpu", weights_only=True)["model"]
        result = model.load_state_dict(state, strict=False)
    except (OSError, RuntimeError, KeyError, TypeError, pickle.UnpicklingError) as e:
        raise WeightsError(
            f"{found[0]}: its weights can't be read: {str(e)[:200]}; fetch the checkpoint again"
        ) from e
    missing = [key for key in result.missing_keys if not key.startswith(TRAINING_ONLY)]
    if missing:
        raise WeightsError(
            f"{found[0]}: weights of {missing[0]} are missing; fetch the checkpoint again"
        )
