"""openai-whisper's own checkpoint names, fetched from a local server by its real loading code."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
import whisper

from speechkit import hub, load_asr
from speechkit.asr.ct2_weights import dimensions, openai_state_dict, read_variables
from speechkit.errors import WeightsError


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A `.pt` file as OpenAI publishes them, made of the pinned tiny.en."""
    path = tmp_path_factory.mktemp("host") / "tiny.en.pt"
    variables = read_variables(hub.fetch("tiny.en") / "model.bin")
    state = {name: tensor.half() for name, tensor in openai_state_dict(variables).items()}
    torch.save({"dims": dimensions(variables), "model_state_dict": state}, path)
    return path


@pytest.fixture
def host(checkpoint, tmp_path, monkeypatch):
    """A server whose address has the file's SHA-256 in it, as OpenAI's has; "tiny" leads there."""
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    (checkpoint.parent / digest).mkdir(exist_ok=True)
    served = checkpoint.parent / digest / "tiny.pt"
    if not served.exists():
        served.symlink_to(checkpoint)
    handler = partial(SimpleHTTPRequestHandler, directory=str(checkpoint.parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/{digest}/tiny.pt"
    monkeypatch.setitem(whisper._MODELS, "tiny", url)
    monkeypatch.setenv("SPEECHKIT_HOME", str(tmp_path))
    yield url
    server.shutdown()
    server.server_close()


@pytest.mark.real
def test_an_official_name_is_fetched_once_and_then_works_offline(
    host, voice, tmp_path, monkeypatch
):
    speech = voice.synthesize("The weather is fine today.")
    assert (
        "weather is fine"
        in load_asr("tiny", engine="reference").transcribe(speech, words=True).text
    )
    assert (tmp_path / "openai-whisper" / "tiny.pt").is_file()
    monkeypatch.setattr("urllib.request.urlopen", None)  # a second request would fail
    monkeypatch.setenv("SPEECHKIT_OFFLINE", "1")
    assert "weather is fine" in load_asr("tiny", engine="reference").transcribe(speech).text


@pytest.mark.real
def test_an_altered_checkpoint_is_refused(host, checkpoint, tmp_path, monkeypatch):
    other = checkpoint.parent / ("0" * 64)  # served under a hash that isn't the file's
    other.mkdir()
    (other / "tiny.pt").symlink_to(checkpoint)
    monkeypatch.setitem(whisper._MODELS, "tiny", f"{host.rsplit('/', 2)[0]}/{other.name}/tiny.pt")
    with pytest.raises(WeightsError, match="SHA256"):
        load_asr("tiny", engine="reference")


@pytest.mark.real
def test_offline_a_damaged_checkpoint_is_not_fetched_again(host, tmp_path, monkeypatch):
    folder = tmp_path / "openai-whisper"
    folder.mkdir()
    (folder / "tiny.pt").write_bytes(b"half a file")
    monkeypatch.setenv("SPEECHKIT_OFFLINE", "1")
    with pytest.raises(WeightsError, match="not whole"):
        load_asr("tiny", engine="reference")
    assert (folder / "tiny.pt").read_bytes() == b"half a file"
