"""How far a call is, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(
    total: int | None, shown: bool
) -> Generator[Callable[[int], object] | None, None, None]:
    """What is called with how many of ``total`` are done; tqdm's, where that is installed."""
    if not shown:
        yield None
        return
    try:
        from tqdm.auto import tqdm  # type: ignore[import-untyped] # pyright: ignore
    except ImportError:
        yield lambda done: _write(done, total, "\r")
        _write(total, total, "\n")
        return
    bar: Any = tqdm(total=total, unit="text")
    with bar:
        yield lambda done: bar.update(done - bar.n)


def _write(done: int | None, total: int | None, end: str) -> None:
    if done is not None:
        sys.stderr.write(f"\r{done} of {total} texts{end}")
        sys.stderr.flush()
