"""The shapes of items and results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, TypedDict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: A text; two that are read together, as a tuple or a mapping with ``text`` and ``text_pair``; or
#: token ids.
Item: TypeAlias = str | tuple[str, str] | Mapping[str, str] | Sequence[int]

#: What to do with a text of more tokens than the model's maximum sequence length.
Overflow = Literal["truncate", "error", "mean"]
#: An end of a text.
Side = Literal["left", "right"]
#: Which text of a pair of too many tokens is truncated.
TruncationStrategy = Literal["longest_first", "only_first", "only_second"]
#: What a text is to a search.
Role = Literal["query", "document"]
#: What an embedding's values are stored as.
Precision = Literal["float32", "int8", "uint8", "binary", "ubinary"]
#: Which vectors of a model that has several kinds (BGE-M3) are scored.
Vectors = Literal["dense", "sparse", "colbert", "all"]
#: How tokens become spans.
Aggregation = Literal["simple", "first", "average", "max"]


class TokenOptions(TypedDict, total=False):
    """What becomes of a text of too many tokens, and how far a call is."""

    overflow: Overflow | None
    truncation_side: Side | None
    max_tokens: int | None
    show_progress_bar: bool


class EncodeOptions(TypedDict, total=False):
    """See :meth:`encoderfile.Encoderfile.encode`."""

    prompt: str | None
    prompt_name: str | None
    role: Role | None
    normalize: bool | None
    dimensions: int | None
    overflow: Overflow | None
    truncation_side: Side | None
    max_tokens: int | None


class ClassifyOptions(TokenOptions, total=False):
    """See :meth:`encoderfile.Encoderfile.classify`."""

    top_k: int | None
    raw_scores: bool
    truncation_strategy: TruncationStrategy | None


class ZeroShotOptions(TokenOptions, total=False):
    """See :meth:`encoderfile.Encoderfile.zero_shot`."""

    template: str | None
    multi_label: bool
    raw_scores: bool
    truncation_strategy: TruncationStrategy | None


class EntityOptions(TokenOptions, total=False):
    """See :meth:`encoderfile.Encoderfile.entities`."""

    aggregation: Aggregation
    ignore_labels: Sequence[str] | None
    stride: int | None


class FillMaskOptions(TokenOptions, total=False):
    """See :meth:`encoderfile.Encoderfile.fill_mask`."""

    top_k: int | None
    targets: Sequence[str] | None


class TokenizeOptions(TypedDict, total=False):
    """See :meth:`encoderfile.Encoderfile.tokenize`."""

    prompt: str | None
    prompt_name: str | None
    role: Role | None
    overflow: Overflow | None
    truncation_side: Side | None
    truncation_strategy: TruncationStrategy | None
    max_tokens: int | None


class SparseVector(NamedTuple):
    """The weights of those vocabulary entries that have one."""

    #: Into the vocabulary, ascending: ``[entries]``, int32.
    indices: NDArray[np.int32]
    #: Above 0: ``[entries]``, float32.
    values: NDArray[np.float32]


class ClassScore(TypedDict):
    """A label and how well it fits."""

    label: str
    score: float


class Entity(TypedDict):
    """A labelled part of a text. ``text[start:end]`` is how the text spells it."""

    entity_group: str
    score: float
    word: str
    start: int
    end: int


class Ranked(TypedDict):
    """A text, by its place among the texts, and how well it answers the query."""

    index: int
    score: float


class Filling(TypedDict):
    """A candidate token for a mask."""

    score: float
    token: int
    token_str: str
    sequence: str


class Token(TypedDict):
    """A token and where it stands. Special tokens stand at 0."""

    token: str
    token_id: int
    start: int
    end: int
    special: bool


class Tokenized(TypedDict):
    """The tokens of a text as the model sees them."""

    tokens: list[Token]
    tokens_total: int
    tokens_used: int


class SelfTest(TypedDict):
    """How far the results that are stored in the file are from those on this machine."""

    passed: bool
    cases: int
    token_mismatches: int
    largest_difference: float
    limit: float


class _Info(TypedDict):
    name: str
    version: str
    task: str
    architecture: str
    output: str
    max_tokens: int
    max_tokens_source: str
    vocabulary_size: int
    weights: str
    compute: str
    worst_cosine: float
    license: str
    payload_digest: str
    embedding_space_id: str
    source_sha256: str
    built_by: str
    sizes_bytes: dict[str, int]


class Info(_Info, total=False):
    """What a file says of its model. Classification has ``labels``; embeddings have ``prompts``,
    ``default_prompt`` and ``similarity``; late interaction has ``max_tokens_by_role``."""

    labels: list[str]
    prompts: dict[str, str]
    default_prompt: str | None
    similarity: str
    max_tokens_by_role: dict[str, int]
