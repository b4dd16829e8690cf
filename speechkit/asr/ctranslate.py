"""The fast engine for Whisper: CTranslate2, with windows cut to what was said.

On the CPU weights are int8 and activations float32 (int8 inside matrix products); on CUDA float16.
CTranslate2's encoder takes windows of any length up to 30 s, and its decoder takes encoder states from
anywhere, so on processors whose bfloat16 units make torch quicker the encoder runs there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from speechkit import hub
from speechkit.asr.engine import TOKEN_S, DecodeOptions, Hypothesis, TimedWord
from speechkit.asr.openai import OpenAiEngine, build, timed_words
from speechkit.errors import InputError, ProcessorError, WeightsError
from speechkit.runtime import choose_device, set_up_torch, threads

log = logging.getLogger("speechkit")

PRECISIONS = {"cpu": ("int8", "float32"), "cuda": ("float16", "int8_float16", "float32")}


class CTranslate2Engine:
    """`encode`, `decode` and `align` on CTranslate2's `Whisper`.

    Several threads may share it.

    Attributes:
        model: the `ctranslate2.models.Whisper`.
        folder: where its weights lie.
        precision: of its matrix products, in CTranslate2's words.
    """

    full_windows = False

    def __init__(self, folder: Path, name: str, device: str, precision: str | None = None) -> None:
        from whisper.tokenizer import LANGUAGES

        self.folder, self._name = folder, name
        self.model, self.precision = _load(folder, device, precision)
        self.n_mels: int = self.model.n_mels
        self.multilingual: bool = self.model.is_multilingual
        known = tuple(LANGUAGES)[: self.model.num_languages]
        self.languages = known if self.multilingual else ("en",)
        self._encode = _quickest_encoder(self.model, folder, name) if device == "cpu" else None
        self._drawing: OpenAiEngine | None = None
        self._building = threading.Lock()
        self._tokenizer = lru_cache(maxsize=8)(self._make_tokenizer)

    def tokenizer(self, language: str, task: str) -> Any:
        """openai-whisper's tokenizer for this model."""
        return self._tokenizer(language, task)

    def _make_tokenizer(self, language: str, task: str) -> Any:
        from whisper.tokenizer import get_tokenizer

        return get_tokenizer(
            self.multilingual, num_languages=len(self.languages), language=language, task=task
        )

    def encode(self, mel: torch.Tensor) -> Any:
        """Log-mel (batch, n_mels, frames), even and up to 3000 → states (batch, frames / 2, state)."""
        if self._encode:
            return self._encode(mel)
        return self.model.encode(_view(mel))

    def detect_language(self, encoded: Any) -> list[dict[str, float]]:
        """Language code → probability, for each window."""
        if not self.multilingual:
            return [{"en": 1.0}] * encoded.shape[0]
        return [
            {token[2:-2]: float(probability) for token, probability in window}
            for window in self.model.detect_language(encoded)
        ]

    def decode(self, encoded: Any, options: DecodeOptions) -> list[Hypothesis]:
        """The text of each window.

        CTranslate2's random numbers can't be seeded for each call, so at a temperature above 0 the
        reference engine's decoder draws, on the same encoder states (of full windows only).
        """
        if options.temperature > 0:
            states = torch.from_numpy(np.array(encoded)).float()
            return self._drawer().decode(states, options)
        start = self._start(options)
        results = self.model.generate(
            encoded,
            [start] * encoded.shape[0],
            beam_size=options.beam_size,
            max_length=len(start) + options.max_tokens,
            return_scores=True,
            return_no_speech_prob=True,
        )
        return [_hypothesis(result, options.prefix) for result in results]

    def align(
        self,
        encoded: Any,
        tokens: Sequence[Sequence[int]],
        frames: Sequence[int],
        options: DecodeOptions,
    ) -> list[list[TimedWord]]:
        """Times by dynamic time warping over cross-attention, as openai-whisper computes them."""
        tokenizer = self.tokenizer(options.language, options.task)
        texts = [list(text) for text in tokens]
        results = self.model.align(encoded, list(tokenizer.sot_sequence), texts, list(frames))
        return [
            _words(result, text, tokenizer) for result, text in zip(results, texts, strict=True)
        ]

    def _start(self, options: DecodeOptions) -> list[int]:
        """The tokens that the decoder starts from."""
        tokenizer = self.tokenizer(options.language, options.task)
        earlier = [tokenizer.sot_prev, *options.prompt] if options.prompt else []
        return [*earlier, *tokenizer.sot_sequence_including_notimestamps, *options.prefix]

    def _drawer(self) -> OpenAiEngine:
        with self._building:
            if self._drawing is None:
                self._drawing = OpenAiEngine(build(self.folder, self._name, "cpu"))
        return self._drawing


def load_engine(
    name: str | Path, device: str = "auto", precision: str | None = None
) -> CTranslate2Engine:
    """The engine for a pinned model, or for a folder that holds a CTranslate2 Whisper model.

    Args:
        precision: "int8", "float32" and so on; by default the first of `PRECISIONS` that works.

    Raises:
        InputError: an unknown name or precision.
        WeightsError: the weights can't be had or are damaged.
        ProcessorError: the device can't be used.
    """
    set_up_torch()
    name, device = str(name), choose_device(device)
    if name in hub.names("asr"):
        return CTranslate2Engine(hub.fetch(name), name, device, precision)
    folder = Path(name)
    if not (folder / "model.bin").is_file():
        known = ", ".join(hub.names("asr"))
        raise InputError(
            f"model {name!r} is unknown to the fast engine; choose one of {known}, give the folder of "
            "a Whisper model in CTranslate2's format, or use engine='reference'"
        )
    return CTranslate2Engine(folder, folder.name, device, precision)


def _load(folder: Path, device: str, precision: str | None) -> tuple[Any, str]:
    """CTranslate2's model in the asked precision, or in the first that the device can run."""
    import ctranslate2

    faults = []
    for choice in [precision] if precision else PRECISIONS[device]:
        try:
            model = ctranslate2.models.Whisper(
                str(folder), device=device, compute_type=choice, intra_threads=threads()
            )
            if device == "cuda":  # cuDNN and cuBLAS are looked for only now
                model.encode(_view(torch.zeros(1, model.n_mels, 100)))
            return model, choice
        except ValueError as e:  # a precision that it does not know or the device does not have
            faults.append(str(e))
        except RuntimeError as e:
            if device == "cpu":
                raise WeightsError(
                    f"{folder}: CTranslate2 can't load it: {e}; delete the folder and fetch it again"
                ) from e
            faults.append(str(e))
    if precision:
        raise InputError(f"precision {precision!r} can't be used on {device}: {faults[0]}")
    raise ProcessorError(f"CTranslate2 can't use {device}: {faults[0]}; use device='cpu'")


def _view(array: torch.Tensor) -> Any:
    import ctranslate2

    return ctranslate2.StorageView.from_array(array.numpy(force=True).astype(np.float32, order="C"))


def _hypothesis(result: Any, prefix: tuple[int, ...]) -> Hypothesis:
    """The score is the sum over tokens and end divided by the tokens; here the end counts too."""
    tokens = tuple(result.sequences_ids[0])
    mean = float(result.scores[0]) * len(tokens) / (len(tokens) + 1)
    return Hypothesis((*prefix, *tokens), mean, float(result.no_speech_prob))


def _words(result: Any, tokens: list[int], tokenizer: Any) -> list[TimedWord]:
    """Words from an alignment path of (token, encoder position) pairs and token probabilities."""
    from whisper.timing import WordTiming

    path = np.array(result.alignments).reshape(-1, 2)
    texts, parts = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
    if len(parts) <= 1 or not len(path):
        return []
    steps = np.flatnonzero(np.diff(path[:, 0], prepend=-1))  # where the path comes to a new token
    times = path[steps, 1] * TOKEN_S
    bounds = np.cumsum([0, *(len(part) for part in parts[:-1])])
    return timed_words(
        [
            WordTiming(text, part, times[i], times[j], np.mean(result.text_token_probs[i:j]))
            for text, part, i, j in zip(
                texts[:-1], parts[:-1], bounds[:-1], bounds[1:], strict=True
            )
        ]
    )


# The quickest encoder


def _quickest_encoder(model: Any, folder: Path, name: str) -> Callable[[torch.Tensor], Any] | None:
    """A torch encoder in bfloat16 where that is quicker than CTranslate2's own, found by timing both.

    The first question costs milliseconds: only processors with bfloat16 units multiply matrices in it
    at more than twice the speed of float32.
    """
    matrix = torch.ones(1024, 512)
    half = matrix.bfloat16()
    if _seconds(lambda: half @ half.T, 5) * 2 > _seconds(lambda: matrix @ matrix.T, 5):
        return None
    encoder = Bfloat16Encoder(build(folder, name, "cpu").encoder)
    mel = torch.zeros(1, model.n_mels, 800)
    own, other = (_seconds(f, 3) for f in (lambda: model.encode(_view(mel)), lambda: encoder(mel)))
    log.debug("encoder of 8 s: CTranslate2 %.3f s, torch bfloat16 %.3f s", own, other)
    return encoder if other < own else None


def _seconds(work: Callable[[], object], runs: int) -> float:
    """The least time of some runs, after one to warm up."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


class Bfloat16Encoder:
    """openai-whisper's `AudioEncoder` in bfloat16, for windows of any length."""

    def __init__(self, encoder: Any) -> None:
        self.encoder = encoder.to(torch.bfloat16)

    @torch.inference_mode()
    def __call__(self, mel: torch.Tensor) -> Any:
        """Log-mel (batch, n_mels, frames) → CTranslate2's encoder states (batch, frames / 2, state)."""
        net = self.encoder
        x = F.gelu(net.conv2(F.gelu(net.conv1(mel.bfloat16())))).transpose(1, 2)
        x = x + net.positional_embedding[: x.shape[1]].to(x.dtype)
        for block in net.blocks:
            x = block(x)
        return _view(net.ln_post(x).float())
