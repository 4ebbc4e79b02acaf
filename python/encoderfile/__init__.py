"""One encoder model in one file: open it, and get embeddings, labels and scores.

>>> from encoderfile import Encoderfile
>>> model = Encoderfile.load()
>>> model.encode(["How do I reset my password?", "Our office is in Berlin."]).shape
(2, 384)

:class:`Encoderfile` is a model. :func:`build` makes a file of a Hugging Face model folder, and
``python -m encoderfile`` is the command that does so.
"""

from ._encoderfile import VERSION as __version__
from .errors import (
    ClosedError,
    EncoderfileError,
    InternalError,
    ModelFileError,
    ModelFileNotFoundError,
    RequestError,
    ToolError,
)
from .model import Encoderfile
from .types import SparseVector
from .vectors import quantize, similarity

__all__ = [
    "ClosedError",
    "Encoderfile",
    "EncoderfileError",
    "InternalError",
    "ModelFileError",
    "ModelFileNotFoundError",
    "RequestError",
    "SparseVector",
    "ToolError",
    "__version__",
    "quantize",
    "similarity",
]
