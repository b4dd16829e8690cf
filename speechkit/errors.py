"""The errors that speechkit raises: one root, a few children.

Every message is one line (or a few, joined by ``; ``) that says what was wrong, what is allowed,
and what to do. Catch :class:`SpeechkitError` to catch them all.
"""


class SpeechkitError(Exception):
    """The root of all errors raised by speechkit on purpose."""


class AudioError(SpeechkitError):
    """Audio that cannot be read, written, or used: damaged, empty, too long, not audio."""


class WeightsError(SpeechkitError):
    """Model weights that cannot be had or that are not what they should be."""


class InputError(SpeechkitError, ValueError):
    """An argument that is out of range or unknown: text, language, voice, engine, speed ..."""


class ProcessorError(SpeechkitError):
    """A device that was asked for and is not there."""
