"""What both classes share: the file, its prompts, and what callers do with a PyTorch module."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import ModelFileNotFoundError, RequestError
from ..model import Encoderfile
from . import tensors

if TYPE_CHECKING:
    from typing_extensions import ParamSpec, Self

    P = ParamSpec("P")

T = TypeVar("T")

__all__ = ["Model", "renamed"]


def renamed(**names: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Takes keyword arguments by their older names too: ``renamed(older="name")``."""

    def decorate(method: Callable[P, T]) -> Callable[P, T]:
        @wraps(method)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            for older, name in names.items():
                if older in kwargs:
                    if name in kwargs:
                        raise TypeError(f"{method.__name__}: both `{older}` and `{name}`")
                    kwargs[name] = kwargs.pop(older)
            return method(*args, **kwargs)

        return call

    return decorate


class Model:
    """A file, and the prompts for it.

    ``__class__`` names the class of sentence-transformers itself once that is imported: frameworks
    ask for an instance of it before they call the same methods.
    """

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | Encoderfile | None,
        prompts: Mapping[str, str] | None,
        default_prompt_name: str | None,
        *,
        built: Mapping[str, object],
    ) -> None:
        for name, value in built.items():
            if value is not None:
                raise ValueError(f"{name}: decided when an encoderfile is built, not here")
        self.encoderfile = _opened(model_name_or_path)
        own = self.encoderfile.info.get("prompts", {})
        self.prompts: dict[str, str] = {**self._no_prompts(), **own, **(prompts or {})}
        stated = default_prompt_name or self.encoderfile.info.get("default_prompt")
        if stated and stated not in self.prompts:
            raise ValueError(
                f"default_prompt_name: one of {list(self.prompts)}, not {default_prompt_name!r}"
            )
        self.default_prompt_name: str | None = stated or None
        self._max_tokens: int | None = None
        self.training = False
        self.model_card_data = SimpleNamespace(
            model_name=self.encoderfile.name,
            base_model=None,
            base_model_revision=None,
            model_id=self.encoderfile.name,
        )

    def _no_prompts(self) -> dict[str, str]:
        """The names that are prompts in any case."""
        return {}

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        library = sys.modules.get("sentence_transformers")
        return getattr(library, type(self).__name__, type(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restored, (type(self), self.__dict__.copy()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.encoderfile!r})"

    # What is asked of each text.

    def _prompt(self, prompt: str | None, prompt_name: str | None) -> str:
        """The text in front of each text: empty for none."""
        if prompt is not None:
            return prompt
        name = prompt_name if prompt_name is not None else self.default_prompt_name
        if name is None:
            return ""
        if name not in self.prompts:
            raise ValueError(f"prompt_name: one of {list(self.prompts)}, not {name!r}")
        return self.prompts[name]

    @property
    def max_seq_length(self) -> int:
        """The tokens of a text that are read, special tokens included; it can be set lower."""
        return self._max_tokens or self.encoderfile.info["max_tokens"]

    @max_seq_length.setter
    def max_seq_length(self, value: int | None) -> None:
        most = self.encoderfile.info["max_tokens"]
        if value is not None and not 1 <= value <= most:
            raise RequestError(
                f"max_seq_length: from 1 to {most}, which the file was built for, not {value} "
                "(`encoderfile build --max-length`)"
            )
        self._max_tokens = value

    def get_max_seq_length(self) -> int:
        """``max_seq_length``."""
        return self.max_seq_length

    # What callers do with a module of PyTorch.

    @property
    def device(self) -> Any:
        """The CPU: as a ``torch.device`` where torch is imported."""
        torch = tensors.loaded()
        return "cpu" if torch is None else torch.device("cpu")

    _target_device = device

    @property
    def modalities(self) -> list[str]:
        """``["text"]``."""
        return ["text"]

    def supports(self, modality: str) -> bool:
        """Whether it is text."""
        return modality == "text"

    def to(self, *_args: object, **_kwargs: object) -> Self:
        """Has no effect: it computes on the CPU."""
        return self

    def half(self) -> Self:
        """Has no effect: how exact it is was decided when the file was built."""
        return self

    float = bfloat16 = cpu = cuda = half

    def eval(self) -> Self:
        """Has no effect: it is never in training."""
        return self

    def train(self, mode: bool = True) -> Self:
        """There is no training, so that only ``train(False)`` is possible."""
        if mode:
            raise NotImplementedError("train: an encoderfile cannot be trained")
        return self

    def parameters(self, *_args: object, **_kwargs: object) -> Iterator[Any]:
        """None that could be trained, or cast."""
        return iter(())

    named_parameters = modules = named_modules = children = parameters

    def compile(self, *_args: object, **_kwargs: object) -> None:
        """Has no effect: it is compiled."""

    def start_multi_process_pool(self, target_devices: list[str] | None = None) -> dict[str, Any]:
        """A pool of nothing: threads of this process use all cores already."""
        return {"input": None, "output": None, "processes": []}

    @staticmethod
    def stop_multi_process_pool(pool: dict[str, Any]) -> None:
        """Has no effect."""


def _opened(source: str | os.PathLike[str] | Encoderfile | None) -> Encoderfile:
    if isinstance(source, Encoderfile):
        return source
    try:
        return Encoderfile.load(source)
    except ModelFileNotFoundError as error:
        raise ModelFileNotFoundError(
            f"{error} (`encoderfile build --model {source} -o FILE` makes a file of a model folder "
            "or of a model of the Hugging Face Hub)"
        ) from None


def _restored(kind: type[Model], state: dict[str, Any]) -> Model:
    model = kind.__new__(kind)
    model.__dict__.update(state)
    return model
