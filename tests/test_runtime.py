"""Threads, devices and random numbers."""

import subprocess
import sys
import threading

import pytest
import torch

from speechkit import runtime
from speechkit.errors import InputError, ProcessorError


@pytest.fixture(autouse=True)
def forget_threads():
    runtime.threads.cache_clear()
    yield
    runtime.threads.cache_clear()


@pytest.mark.parametrize(
    ("pinned", "quota", "expected"),
    [(8, None, 8), (8, 2.0, 2), (2, 16.0, 2), (8, 0.5, 1), (8, 2.9, 2)],
)
def test_threads_are_what_pinning_and_container_allow(pinned, quota, expected, monkeypatch):
    monkeypatch.delenv("SPEECHKIT_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(pinned), raising=False)
    monkeypatch.setattr(runtime, "_cgroup_cpus", lambda: quota)
    assert runtime.threads() == expected


@pytest.mark.parametrize("wanted", ["0", "-1", "two", "1.5", "²", " "])
def test_a_senseless_thread_setting_is_refused(wanted, monkeypatch):
    monkeypatch.setenv("SPEECHKIT_THREADS", wanted)
    with pytest.raises(InputError, match="whole number"):
        runtime.threads()


def test_the_setting_reaches_torch_and_numba():
    code = """
import speechkit.runtime as runtime, torch, numba
runtime.set_up_torch()
print(torch.get_num_threads(), torch.get_num_interop_threads(), numba.get_num_threads())
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"SPEECHKIT_THREADS": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["1", "1", "1"]


def test_devices(monkeypatch):
    assert runtime.choose_device("cpu") == "cpu"
    with pytest.raises(InputError, match="auto, cpu or cuda"):
        runtime.choose_device("tpu")
    monkeypatch.setattr(runtime, "cuda_fault", lambda: "no card")
    assert runtime.choose_device("auto") == "cpu"
    with pytest.raises(ProcessorError, match="no card"):
        runtime.choose_device("cuda")
    monkeypatch.setattr(runtime, "cuda_fault", lambda: None)
    assert runtime.choose_device("auto") == "cuda"


def test_a_card_that_answers_but_fails_is_a_fault(monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("no kernel image\nis available")

    monkeypatch.setattr("torch.version.cuda", "13.0")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.ones", fails)
    assert runtime.cuda_fault() == "no kernel image is available"


def test_seeded_draws_are_the_same_in_every_thread_and_leave_the_rest_alone():
    torch.manual_seed(5)
    expected_outside = torch.rand(3)
    torch.manual_seed(5)
    drawn = {}

    def draw(seed):
        with runtime.seeded(seed):
            drawn[seed] = [float(torch.rand(1)) for _ in range(200)]

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = dict(drawn)
    for seed in range(8):
        draw(seed)
    assert together == drawn
    assert torch.equal(torch.rand(3), expected_outside)


@pytest.mark.parametrize("seed", [-1, 2**62])
def test_seeds_out_of_range_are_refused(seed):
    with pytest.raises(InputError, match="seed"):
        runtime.check_seed(seed)


def test_memory_is_returned_where_it_can_be(monkeypatch):
    runtime.return_memory()
    monkeypatch.setattr(runtime, "_malloc_trim", lambda: None)
    runtime.return_memory()
