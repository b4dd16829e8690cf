"""The fast engine for ECAPA-TDNN: ONNX Runtime, with 8-bit integers in the largest layers.

Recordings are embedded side by side, one thread each, and never padded, so an embedding does not depend
on what else is in the batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speechkit.runtime import map_ahead, set_up_torch, threads
from speechkit.speaker.ecapa import not_these, read_weights
from speechkit.speaker.graph import build_graph

BLOCK = 32  # recordings whose features are computed before their embeddings, on all threads too


class OnnxEngine:
    """`embed` on the CPU. Several threads may share it."""

    def __init__(self, checkpoint: Path, int8: bool = True) -> None:
        """`int8` off computes in float32, as speechbrain does.

        Raises:
            WeightsError: a checkpoint that is damaged, or of another network.
        """
        set_up_torch()
        tensors = read_weights(checkpoint)
        try:
            model = build_graph({name: one.numpy() for name, one in tensors.items()}, int8)
            self._alone = _session(model, 1)
            self._wide = _session(model, threads()) if threads() > 1 else self._alone
        except Exception as e:  # names, shapes and ONNX Runtime's own classes
            raise not_these(checkpoint, e) from e

    def embed(self, fbanks: Iterable[torch.Tensor]) -> NDArray[np.float32]:
        """Filter banks, each (frames, 80) → (n, 192). A single one has all threads to itself."""
        waiting, found = iter(fbanks), []
        while some := list(islice(waiting, BLOCK)):
            if len(some) == 1:
                found.append(_run(self._wide, some[0]))
            else:
                found += map_ahead(partial(_run, self._alone), some, threads())
        return np.concatenate(found)


def _run(session: Any, fbank: torch.Tensor) -> NDArray[np.float32]:
    (embedding,) = session.run(None, {"fbank": fbank.numpy(force=True)})
    return np.asarray(embedding)


def _session(model: bytes, count: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = count
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that spin would take time from the next session's, and from other programs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
