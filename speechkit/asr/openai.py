"""The reference engine for Whisper: openai-whisper's own model, decoder and word alignment."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from speechkit import hub
from speechkit.asr.ct2_weights import dimensions, openai_state_dict, read_variables
from speechkit.asr.engine import APPENDED, PREPENDED, DecodeOptions, Hypothesis, TimedWord
from speechkit.errors import InputError, WeightsError
from speechkit.marks import ENDS
from speechkit.runtime import choose_device, seeded, set_up_torch

# openai-whisper keeps its caches in hooks on the module and a switch in a class, and numba's threads
# must not be entered twice: of all its models, one works at a time.
_one_at_a_time = threading.RLock()


class OpenAiEngine:
    """`encode`, `decode` and `align` on openai-whisper's `Whisper` module, in float32.

    Several threads may share it; they take turns.

    Attributes:
        model: the `whisper.model.Whisper` module.
    """

    full_windows = True

    def __init__(self, model: Any) -> None:
        self.model = model.eval()
        self.n_mels: int = model.dims.n_mels
        self.multilingual: bool = model.is_multilingual
        self.languages = known_languages(self.multilingual, model.num_languages)

    def tokenizer(self, language: str, task: str) -> Any:
        """openai-whisper's tokenizer for this model."""
        return make_tokenizer(self.multilingual, self.model.num_languages, language, task)

    @torch.inference_mode()
    def encode(self, mel: torch.Tensor, frames: Sequence[int] | None = None) -> torch.Tensor:
        """Log-mel (batch, n_mels, 3000) → encoder states (batch, 1500, n_audio_state)."""
        with _one_at_a_time:
            states: torch.Tensor = self.model.encoder(mel.to(self.model.device))
        return states

    @torch.inference_mode()
    def detect_language(self, encoded: torch.Tensor) -> list[dict[str, float]]:
        """Language code → probability, for each window."""
        if not self.multilingual:
            return [{"en": 1.0}] * len(encoded)
        tokenizer = self.tokenizer("en", "transcribe")
        with _one_at_a_time:
            _, probabilities = self.model.detect_language(encoded, tokenizer)
        return list(probabilities)

    @torch.inference_mode()
    def decode(self, encoded: torch.Tensor, options: DecodeOptions) -> list[Hypothesis]:
        """The text of each window, by `whisper.decode`."""
        from whisper.decoding import DecodingOptions, decode

        # whisper.decode cuts the prefix to what the new tokens leave of half of its context.
        room = self.model.dims.n_text_ctx // 2 - len(options.prefix)
        whisper_options = DecodingOptions(
            task=options.task,
            language=options.language,
            temperature=options.temperature,
            beam_size=options.beam_size
            if options.beam_size > 1 and not options.temperature
            else None,
            best_of=5 if options.temperature else None,
            prompt=list(options.prompt) or None,
            prefix=list(options.prefix) or None,
            sample_len=max(1, min(options.max_tokens, room)),
            without_timestamps=True,
            fp16=False,
        )
        # With several hypotheses it takes one window; a draw must not depend on the others either.
        size = 1 if options.beam_size > 1 or options.temperature > 0 else len(encoded)
        results = []
        with _one_at_a_time:
            for start in range(0, len(encoded), size):
                with seeded(options.seed):
                    results += decode(self.model, encoded[start : start + size], whisper_options)
        # Times and other marks, which come after the end token, are no text.
        end = self.tokenizer(options.language, options.task).eot
        return [
            Hypothesis(
                (*options.prefix, *(token for token in result.tokens if token < end)),
                float(result.avg_logprob),
                float(result.no_speech_prob),
            )
            for result in results
        ]

    @torch.inference_mode()
    def align(
        self,
        encoded: torch.Tensor,
        tokens: Sequence[Sequence[int]],
        frames: Sequence[int],
        options: DecodeOptions,
    ) -> list[list[TimedWord]]:
        """Times by dynamic time warping over cross-attention (`whisper.timing.find_alignment`)."""
        from whisper.timing import find_alignment

        tokenizer = self.tokenizer(options.language, options.task)
        with _one_at_a_time, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numba and triton speak of their own affairs
            return [
                timed_words(
                    find_alignment(_Encoded(self.model), tokenizer, list(text), states, length)
                )
                for states, text, length in zip(encoded, tokens, frames, strict=True)
            ]


def known_languages(multilingual: bool, count: int) -> tuple[str, ...]:
    """Codes of the languages of a model that has tokens for `count` of them."""
    from whisper.tokenizer import LANGUAGES

    return tuple(LANGUAGES)[:count] if multilingual else ("en",)


@lru_cache(maxsize=16)
def make_tokenizer(multilingual: bool, count: int, language: str, task: str) -> Any:
    """openai-whisper's tokenizer; models of English alone have tokens for `count` languages too."""
    from whisper.tokenizer import get_tokenizer

    return get_tokenizer(multilingual, num_languages=count, language=language, task=task)


def timed_words(words: list[Any]) -> list[TimedWord]:
    """openai-whisper's `WordTiming`s with punctuation put to the words it belongs to."""
    from whisper.timing import merge_punctuations

    marks = [w.word if w.word in APPENDED else "" for w in words]  # put to the word before
    merge_punctuations(words, PREPENDED, APPENDED)
    timed: list[TimedWord] = []
    for word, mark in zip(words, marks, strict=True):
        if word.tokens:
            times = float(word.start), float(word.end)
            timed.append(TimedWord(word.word, tuple(word.tokens), *times, float(word.probability)))
        elif mark and timed and (timed[-1].mark_probability == 1 or mark in ENDS):
            timed[-1] = replace(timed[-1], mark_probability=float(word.probability))
    return timed


class _Encoded:
    """A Whisper model for `find_alignment` that is given encoder states in place of a log-mel."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, states: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._model.decoder(tokens, states)
        return logits


def build(folder: Path, name: str, device: str) -> Any:
    """openai-whisper's module with the weights of the CTranslate2 file in `folder`.

    The state dict must match in every key. An official `name` chooses the attention heads that align
    words; under another one those of the upper half of the decoder do, as in openai-whisper.

    Raises:
        WeightsError: the file is damaged or of another make.
    """
    import whisper
    from whisper.model import ModelDimensions, Whisper

    variables = read_variables(folder / "model.bin")
    try:
        model = Whisper(ModelDimensions(**dimensions(variables)))
        model.load_state_dict(openai_state_dict(variables), strict=True)
    except (RuntimeError, KeyError, ValueError) as e:
        raise WeightsError(f"{folder}: the weights do not fit openai-whisper: {e}") from e
    if name in whisper._ALIGNMENT_HEADS:
        with suppress(RuntimeError):  # a folder may bear the name of a model of another size
            model.set_alignment_heads(whisper._ALIGNMENT_HEADS[name])
    return model.to(device)


def load_engine(name: str | Path, device: str = "auto") -> OpenAiEngine:
    """The engine for a pinned model, an official checkpoint name of openai-whisper, or a `.pt` file.

    Raises:
        InputError: an unknown name.
        WeightsError: the weights can't be had or are damaged.
        ProcessorError: the device can't be used.
    """
    set_up_torch()
    name, device = str(name), choose_device(device)
    if name in hub.names("asr"):
        return OpenAiEngine(build(hub.fetch(name), name, device))
    return OpenAiEngine(_load_official(name, device))


def _load_official(name: str, device: str) -> Any:
    """A checkpoint that openai-whisper itself fetches, checks by SHA-256 and loads (weights only)."""
    import whisper

    is_file = name.endswith(".pt")
    if is_file and not Path(name).is_file():
        raise InputError(f"{name}: no such checkpoint file; give the path of a Whisper .pt file")
    if not is_file and name not in whisper.available_models():
        choices = sorted({*hub.names("asr"), *whisper.available_models()})
        raise InputError(f"model {name!r} is unknown; choose one of {', '.join(choices)}")
    folder = hub.home() / "openai-whisper"
    if not is_file and hub.offline() and not _intact(folder, name):
        raise WeightsError(
            f"{name} is not whole in {folder} and SPEECHKIT_OFFLINE is set; "
            f"unset it once to fetch the model, or choose {' or '.join(hub.names('asr'))}"
        )
    try:
        return whisper.load_model(name, device=device, download_root=str(folder))
    except Exception as e:  # torch and urllib raise errors of many kinds
        where = "not a Whisper checkpoint" if is_file else f"not on OpenAI's host nor in {folder}"
        advice = "give another file" if is_file else "check the network"
        raise WeightsError(
            f"{name}: {where}: {' '.join(str(e).split())}; "
            f"{advice}, or choose {' or '.join(hub.names('asr'))}"
        ) from e


def _intact(folder: Path, name: str) -> bool:
    """Whether the checkpoint is there with the SHA-256 that stands in its address."""
    import whisper

    url = whisper._MODELS[name]
    path = folder / url.rsplit("/", 1)[-1]
    return path.is_file() and bool(hub.sha256_of(path) == url.split("/")[-2])
