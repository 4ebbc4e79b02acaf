"""Ray Data: a column of embeddings, computed by actors that each have the model open.

>>> import ray
>>> from encoderfile.ray import with_embeddings
>>> dataset = ray.data.from_items([{"text": "How do I reset my password?"}])
>>> len(with_embeddings(dataset, "text").take(1)[0]["embedding"])
384

The file of the model travels through Ray's object store; the default model does not, since each
worker's package has it. The actors of a host map one file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .columns import Origin, check_columns, checked, embedded
from .errors import RequestError
from .hosts import shared
from .integrations import Source, missing
from .model import Encoderfile
from .types import EncodeOptions

try:
    import numpy as np
    import ray
    import ray.data
except ImportError as error:
    raise missing("'ray[data]'", error, "encoderfile.ray") from error

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Unpack

__all__ = ["Embedder", "with_embeddings"]


def with_embeddings(
    dataset: ray.data.Dataset,
    column: str,
    model: Source = None,
    *,
    output: str = "embedding",
    threads: int = 1,
    actors: int | None = None,
    batch_size: int = 1024,
    **options: Unpack[EncodeOptions],
) -> ray.data.Dataset:
    """The rows with the embeddings of a column of texts, lists of float32, in one column more. A
    null gives a null.

    Each actor has ``threads`` cores and computes with as many threads; ``actors`` is how many there
    are, and without it Ray adds actors while there are cores. ``batch_size`` is how many rows Ray
    hands over at once: no embedding depends on it. ``options`` are those of
    :meth:`Encoderfile.encode`.

    Raises :class:`~encoderfile.EncoderfileError` for a wrong column, file or option, before any
    embedding is computed.
    """
    for name, number in [("threads", threads), ("actors", actors), ("batch_size", batch_size)]:
        if number is not None and number < 1:
            raise RequestError(f"{name}: a number from 1, not {number}")
    check_columns(column, output, dataset.columns() or [column])
    origin, given = checked(model, options)
    with_actors: ray.data.Dataset = cast(Any, dataset).map_batches(
        Embedder,
        fn_constructor_args=(origin, _sent(origin), column, output, threads, given),
        batch_format="pyarrow",
        batch_size=batch_size,
        num_cpus=threads,
        compute=ray.data.ActorPoolStrategy(size=actors),
    )
    return with_actors


def _sent(origin: Origin) -> Any:
    """The file in the object store, from which a host has it once."""
    if origin.path is None:
        return None
    # In a list, since Ray gives the value of what is an argument itself, needed or not.
    return [cast(Any, ray).put(np.asarray(np.memmap(origin.path, np.uint8, "r")))]


class Embedder:
    """An actor of ``map_batches``, which has the model open."""

    def __init__(
        self,
        origin: Origin,
        sent: Any,
        column: str,
        output: str,
        threads: int,
        options: dict[str, Any],
    ) -> None:
        self.column = column
        self.output = output
        self.options = options
        self.model = _opened(origin, sent, threads)

    def __call__(self, batch: Any) -> Any:
        """The batch with its embeddings."""
        texts = batch.column(self.column).combine_chunks()
        vectors = embedded(self.model, texts, self.options, lambda place: f"row {place} of a batch")
        return batch.append_column(self.output, vectors)


def _opened(origin: Origin, sent: Any, threads: int) -> Encoderfile:
    if sent is None:
        return origin.open(None, threads)

    def received() -> NDArray[np.uint8]:
        array: NDArray[np.uint8] = cast(Any, ray).get(sent[0])
        return array

    path = shared(origin.identity, lambda target: received().tofile(target))
    return origin.open(path or received().tobytes(), threads)
