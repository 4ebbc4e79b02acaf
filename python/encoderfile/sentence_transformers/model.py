"""Embeddings, as sentence-transformers' SentenceTransformer gives them."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from .. import vectors
from ..errors import RequestError
from ..model import Encoderfile
from ..types import Precision
from . import tensors
from .base import Model, renamed
from .tokenizer import Tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SentenceTransformer"]

SimilarityName = Literal["cosine", "dot", "euclidean", "manhattan"]
SIMILARITIES: tuple[SimilarityName, ...] = ("cosine", "dot", "euclidean", "manhattan")


class SentenceTransformer(Model):
    """A model for embeddings, with the methods of sentence-transformers' class of this name.

    ``model_name_or_path`` is a file that ``encoderfile build`` made, an :class:`Encoderfile`, or
    nothing for the default model. ``prompts``, ``default_prompt_name``, ``similarity_fn_name`` and
    ``truncate_dim`` take the place of what the file says. ``device``, ``cache_folder``,
    ``trust_remote_code``, ``local_files_only``, ``token``, ``model_kwargs``, ``model_card_data``
    and ``backend`` have no effect; the others are refused.
    """

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | Encoderfile | None = None,
        *,
        modules: Iterable[Any] | None = None,
        device: Any = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: Any = None,
        cache_folder: str | None = None,
        trust_remote_code: bool = False,
        revision: str | None = None,
        local_files_only: bool = False,
        token: bool | str | None = None,
        use_auth_token: bool | str | None = None,
        truncate_dim: int | None = None,
        model_kwargs: dict[str, Any] | None = None,
        processor_kwargs: dict[str, Any] | None = None,
        tokenizer_kwargs: dict[str, Any] | None = None,
        config_kwargs: dict[str, Any] | None = None,
        model_card_data: Any = None,
        backend: str = "torch",
    ) -> None:
        super().__init__(
            model_name_or_path,
            prompts,
            default_prompt_name,
            built={
                "modules": modules,
                "revision": revision,
                "processor_kwargs": processor_kwargs,
                "tokenizer_kwargs": tokenizer_kwargs,
                "config_kwargs": config_kwargs,
            },
        )
        if self.encoderfile.task != "sentence_embedding":
            raise RequestError(
                f"{self.encoderfile.name} is for {self.encoderfile.task}, not for "
                "sentence_embedding (encoderfile.Encoderfile takes models of every task)"
            )
        #: Values of an embedding that are kept; ``None`` for what the file says.
        self.truncate_dim = truncate_dim
        self.similarity_fn_name = similarity_fn_name

    def _no_prompts(self) -> dict[str, str]:
        return {"query": "", "document": ""}

    # Embeddings.

    @renamed(sentences="inputs")
    def encode(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: str | None = "sentence_embedding",
        precision: Precision = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: Mapping[str, Any] | None = None,
        chunk_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """The embedding of a text, ``[dimensions]``, or of each text, ``[texts, dimensions]``.

        An array; with ``convert_to_tensor`` a tensor; without either a list of tensors.
        ``output_value="token_embeddings"`` gives a list with an array, or a tensor,
        ``[tokens, width]`` of each text; special tokens are among them. Its value ``None`` is
        refused. ``batch_size``, ``device``, ``pool`` and ``chunk_size`` have no effect.
        """
        if unknown := set(kwargs) - {"task"}:
            raise ValueError(f"encode: arguments that this model does not take: {sorted(unknown)}")
        if batch_size <= 0:
            raise ValueError(f"batch_size: a number from 1, not {batch_size}")
        is_one = isinstance(inputs, (str, Mapping))
        many: list[Any] = [inputs] if is_one else list(inputs)
        text = self._prompt(prompt, prompt_name)
        shown = bool(show_progress_bar)
        if output_value == "token_embeddings":
            made: Any = self._of_tokens(many, text, shown, convert_to_tensor)
            return made[0] if is_one else made
        if output_value != "sentence_embedding":
            raise RequestError(
                f"output_value: sentence_embedding or token_embeddings, not {output_value!r}"
            )
        array = self.encoderfile.encode(
            many, prompt=text, max_tokens=self._max_tokens, show_progress_bar=shown
        )
        array = self._truncated(array, truncate_dim, normalize_embeddings)
        array = _quantized(array, precision)
        made = array
        if convert_to_tensor:
            made = tensors.tensor(array)
        elif not convert_to_numpy:
            made = list(tensors.tensor(array))
        return made[0] if is_one else made

    def _of_tokens(self, texts: list[Any], prompt: str, shown: bool, as_tensors: bool) -> Any:
        """The token embeddings of each text, ``[tokens, width]``."""
        arrays = self.encoderfile.encode_tokens(
            texts,
            prompt=prompt,
            special_tokens=True,
            max_tokens=self._max_tokens,
            show_progress_bar=shown,
        )
        return [tensors.tensor(array) for array in arrays] if as_tensors else arrays

    @renamed(sentences="inputs")
    def encode_query(
        self, inputs: Any, prompt_name: str | None = None, prompt: str | None = None, **kwargs: Any
    ) -> Any:
        """As :meth:`encode`, with the prompt called ``query``, which is empty unless the model or
        ``prompts`` says otherwise."""
        if prompt is None and prompt_name is None and "query" in self.prompts:
            prompt_name = "query"
        return self.encode(inputs, prompt_name, prompt, **kwargs)

    @renamed(sentences="inputs")
    def encode_document(
        self, inputs: Any, prompt_name: str | None = None, prompt: str | None = None, **kwargs: Any
    ) -> Any:
        """As :meth:`encode`, with the first prompt of ``document``, ``passage`` and ``corpus``.

        As in sentence-transformers there is always one called ``document``, empty unless the model
        or ``prompts`` says otherwise. ``Encoderfile.encode(texts, role="document")`` takes the
        model's ``passage`` then.
        """
        if prompt is None and prompt_name is None:
            names = ("document", "passage", "corpus")
            prompt_name = next((name for name in names if name in self.prompts), None)
        return self.encode(inputs, prompt_name, prompt, **kwargs)

    def encode_multi_process(
        self, sentences: Any, pool: Mapping[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """As :meth:`encode`, which uses all cores in any case."""
        prompts = dict(zip(("prompt_name", "prompt", "batch_size"), args, strict=False))
        return self.encode(sentences, **prompts, **kwargs)

    def _truncated(self, array: NDArray[Any], kept: int | None, normalizes: bool) -> NDArray[Any]:
        """The first values alone, which are normalised only where that is asked for."""
        import numpy as np

        kept = self.truncate_dim if kept is None else kept
        if kept is not None:
            array = np.ascontiguousarray(array[:, : self._checked(kept)])
        if normalizes:
            norms = np.linalg.norm(array, axis=1, keepdims=True)
            array = array / np.maximum(norms, np.float32(1e-12))
        return array

    def _checked(self, kept: int) -> int:
        if not 1 <= kept <= self.encoderfile.dimensions:
            raise RequestError(
                f"truncate_dim: from 1 to {self.encoderfile.dimensions}, which are the values of "
                f"this file's embeddings, not {kept}"
            )
        return kept

    @property
    def truncate_dim(self) -> int | None:
        """Values of an embedding that are kept; ``None`` for what the file says."""
        return self._truncate_dim

    @truncate_dim.setter
    def truncate_dim(self, value: int | None) -> None:
        self._truncate_dim = None if value is None else self._checked(value)

    @contextmanager
    def truncate_embeddings(self, truncate_dim: int | None) -> Generator[None]:
        """Keeps only so many values of an embedding, until the end of the block."""
        before = self.truncate_dim
        self.truncate_dim = truncate_dim
        try:
            yield
        finally:
            self.truncate_dim = before

    truncate_sentence_embeddings = truncate_embeddings

    def get_embedding_dimension(self) -> int:
        """The values of an embedding."""
        return self.truncate_dim or self.encoderfile.dimensions

    get_sentence_embedding_dimension = get_embedding_dimension

    # Comparing them.

    @property
    def similarity_fn_name(self) -> SimilarityName:
        """``cosine``, ``dot``, ``euclidean`` or ``manhattan``."""
        return self._similarity

    @similarity_fn_name.setter
    def similarity_fn_name(self, value: Any) -> None:
        stated = value if value is not None else self.encoderfile.info.get("similarity")
        name = getattr(stated, "value", stated) or "cosine"
        if name not in SIMILARITIES:
            raise ValueError(f"similarity_fn_name: one of {', '.join(SIMILARITIES)}, not {name!r}")
        self._similarity: SimilarityName = name

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """How alike each of ``embeddings1`` is to each of ``embeddings2``: an array
        ``[len(embeddings1), len(embeddings2)]``, or a tensor where one of them is."""
        a, b = tensors.array(embeddings1), tensors.array(embeddings2)
        return _alike(vectors.similarity(a, b, self._similarity), embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """How alike each of ``embeddings1`` is to that of ``embeddings2`` in its place: ``[n]``."""
        import numpy as np

        a = np.atleast_2d(tensors.array(embeddings1).astype(np.float32))
        b = np.atleast_2d(tensors.array(embeddings2).astype(np.float32))
        if a.shape != b.shape:
            raise ValueError(f"similarity_pairwise: of shapes {a.shape} and {b.shape}")
        scores: Any
        if self._similarity == "euclidean":
            scores = -np.linalg.norm(a - b, axis=1)
        elif self._similarity == "manhattan":
            scores = -np.abs(a - b).sum(axis=1)
        else:
            scores = (a * b).sum(axis=1)
        if self._similarity == "cosine":
            norms = [np.linalg.norm(it, axis=1).clip(1e-12) for it in (a, b)]
            scores = scores / (norms[0] * norms[1])
        return _alike(scores, embeddings1, embeddings2)

    # Tokens.

    @property
    def tokenizer(self) -> Tokenizer:
        """What makes tokens of texts, as far as callers need it."""
        return Tokenizer(self.encoderfile, self.max_seq_length)

    def tokenize(self, texts: Any, **kwargs: Any) -> dict[str, Any]:
        """``input_ids`` and ``attention_mask`` of texts, ``[texts, tokens]``, int64: arrays, or
        tensors where torch is imported."""
        encoded = self.tokenizer(
            texts, padding=True, truncation=True, return_tensors="np", **kwargs
        )
        if tensors.loaded() is None:
            return encoded
        return {name: tensors.tensor(array) for name, array in encoded.items()}

    preprocess = tokenize

    def evaluate(self, evaluator: Any, output_path: str | None = None) -> Any:
        """What an evaluator of sentence-transformers says of it."""
        return evaluator(self, output_path)


def _quantized(array: NDArray[Any], precision: Precision) -> NDArray[Any]:
    if precision in ("int8", "uint8") and len(array) == 1:
        raise RequestError(
            f"precision: {precision} of one embedding: the range of its values is unknown "
            "(encoderfile.quantize takes `ranges`)"
        )
    return vectors.quantize(array, precision)


def _alike(scores: NDArray[Any], *given: object) -> Any:
    """A tensor, if one was given."""
    return tensors.tensor(scores) if any(tensors.is_tensor(it) for it in given) else scores
