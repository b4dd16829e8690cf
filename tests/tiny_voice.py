"""Tiny VITS voices of random weights, in the files that Piper's exporter writes: they run."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch

SYMBOLS = (
    "_^$ !'(),-.:;?abcdefhijklmnopqrstuvwxyzæçðøŋœɐɑɔɕəɚɛɜɡɪɫɹɾʁʃʊʌʒʔʲˈˌːθᵻ0123456789"  # by id
)
DECODERS = {  # of Piper's medium and high voices, but for the number of channels
    "medium": {
        "resblock_type_decoder": "2",
        "resblock_kernel_sizes_decoder": [3, 5],
        "resblock_dilation_sizes_decoder": [[1, 2], [2, 6]],
        "upsample_rates_decoder": [8, 8, 4],
        "upsample_kernel_sizes_decoder": [16, 16, 8],
        "upsample_initial_channel_decoder": 16,
    },
    "high": {
        "resblock_type_decoder": "1",
        "resblock_kernel_sizes_decoder": [3, 7],
        "resblock_dilation_sizes_decoder": [[1, 3, 5], [1, 3, 5]],
        "upsample_rates_decoder": [8, 8, 2, 2],
        "upsample_kernel_sizes_decoder": [16, 16, 4, 4],
        "upsample_initial_channel_decoder": 32,
    },
}
# Coqui's names in the graph, and Piper's. Piper has modules that flip between the flows.
NAMES = [
    ("flow.flows.3", "flow.flows.6"),
    ("flow.flows.2", "flow.flows.4"),
    ("flow.flows.1", "flow.flows.2"),
    ("dp.flows.4", "dp.flows.7"),
    ("dp.flows.3", "dp.flows.5"),
    ("dp.flows.2", "dp.flows.3"),
    ("dp.flows.0.translation", "dp.flows.0.m"),
    ("dec.cond_layer", "dec.cond"),
]


def tiny_voice(
    folder: Path, name: str = "tiny", *, kind: str = "medium", speakers: int = 1, **config: object
) -> Any:
    """Write a VITS voice of random weights as Piper does: `NAME.onnx` and `NAME.onnx.json`.

    `config` replaces entries of the json file. Returns the Coqui `Vits` it was made of, whose embedding
    rows are in the order of `SYMBOLS`.

    Small are: the hidden, feed-forward and decoder channels, the layers. What a Piper file does not
    let one infer has Coqui's size: 192 filters in the duration predictor, 4 x 4 layers in the flow.
    """
    model = _tiny_vits(kind, speakers)
    folder.mkdir(parents=True, exist_ok=True)
    _export(model, folder / f"{name}.onnx", speakers)
    data = {
        "audio": {"sample_rate": 16_000, "quality": kind},
        "espeak": {"voice": "en-us"},
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_type": "espeak",
        "phoneme_id_map": {symbol: [i] for i, symbol in enumerate(SYMBOLS)},
        "num_symbols": len(SYMBOLS),
        "num_speakers": speakers,
        "speaker_id_map": {f"p{i}": i for i in range(speakers)} if speakers > 1 else {},
        **config,
    }
    (folder / f"{name}.onnx.json").write_text(json.dumps(data), encoding="utf-8")
    return model


def _tiny_vits(kind: str, speakers: int) -> Any:
    """Coqui's `Vits`, some 5 frames a symbol; no weights are all the same, as when Coqui makes them."""
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
        **DECODERS[kind],
        use_speaker_embedding=speakers > 1,
        speaker_embedding_channels=24,
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
        config = VitsConfig(model_args=sizes, characters=symbols)
        config.speakers = [str(i) for i in range(speakers)]
        model = Vits(config).eval()
        for parameter in model.parameters():
            if (parameter == parameter.flatten()[0]).all():
                parameter.data += 0.05 * torch.randn(parameter.shape)
    with torch.no_grad():
        model.duration_predictor.flows[0].translation[0] = -1.5
    return model.requires_grad_(False)


class _Inference(torch.nn.Module):
    """`Vits.inference` as Piper's exporter traces it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.enc_p, self.dp = model.text_encoder, model.duration_predictor
        self.flow, self.dec = model.flow, model.waveform_decoder
        self.emb_g = model.emb_g if model.args.use_speaker_embedding else None

    def forward(self, ids: Any, lengths: Any, scales: Any, sid: Any = None) -> Any:
        """Ids (1, T) → samples (1, 1, 1, n)."""
        noise_scale, length_scale, noise_w = scales
        g = None if sid is None else self.emb_g(sid).unsqueeze(-1)
        x, mean, log_scale, mask = self.enc_p(ids, lengths, lang_emb=None)
        log_durations = self.dp(x, mask, g=g, reverse=True, noise_scale=noise_w, lang_emb=None)
        durations = torch.ceil(torch.exp(log_durations) * mask * length_scale)
        frames = torch.clamp_min(torch.sum(durations, [1, 2]), 1).long()
        positions = torch.arange(frames.max())
        z_mask = (positions[None] < frames[:, None]).unsqueeze(1).to(mask.dtype)
        ends = torch.cumsum(durations, 2)[:, 0, :, None]
        path = (positions[None, None] < ends).to(mask.dtype)
        path = path - torch.nn.functional.pad(path, [0, 0, 1, 0])[:, :-1]
        mean, log_scale = mean @ path, log_scale @ path
        z = mean + torch.randn_like(mean) * torch.exp(log_scale) * noise_scale
        z = self.flow(z, z_mask, g=g, reverse=True)
        return self.dec(z * z_mask, g=g).unsqueeze(1)


def _export(model: Any, path: Path, speakers: int) -> None:
    import onnx

    inputs = {
        "input": torch.arange(3, 33)[None],
        "input_lengths": torch.tensor([30]),
        "scales": torch.tensor([0.667, 1.0, 0.8]),
    }
    if speakers > 1:
        inputs["sid"] = torch.tensor([0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Inference(model).eval(),
            tuple(inputs.values()),
            path,
            dynamo=False,
            opset_version=15,
            input_names=list(inputs),
            output_names=["output"],
            dynamic_axes={"input": [0, 1], "input_lengths": [0], "output": [0, 3]},
        )
    graph = onnx.load(path)
    for node in graph.graph.node:
        node.name = _piper_name(node.name)
        node.input[:] = [_piper_name(name) for name in node.input]
        node.output[:] = [_piper_name(name) for name in node.output]
    for weight in graph.graph.initializer:
        weight.name = _piper_name(weight.name)
    # Piper's exporter has computed this one.
    scale = next(node for node in graph.graph.node if node.name == "/dp/flows.0/Exp")
    graph.graph.node.remove(scale)
    computed = torch.exp(-model.duration_predictor.flows[0].log_scale).numpy()
    graph.graph.initializer.append(onnx.numpy_helper.from_array(computed, scale.output[0]))
    onnx.save(graph, path)


def _piper_name(name: str) -> str:
    """A name of the graph as Piper has it: of weights with dots, of nodes with slashes."""
    for coqui, piper in NAMES:
        for ours, theirs in ((coqui, piper), ("/" + _slashed(coqui), "/" + _slashed(piper))):
            if name == ours or name.startswith((ours + ".", ours + "/")):
                return theirs + name.removeprefix(ours)
    return name


def _slashed(name: str) -> str:
    first, *rest = name.split(".")
    return "/".join([first, ".".join(rest)]) if rest else first
