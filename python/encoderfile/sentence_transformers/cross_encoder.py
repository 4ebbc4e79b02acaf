"""Scores of pairs of texts, as sentence-transformers' CrossEncoder gives them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ..errors import RequestError
from ..model import Encoderfile
from . import tensors
from .base import Model, renamed

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CrossEncoder"]

#: Of logits, ``[pairs, labels]``: an array, or a tensor where torch is imported.
Activation = Callable[[Any], Any]


class CrossEncoder(Model):
    """A model for pairs of texts, with the methods of sentence-transformers' class of this name.

    ``model_name_or_path`` is a file that ``encoderfile build`` made, or an :class:`Encoderfile`.
    ``max_length`` and ``activation_fn`` take the place of what the file says, ``num_labels`` has
    to be its own. Parameters without effect are those of :class:`SentenceTransformer`.
    """

    @renamed(model_name="model_name_or_path", default_activation_function="activation_fn")
    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | Encoderfile | None = None,
        num_labels: int | None = None,
        max_length: int | None = None,
        activation_fn: Activation | None = None,
        device: Any = None,
        cache_folder: str | None = None,
        trust_remote_code: bool = False,
        revision: str | None = None,
        local_files_only: bool = False,
        token: bool | str | None = None,
        model_kwargs: dict[str, Any] | None = None,
        processor_kwargs: dict[str, Any] | None = None,
        tokenizer_kwargs: dict[str, Any] | None = None,
        config_kwargs: dict[str, Any] | None = None,
        model_card_data: Any = None,
        backend: str = "torch",
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        modules: Any = None,
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
        if self.encoderfile.task != "sequence_classification":
            raise RequestError(
                f"{self.encoderfile.name} is for {self.encoderfile.task}, not for pairs of texts"
            )
        if num_labels is not None and num_labels != self.num_labels:
            raise RequestError(f"num_labels: this model has {self.num_labels}, not {num_labels}")
        self.max_seq_length = max_length
        self.activation_fn: Activation = activation_fn or self.get_default_activation_fn()

    @property
    def config(self) -> SimpleNamespace:
        """What callers read of a configuration of transformers."""
        return SimpleNamespace(num_labels=self.num_labels, name_or_path=self.encoderfile.name)

    @property
    def model(self) -> SimpleNamespace:
        """What callers read of a model of transformers."""
        return SimpleNamespace(config=self.config, name_or_path=self.encoderfile.name)

    @property
    def num_labels(self) -> int:
        """The scores of a pair."""
        return len(self.encoderfile.info.get("labels", ()))

    @property
    def max_length(self) -> int:
        """The tokens of a pair that are read; it can be set lower."""
        return self.max_seq_length

    @max_length.setter
    def max_length(self, value: int | None) -> None:
        self.max_seq_length = value

    @renamed(sentences="inputs", activation_fct="activation_fn", num_workers="chunk_size")
    def predict(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        pool: Mapping[str, Any] | None = None,
        chunk_size: int | None = None,
    ) -> Any:
        """The score of a pair, or of each pair: ``[pairs]``, or ``[pairs, labels]`` where there are
        several labels.

        A pair is a list or a tuple of two texts. ``activation_fn`` is given the logits. An array;
        with ``convert_to_tensor`` a tensor; without either a list of tensors.
        """
        import numpy as np

        if batch_size <= 0:
            raise ValueError(f"batch_size: a number from 1, not {batch_size}")
        pairs = list(inputs)
        is_one = bool(pairs) and isinstance(pairs[0], str)
        pairs = [tuple(it) for it in ([pairs] if is_one else pairs)]
        results = self.encoderfile.infer(
            pairs,
            prompt=self._prompt(prompt, prompt_name),
            max_tokens=self._max_tokens,
            show_progress_bar=bool(show_progress_bar),
        )
        logits = np.array([it["logits"] for it in results], np.float32)
        logits = logits.reshape(len(pairs), self.num_labels)
        scores = _activated(logits, activation_fn or self.activation_fn)
        if self.num_labels == 1:
            scores = scores.reshape(len(pairs))
        elif apply_softmax:
            scores = softmax(scores)
        made: Any = scores
        if convert_to_tensor:
            made = tensors.tensor(scores)
        elif not convert_to_numpy:
            made = list(tensors.tensor(scores))
        return made[0] if is_one else made

    @renamed(activation_fct="activation_fn", num_workers="chunk_size")
    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        pool: Mapping[str, Any] | None = None,
        chunk_size: int | None = None,
    ) -> list[dict[str, Any]]:
        """The documents as answers to a query, best first: ``[{"corpus_id", "score"}]``, with
        ``text`` where ``return_documents`` says so."""
        if self.num_labels != 1:
            raise ValueError(f"rank: this model gives {self.num_labels} scores, not one")
        scores = self.predict(
            [(query, document) for document in documents],
            prompt_name,
            prompt,
            batch_size,
            show_progress_bar,
            activation_fn,
        )
        ranked: list[dict[str, Any]] = [
            {"corpus_id": index, "score": float(score)} for index, score in enumerate(scores)
        ]
        if return_documents:
            ranked = [{**it, "text": documents[it["corpus_id"]]} for it in ranked]
        return sorted(ranked, key=lambda it: -it["score"])[:top_k]

    def get_default_activation_fn(self) -> Activation:
        """What the file makes of a logit; nothing where there are several labels."""
        if self.num_labels != 1:
            return identity
        # Which it is shows in what it makes of a logit.
        raw = self.encoderfile.rerank("a", ["b"], raw_scores=True)[0]["score"]
        score = self.encoderfile.rerank("a", ["b"])[0]["score"]
        known = (identity, sigmoid, softmax)
        return min(known, key=lambda it: abs(float(_activated(_row(raw), it)[0, 0]) - score))


def identity(logits: Any) -> Any:
    """Logits as they are."""
    return logits


def sigmoid(logits: Any) -> Any:
    """``1 / (1 + exp(-logits))``."""
    import numpy as np

    values = np.asarray(logits, np.float32)
    # No exponential of a large number.
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1, small) / (1 + small)


def softmax(logits: Any) -> Any:
    """Over the labels, the last axis."""
    import numpy as np

    values = np.asarray(logits, np.float32)
    exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def _row(logit: float) -> NDArray[Any]:
    import numpy as np

    return np.array([[logit]], np.float32)


def _activated(logits: NDArray[Any], activation: Activation) -> NDArray[Any]:
    """An activation of the caller's is one of tensors, where there is torch."""
    import numpy as np

    if activation in (identity, sigmoid, softmax) or tensors.loaded() is None:
        return np.asarray(activation(logits), np.float32)
    return tensors.array(activation(tensors.tensor(logits)))
