"""The model, as people use it."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence, Sized
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast, overload

from . import (
    _encoderfile,  # pyright: ignore[reportPrivateUsage]
    tool,
    vectors,
)
from .errors import RequestError
from .progress import progress_bar
from .types import (
    Aggregation,
    ClassifyOptions,
    ClassScore,
    Entity,
    EntityOptions,
    Filling,
    FillMaskOptions,
    Info,
    Item,
    Overflow,
    Precision,
    Ranked,
    Role,
    SelfTest,
    Side,
    SparseVector,
    Tokenized,
    TokenizeOptions,
    TruncationStrategy,
    Vectors,
    ZeroShotOptions,
)

if TYPE_CHECKING:
    from typing import Concatenate

    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import ParamSpec, Self, Unpack

    P = ParamSpec("P")

__all__ = ["Encoderfile"]

T = TypeVar("T")
Source: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview"


def _in_thread(
    method: Callable[Concatenate[Encoderfile, P], T],
) -> Callable[Concatenate[Encoderfile, P], Coroutine[Any, Any, T]]:
    """The same method for ``await``, computed on a thread of asyncio's."""

    @wraps(method)
    async def call(self: Encoderfile, *args: P.args, **kwargs: P.kwargs) -> T:
        from asyncio import to_thread

        return await to_thread(method, self, *args, **kwargs)

    call.__name__ = f"a{method.__name__}"
    call.__qualname__ = f"Encoderfile.{call.__name__}"
    call.__doc__ = f"As :meth:`{method.__name__}`, to be awaited: computed on another thread."
    return call  # type: ignore[return-value]


class Encoderfile:
    """An encoder model, loaded from a file that ``encoderfile build`` made.

    >>> with Encoderfile.load("minilm.encoderfile") as model:
    ...     vectors = model.encode(["A cat", "A kitten"])

    Any number of threads may use one. Computing lets go of the interpreter, uses all cores and
    can be interrupted by Ctrl-C. A model can be pickled, which keeps the path of its file, and
    used in a child after a fork: processes share the memory of the file.

    What is computed does not depend on what is computed with it, so there is no batch size.
    """

    __slots__ = ("__weakref__", "_info", "_model", "_source", "_threads")

    def __init__(self, source: Source | None = None, *, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise RequestError(f"threads: a number from 1, not {threads}")
        if isinstance(source, (bytes, bytearray, memoryview)):
            self._source: str | bytes | None = bytes(source)
            self._model = _encoderfile.Model.from_bytes(self._source, threads)
        elif source is None:
            self._source = None
            self._model = _encoderfile.Model.open_carried(tool.path(), threads)
        else:
            self._source = os.path.abspath(source)
            self._model = _encoderfile.Model.open(self._source, threads)
        self._threads = threads
        self._info = self._model.info()

    @classmethod
    def load(cls, source: Source | None = None, *, threads: int | None = None) -> Self:
        """Loads a file of any kind (native, ``.wasm`` or bundle), or the bytes of one.

        Without a source it is the default model, all-MiniLM-L6-v2, which is in this package. A
        file is mapped, not read; whoever changes it while it is open gets wrong numbers.
        ``threads`` is how many texts are computed at once; all cores by default.

        Raises :class:`~encoderfile.ModelFileError`.
        """
        return cls(source, threads=threads)

    # What it is.

    @property
    def info(self) -> Info:
        """What the file says of its model: task, limits, labels, licence, ids and sizes."""
        return self._info

    @property
    def name(self) -> str:
        """The model's name."""
        return self._info["name"]

    @property
    def task(self) -> str:
        """``sentence_embedding``, ``sequence_classification`` and so on."""
        return self._info["task"]

    @property
    def dimensions(self) -> int:
        """The values of an embedding, unless ``dimensions`` says otherwise.

        Raises :class:`~encoderfile.RequestError` for a model that gives no one vector a text.
        """
        dimensions = self._model.dimensions()
        if dimensions is None:
            raise RequestError(
                f"dimensions: this model is for {self.task}, without one vector a text"
            )
        return dimensions

    @property
    def source(self) -> str | bytes | None:
        """The path of its file, the bytes that it was loaded from, or ``None`` for the default."""
        return self._source

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._model.closed

    # What it computes.

    def encode(
        self,
        texts: Item | Iterable[Item],
        *,
        prompt: str | None = None,
        prompt_name: str | None = None,
        role: Role | None = None,
        normalize: bool | None = None,
        dimensions: int | None = None,
        precision: Precision = "float32",
        ranges: ArrayLike | None = None,
        overflow: Overflow | None = None,
        truncation_side: Side | None = None,
        max_tokens: int | None = None,
        show_progress_bar: bool = False,
    ) -> NDArray[Any]:
        """The embedding of a text, ``[dimensions]``, or of each text, ``[texts, dimensions]``.

        The array is float32 unless ``precision`` says otherwise: see :func:`quantize`, which
        ``ranges`` is for.

        ``prompt`` is put in front of each text, or the model's prompt called ``prompt_name``, or
        that for what the text is to a search (``role``: ``query`` or ``document``).
        ``normalize`` divides by the L2 norm, or does not; the default is what the model says.
        ``dimensions`` keeps only the first values (Matryoshka). ``overflow`` says what becomes of
        a text of more tokens than the model takes, or than ``max_tokens``: ``truncate``,
        ``error``, or ``mean``, the mean over windows that cover all of it.

        Raises :class:`~encoderfile.RequestError`, also for a model that gives no such vectors.
        """
        options = _given(
            prompt=prompt,
            prompt_name=prompt_name,
            role=role,
            normalize=normalize,
            dimensions=dimensions,
            overflow=overflow,
            truncation_side=truncation_side,
            max_tokens=max_tokens,
        )
        array = self._vectors(texts, "embed", options, show_progress_bar)
        return (
            array if precision == "float32" else vectors.quantize(array, precision, ranges=ranges)
        )

    def encode_tokens(
        self,
        texts: Item | Iterable[Item],
        *,
        prompt: str | None = None,
        prompt_name: str | None = None,
        role: Role | None = None,
        normalize: bool | None = None,
        dimensions: int | None = None,
        special_tokens: bool | None = None,
        overflow: Overflow | None = None,
        truncation_side: Side | None = None,
        max_tokens: int | None = None,
        show_progress_bar: bool = False,
    ) -> list[NDArray[np.float32]]:
        """The token embeddings of each text: ``[tokens, width]``.

        Of a model for late interaction (ColBERT) or token embeddings; of one that pools them into
        sentence embeddings, what it pools; of one with several kinds of vectors (BGE-M3), those
        for late interaction. A single text gives a list of one. Options are those of
        :meth:`encode`; ``special_tokens`` keeps those that the tokenizer added.
        """
        options = _given(
            prompt=prompt,
            prompt_name=prompt_name,
            role=role,
            normalize=normalize,
            dimensions=dimensions,
            special_tokens=special_tokens,
            overflow=overflow,
            truncation_side=truncation_side,
            max_tokens=max_tokens,
        )
        many = [cast(Item, texts)] if _is_text(texts) else texts
        arrays: list[NDArray[np.float32]]
        arrays = self._vectors(many, "token_embeddings", options, show_progress_bar)
        return arrays

    def similarity(self, a: ArrayLike, b: ArrayLike) -> NDArray[np.float32]:
        """How alike each embedding of ``a`` is to each of ``b``: ``[len(a), len(b)]``.

        By the function that the model is made for (``info["similarity"]``); more is more alike.
        """
        function = self._info.get("similarity")
        if function not in ("cosine", "dot", "euclidean", "manhattan"):
            raise RequestError(
                f"similarity: this model is for {self.task}, without such a function"
            )
        return vectors.similarity(a, b, function)

    def sparse(
        self,
        texts: Item | Iterable[Item],
        *,
        top_k: int | None = None,
        overflow: Overflow | None = None,
        truncation_side: Side | None = None,
        max_tokens: int | None = None,
        show_progress_bar: bool = False,
    ) -> list[SparseVector]:
        """The sparse embedding of each text (SPLADE, BGE-M3): its weights of vocabulary entries.

        ``top_k`` keeps only the largest. A single text gives a list of one.
        """
        options = _given(
            top_k=top_k, overflow=overflow, truncation_side=truncation_side, max_tokens=max_tokens
        )
        many = [cast(Item, texts)] if _is_text(texts) else texts
        results = self._each(many, "sparse", options, show_progress_bar)
        return [_sparse(result["sparse_embedding"]) for result in results]

    @overload
    def classify(
        self, texts: str | tuple[str, str], **options: Unpack[ClassifyOptions]
    ) -> list[ClassScore]: ...
    @overload
    def classify(
        self, texts: Iterable[Item], **options: Unpack[ClassifyOptions]
    ) -> list[list[ClassScore]]: ...
    def classify(
        self,
        texts: Any,
        *,
        top_k: int | None = None,
        raw_scores: bool = False,
        overflow: Overflow | None = None,
        truncation_side: Side | None = None,
        truncation_strategy: TruncationStrategy | None = None,
        max_tokens: int | None = None,
        show_progress_bar: bool = False,
    ) -> Any:
        """The labels of a text or pair, or of each, best first: ``[{"label", "score"}]``.

        A pair is a tuple of two texts. ``raw_scores`` gives logits; ``top_k`` only the best.
        """
        options = _given(
            raw_scores=raw_scores or None,
            overflow=overflow,
            truncation_side=truncation_side,
            truncation_strategy=truncation_strategy,
            max_tokens=max_tokens,
        )
        labels = self._info.get("labels", [])
        results = self._each(texts, "classify", options, show_progress_bar)
        return _map(results, lambda it: _best(labels, it["scores"], top_k))

    @overload
    def zero_shot(
        self, texts: str, labels: Sequence[str], **options: Unpack[ZeroShotOptions]
    ) -> list[ClassScore]: ...
    @overload
    def zero_shot(
        self, texts: Iterable[str], labels: Sequence[str], **options: Unpack[ZeroShotOptions]
    ) -> list[list[ClassScore]]: ...
    def zero_shot(
        self,
        texts: Any,
        labels: Sequence[str],
        *,
        template: str | None = None,
        multi_label: bool = False,
        raw_scores: bool = False,
        overflow: Overflow | None = None,
        truncation_side: Side | None = None,
        truncation_strategy: TruncationStrategy | None = None,
        max_tokens: int | None = None,
        show_progress_bar: bool = False,
    ) -> Any:
        """How well each of ``labels`` fits a text, or each text, best first.

        Needs a model that was trained on natural language inference (NLI). ``template`` is the
        sentence that a label is put into, at ``{}``; ``multi_label`` scores each label
        independently, rather than one of all.
        """
        options = _given(
            labels=list(labels),
            template=template,
            multi_label=multi_label or None,
            raw_scores=raw_scores or None,
            overflow=overflow,
            truncation_side=truncation_side,
            truncation_strategy=truncation_strategy,
            max_tokens=max_tokens,
        )
        results = self._each(texts, "zero_shot", options, show_progress_bar)
        return _map(results, lambda it: _best(it["labels"], it["scores"], None))

    @overload
    def entities(self, texts: str, **options: Unpack[EntityOptions]) -> list[Entity]: ...
    @overload
    def entities(
        self, texts: Iterable[str], **options: Unpack[EntityOptions]
    ) -> list[list[Entity]]: ...
    def entities(
        self,
        texts: Any,
        *,
        aggregation: Aggregation = "simple",
        ignore_labels: Sequence[str] | None = None,
        stride: int | None = None,
        overflow: Overflow | None = None,
        truncation_side: Side | None = None,
        max_tokens: int | None = None,
        show_progress_bar: bool = False,
    ) -> Any:
        """The entities in a text, or in each text, in its order.

        ``aggregation`` is transformers' ``aggregation_strategy``: ``simple``, ``first``,
        ``average`` or ``max``. ``stride`` reads a long text in windows that share so many tokens.
        """
        options = _given(
            aggregation=aggregation,
            ignore_labels=None if ignore_labels is None else list(ignore_labels),
            stride=stride,
            overflow=overflow,
            truncation_side=truncation_side,
            max_tokens=max_tokens,
        )
        results = self._each(texts, "entities", options, show_progress_bar)
        return _map(results, lambda it: it["entities"])

    @overload
    def fill_mask(self, texts: str, **options: Unpack[FillMaskOptions]) -> list[list[Filling]]: ...
    @overload
    def fill_mask(
        self, texts: Iterable[str], **options: Unpack[FillMaskOptions]
    ) -> list[list[list[Filling]]]: ...
    def fill_mask(
        self,
        texts: Any,
        *,
        top_k: int | None = None,
        targets: Sequence[str] | None = None,
        overflow: Overflow | None = None,
        truncation_side: Side | None = None,
        max_tokens: int | None = None,
        show_progress_bar: bool = False,
    ) -> Any:
        """The likeliest tokens for each mask token of a text, or of each text, in its order.

        ``top_k`` is how many, 5 by default; ``targets`` are the only ones to choose from.
        """
        options = _given(
            top_k=top_k,
            targets=None if targets is None else list(targets),
            overflow=overflow,
            truncation_side=truncation_side,
            max_tokens=max_tokens,
        )
        results = self._each(texts, "fill_mask", options, show_progress_bar)
        return _map(results, lambda it: it["masks"])

    def rerank(
        self,
        query: str,
        texts: Iterable[str],
        *,
        top_k: int | None = None,
        raw_scores: bool = False,
        prompt: str | None = None,
        prompt_name: str | None = None,
        vectors: Vectors | None = None,
        overflow: Overflow | None = None,
        truncation_side: Side | None = None,
        truncation_strategy: TruncationStrategy | None = None,
        max_tokens: int | None = None,
        show_progress_bar: bool = False,
    ) -> list[Ranked]:
        """How well each text answers a query, best first: ``[{"index", "score"}]``.

        Needs a cross-encoder with one logit, a model for late interaction (ColBERT), which
        scores by MaxSim, or one with several kinds of vectors (BGE-M3), of which ``vectors``
        chooses: ``dense``, ``sparse``, ``colbert``, or ``all``, the mean of the three, which is
        the default.
        """
        options = _given(
            query=query,
            top_k=top_k,
            raw_scores=raw_scores or None,
            prompt=prompt,
            prompt_name=prompt_name,
            vectors=vectors,
            overflow=overflow,
            truncation_side=truncation_side,
            truncation_strategy=truncation_strategy,
            max_tokens=max_tokens,
        )
        many = _Counted(texts)
        with progress_bar(many.total, show_progress_bar) as progress:
            return self._model.rank(many.texts, options, progress)

    @overload
    def tokenize(
        self, texts: str | tuple[str, str], **options: Unpack[TokenizeOptions]
    ) -> Tokenized: ...
    @overload
    def tokenize(
        self, texts: Iterable[Item], **options: Unpack[TokenizeOptions]
    ) -> list[Tokenized]: ...
    def tokenize(self, texts: Any, **options: Unpack[TokenizeOptions]) -> Any:
        """The tokens of a text or pair, or of each, as the model sees them.

        Prompt and special tokens are among them, and what is truncated is not. Options are those
        of :meth:`encode` that change what the model reads.
        """
        given = _given(**options)
        if _is_text(texts) or _is_pair(texts):
            return self._model.tokenize(texts, given)
        return [self._model.tokenize(text, given) for text in texts]

    def infer(
        self,
        texts: Iterable[Item],
        /,
        *,
        partial: bool = False,
        show_progress_bar: bool = False,
        **options: Any,
    ) -> list[Any]:
        """Whatever the model computes for each text, in the shapes of JSON of the server's
        ``/predict``, and with any of its options.

        With ``partial``, a text that fails has its exception in its place.
        """
        many = _Counted(texts)
        with progress_bar(many.total, show_progress_bar) as progress:
            return self._model.infer(many.texts, None, _given(**options), partial, progress)

    def self_test(self) -> SelfTest:
        """Recomputes the results that were stored in the file when it was built."""
        return self._model.self_test()

    aencode = _in_thread(encode)
    aencode_tokens = _in_thread(encode_tokens)
    asparse = _in_thread(sparse)
    aclassify = _in_thread(classify)
    azero_shot = _in_thread(zero_shot)
    aentities = _in_thread(entities)
    afill_mask = _in_thread(fill_mask)
    arerank = _in_thread(rerank)
    atokenize = _in_thread(tokenize)
    ainfer = _in_thread(infer)

    # How long it lives.

    def close(self) -> None:
        """Lets go of the model and its file; what is asked of it later is a ``ClosedError``."""
        self._model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_load, (type(self), self._source, self._threads))

    def __repr__(self) -> str:
        state = ", closed" if self.closed else ""
        return f"<{type(self).__name__} {self.name} ({self.task}{state})>"

    # How it does so.

    def _vectors(
        self, texts: Item | Iterable[Item], capability: str, options: dict[str, Any], shown: bool
    ) -> Any:
        if _is_text(texts):
            return self._model.encode_one(cast(Item, texts), capability, options)
        many = _Counted(cast("Iterable[Item]", texts))
        with progress_bar(many.total, shown) as progress:
            return self._model.encode(many.texts, capability, options, progress)

    def _each(self, texts: Any, capability: str, options: dict[str, Any], shown: bool) -> Any:
        if _is_text(texts) or (capability == "classify" and _is_pair(texts)):
            return self._model.infer_one(texts, capability, options)
        many = _Counted(texts)
        with progress_bar(many.total, shown) as progress:
            return self._model.infer(many.texts, capability, options, False, progress)


class _Counted:
    """Texts, and how many they are, where that can be known."""

    def __init__(self, texts: Iterable[Item]) -> None:
        self.texts = texts
        self.total = len(texts) if isinstance(texts, Sized) else None


def _load(kind: type[Encoderfile], source: Source | None, threads: int | None) -> Encoderfile:
    return kind(source, threads=threads)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _is_text(texts: object) -> bool:
    """Whether it is one text, perhaps as a mapping, rather than several."""
    return isinstance(texts, (str, Mapping))


def _is_pair(texts: object) -> bool:
    """Whether it is two texts that are read together."""
    if not isinstance(texts, tuple):
        return False
    members = cast("tuple[object, ...]", texts)
    return len(members) == 2 and all(isinstance(it, str) for it in members)


def _map(results: Any, read: Callable[[dict[str, Any]], Any]) -> Any:
    if not isinstance(results, list):
        return read(results)
    return [read(it) for it in cast("list[dict[str, Any]]", results)]


def _best(labels: Sequence[str], scores: Sequence[float], top_k: int | None) -> list[ClassScore]:
    scored: list[ClassScore] = [
        {"label": label, "score": score} for label, score in zip(labels, scores, strict=True)
    ]
    return sorted(scored, key=lambda it: -it["score"])[:top_k]


def _sparse(weights: Sequence[Mapping[str, Any]]) -> SparseVector:
    import numpy as np

    indices = np.fromiter((it["index"] for it in weights), np.int32, len(weights))
    values = np.fromiter((it["value"] for it in weights), np.float32, len(weights))
    return SparseVector(indices, values)
