"""Speaker recognition: `load_speaker_encoder` and `SpeakerBook`."""

from speechkit.speaker.book import SpeakerBook
from speechkit.speaker.encoder import (
    SpeakerEncoder,
    Verification,
    load_speaker_encoder,
    similarity,
)

__all__ = ["SpeakerBook", "SpeakerEncoder", "Verification", "load_speaker_encoder", "similarity"]
