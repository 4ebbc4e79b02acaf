"""Encoderfiles where people are: a module for each framework, which alone imports it.

Each takes the model as an :class:`~encoderfile.Encoderfile`, as the path of a file, or not at all:
then it is the default model of this package.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import RequestError
from ..model import Encoderfile

if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = ["Source", "missing", "opened", "stated"]

#: A model, or where its file is.
Source: TypeAlias = "Encoderfile | str | os.PathLike[str] | None"


def opened(source: Source) -> Encoderfile:
    """The model itself."""
    return source if isinstance(source, Encoderfile) else Encoderfile.load(source)


def stated(source: Source) -> str | None:
    """What a framework stores of a model, to open it again: the path of its file; ``None`` for
    the default model."""
    if isinstance(source, Encoderfile):
        if source.path is None:
            raise RequestError(
                f"model: {source.name} was loaded from bytes; a framework can store only a path"
            )
        return source.path
    return None if source is None else os.fspath(source)


def missing(package: str, error: ImportError) -> ImportError:
    """What to say where a framework is not installed."""
    return ImportError(
        f"encoderfile.integrations needs the package {package}: pip install {package} ({error})",
        name=error.name,
    )
