"""One encoder model in one file: open it, and get embeddings, labels and scores.

>>> from encoderfile import Encoderfile
>>> model = Encoderfile.load()
>>> model.encode(["How do I reset my password?", "Our office is in Berlin."]).shape
(2, 384)

:class:`Encoderfile` is a model. :func:`build` makes a file of a Hugging Face model folder, and
``python -m encoderfile`` is the command that does so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from .building import (
        BatchLongest,
        EncoderfileBuilder,
        Fixed,
        InspectInfo,
        ModelType,
        TargetSpec,
        TokenizerBuildConfig,
        TokenizerTruncationSide,
        TokenizerTruncationStrategy,
        build,
        build_from_config,
        inspect,
        read_metadata,
    )

__all__ = [
    "BatchLongest",
    "ClosedError",
    "Encoderfile",
    "EncoderfileBuilder",
    "EncoderfileError",
    "Fixed",
    "InspectInfo",
    "InternalError",
    "ModelFileError",
    "ModelFileNotFoundError",
    "ModelType",
    "RequestError",
    "SparseVector",
    "TargetSpec",
    "TokenizerBuildConfig",
    "TokenizerTruncationSide",
    "TokenizerTruncationStrategy",
    "ToolError",
    "__version__",
    "build",
    "build_from_config",
    "inspect",
    "quantize",
    "read_metadata",
    "similarity",
]


def __getattr__(name: str) -> Any:
    """What builds is imported when it is used: most programs only load."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import building

    return getattr(building, name)
