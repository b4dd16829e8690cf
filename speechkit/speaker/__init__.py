"""Speaker recognition: `load_speaker_encoder`, `SpeakerBook`, `diarize`."""

from speechkit.speaker.book import Match, SpeakerBook
from speechkit.speaker.diarization import diarize
from speechkit.speaker.encoder import (
    SpeakerEncoder,
    Verification,
    load_speaker_encoder,
    similarity,
)
from speechkit.speaker.quality import Quality, measure_quality
from speechkit.speaker.turns import Turn, assign_speakers, read_rttm, write_rttm

__all__ = [
    "Match",
    "Quality",
    "SpeakerBook",
    "SpeakerEncoder",
    "Turn",
    "Verification",
    "assign_speakers",
    "diarize",
    "load_speaker_encoder",
    "measure_quality",
    "read_rttm",
    "similarity",
    "write_rttm",
]
