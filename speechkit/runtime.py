"""Where and with how many threads the models run: one place for all engines."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from speechkit.errors import InputError, ProcessorError

log = logging.getLogger("speechkit")

T = TypeVar("T")
R = TypeVar("R")

_random_lock = threading.RLock()  # torch has one state of random numbers for all threads


def _cgroup_cpus() -> float | None:
    """Processors that the container allows (cgroup v2 or v1 quota / period), or None for no limit."""
    for quota_file, period_file in (
        ("/sys/fs/cgroup/cpu.max", None),
        ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
    ):
        try:
            fields = Path(quota_file).read_text().split()
            if period_file:
                fields.append(Path(period_file).read_text().strip())
            quota, period = fields[:2]
            if quota != "max" and int(quota) > 0:
                return int(quota) / int(period)
        except (OSError, ValueError):
            continue
    return None


@lru_cache(maxsize=1)
def threads() -> int:
    """Threads that every engine uses: $SPEECHKIT_THREADS, else what this process may really use.

    The smaller of the processors it is pinned to and the container's quota, at least 1.

    Raises:
        InputError: SPEECHKIT_THREADS is not a whole number of 1 or more.
    """
    wanted = os.environ.get("SPEECHKIT_THREADS")
    if wanted:
        if not wanted.isdecimal() or int(wanted) < 1:
            raise InputError(f"SPEECHKIT_THREADS is {wanted!r}; give a whole number, 1 or more")
        return int(wanted)
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = _cgroup_cpus()
    return max(1, min(count, int(quota) if quota else count))


@lru_cache(maxsize=1)
def set_up_torch() -> None:
    """Hand the thread setting to torch and numba, once, before the first model is built."""
    import numba
    import torch

    with contextlib.suppress(RuntimeError):  # torch takes this one only before its first work
        torch.set_num_interop_threads(threads())
    numba.set_num_threads(min(threads(), numba.get_num_threads()))  # Whisper's word alignment
    torch.set_num_threads(threads())  # last: numba's call sets this thread's number too


def choose_device(device: str = "auto") -> str:
    """The torch device to run on: "cpu", "cuda", or what is there for "auto".

    Raises:
        InputError: an unknown name.
        ProcessorError: "cuda" was asked for and can't be used; the message says why.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"device {device!r} is unknown; choose auto, cpu or cuda")
    if device == "cpu":
        return "cpu"
    fault = cuda_fault()
    if fault is None:
        return "cuda"
    if device == "auto":
        log.debug("running on the CPU: %s", fault)
        return "cpu"
    raise ProcessorError(f"CUDA can't be used: {fault}; use device='cpu' or 'auto'")


def cuda_fault() -> str | None:
    """Why CUDA can't be used, found by using it; None when it can."""
    import torch

    if not torch.version.cuda:
        return "this torch is built without CUDA"
    if not torch.cuda.is_available():
        return "no NVIDIA driver or card answers"
    try:
        torch.ones(8, device="cuda").sum().item()
    except RuntimeError as e:
        return " ".join(str(e).split())
    return None


def return_memory() -> None:
    """Give the memory that was freed back to the system, where the C library keeps it (glibc)."""
    trim = _malloc_trim()
    if trim:
        trim(0)


@lru_cache(maxsize=1)
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
        return trim
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return None


def check_seed(seed: int) -> None:
    """Raise InputError for a seed that torch does not take."""
    if not 0 <= seed < 2**62:
        raise InputError(f"seed is {seed}; give a whole number from 0 to 2**62 - 1")


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Make torch's random numbers follow from `seed` inside, and leave them as they were outside.

    One thread at a time: another thread's draws would change this one's.
    """
    import torch

    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with _random_lock, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def map_ahead(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """What `map` gives, in order, computed in `workers` threads a few items ahead of the reader.

    `items` is read in the reader's thread. What is not begun when the reader leaves is not done.
    """
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers, "speechkit") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
