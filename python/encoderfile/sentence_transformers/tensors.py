"""PyTorch's tensors, for those who have it: it is never imported unless they ask for it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["array", "is_tensor", "loaded", "tensor"]


def loaded() -> Any:
    """The module torch, if somebody imported it."""
    return sys.modules.get("torch")


def tensor(values: NDArray[Any]) -> Any:
    """A tensor of an array, on the CPU."""
    try:
        import torch  # type: ignore[import-not-found, unused-ignore] # pyright: ignore
    except ImportError as error:
        raise ImportError(
            "convert_to_tensor: tensors are PyTorch's, which is not installed (pip install torch); "
            "without it, convert_to_numpy=True gives NumPy arrays"
        ) from error
    made: Any = torch
    return made.from_numpy(values)


def is_tensor(value: object) -> bool:
    """Whether it is a tensor, or several of them."""
    torch = loaded()
    if torch is None:
        return False
    if isinstance(value, (list, tuple)) and value:
        value = value[0]  # pyright: ignore[reportUnknownVariableType]
    return isinstance(value, torch.Tensor)


def array(values: Any) -> NDArray[Any]:
    """An array, ``[rows, width]``, of an array, a tensor, or a list of them."""
    import numpy as np

    if isinstance(values, (list, tuple)):
        rows: Any = values  # pyright: ignore[reportUnknownVariableType]
        return np.asarray([array(row) if is_tensor(row) else row for row in rows])
    return np.asarray(values.detach().cpu().float() if is_tensor(values) else values)
