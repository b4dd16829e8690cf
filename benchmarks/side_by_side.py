"""Systems that are measured beside each other, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import platform
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


class Worker:
    """A system in a process of its own, loaded once.

    Attributes:
        loaded_mib: memory at most, once it was loaded.
    """

    def __init__(
        self, load: Callable[[str], Any], run: Callable[[Any, Any], Any], system: str
    ) -> None:
        """`load` makes the system of its name; `run` gives it a task. Both are functions of a module."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(load, run, system, theirs), daemon=True
        )
        self._process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        self.loaded_mib: float = self._pipe.recv()

    def run(self, task: Any) -> Any:
        """What `run` returns for the task."""
        self._pipe.send(task)
        return self._pipe.recv()

    def close(self) -> float:
        """End it; its peak memory in MiB."""
        self._pipe.send(None)
        peak: float = self._pipe.recv()
        self._process.join()
        return peak


def _serve(
    load: Callable[[str], Any], run: Callable[[Any, Any], Any], system: str, pipe: Connection
) -> None:
    loaded = load(system)
    pipe.send(_peak_mib())
    while (task := pipe.recv()) is not None:
        pipe.send(run(loaded, task))
    pipe.send(_peak_mib())


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def processor() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
