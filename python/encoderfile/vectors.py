"""What is done with embeddings: fewer bits, and comparing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import RequestError
from .types import Precision

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = ["quantize", "similarity"]


def quantize(
    embeddings: ArrayLike, precision: Precision, *, ranges: ArrayLike | None = None
) -> NDArray[Any]:
    """Embeddings of float32 in fewer bits, as sentence-transformers' ``quantize_embeddings``.

    ``binary`` and ``ubinary`` keep whether each value is above 0, eight values a byte (int8 and
    uint8): ``[texts, width / 8]``. ``int8`` and ``uint8`` divide the range of each dimension in
    255 steps. ``ranges``, ``[2, width]``, has the lowest and the highest value of each; without
    it, it is that of ``embeddings``, so that a text's vector depends on the others: give the
    ranges of a large sample where vectors of several calls are compared.
    """
    import numpy as np

    values = np.asarray(embeddings, dtype=np.float32)
    if precision == "float32":
        return values
    if precision in ("binary", "ubinary"):
        packed = np.packbits(values > 0, axis=-1)
        return packed if precision == "ubinary" else (packed ^ np.uint8(128)).view(np.int8)
    if precision not in ("int8", "uint8"):
        names = "float32, int8, uint8, binary, ubinary"
        raise RequestError(f"precision: one of {names}, not {precision!r}")
    if ranges is None:
        if values.ndim < 2:
            raise RequestError(f"precision: {precision} of one embedding needs `ranges`")
        low, high = values.min(axis=0), values.max(axis=0)
    else:
        bounds = np.asarray(ranges, dtype=np.float32)
        if bounds.shape != (2, values.shape[-1]):
            shape = f"[2, {values.shape[-1]}]"
            raise RequestError(f"ranges: of shape {shape}, not {list(bounds.shape)}")
        low, high = bounds
    steps = (high - low) / np.float32(255)
    scaled: NDArray[np.float32] = (values - low) / np.where(steps == 0, 1, steps)
    places = np.clip(np.floor(scaled), 0, 255)
    quantized: NDArray[Any] = places.astype(np.uint8)
    if precision == "int8":
        quantized = (places - 128).astype(np.int8)
    return quantized


def similarity(a: ArrayLike, b: ArrayLike, function: str = "cosine") -> NDArray[np.float32]:
    """How alike each embedding of ``a`` is to each of ``b``: ``[len(a), len(b)]``, more is more.

    ``function`` is ``cosine``, ``dot``, or ``euclidean`` or ``manhattan``, which are negated
    distances.
    """
    import numpy as np

    left = np.atleast_2d(np.asarray(a, dtype=np.float32))
    right = np.atleast_2d(np.asarray(b, dtype=np.float32))
    if function == "cosine":
        return _unit(left) @ _unit(right).T
    if function == "dot":
        return left @ right.T
    if function == "euclidean":
        squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * (left @ right.T)
        distances: NDArray[np.float32] = np.sqrt(np.maximum(squares, 0))
        return -distances
    if function == "manhattan":
        rows = [np.abs(row - right).sum(axis=1) for row in left]
        return -np.stack(rows) if rows else np.empty((0, len(right)), np.float32)
    names = "cosine, dot, euclidean, manhattan"
    raise RequestError(f"similarity: one of {names}, not {function!r}")


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    import numpy as np

    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float32] = rows / np.maximum(norms, np.float32(1e-12))
    return unit
