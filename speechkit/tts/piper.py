"""A Piper voice file (`NAME.onnx` + `NAME.onnx.json`), read into Coqui's `Vits` names.

Piper exports VITS to ONNX with the weight norm of most layers folded in. Most weights keep their names;
those that lost theirs are found through the node that uses them. Nothing in the file is run here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from speechkit.errors import WeightsError

StateDict = dict[str, torch.Tensor]

PAD, BEGIN, END = "_", "^", "$"


@dataclass(frozen=True)
class VoiceConfig:
    """What a voice file says about itself.

    Attributes:
        sample_rate: Hz of the speech it makes.
        language: espeak's name of the language it was trained on.
        symbols: phoneme character → ids.
        noise_scale, noise_w, length_scale: spread of the sound, spread of the durations, pace.
        speakers: name → number; one entry for a voice of one speaker.
        reads_letters: whether it reads letters instead of phonemes.
        unicode_form: of its symbols, "NFD" (single characters and their marks apart) or "NFC".
    """

    sample_rate: int
    language: str
    symbols: dict[str, list[int]]
    noise_scale: float
    noise_w: float
    length_scale: float
    speakers: dict[str, int] = field(default_factory=lambda: {"0": 0})
    reads_letters: bool = False
    unicode_form: Literal["NFC", "NFD"] = "NFD"

    @classmethod
    def read(cls, path: Path) -> VoiceConfig:
        """Read a `.onnx.json` file.

        Raises:
            WeightsError: the file is missing, no Piper configuration, or for other symbols than
                espeak's phonemes.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            inference = data["inference"]
            config = cls(
                sample_rate=int(data["audio"]["sample_rate"]),
                language=str(data["espeak"]["voice"]),
                symbols={str(k): [int(i) for i in v] for k, v in data["phoneme_id_map"].items()},
                noise_scale=float(inference["noise_scale"]),
                noise_w=float(inference["noise_w"]),
                length_scale=float(inference["length_scale"]),
                speakers=_speakers(data),
            )
            kind = data.get("phoneme_type", "espeak")
            lost = [symbol for symbol in (PAD, BEGIN, END) if not config.symbols[symbol]]
            if lost or config.sample_rate < 1:
                raise ValueError(f"no id for {lost}" if lost else "no sample rate")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
            raise WeightsError(
                f"{path}: not a usable Piper voice configuration: {e!r}; fetch the voice again"
            ) from e
        if kind != "espeak":
            raise WeightsError(
                f"{path}: a voice that reads {kind} symbols; choose one that reads espeak phonemes"
            )
        return config

    def ids(self, phonemes: Sequence[str]) -> tuple[list[int], list[int]]:
        """Ids for the model, and the index of the phoneme behind each, -1 for what stands between.

        The layout is begin, pad, p1, pad, p2, pad, ..., end. Phonemes that the voice has no symbol for
        are left out.
        """
        layout = [(BEGIN, -1), (PAD, -1)]
        for i, phoneme in enumerate(phonemes):
            if phoneme in self.symbols:
                layout += [(phoneme, i), (PAD, -1)]
        layout.append((END, -1))
        pairs = [(i, owner) for symbol, owner in layout for i in self.symbols[symbol]]
        return [i for i, _ in pairs], [owner for _, owner in pairs]


def _speakers(data: dict[str, Any]) -> dict[str, int]:
    """Names and numbers of the speakers; a voice that names none numbers them."""
    count = int(data.get("num_speakers", 1))
    named = {str(k): int(v) for k, v in (data.get("speaker_id_map") or {}).items()}
    if any(not 0 <= number < count for number in named.values()):
        raise ValueError(f"a speaker beyond the {count} that it has")
    return named or {str(number): number for number in range(count)}


@dataclass(frozen=True)
class VitsWeights:
    """`Vits` weights under Coqui's names, and the `VitsArgs` that their shapes ask for."""

    state: StateDict
    arguments: dict[str, Any]


def read_weights(path: Path) -> VitsWeights:
    """Read the weights of a Piper `.onnx` file.

    Raises:
        WeightsError: the file is missing or isn't a VITS graph as Piper exports it.
    """
    with voice_graph(path) as model:
        named, attributes = named_weights(model.graph)
        state: StateDict = {}
        for name, array in named.items():
            coqui = _coqui_name(name)
            if coqui:
                state[coqui] = torch.from_numpy(array.copy())
        state["duration_predictor.flows.0.log_scale"] = -torch.log(
            torch.from_numpy(named["/dp/flows.0/Exp_output_0"].copy())
        )
        state = {k: v for name, w in state.items() for k, v in _weight_norm(name, w).items()}
        return VitsWeights(state, vits_arguments(named, attributes))


@contextmanager
def voice_graph(path: Path) -> Iterator[Any]:
    """The ONNX model of a Piper voice, to be taken apart inside `with`.

    Raises:
        WeightsError: the file is missing or damaged, or what is done inside finds that it isn't a VITS
            graph as Piper exports it.
    """
    import onnx

    try:
        yield onnx.load(str(path))
    except (OSError, LookupError, ValueError, ZeroDivisionError) as e:
        raise WeightsError(
            f"{path}: not a VITS graph as Piper exports it: {e!r}; fetch the voice again"
        ) from e
    except Exception as e:
        if type(e).__name__ in ("DecodeError", "ValidationError"):  # protobuf's and onnx's own
            raise WeightsError(f"{path}: damaged ONNX file: {e}; fetch the voice again") from e
        raise


def named_weights(graph: Any) -> tuple[dict[str, Any], dict[str, dict[str, list[int]]]]:
    """Weights by their PyTorch names, and the attributes (strides, dilations) of each convolution."""
    import onnx

    weights = {init.name: onnx.numpy_helper.to_array(init) for init in graph.initializer}
    attributes: dict[str, dict[str, list[int]]] = {}
    for node in graph.node:
        module = node.name.strip("/").rpartition("/")[0].replace("/", ".")
        if node.op_type in ("Conv", "ConvTranspose"):
            weights[f"{module}.weight"] = weights[node.input[1]]
            attributes[module] = {a.name: list(a.ints) for a in node.attribute if a.ints}
        elif node.op_type == "Gather" and node.name in ("/enc_p/emb/Gather", "/emb_g/Gather"):
            weights[f"{module}.weight"] = weights[node.input[0]]
    return weights, attributes


def _coqui_name(name: str) -> str | None:
    """Coqui's name for one of Piper's weights; None for constants of the graph."""
    part, _, rest = name.partition(".")
    if part == "dp" and rest.startswith("flows."):
        index, _, tail = rest.removeprefix("flows.").partition(".")
        if index == "0":
            return "duration_predictor.flows.0.translation" if tail == "m" else None
        return f"duration_predictor.flows.{(int(index) + 1) // 2}.{tail}"
    if part == "flow":
        index, _, tail = rest.removeprefix("flows.").partition(".")
        return f"flow.flows.{int(index) // 2}.{tail}"
    if part == "dec" and rest.startswith("cond."):
        rest = f"cond_layer.{rest.removeprefix('cond.')}"
    to = {
        "enc_p": "text_encoder",
        "dp": "duration_predictor",
        "dec": "waveform_decoder",
        "emb_g": "emb_g",
    }.get(part)
    return f"{to}.{rest}" if to and rest else None


def _weight_norm(name: str, weight: torch.Tensor) -> StateDict:
    """Split a folded weight into direction and length where Coqui's module has weight norm."""
    normed = (
        ".enc.in_layers.",
        ".enc.res_skip_layers.",
        ".enc.cond_layer.",
        "decoder.ups.",
        "decoder.resblocks.",
    )
    if not name.endswith(".weight") or not any(part in name for part in normed):
        return {name: weight}
    module = name.removesuffix(".weight") + ".parametrizations.weight"
    length = weight.flatten(1).norm(dim=1).reshape(-1, *[1] * (weight.dim() - 1))
    return {f"{module}.original0": length, f"{module}.original1": weight}


def vits_arguments(
    named: dict[str, Any], attributes: dict[str, dict[str, list[int]]]
) -> dict[str, Any]:
    """The sizes that differ between voices; the rest is Coqui's default, as Piper's is."""

    def count(prefix: str) -> int:
        """How many different numbers follow `prefix` among the names."""
        return len({n[len(prefix) :].split(".")[0] for n in attributes if n.startswith(prefix)})

    ups = [f"dec.ups.{i}" for i in range(count("dec.ups."))]
    per_stage = count("dec.resblocks.") // len(ups)
    kind = "1" if "dec.resblocks.0.convs1.0" in attributes else "2"
    convs = "convs1" if kind == "1" else "convs"
    kernels, dilations = [], []
    for block in range(per_stage):
        prefix = f"dec.resblocks.{block}.{convs}."
        layers = [f"{prefix}{i}" for i in range(count(prefix))]
        kernels.append(int(named[f"{layers[0]}.weight"].shape[-1]))
        dilations.append([attributes[layer]["dilations"][0] for layer in layers])
    symbols, hidden = named["enc_p.emb.weight"].shape
    head_channels = named["enc_p.encoder.attn_layers.0.emb_rel_k"].shape[-1]
    speakers, speaker_channels = np.shape(named.get("emb_g.weight", np.zeros((0, 0))))
    return {
        "use_speaker_embedding": int(speakers) > 0,
        "speaker_embedding_channels": int(speaker_channels) or 256,
        "num_chars": int(symbols),
        "hidden_channels": int(hidden),
        "hidden_channels_ffn_text_encoder": len(named["enc_p.encoder.ffn_layers.0.conv_1.weight"]),
        "num_heads_text_encoder": int(hidden // head_channels),
        "num_layers_text_encoder": count("enc_p.encoder.ffn_layers."),
        "resblock_type_decoder": kind,
        "resblock_kernel_sizes_decoder": kernels,
        "resblock_dilation_sizes_decoder": dilations,
        "upsample_rates_decoder": [attributes[up]["strides"][0] for up in ups],
        "upsample_kernel_sizes_decoder": [int(named[f"{up}.weight"].shape[-1]) for up in ups],
        "upsample_initial_channel_decoder": int(np.shape(named["dec.conv_pre.weight"])[0]),
    }


def decoder_context(arguments: dict[str, Any]) -> int:
    """Frames to each side that the waveform decoder reads, from the kernels of its convolutions."""
    blocks = zip(
        arguments["resblock_kernel_sizes_decoder"],
        arguments["resblock_dilation_sizes_decoder"],
        strict=True,
    )
    # In blocks of kind 1 each dilated convolution has a plain one behind it.
    plain = arguments["resblock_type_decoder"] == "1"
    reach = max(
        (kernel - 1) // 2 * (sum(dilations) + plain * len(dilations))
        for kernel, dilations in blocks
    )
    frames, rate = 3.0, 1  # the first convolution reads 7 frames
    for stride, kernel in zip(
        arguments["upsample_rates_decoder"], arguments["upsample_kernel_sizes_decoder"], strict=True
    ):
        frames += kernel / 2 / stride / rate
        rate *= stride
        frames += reach / rate
    return math.ceil(frames + 3 / rate)  # the last one reads 7 samples
