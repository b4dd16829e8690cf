"""The fast engine for Whisper: CTranslate2, which encodes only what was said.

Whisper was trained on windows of 30 s, and most of the work on a short utterance goes into the silence
after it. Here the encoder reads the utterance and a little silence, and states of silence, computed
once, are put behind: without them the decoder does not find an end and repeats itself.

On the CPU weights are int8 and activations float32; on CUDA float16. A step of the decoder is too
small to be shared among threads, so each decoder has one, and several batches run side by side.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speechkit import hub
from speechkit.asr.bfloat16 import quicker_encoder
from speechkit.asr.engine import (
    MAX_TOKENS,
    TOKEN_S,
    WINDOW_FRAMES,
    DecodeOptions,
    Hypothesis,
    TimedWord,
)
from speechkit.asr.openai import (
    OpenAiEngine,
    build,
    known_languages,
    make_tokenizer,
    timed_words,
)
from speechkit.errors import InputError, ProcessorError, WeightsError
from speechkit.features import WHISPER_HOP, whisper_log_mel
from speechkit.runtime import choose_device, set_up_torch, threads

log = logging.getLogger("speechkit")

# Positions of 20 ms. Behind a window up to SHORT come the silence after it and the last of the 30 s:
# with the former alone the decoder misses the end more often. A longer one needs only the former, but
# in a batch it has what the shortest needs.
SHORT = 400
SILENCE_AFTER_SHORT, END_AFTER_SHORT = 100, 500
SILENCE_AFTER_LONG = 250
PRECISIONS = {"cpu": ("int8", "float32"), "cuda": ("float16", "int8_float16", "float32")}


@dataclass(frozen=True)
class States:
    """Encoded windows.

    Attributes:
        speech: (batch, frames / 2, state), what the encoder saw.
        window: (batch, up to 1500, state), with states of silence behind them.
    """

    speech: NDArray[np.float32]
    window: NDArray[np.float32]


class CTranslate2Engine:
    """`encode`, `decode` and `align` on CTranslate2's `Whisper`.

    Several threads may share it, and work at the same time.

    Attributes:
        model: the `ctranslate2.models.Whisper` that decodes: a worker for each thread.
        folder: where its weights lie.
        precision: of its weights, in CTranslate2's words.
    """

    full_windows = False

    def __init__(self, folder: Path, name: str, device: str, precision: str | None = None) -> None:
        self.folder, self._name, self._device = folder, name, device
        workers = threads() if device == "cpu" else 1
        self.model, self.precision = _load(folder, device, precision, workers)
        self._wide = self.model  # all threads on one window
        if workers > 1:
            self._wide, _ = _load(folder, device, self.precision, 1)
        self.n_mels: int = self.model.n_mels
        self.multilingual: bool = self.model.is_multilingual
        self.languages = known_languages(self.multilingual, self.model.num_languages)
        self._bfloat16 = (
            quicker_encoder(self._run_encoder, folder, name)
            if device == "cpu" and precision is None
            else None
        )
        silence = whisper_log_mel(torch.zeros(1, WINDOW_FRAMES * WHISPER_HOP), self.n_mels)
        self._silence = self._run_encoder(silence, wide=True)
        self._drawing: OpenAiEngine | WeightsError | None = None
        self._building = threading.Lock()

    def tokenizer(self, language: str, task: str) -> Any:
        """openai-whisper's tokenizer for this model."""
        return make_tokenizer(self.multilingual, self.model.num_languages, language, task)

    def encode(self, mel: torch.Tensor, frames: Sequence[int] | None = None) -> States:
        """Log-mel (batch, n_mels, frames); of each window an even number of frames up to 3000."""
        run = self._bfloat16 or self._run_encoder
        lengths = frames or [mel.shape[-1]] * len(mel)
        if self._device == "cuda" or len(mel) == 1:
            parts = [run(mel, wide=True)]
        else:  # on a CPU a batch takes longer than its windows one by one
            parts = [run(mel[i : i + 1, :, :n], wide=False) for i, n in enumerate(lengths)]
        seen, short = max(part.shape[1] for part in parts), min(lengths) // 2 <= SHORT
        filled = [
            np.concatenate(
                [part, self._silence_after(part.shape[1], seen, short).repeat(len(part), axis=0)],
                axis=1,
            )
            for part in parts
        ]
        window = np.concatenate(filled)
        return States(window[:, :seen], window)

    def _silence_after(self, own: int, seen: int, short: bool) -> NDArray[np.float32]:
        """What comes behind a window of `own` positions in a batch whose longest has `seen`.

        `short` says whether the batch's shortest is a short one.
        """
        silence, total = self._silence, self._silence.shape[1]
        after, end = (SILENCE_AFTER_SHORT, END_AFTER_SHORT) if short else (SILENCE_AFTER_LONG, 0)
        after = seen + after
        return np.concatenate(
            [silence[:, own:after], silence[:, max(after, total - end) :]], axis=1
        )

    def _run_encoder(self, mel: torch.Tensor, wide: bool) -> NDArray[np.float32]:
        model = self._wide if wide else self.model
        return np.array(model.encode(_view(mel.numpy(force=True)), to_cpu=True), np.float32)

    def detect_language(self, encoded: States) -> list[dict[str, float]]:
        """Language code → probability, for each window."""
        if not self.multilingual:
            return [{"en": 1.0}] * len(encoded.window)
        return [
            {token[2:-2]: float(probability) for token, probability in window}
            for window in self.model.detect_language(_view(encoded.window))
        ]

    def decode(self, encoded: States, options: DecodeOptions) -> list[Hypothesis]:
        """The text of each window.

        CTranslate2's random numbers can't be seeded for each call, so at a temperature above 0 the
        reference engine's decoder draws, on the same states.

        Raises:
            WeightsError: it is to draw, and only CTranslate2 can read the weights.
        """
        if options.temperature > 0:
            states = torch.from_numpy(encoded.window).to(self._device)
            return self._drawer().decode(states, options)
        start, new = self._start(options), len(options.prefix) + options.max_tokens
        results = self.model.generate(
            _view(encoded.window),
            [[*start, *options.prefix]] * len(encoded.window),
            beam_size=options.beam_size,
            # At most half of it is new, and all of it has to fit into the decoder's context.
            max_length=min(2 * MAX_TOKENS, max(2 * new, len(start) + new - 1)),
            return_scores=True,
            return_no_speech_prob=True,
        )
        end = self.tokenizer(options.language, options.task).eot
        return [_hypothesis(result, len(options.prefix), end) for result in results]

    def align(
        self,
        encoded: States,
        tokens: Sequence[Sequence[int]],
        frames: Sequence[int],
        options: DecodeOptions,
    ) -> list[list[TimedWord]]:
        """Times by dynamic time warping over cross-attention, as openai-whisper computes them."""
        tokenizer = self.tokenizer(options.language, options.task)
        texts = [list(text) for text in tokens]
        start = list(tokenizer.sot_sequence)
        results = self.model.align(_view(encoded.speech), start, texts, list(frames))
        return [
            _words(result, text, tokenizer) for result, text in zip(results, texts, strict=True)
        ]

    def _start(self, options: DecodeOptions) -> list[int]:
        """The tokens that the decoder starts from, before the prefix."""
        tokenizer = self.tokenizer(options.language, options.task)
        earlier = [tokenizer.sot_prev, *options.prompt] if options.prompt else []
        return [*earlier, *tokenizer.sot_sequence_including_notimestamps]

    def _drawer(self) -> OpenAiEngine:
        with self._building:
            if self._drawing is None:
                try:
                    self._drawing = OpenAiEngine(build(self.folder, self._name, self._device))
                except WeightsError as e:
                    log.warning("%s; doubtful windows are not read at rising temperatures", e)
                    self._drawing = e
        if isinstance(self._drawing, WeightsError):
            raise WeightsError(str(self._drawing))
        return self._drawing


def load_engine(
    name: str | Path, device: str = "auto", precision: str | None = None
) -> CTranslate2Engine:
    """The engine for a pinned model, or for a folder that holds a CTranslate2 Whisper model.

    Args:
        precision: "int8", "float32" and so on; by default the first of `PRECISIONS` that works, and
            on a CPU an encoder in bfloat16 where it is quicker.

    Raises:
        InputError: an unknown name or precision.
        WeightsError: the weights can't be had or are damaged.
        ProcessorError: the device can't be used.
    """
    set_up_torch()
    name, chosen = str(name), choose_device(device)
    folder, name = (hub.fetch(name), name) if name in hub.names("asr") else _folder(name)
    try:
        return CTranslate2Engine(folder, name, chosen, precision)
    except ProcessorError as e:
        if device != "auto" or chosen == "cpu":
            raise
        log.warning("%s; recognition runs on the CPU", e)
        return CTranslate2Engine(folder, name, "cpu", precision)


def _folder(name: str) -> tuple[Path, str]:
    folder = Path(name)
    if not (folder / "model.bin").is_file():
        known = ", ".join(hub.names("asr"))
        raise InputError(
            f"model {name!r} is unknown to the fast engine; choose one of {known}, give the folder of "
            "a Whisper model in CTranslate2's format, or use engine='reference'"
        )
    return folder, folder.name


def _load(folder: Path, device: str, precision: str | None, workers: int) -> tuple[Any, str]:
    """CTranslate2's model in the asked precision, or in the first that the device can run."""
    import ctranslate2

    faults = []
    for choice in [precision] if precision else PRECISIONS[device]:
        try:
            model = ctranslate2.models.Whisper(
                str(folder),
                device=device,
                compute_type=choice,
                inter_threads=workers,
                intra_threads=1 if workers > 1 else threads(),
            )
            if device == "cuda":  # cuDNN and cuBLAS are looked for only now
                model.encode(_view(np.zeros((1, model.n_mels, 100), np.float32)))
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


def _view(array: NDArray[Any]) -> Any:
    import ctranslate2

    return ctranslate2.StorageView.from_array(np.ascontiguousarray(array, np.float32))


def _hypothesis(result: Any, given: int, end: int) -> Hypothesis:
    """The score is the sum over the new tokens and the end, divided by all tokens, the given ones too.

    Here it is divided by what it sums up. Times and other marks, which come after `end`, are no text.
    """
    tokens = result.sequences_ids[0]
    mean = float(result.scores[0]) * len(tokens) / (len(tokens) - given + 1)
    text = tuple(token for token in tokens if token < end)
    return Hypothesis(text, mean, float(result.no_speech_prob))


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
