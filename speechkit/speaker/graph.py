"""ECAPA-TDNN written out as an ONNX graph, from speechbrain's weights.

One recording at a time, frames first: (frames, channels). So a convolution is a matrix product with the
neighbouring frames side by side, which the quickest int8 kernels of a CPU compute, and nothing has to be
masked. The mean and the deviation that the pooling's attention sees are the same for each frame, so
their share of its first layer is computed once.

The layers of width 1, most of the work, can be computed on 8-bit integers. A channel that is
far from zero, or far larger than the others, would leave the others few of the 256 steps. How large each
is the batch norms tell, without any data: behind one, a channel has its bias as mean and its gain as
deviation. So the means are taken off first, and a part of the deviations goes into the weights.

Source: Desplanques et al. 2020, "ECAPA-TDNN"; speechbrain, lobes/models/ECAPA_TDNN.py; Xiao et al. 2023,
"SmoothQuant".
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
Weights = Mapping[str, NDArray[np.float32]]
Moments = tuple[NDArray[Any], NDArray[Any]]  # mean and variance of each channel


def build_graph(weights: Weights, int8: bool) -> bytes:
    """The network: "fbank" (frames, 80) → "embedding" (1, 192), as a serialised ONNX model.

    Args:
        weights: of speechbrain's `ECAPA_TDNN`, by name; KeyError for one that is missing.
        int8: the layers of width 1 on 8-bit integers, weights with a scale for each output, activations
            with a scale and a lowest value for each frame; those of the first block not, whose
            rounding would be heard in all that follow.
    """
    graph = _Graph(weights, int8)
    x = graph.tdnn("fbank", "blocks.0", dilation=1)
    outputs = []
    for i in (1, 2, 3):
        x = graph.se_res2net(x, f"blocks.{i}", dilation=i + 1, exact=i == 1)
        outputs.append(x)
    x = graph.tdnn(graph.concat(outputs), "mfa")
    pooled = graph.batch_norm(graph.pool(x, "asp"), "asp_bn.norm")
    graph.nodes.append(
        helper.make_node("Identity", [graph.linear(pooled, "fc.conv", exact=True)], ["embedding"])
    )
    return graph.model()


class _Graph:
    """Nodes and constants; each method adds some and returns the name of the result."""

    def __init__(self, weights: Weights, int8: bool) -> None:
        self.weights = weights
        self.int8 = int8
        self.nodes: list[Any] = []
        self.moments: dict[str, Moments] = {}  # of results, where batch norms tell them
        self._constants: list[Any] = []

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, value: NDArray[Any]) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def number(self, value: Any) -> str:
        return self.constant(np.asarray(value, np.float32))

    def concat(self, parts: list[str]) -> str:
        """Channels side by side."""
        joined = self.op("Concat", *parts, axis=1)
        means, variances = zip(*(self.moments[part] for part in parts), strict=True)
        self.moments[joined] = np.concatenate(means), np.concatenate(variances)
        return joined

    def linear(self, x: str, name: str, exact: bool = False) -> str:
        """A convolution of any width over frames that stand side by side already.

        `exact`: in float32 in any case.
        """
        weight = self.weights[f"{name}.weight"]  # (out, in, width)
        matrix = weight.transpose(2, 1, 0).reshape(-1, weight.shape[0])
        product = (
            self.integer_product if self.int8 and not exact and x in self.moments else self.product
        )
        return product(x, matrix, self.weights[f"{name}.bias"])

    def product(self, x: str, matrix: NDArray[Any], bias: NDArray[Any]) -> str:
        return self.op("Add", self.op("MatMul", x, self.constant(matrix)), self.constant(bias))

    def integer_product(self, x: str, matrix: NDArray[Any], bias: NDArray[Any]) -> str:
        """x · matrix + bias = ((x - mean) / s) · (s matrix) + (mean · matrix + bias), the first on int8.

        s makes channels and weights alike: the root of the one's size over the other's.
        """
        mean, variance = self.moments[x]
        size = np.sqrt(variance).clip(1e-3 * np.sqrt(variance.max()))
        s = np.sqrt(size / np.abs(matrix).max(axis=1).clip(1e-4))
        s /= np.exp(np.log(s).mean())
        bias, matrix = bias + mean @ matrix, s[:, None] * matrix
        scale = np.abs(matrix).max(axis=0).clip(1e-12) / 127
        rounded = np.round(matrix / scale)
        integers = self.constant(rounded.astype(np.int8))

        even = self.op("Mul", self.op("Sub", x, self.constant(mean)), self.number(1 / s))
        low, high = (self.op(f"Reduce{end}", even, axes=[1], keepdims=1) for end in ("Min", "Max"))
        spread = self.op("Max", self.op("Sub", high, low), self.number(1e-9))
        step = self.op("Mul", spread, self.number(1 / 255))
        steps = self.op("Round", self.op("Div", self.op("Sub", even, low), step))
        found = self.op(
            "MatMulInteger", self.op("Cast", steps, to=onnx.TensorProto.UINT8), integers
        )
        found = self.op("Mul", self.op("Cast", found, to=onnx.TensorProto.FLOAT), step)
        # The steps count from the lowest value of the frame, which is added to every term.
        lowest = self.op("Mul", low, self.number(rounded.sum(axis=0)))
        found = self.op("Mul", self.op("Add", found, lowest), self.number(scale))
        return self.op("Add", found, self.number(bias))

    def batch_norm(self, x: str, name: str) -> str:
        """As in evaluation: the statistics are the training's."""
        gain, bias, mean, variance = (
            self.weights[f"{name}.{part}"]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = gain / np.sqrt(variance + BATCH_NORM_EPS)
        scaled = self.op("Mul", x, self.constant(factor))
        normed = self.op("Add", scaled, self.constant(bias - mean * factor))
        self.moments[normed] = bias, gain**2
        return normed

    def tdnn(self, x: str, name: str, dilation: int = 1, exact: bool = False) -> str:
        """Convolution, ReLU, batch norm; at the edges the frames are mirrored."""
        width = self.weights[f"{name}.conv.conv.weight"].shape[-1]
        if width > 1:
            edge = (width // 2) * dilation
            padded = self.op(
                "Pad", x, self.constant(np.array([edge, 0, edge, 0], np.int64)), mode="reflect"
            )
            shifted = [self.frames(padded, k * dilation, 2 * edge) for k in range(width)]
            x = self.op("Concat", *shifted, axis=1)
        x = self.op("Relu", self.linear(x, f"{name}.conv.conv", exact))
        return self.batch_norm(x, f"{name}.norm.norm")

    def frames(self, x: str, start: int, fewer: int) -> str:
        """From `start` on, `fewer` frames less than there are."""
        stop = start - fewer if start < fewer else np.iinfo(np.int64).max
        bounds = [self.constant(np.array([n], np.int64)) for n in (start, stop, 0)]
        return self.op("Slice", x, *bounds)

    def se_res2net(self, x: str, name: str, dilation: int, exact: bool) -> str:
        """Pointwise, Res2Net, pointwise, squeeze-and-excitation, and what came in."""
        inside = self.tdnn(x, f"{name}.tdnn1", exact=exact)
        groups = [f"{inside}.{k}" for k in range(SCALE)]
        self.nodes.append(helper.make_node("Split", [inside], groups, axis=1))
        mean, variance = (part[: len(part) // SCALE] for part in self.moments[inside])
        self.moments[groups[0]] = mean, variance
        outputs = [groups[0]]
        for k in range(1, SCALE):
            given = groups[k] if k == 1 else self.op("Add", groups[k], outputs[-1])
            block = f"{name}.res2net_block.blocks.{k - 1}"
            outputs.append(self.tdnn(given, block, dilation))
        inside = self.tdnn(self.concat(outputs), f"{name}.tdnn2", exact=exact)
        squeezed = self.op("ReduceMean", inside, axes=[0], keepdims=1)
        squeezed = self.op("Relu", self.linear(squeezed, f"{name}.se_block.conv1.conv"))
        gates = self.op("Sigmoid", self.linear(squeezed, f"{name}.se_block.conv2.conv"))
        added = self.op("Add", self.op("Mul", inside, gates), x)
        (mean, variance), (before, spread) = self.moments[inside], self.moments[x]
        self.moments[added] = (
            before + mean / 2,
            spread + variance / 4,
        )  # of gates that are half open
        return added

    def pool(self, x: str, name: str) -> str:
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
        hidden = self.op("Add", self.product(x, of_frames, np.zeros_like(bias)), shared)
        hidden = self.batch_norm(self.op("Relu", hidden), f"{name}.tdnn.norm.norm")
        scores = self.linear(self.op("Tanh", hidden), f"{name}.conv.conv")
        attention = self.op("Softmax", scores, axis=0)
        mean = self.sum(self.op("Mul", attention, x))
        centred = self.op("Sub", x, mean)
        square = self.op("Mul", self.op("Mul", centred, centred), attention)
        return self.op("Concat", mean, self.deviation(self.sum(square)), axis=1)

    def sum(self, x: str) -> str:
        return self.op("ReduceSum", x, self.constant(np.array([0], np.int64)), keepdims=1)

    def deviation(self, variance: str) -> str:
        return self.op("Sqrt", self.op("Max", variance, self.number(EPS)))

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
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = 8
        return bytes(model.SerializeToString())
