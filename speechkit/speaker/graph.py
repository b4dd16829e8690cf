"""ECAPA-TDNN written out as an ONNX graph, from speechbrain's weights.

One recording at a time, frames first: (frames, channels). So a convolution is a matrix product with the
neighbouring frames side by side, which the quickest int8 kernels of a CPU compute, and nothing has to be
masked. The mean and the deviation that the pooling's attention sees are the same for each frame, so
their share of its first layer is computed once.

Source: Desplanques et al. 2020, "ECAPA-TDNN"; speechbrain, lobes/models/ECAPA_TDNN.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

SCALE = 8  # groups of channels in a Res2Net block
EPS = 1e-12  # below which a variance counts as none, in the pooling
BATCH_NORM_EPS = 1e-5
OPSET = 17
MICROSOFT = "com.microsoft"  # ONNX Runtime's own operators
Weights = Mapping[str, NDArray[np.float32]]


def build_graph(weights: Weights, int8: bool) -> bytes:
    """The network: "fbank" (frames, 80) → "embedding" (1, 192), as a serialised ONNX model.

    Args:
        weights: of speechbrain's `ECAPA_TDNN`, by name; KeyError for one that is missing.
        int8: the aggregation of the layers, half of all work, and the pooling's attention on 8-bit
            integers: weights with a scale for each output, activations with one for the recording.
            In the layers before it their rounding would be heard further on.
    """
    graph = _Graph(weights)
    x = graph.tdnn("fbank", "blocks.0", dilation=1)
    outputs = []
    for i in (1, 2, 3):
        x = graph.se_res2net(x, f"blocks.{i}", dilation=i + 1)
        outputs.append(x)
    x = graph.tdnn(graph.op("Concat", *outputs, axis=1), "mfa", int8=int8)
    pooled = graph.batch_norm(graph.pool(x, "asp", int8), "asp_bn.norm")
    graph.nodes.append(
        helper.make_node("Identity", [graph.linear(pooled, "fc.conv")], ["embedding"])
    )
    return graph.model()


class _Graph:
    """Nodes and constants; each method adds some and returns the name of the result."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self._constants: list[Any] = []

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        output = f"n{len(self.nodes)}"
        node = helper.make_node(kind, list(inputs), [output], domain=domain, **attributes)
        self.nodes.append(node)
        return output

    def constant(self, value: NDArray[Any]) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def linear(self, x: str, name: str, int8: bool = False) -> str:
        """A convolution of any width over frames that stand side by side already."""
        weight = self.weights[f"{name}.weight"]  # (out, in, width)
        matrix = weight.transpose(2, 1, 0).reshape(-1, weight.shape[0])
        return self.product(x, matrix, self.weights[f"{name}.bias"], int8)

    def product(self, x: str, matrix: NDArray[Any], bias: NDArray[Any], int8: bool = False) -> str:
        if int8:
            scale = np.maximum(np.abs(matrix).max(axis=0), 1e-12) / 127
            integers = np.round(matrix / scale).astype(np.int8)
            zero = np.zeros(len(scale), np.int8)
            constants = [self.constant(c) for c in (integers, scale.astype(np.float32), zero, bias)]
            return self.op("DynamicQuantizeMatMul", x, *constants, domain=MICROSOFT)
        return self.op("Add", self.op("MatMul", x, self.constant(matrix)), self.constant(bias))

    def batch_norm(self, x: str, name: str) -> str:
        """As in evaluation: the statistics are the training's."""
        gain, bias, mean, variance = (
            self.weights[f"{name}.{part}"]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = gain / np.sqrt(variance + BATCH_NORM_EPS)
        scaled = self.op("Mul", x, self.constant(factor))
        return self.op("Add", scaled, self.constant(bias - mean * factor))

    def tdnn(self, x: str, name: str, dilation: int = 1, int8: bool = False) -> str:
        """Convolution, ReLU, batch norm; at the edges the frames are mirrored."""
        width = self.weights[f"{name}.conv.conv.weight"].shape[-1]
        if width > 1:
            edge = (width // 2) * dilation
            padded = self.op(
                "Pad", x, self.constant(np.array([edge, 0, edge, 0], np.int64)), mode="reflect"
            )
            shifted = [self.frames(padded, k * dilation, 2 * edge) for k in range(width)]
            x = self.op("Concat", *shifted, axis=1)
        x = self.op("Relu", self.linear(x, f"{name}.conv.conv", int8))
        return self.batch_norm(x, f"{name}.norm.norm")

    def frames(self, x: str, start: int, fewer: int) -> str:
        """From `start` on, `fewer` frames less than there are."""
        stop = start - fewer if start < fewer else np.iinfo(np.int64).max
        bounds = [self.constant(np.array([n], np.int64)) for n in (start, stop, 0)]
        return self.op("Slice", x, *bounds)

    def se_res2net(self, x: str, name: str, dilation: int) -> str:
        """Pointwise, Res2Net, pointwise, squeeze-and-excitation, and what came in."""
        inside = self.tdnn(x, f"{name}.tdnn1")
        groups = [f"{inside}.{k}" for k in range(SCALE)]
        self.nodes.append(helper.make_node("Split", [inside], groups, axis=1))
        outputs = [groups[0]]
        for k in range(1, SCALE):
            given = groups[k] if k == 1 else self.op("Add", groups[k], outputs[-1])
            block = f"{name}.res2net_block.blocks.{k - 1}"
            outputs.append(self.tdnn(given, block, dilation))
        inside = self.tdnn(self.op("Concat", *outputs, axis=1), f"{name}.tdnn2")
        squeezed = self.op("ReduceMean", inside, axes=[0], keepdims=1)
        squeezed = self.op("Relu", self.linear(squeezed, f"{name}.se_block.conv1.conv"))
        gates = self.op("Sigmoid", self.linear(squeezed, f"{name}.se_block.conv2.conv"))
        return self.op("Add", self.op("Mul", inside, gates), x)

    def pool(self, x: str, name: str, int8: bool) -> str:
        """Attentive statistics: (frames, C) → (1, 2 C), mean and deviation weighted by attention."""
        mean = self.op("ReduceMean", x, axes=[0], keepdims=1)
        centred = self.op("Sub", x, mean)
        square = self.op("Mul", centred, centred)
        deviation = self.deviation(self.op("ReduceMean", square, axes=[0], keepdims=1))
        weight = self.weights[f"{name}.tdnn.conv.conv.weight"][:, :, 0].T  # (3 C, attention)
        of_frames, of_all = np.split(weight, [len(weight) // 3])
        bias = self.weights[f"{name}.tdnn.conv.conv.bias"]
        both = self.op("Concat", mean, deviation, axis=1)
        shared = self.product(both, of_all, bias)
        hidden = self.op("Add", self.product(x, of_frames, np.zeros_like(bias), int8), shared)
        hidden = self.batch_norm(self.op("Relu", hidden), f"{name}.tdnn.norm.norm")
        scores = self.linear(self.op("Tanh", hidden), f"{name}.conv.conv", int8)
        attention = self.op("Softmax", scores, axis=0)
        mean = self.sum(self.op("Mul", attention, x))
        centred = self.op("Sub", x, mean)
        square = self.op("Mul", self.op("Mul", centred, centred), attention)
        return self.op("Concat", mean, self.deviation(self.sum(square)), axis=1)

    def sum(self, x: str) -> str:
        return self.op("ReduceSum", x, self.constant(np.array([0], np.int64)), keepdims=1)

    def deviation(self, variance: str) -> str:
        return self.op("Sqrt", self.op("Max", variance, self.constant(np.array(EPS, np.float32))))

    def model(self) -> bytes:
        def port(name: str, axes: list[Any]) -> Any:
            return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, axes)

        size = len(self.weights["fc.conv.bias"])
        bins = self.weights["blocks.0.conv.conv.weight"].shape[1]
        graph = helper.make_graph(
            self.nodes,
            "ecapa_tdnn",
            [port("fbank", ["frames", bins])],
            [port("embedding", [1, size])],
            self._constants,
        )
        domains = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=domains)
        model.ir_version = 8
        return bytes(model.SerializeToString())
