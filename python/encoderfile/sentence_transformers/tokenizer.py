"""Tokens, in the shapes that callers of a transformers tokenizer expect."""

from __future__ import annotations

from typing import Any

from ..errors import RequestError
from ..model import Encoderfile
from ..types import Tokenized

__all__ = ["Tokenizer"]


class Tokenizer:
    """What makes tokens of texts: enough of transformers' tokenizers to count and batch them.

    What it does not have is no method: a file has no Python tokenizer in it.
    """

    def __init__(self, model: Encoderfile, model_max_length: int) -> None:
        self._model = model
        self.model_max_length = model_max_length

    def __call__(
        self,
        text: Any,
        *,
        padding: bool | str = False,
        truncation: bool | str = False,
        max_length: int | None = None,
        add_special_tokens: bool = True,
        return_tensors: str | None = None,
    ) -> dict[str, Any]:
        """``input_ids`` and ``attention_mask`` of a text or of texts, as lists, or as int64 arrays
        (``return_tensors="np"``) or tensors (``"pt"``), ``[texts, tokens]``, padded with 0."""
        import numpy as np

        is_one = isinstance(text, str)
        limit = min(max_length or self.model_max_length, self.model_max_length)
        texts: list[str] = [text] if is_one else list(text)
        rows = [self._ids(it, bool(truncation), limit, add_special_tokens) for it in texts]
        longest = max(map(len, rows), default=0)
        pads = bool(padding) and padding != "do_not_pad" or return_tensors is not None
        ids = [row + [0] * (longest - len(row)) if pads else row for row in rows]
        mask = [[1] * len(row) + [0] * (longest - len(row) if pads else 0) for row in rows]
        if return_tensors is None:
            return {
                "input_ids": ids[0] if is_one else ids,
                "attention_mask": mask[0] if is_one else mask,
            }
        arrays = {
            "input_ids": np.array(ids, np.int64).reshape(len(rows), longest),
            "attention_mask": np.array(mask, np.int64).reshape(len(rows), longest),
        }
        if return_tensors == "np":
            return arrays
        if return_tensors == "pt":
            from .tensors import tensor

            return {name: tensor(array) for name, array in arrays.items()}
        raise ValueError(f"return_tensors: np or pt, not {return_tensors!r}")

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """The token ids of a text."""
        return self._ids(text, False, self.model_max_length, add_special_tokens)

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text, without special tokens."""
        found = self._model.tokenize(text, prompt="", overflow="error")
        return [it["token"] for it in found["tokens"] if not it["special"]]

    def _ids(self, text: str, cuts: bool, limit: int, specials: bool) -> list[int]:
        if not specials and cuts:
            raise RequestError("add_special_tokens: False without truncation alone")
        found: Tokenized = self._model.tokenize(
            text, prompt="", overflow="truncate" if cuts else "error", max_tokens=limit
        )
        return [it["token_id"] for it in found["tokens"] if specials or not it["special"]]
