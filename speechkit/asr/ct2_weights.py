"""Whisper's weights in CTranslate2's binary file, read into the names of openai-whisper.

The file (format version 6, little-endian): version u32, spec name, revision u32, count u32; then per
variable its name, rank u8, dimensions u32 each, dtype u8, byte count u32, data; then aliases. A string
is a u16 length that counts a closing zero byte. Source: CTranslate2's model_spec.py (`_serialize`).
The numbers are float16, the precision of OpenAI's own checkpoints, so nothing is lost.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speechkit.errors import WeightsError

Variables = dict[str, NDArray[Any]]
StateDict = dict[str, torch.Tensor]

_DTYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)


class _Reader:
    """A cursor over the bytes of a model file."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0

    def number(self, code: str) -> int:
        value: int = struct.unpack_from("<" + code, self.data, self.at)[0]
        self.at += struct.calcsize(code)
        return value

    def string(self) -> str:
        return bytes(self.take(self.number("H"))[:-1]).decode()

    def take(self, count: int) -> memoryview:
        if self.at + count > len(self.data):
            raise ValueError("the file ends too early")
        self.at += count
        return self.data[self.at - count : self.at]


def read_variables(path: Path) -> Variables:
    """Name → array of each variable in a CTranslate2 Whisper `model.bin`.

    Raises:
        WeightsError: the file isn't a CTranslate2 Whisper model of format version 6, or its weights
            are of a type that only CTranslate2 reads, such as bfloat16.
    """
    reader = _Reader(memoryview(path.read_bytes()))
    try:
        version, spec, _revision = reader.number("I"), reader.string(), reader.number("I")
        if (version, spec) != (6, "WhisperSpec"):
            raise ValueError(f"it is {spec!r} in format version {version}")
        variables: Variables = {}
        for _ in range(reader.number("I")):
            name = reader.string()
            shape = [reader.number("I") for _ in range(reader.number("B"))]
            if (kind := reader.number("B")) >= len(_DTYPES):
                raise WeightsError(
                    f"{path}: it holds weights of a type ({kind}) that only CTranslate2 reads; "
                    "convert the model to float16 or float32"
                )
            dtype = _DTYPES[kind]
            variables[name] = np.frombuffer(reader.take(reader.number("I")), dtype).reshape(shape)
        for _ in range(reader.number("I")):
            reader.string(), reader.string()  # an alias and what it stands for: not needed here
        if reader.at != len(reader.data):
            raise ValueError(f"{len(reader.data) - reader.at} bytes follow the end")
    except (ValueError, IndexError, struct.error) as e:
        raise WeightsError(
            f"{path}: not a CTranslate2 Whisper model of format version 6: {e}; "
            "delete the folder and fetch the model again"
        ) from e
    return variables


def dimensions(variables: Variables) -> dict[str, int]:
    """The fields of openai-whisper's `ModelDimensions`, read off the shapes.

    Raises:
        KeyError: a variable is missing.
    """
    n_audio_ctx, n_audio_state = variables["encoder/position_encodings/encodings"].shape
    n_text_ctx, n_text_state = variables["decoder/position_encodings/encodings"].shape
    return {
        "n_mels": variables["encoder/conv1/weight"].shape[1],
        "n_audio_ctx": n_audio_ctx,
        "n_audio_state": n_audio_state,
        "n_audio_head": int(variables["encoder/num_heads"]),
        "n_audio_layer": _count_layers(variables, "encoder"),
        "n_vocab": variables["decoder/embeddings/weight"].shape[0],
        "n_text_ctx": n_text_ctx,
        "n_text_state": n_text_state,
        "n_text_head": int(variables["decoder/num_heads"]),
        "n_text_layer": _count_layers(variables, "decoder"),
    }


def openai_state_dict(variables: Variables) -> StateDict:
    """The same weights under openai-whisper's names, float32, ready for a strict `load_state_dict`.

    Raises:
        KeyError: a variable is missing.
        ValueError: the weights are quantised to integers, which openai-whisper can't use.
    """
    state: StateDict = {
        "encoder.positional_embedding": _tensor(variables["encoder/position_encodings/encodings"]),
        "decoder.positional_embedding": _tensor(variables["decoder/position_encodings/encodings"]),
        "decoder.token_embedding.weight": _tensor(variables["decoder/embeddings/weight"]),
    }
    for conv in ("conv1", "conv2"):
        _linear(state, f"encoder.{conv}", variables, f"encoder/{conv}")
    _norm(state, "encoder.ln_post", variables, "encoder/layer_norm")
    _norm(state, "decoder.ln", variables, "decoder/layer_norm")
    for side in ("encoder", "decoder"):
        for i in range(_count_layers(variables, side)):
            _block(state, f"{side}.blocks.{i}", variables, f"{side}/layer_{i}", side == "decoder")
    return state


def _block(state: StateDict, to: str, variables: Variables, at: str, cross: bool) -> None:
    """One Transformer layer: self-attention, in the decoder cross-attention, feed-forward."""
    _norm(state, f"{to}.attn_ln", variables, f"{at}/self_attention/layer_norm")
    _split(
        state, to + ".attn", ("query", "key", "value"), variables, f"{at}/self_attention/linear_0"
    )
    _linear(state, f"{to}.attn.out", variables, f"{at}/self_attention/linear_1")
    if cross:
        _norm(state, f"{to}.cross_attn_ln", variables, f"{at}/attention/layer_norm")
        _linear(state, f"{to}.cross_attn.query", variables, f"{at}/attention/linear_0")
        _split(state, to + ".cross_attn", ("key", "value"), variables, f"{at}/attention/linear_1")
        _linear(state, f"{to}.cross_attn.out", variables, f"{at}/attention/linear_2")
    _norm(state, f"{to}.mlp_ln", variables, f"{at}/ffn/layer_norm")
    _linear(state, f"{to}.mlp.0", variables, f"{at}/ffn/linear_0")
    _linear(state, f"{to}.mlp.2", variables, f"{at}/ffn/linear_1")


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    if array.dtype.kind != "f":
        raise ValueError(f"they are quantised to {array.dtype}; float16 or float32 is needed")
    return torch.from_numpy(array.astype(np.float32))


def _norm(state: StateDict, to: str, variables: Variables, at: str) -> None:
    state[f"{to}.weight"] = _tensor(variables[f"{at}/gamma"])
    state[f"{to}.bias"] = _tensor(variables[f"{at}/beta"])


def _linear(state: StateDict, to: str, variables: Variables, at: str) -> None:
    state[f"{to}.weight"] = _tensor(variables[f"{at}/weight"])
    state[f"{to}.bias"] = _tensor(variables[f"{at}/bias"])


def _split(
    state: StateDict, to: str, parts: tuple[str, ...], variables: Variables, at: str
) -> None:
    """Projections that CTranslate2 stacks into one matrix; Whisper's key has no bias (zeros here)."""
    weights = _tensor(variables[f"{at}/weight"]).chunk(len(parts))
    biases = _tensor(variables[f"{at}/bias"]).chunk(len(parts))
    for part, weight, bias in zip(parts, weights, biases, strict=True):
        state[f"{to}.{part}.weight"] = weight.clone()
        if part != "key":
            state[f"{to}.{part}.bias"] = bias.clone()


def _count_layers(variables: Variables, side: str) -> int:
    return len(
        {name.split("/")[1] for name in variables if name.startswith(f"{side}/layer_")}
        - {"layer_norm"}
    )
