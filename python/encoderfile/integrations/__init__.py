"""Encoderfiles where people are: a module for each framework, which alone imports it.

Each takes the model as an :class:`~encoderfile.Encoderfile`, as the path of a file, or not at all:
then it is the default model of this package.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import RequestError
from ..model import Encoderfile
from ..types import Role

if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = ["Source", "encoded", "missing", "opened", "stated"]

#: A model, or where its file is.
Source: TypeAlias = "Encoderfile | str | os.PathLike[str] | None"


def opened(source: Source) -> Encoderfile:
    """The model itself."""
    return source if isinstance(source, Encoderfile) else Encoderfile.load(source)


def stated(source: Source) -> str | None:
    """What a framework stores of a model, to open it again: the path of its file; ``None`` for
    the default model."""
    if isinstance(source, Encoderfile):
        if isinstance(source.source, bytes):
            raise RequestError(
                f"model: {source.name} was loaded from bytes; a framework can store only a path"
            )
        return source.source
    return None if source is None else os.fspath(source)


def encoded(model: Encoderfile, texts: Any, role: Role, options: Mapping[str, Any]) -> Any:
    """The embeddings of a text or texts that are queries or documents, unless ``options`` of
    :meth:`Encoderfile.encode` have a prompt of their own."""
    given = dict(options)
    if "prompt" not in given and "prompt_name" not in given:
        given.setdefault("role", role)
    return model.encode(texts, **given)


def missing(
    package: str, error: ImportError, module: str = "encoderfile.integrations"
) -> ImportError:
    """What to say where a framework is not installed."""
    return ImportError(
        f"{module} needs the package {package}: pip install {package} ({error})",
        name=error.name,
    )
