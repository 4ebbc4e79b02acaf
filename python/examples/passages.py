"""What the examples of vector stores share: passages, their embeddings, and how well one searches.

The queries are the beginnings of some passages. What a store finds is compared with an exact
search over all embeddings.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoderfile import Encoderfile

#: How many passages are asked for.
FOUND = 10
#: Five books' paragraphs, one a line.
TEXTS = Path(__file__).resolve().parents[2] / "xtask" / "bench" / "passages.txt"


@dataclass
class Search:
    """Passages and queries, embedded."""

    texts: list[str]
    #: ``[texts, dimensions]``, of length 1, so that the inner product is the cosine.
    documents: NDArray[np.float32]
    #: ``[queries, dimensions]``, as well.
    queries: NDArray[np.float32]
    #: Seconds, by what took them.
    taken: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Measures what is done inside."""
        start = time.perf_counter()
        yield
        self.taken[what] = time.perf_counter() - start

    def report(self, store: str, found: Sequence[Sequence[int]] | NDArray[np.int64]) -> None:
        """Prints how many of the nearest passages were found, and the times."""
        exact = np.argsort(-(self.queries @ self.documents.T), axis=1)[:, :FOUND]
        hits = [len(set(row) & set(best)) for row, best in zip(found, exact.tolist(), strict=True)]
        print(f"{len(self.documents)} passages, {len(self.queries)} queries, {store}")
        for what, seconds in self.taken.items():
            print(f"{what}: {seconds:.3f} s")
        print(f"recall@{FOUND}: {sum(hits) / exact.size:.4f}")


def embedded() -> Search:
    """Embeds the passages that the command line names, and the queries."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", type=Path, default=TEXTS, help="a passage a line")
    parser.add_argument("--model", help="an encoderfile [default: the one of the package]")
    parser.add_argument("--rows", type=int, help="only the first ROWS passages")
    arguments = parser.parse_args()
    texts = arguments.texts.read_text(encoding="utf-8").splitlines()[: arguments.rows]
    model = Encoderfile.load(arguments.model)
    search = Search(texts, *2 * [np.empty((0, model.dimensions), np.float32)])
    with search.timed("embed the passages"):
        search.documents = model.encode(texts, role="document", normalize=True)
    with search.timed("embed the queries"):
        queries = [text[:80] for text in texts[::5]]
        search.queries = model.encode(queries, role="query", normalize=True)
    return search
