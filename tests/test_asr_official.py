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
from speechkit.errors import InputError, WeightsError


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
    assert "weather is fine" in load_asr("tiny").transcribe(speech, words=True).text
    assert (tmp_path / "openai-whisper" / "tiny.pt").is_file()
    monkeypatch.setitem(whisper._MODELS, "tiny", host.replace("127.0.0.1", "127.0.0.2"))
    monkeypatch.setenv("SPEECHKIT_OFFLINE", "1")
    assert "weather is fine" in load_asr("tiny").transcribe(speech).text


@pytest.mark.real
def test_a_checkpoint_file_is_loaded(checkpoint, voice):
    speech = voice.synthesize("The weather is fine today.")
    assert "weather is fine" in load_asr(str(checkpoint)).transcribe(speech).text


@pytest.mark.real
def test_an_altered_checkpoint_is_refused(host, monkeypatch):
    altered = host.replace("/tiny.pt", "0/tiny.pt")  # another hash than the file's
    monkeypatch.setitem(whisper._MODELS, "tiny", altered)
    with pytest.raises(WeightsError, match="check the network"):
        load_asr("tiny")


def test_offline_and_unknown_names_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHKIT_HOME", str(tmp_path))
    monkeypatch.setenv("SPEECHKIT_OFFLINE", "1")
    with pytest.raises(WeightsError, match="unset it once"):
        load_asr("small")
    with pytest.raises(InputError, match="choose one of"):
        load_asr("huge")
    with pytest.raises(InputError, match="no such checkpoint"):
        load_asr(str(tmp_path / "none.pt"))
