from collections.abc import Callable, Iterable
from os import PathLike
from typing import Any

from numpy import float32
from numpy.typing import NDArray

from .types import Info, Item, Ranked, SelfTest, Tokenized

VERSION: str

class Model:
    @staticmethod
    def open(path: str | PathLike[str], threads: int | None) -> Model: ...
    @staticmethod
    def open_carried(tool: str | PathLike[str], threads: int | None) -> Model: ...
    @staticmethod
    def from_bytes(data: bytes, threads: int | None) -> Model: ...
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    def info(self) -> Info: ...
    def dimensions(self) -> int | None: ...
    def capabilities(self) -> list[str]: ...
    def encode_one(
        self, text: Item, capability: str, options: dict[str, Any]
    ) -> NDArray[float32]: ...
    def encode(
        self,
        texts: Iterable[Item],
        capability: str,
        options: dict[str, Any],
        progress: Callable[[int], object] | None,
    ) -> Any: ...
    def infer_one(
        self, text: Item, capability: str | None, options: dict[str, Any]
    ) -> dict[str, Any]: ...
    def infer(
        self,
        texts: Iterable[Item],
        capability: str | None,
        options: dict[str, Any],
        partial: bool,
        progress: Callable[[int], object] | None,
    ) -> list[Any]: ...
    def rank(
        self,
        texts: Iterable[Item],
        options: dict[str, Any],
        progress: Callable[[int], object] | None,
    ) -> list[Ranked]: ...
    def tokenize(self, text: Item, options: dict[str, Any]) -> Tokenized: ...
    def self_test(self) -> SelfTest: ...
