"""Tiny models of random weights, in the files that the real ones come in: they load in a second."""

from __future__ import annotations

import json
import re
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


SYMBOLS = (
    "_^$ !'(),-.:;?abcdefhijklmnopqrstuvwxyzæçðøŋœɐɑɔɕəɚɛɜɡɪɫɹɾʁʃʊʌʒʔʲˈˌːθᵻ0123456789"  # by id
)


def tiny_voice(folder: Path, name: str = "tiny", **config: object) -> Any:
    """Write a VITS voice of random weights as Piper does: `NAME.onnx` and `NAME.onnx.json`.

    The graph has the weights and the nodes that name them, as Piper's exporter leaves them, and can't
    be run. `config` replaces entries of the json file. Returns the Coqui `Vits` it was made of, whose
    embedding rows are in the order of `SYMBOLS`.

    Small are: the hidden, feed-forward and decoder channels, the layers. What a Piper file does not
    let one infer has Coqui's size: 192 filters in the duration predictor, 4 x 4 layers in the flow.
    """
    import onnx

    model = _tiny_vits()
    weights, nodes = _piper_graph(model)
    initializers = [onnx.numpy_helper.from_array(array, key) for key, array in weights.items()]
    ports = [
        onnx.helper.make_tensor_value_info(port, onnx.TensorProto.FLOAT, None)
        for port in ("input", "output")
    ]
    graph = onnx.helper.make_graph(nodes, "torch_jit", ports[:1], ports[1:], initializers)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    data = {
        "audio": {"sample_rate": 16_000, "quality": "tiny"},
        "espeak": {"voice": "en-us"},
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_type": "espeak",
        "phoneme_id_map": {symbol: [i] for i, symbol in enumerate(SYMBOLS)},
        "num_symbols": len(SYMBOLS),
        "num_speakers": 1,
        **config,
    }
    (folder / f"{name}.onnx.json").write_text(json.dumps(data), encoding="utf-8")
    return model


def _tiny_vits() -> Any:
    """Coqui's `Vits`, some 5 frames a symbol, and no weight zero: Coqui's flows start as identities."""
    import torch
    from TTS.tts.configs.shared_configs import CharactersConfig
    from TTS.tts.configs.vits_config import VitsArgs, VitsConfig
    from TTS.tts.models.vits import Vits

    sizes = VitsArgs(
        num_chars=len(SYMBOLS),
        hidden_channels=32,
        hidden_channels_ffn_text_encoder=48,
        num_heads_text_encoder=2,
        num_layers_text_encoder=2,
        num_layers_posterior_encoder=1,
        resblock_type_decoder="2",
        resblock_kernel_sizes_decoder=[3, 5],
        resblock_dilation_sizes_decoder=[[1, 2], [2, 6]],
        upsample_rates_decoder=[8, 8, 4],
        upsample_kernel_sizes_decoder=[16, 16, 8],
        upsample_initial_channel_decoder=16,
        init_discriminator=False,
    )
    symbols = CharactersConfig(
        characters_class="TTS.tts.utils.text.characters.IPAPhonemes",
        **{"pad": "_", "eos": "$", "bos": "^", "blank": None, "punctuations": ""},
        characters=SYMBOLS[3:],
        is_unique=False,
        is_sorted=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        model = Vits(VitsConfig(model_args=sizes, characters=symbols)).eval()
        for parameter in model.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.05)
    with torch.no_grad():
        model.duration_predictor.flows[0].translation[0] = -1.5
    return model.requires_grad_(False)


def _piper_graph(model: Any) -> tuple[dict[str, NDArray[np.float32]], list[Any]]:
    """The weights under the names of Piper's exporter, and the nodes that use them."""
    import onnx
    import torch

    weights: dict[str, NDArray[np.float32]] = {"sid": model.text_encoder.emb.weight.numpy()}
    nodes = [onnx.helper.make_node("Gather", ["sid", "input"], ["x"], name="/enc_p/emb/Gather")]
    for name, module in model.named_modules():
        piper = _piper_name(name)
        if not piper or name == "text_encoder.emb":
            continue
        own = dict(module.named_parameters(recurse=False))
        kind = {"Conv1d": "Conv", "ConvTranspose1d": "ConvTranspose"}.get(
            type(module).__name__.removeprefix("Parametrized")
        )
        if kind:
            own["weight"] = module.weight.detach()  # with the weight norm folded in
        for key, value in own.items():
            hidden = key == "weight" and ".enc." in piper  # the flow's WaveNet layers lost theirs
            label = f"onnx::Conv_{8168 + 3 * len(nodes)}" if hidden else f"{piper}.{key}"
            own[key] = label
            weights[label] = value.numpy()
        if kind:
            path = "/" + re.sub(r"\.(?=[a-z])", "/", piper)
            nodes.append(
                onnx.helper.make_node(
                    kind,
                    [f"{path}/in", own["weight"], *([own["bias"]] if "bias" in own else [])],
                    [f"{path}/{kind}_output_0"],
                    name=f"{path}/{kind}",
                    strides=list(module.stride),
                    dilations=list(module.dilation),
                    kernel_shape=list(module.kernel_size),
                )
            )
    affine = model.duration_predictor.flows[0]
    weights["dp.flows.0.m"] = affine.translation.numpy()
    weights["/dp/flows.0/Exp_output_0"] = torch.exp(-affine.log_scale).numpy()
    return weights, nodes


def _piper_name(coqui: str) -> str | None:
    """Piper's name of a module that inference needs; None for the others and their containers."""
    for ours, piper in (
        ("duration_predictor.flows.0", None),
        ("duration_predictor.flows.1", None),
        ("duration_predictor.flows.2.", "dp.flows.3."),
        ("duration_predictor.flows.3.", "dp.flows.5."),
        ("duration_predictor.flows.4.", "dp.flows.7."),
        ("duration_predictor.post_", None),
        ("duration_predictor.", "dp."),
        ("flow.flows.3.", "flow.flows.6."),
        ("flow.flows.2.", "flow.flows.4."),
        ("flow.flows.1.", "flow.flows.2."),
        ("flow.flows.0.", "flow.flows.0."),
        ("text_encoder.", "enc_p."),
        ("waveform_decoder.", "dec."),
    ):
        if coqui.startswith(ours):
            return piper and piper + coqui.removeprefix(ours)
    return None
