"""What goes wrong, by who can do something about it.

Each message is one line: what is wrong, where, and what to do. A value of a wrong type is
Python's own ``TypeError``.
"""

__all__ = [
    "ClosedError",
    "EncoderfileError",
    "InternalError",
    "ModelFileError",
    "ModelFileNotFoundError",
    "RequestError",
    "ToolError",
]


class EncoderfileError(Exception):
    """Everything that this package raises by itself, but for ``TypeError``."""


class ModelFileError(EncoderfileError):
    """The file is at fault: no encoderfile, cut, changed, or of a format that is not known."""


class ModelFileNotFoundError(ModelFileError, FileNotFoundError):
    """There is no such file."""


class RequestError(EncoderfileError, ValueError):
    """The text or an option is at fault: the same model answers others."""


class ClosedError(EncoderfileError, ValueError):
    """The model was closed."""


class InternalError(EncoderfileError, RuntimeError):
    """This package is at fault, or a library in it."""


class ToolError(EncoderfileError):
    """What the command ``encoderfile`` says of a build or an inspection that failed."""
