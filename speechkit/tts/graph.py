"""A VITS graph, as Piper exports it, cut into three: text, flow and waveform decoder.

        ids, duration noise ──► text ──► mean, log scale (of each id), durations (of each id)
        mean + scale * noise, each id's repeated for its frames ──► flow ──► z ──► decoder ──► samples

The cuts are found by what the nodes do, not by their numbers. What was random in the graph becomes an
input, so a seed decides; flow and decoder are made of convolutions, so they can be run on a window of
frames, if it has as much context on each side as they see.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechkit.tts.piper import decoder_context, named_weights, vits_arguments, voice_graph

SPEAKER = "sid"  # the graph's input that chooses among several speakers
FLAT_OPERATORS = {"Conv", "ConvTranspose", "LeakyRelu", "Add", "Div", "Mul", "Tanh", "Unsqueeze"}
ROW_OF = {"kernel_shape": 1, "strides": 1, "dilations": 1, "output_padding": 0}  # along the height


@dataclass(frozen=True)
class Part:
    """A graph of its own.

    Attributes:
        model: serialised ONNX.
        inputs, outputs: their names, in the order in which `VoiceGraphs` lists them.
    """

    model: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class VoiceGraphs:
    """The three parts; B = 1, T ids, F frames, C latent channels.

    Attributes:
        text: ids (B, T) int64, lengths (B,) int64, scales (3,), noise (B, 2, T) → mean and log scale
            (B, C, T), durations (B, 1, T).
        flow: (B, C, F), mask (B, 1, F) → (B, C, F).
        decoder: (B, C, F), or (B, C, 1, F) if it is `flat`, → samples, F * hop_length of each.
        hop_length: samples that one frame becomes.
        flow_context, decoder_context: frames to each side that an output depends on.
        has_speakers: whether there is an input `SPEAKER` (B,) int64.
        flat: whether the decoder's convolutions go over pictures of one row.
    """

    text: Part
    flow: Part
    decoder: Part
    hop_length: int
    flow_context: int
    decoder_context: int
    has_speakers: bool
    flat: bool


def cut_voice(path: Path) -> VoiceGraphs:
    """Cut a Piper `.onnx` file.

    Raises:
        WeightsError: the file is missing, damaged or isn't a VITS graph as Piper exports it.
    """
    with voice_graph(path) as model:
        return _cut(model)


def _cut(model: Any) -> VoiceGraphs:
    graph = model.graph
    nodes = list(graph.node)
    duration_noise, latent_noise = _noises(nodes)
    durations = _only(node for node in nodes if node.op_type == "Ceil").output[0]
    split = _only(n for n in nodes if n.name.startswith("/enc_p/") and n.op_type == "Split")
    mean, log_scale = split.output
    prior = _sum_with(nodes, latent_noise)
    first = _only(n for n in nodes if n.name.startswith("/dec/conv_pre/") and n.op_type == "Conv")
    z = first.input[0]
    masked = _only(node for node in nodes if z in node.output)
    (mask,) = (name for name in masked.input if not name.startswith("/flow/"))
    named, attributes = named_weights(graph)
    arguments = vits_arguments(named, attributes)
    given = [port.name for port in graph.input]
    ids, lengths, scales = (name for name in given if name != SPEAKER)
    speaker = [SPEAKER] if SPEAKER in given else []
    text = _part(
        model, [ids, lengths, scales, duration_noise, *speaker], [mean, log_scale, durations]
    )
    flow = _part(model, [prior, mask, *speaker], [z])
    flat = _flatten(graph, z) if not speaker else False
    return VoiceGraphs(
        text=text,
        flow=flow,
        decoder=_part(model, [z, *speaker], [graph.output[0].name], 4 if flat else 3),
        hop_length=math.prod(arguments["upsample_rates_decoder"]),
        flow_context=sum(
            (named[f"{name}.weight"].shape[-1] - 1) // 2 * conv["dilations"][0]
            for name, conv in attributes.items()
            if name.startswith("flow.")
        ),
        decoder_context=decoder_context(arguments),
        has_speakers=bool(speaker),
        flat=flat,
    )


def _flatten(graph: Any, z: str) -> bool:
    """Turn the decoder's one-dimensional convolutions into two-dimensional ones of height 1.

    ONNX Runtime has its quickest kernels for pictures. Only a decoder of convolutions and of operators
    that work on each number alone can be turned; returns whether it was.
    """
    from onnx import helper, numpy_helper

    weights = {init.name: init for init in graph.initializer}
    nodes, reached = [], {z}
    for node in graph.node:
        if reached & set(node.input):
            nodes.append(node)
            reached |= set(node.output)
    if {node.op_type for node in nodes} - FLAT_OPERATORS:
        return False
    for node in nodes:
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        weight = weights[node.input[1]]
        flat = numpy_helper.to_array(weight)[:, :, None, :]
        weight.CopyFrom(numpy_helper.from_array(flat, weight.name))
        for attribute in list(node.attribute):
            values = list(attribute.ints)
            if attribute.name == "pads":
                values = [0, values[0], 0, values[1]]
            elif attribute.name in ROW_OF:
                values = [ROW_OF[attribute.name], *values]
            else:
                continue
            attribute.CopyFrom(helper.make_attribute(attribute.name, values))
    return True


def _noises(nodes: list[Any]) -> tuple[str, str]:
    """What is drawn for the durations, and for the latent."""
    drawn = [node for node in nodes if node.op_type.startswith("RandomNormal")]
    of_durations = _only(node for node in drawn if node.name.startswith("/dp/"))
    return of_durations.output[0], _only(n for n in drawn if n is not of_durations).output[0]


def _sum_with(nodes: list[Any], noise: str) -> str:
    """Where the noise, multiplied by its scales, is added to the mean."""
    name = noise
    while True:
        node = _only(node for node in nodes if name in node.input)
        name = str(node.output[0])
        if node.op_type == "Add":
            return name
        if node.op_type != "Mul":
            raise ValueError(f"{node.op_type} behind the noise")


def _only(found: Iterable[Any]) -> Any:
    (one,) = found
    return one


def _part(model: Any, inputs: list[str], outputs: list[str], axes: int = 3) -> Part:
    """What leads from `inputs` to `outputs`, as a model of its own; new inputs have so many axes."""
    import onnx

    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    needed: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name in needed or name in inputs or not name:
            continue
        needed.add(name)
        if name in makers:
            waiting += makers[name].input
    own = {port.name: port for port in graph.input}
    float32 = onnx.TensorProto.FLOAT

    def port(name: str) -> Any:
        return own.get(name) or onnx.helper.make_tensor_value_info(name, float32, [None] * axes)

    used = {name for node in graph.node if needed & set(node.output) for name in node.input}
    kept = [name for name in inputs if name in used]
    part = onnx.helper.make_graph(
        [node for node in graph.node if needed & set(node.output)],
        "part",
        [port(name) for name in kept],
        [onnx.helper.make_empty_tensor_value_info(name) for name in outputs],
        [init for init in graph.initializer if init.name in needed],
    )
    built = onnx.helper.make_model(part, opset_imports=model.opset_import)
    built.ir_version = model.ir_version
    return Part(built.SerializeToString(), tuple(kept), tuple(outputs))
