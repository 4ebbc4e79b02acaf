"""Columns of texts to columns of embeddings, in Arrow; what Spark's and Ray's workers share.

The values of a column of embeddings are where the model computed them: none becomes an object of
Python.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from .errors import ModelFileError, RequestError
from .hosts import Identity
from .integrations import Source, opened, stated
from .model import Encoderfile
from .types import EncodeOptions

__all__ = ["Origin", "check_columns", "checked", "embedded", "nearest"]

#: What an error over several texts begins with.
PLACE = re.compile(r"texts\[(\d+)\]: ")
#: How much of a text is shown where it is refused, in characters.
SHOWN_MAX = 40


class Origin(NamedTuple):
    """The driver's model, as workers are told of it."""

    identity: Identity
    #: Its file on the driver; ``None`` for the default model, which each worker's package has.
    path: str | None

    def open(self, source: Path | bytes | None, threads: int) -> Encoderfile:
        """The model in a worker, if what is there is the driver's."""
        model = Encoderfile.load(source, threads=threads)
        if model.info["payload_digest"] == self.identity.digest:
            return model
        if source is None:
            raise ModelFileError(
                "the default model of this worker is not the driver's: "
                "install the same version of encoderfile on all machines"
            )
        where = source if isinstance(source, Path) else "the bytes that were sent"
        raise ModelFileError(f"{where}: another model than the driver's, {self.path}")


def checked(source: Source, options: Mapping[str, Any]) -> tuple[Origin, dict[str, Any]]:
    """The model and the options that are given.

    An embedding is computed with them, so that what is wrong is said before a job begins. Raises
    :class:`~encoderfile.EncoderfileError`.
    """
    for name in options:
        if name not in EncodeOptions.__annotations__:
            known = nearest(name, EncodeOptions.__annotations__)
            raise RequestError(f"{name}: there is no such option; {known}")
    given = {name: value for name, value in options.items() if value is not None}
    stored = stated(source)
    try:
        model = opened(source)
    except ModelFileError as error:
        # What is said of the bytes of a file does not name it.
        if stored is None or stored in str(error):
            raise
        raise ModelFileError(f"{stored}: {error}") from None
    model.encode("", **given)
    path = cast("str | None", model.source)
    size = 0 if path is None else Path(path).stat().st_size
    return Origin(Identity(model.info["payload_digest"], size), path), given


def nearest(name: str, names: Iterable[str]) -> str:
    """The known name that looks most like it, or all of them."""
    by_lower = {it.lower(): it for it in names}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1)
    if found:
        return f"the nearest is {by_lower[found[0]]!r}"
    return f"there are {', '.join(by_lower.values()) or 'none'}"


def check_columns(column: str, output: str, columns: Sequence[str]) -> None:
    """Raises :class:`~encoderfile.RequestError` unless texts are there and a result can be."""
    if column not in columns:
        raise RequestError(f"{column}: there is no such column; {nearest(column, columns)}")
    if output in columns:
        raise RequestError(f"output: there is a column {output!r} already")


def embedded(
    model: Encoderfile,
    texts: Any,
    options: Mapping[str, Any],
    row: Callable[[int], str],
) -> Any:
    """Of an Arrow array of texts that of their embeddings: lists of float32, null for null.

    ``row`` says which row a place in ``texts`` is, for the error over a text that is refused.
    """
    import numpy as np
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore] # pyright: ignore

    arrow: Any = pa
    is_text = texts.is_valid().to_numpy(zero_copy_only=False)
    given: list[str] = texts.drop_null().to_pylist()
    try:
        vectors = model.encode(given, **options)
    except RequestError as error:
        raise _of_row(error, given, np.flatnonzero(is_text).tolist(), row) from None
    # Rows end where the next begin; one that is null has no values.
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(is_text * vectors.shape[1], out=offsets[1:])
    values = arrow.array(vectors.reshape(-1))
    kind = arrow.list_(arrow.field("element", arrow.float32(), nullable=False))
    mask = None if is_text.all() else arrow.array(~is_text)
    return arrow.ListArray.from_arrays(
        arrow.array(offsets, arrow.int32()), values, type=kind, mask=mask
    )


def _of_row(
    error: RequestError, texts: Sequence[str], places: Sequence[int], row: Callable[[int], str]
) -> RequestError:
    """The same error, of a row rather than of a place among the texts of a call."""
    said = str(error)
    found = PLACE.match(said)
    if found is None:
        return error
    index = int(found[1])
    text = texts[index]
    shown = text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"
    return RequestError(f"{row(places[index])} ({shown!r}): {said[found.end() :]}")
