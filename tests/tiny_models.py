"""A tiny Whisper of random weights, in the files that the real one comes in: it loads in a second."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH, LAYERS, VOCABULARY, MELS, EOT = 64, 2, 51_865, 80, 50_257
GELU = 3  # in CTranslate2's list of activations
LONGEST = 16  # tokens after which the tiny Whisper stops


def tiny_whisper(folder: Path, dtype: str = "<f2") -> dict[str, NDArray[Any]]:
    """Write a multilingual Whisper, 2 layers of one 64-wide head, as CTranslate2 does.

    It hears (its text depends on the sound) but understands nothing. Returns the variables written.
    """
    variables = _whisper_variables(np.random.default_rng(7))
    arrays = {name: array.astype(dtype) for name, array in variables.items()}
    scalars = {
        "encoder/num_heads": np.array(1, "<i2"),
        "decoder/num_heads": np.array(1, "<i2"),
        "decoder/activation": np.array(GELU, "i1"),
        "decoder/pre_norm": np.array(1, "i1"),
        "decoder/scale_embeddings": np.array(0, "i1"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.bin").write_bytes(ctranslate2_file({**arrays, **scalars}))
    _write_tokens(folder)
    return arrays


def _write_tokens(folder: Path) -> None:
    """The names of the tokens, of which only the special ones matter, and what may not be said."""
    from whisper.tokenizer import get_tokenizer

    tokenizer = get_tokenizer(True, num_languages=99, language="en", task="transcribe")
    names = [f"token{i}" for i in range(VOCABULARY)]
    names[EOT - 1] = ""  # as in the real file, by which CTranslate2 knows a multilingual one
    for name, token in tokenizer.special_tokens.items():
        names[token] = name
    (folder / "vocabulary.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    starts = (tokenizer.sot, tokenizer.sot_prev, tokenizer.sot_lm, tokenizer.no_speech)
    tasks = (tokenizer.transcribe, tokenizer.translate)
    config = {
        "alignment_heads": [[1, 0]],
        "lang_ids": sorted(tokenizer.all_language_tokens),
        "suppress_ids": sorted({*tokenizer.non_speech_tokens, *starts, *tasks}),
        "suppress_ids_begin": [*tokenizer.encode(" "), EOT],
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def ctranslate2_file(variables: dict[str, NDArray[np.generic]], version: int = 6) -> bytes:
    """The bytes of a CTranslate2 model file, as `ModelSpec._serialize` lays them out."""
    codes = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}
    out = [
        struct.pack("<I", version),
        _string("WhisperSpec"),
        struct.pack("<II", 3, len(variables)),
    ]
    for name, array in variables.items():
        out += [_string(name), struct.pack("<B", array.ndim)]
        out += [struct.pack("<I", size) for size in array.shape]
        out += [struct.pack("<BI", codes[array.dtype.name], array.nbytes), array.tobytes()]
    alias = _string("decoder/projection/weight") + _string("decoder/embeddings/weight")
    return b"".join([*out, struct.pack("<I", 1), alias])


def _string(text: str) -> bytes:
    data = text.encode() + b"\0"
    return struct.pack("<H", len(data)) + data


def _whisper_variables(rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Random weights, large enough that the most likely token is clear and depends on the sound."""

    def normal(*shape: int, scale: float) -> NDArray[np.float64]:
        return scale * rng.standard_normal(shape)

    v: dict[str, NDArray[np.float64]] = {}

    def linear(name: str, rows: int, columns: int, scale: float = 1.0, no_bias: int = -1) -> None:
        """A projection; `no_bias` is the third or half of it that is a key, whose bias is zero."""
        v[f"{name}/weight"] = normal(rows, columns, scale=scale / columns**0.5)
        v[f"{name}/bias"] = normal(rows, scale=0.1)
        if no_bias >= 0:
            v[f"{name}/bias"][no_bias * WIDTH : (no_bias + 1) * WIDTH] = 0

    def norm(name: str) -> None:
        v[f"{name}/gamma"] = 1 + normal(WIDTH, scale=0.1)
        v[f"{name}/beta"] = normal(WIDTH, scale=0.1)

    for conv, inputs, scale in (("conv1", MELS, 4.0), ("conv2", WIDTH, 4.0)):
        v[f"encoder/{conv}/weight"] = normal(WIDTH, inputs, 3, scale=scale / (3 * inputs) ** 0.5)
        v[f"encoder/{conv}/bias"] = normal(WIDTH, scale=0.1)
    for side, positions in (("encoder", 1500), ("decoder", 448)):
        v[f"{side}/position_encodings/encodings"] = normal(
            positions, WIDTH, scale=8.0 if side == "decoder" else 1.0
        )
        norm(f"{side}/layer_norm")
        for i in range(LAYERS):
            layer = f"{side}/layer_{i}"
            norm(f"{layer}/self_attention/layer_norm")
            linear(f"{layer}/self_attention/linear_0", 3 * WIDTH, WIDTH, no_bias=1)
            linear(f"{layer}/self_attention/linear_1", WIDTH, WIDTH)
            norm(f"{layer}/ffn/layer_norm")
            linear(f"{layer}/ffn/linear_0", 4 * WIDTH, WIDTH)
            linear(f"{layer}/ffn/linear_1", WIDTH, 4 * WIDTH)
    for i in range(LAYERS):
        attention = f"decoder/layer_{i}/attention"
        norm(f"{attention}/layer_norm")
        linear(f"{attention}/linear_0", WIDTH, WIDTH)
        linear(f"{attention}/linear_1", 2 * WIDTH, WIDTH, no_bias=0)
        linear(f"{attention}/linear_2", WIDTH, WIDTH, scale=4.0)
    embeddings = normal(VOCABULARY, WIDTH, scale=1.0)
    v["decoder/embeddings/weight"] = embeddings
    # Late positions all but are the end token, so that decoding stops.
    v["decoder/position_encodings/encodings"][LONGEST:] += 100 * embeddings[EOT]
    return v
