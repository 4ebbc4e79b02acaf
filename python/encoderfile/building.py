"""Building files and reading what is in them, by the names of upstream's Python package.

Everything here is done by the command (:mod:`encoderfile.tool`), whose settings file,
``encoderfile.yml``, has the same names.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

from . import tool

__all__ = [
    "BatchLongest",
    "EncoderfileBuilder",
    "Fixed",
    "InspectInfo",
    "ModelType",
    "TargetSpec",
    "TokenizerBuildConfig",
    "TokenizerTruncationSide",
    "TokenizerTruncationStrategy",
    "build",
    "build_from_config",
    "inspect",
    "read_metadata",
]

StrPath: TypeAlias = "str | os.PathLike[str]"


class ModelType(str, Enum):
    """What a model computes."""

    EMBEDDING = "embedding"
    SENTENCE_EMBEDDING = "sentence_embedding"
    SEQUENCE_CLASSIFICATION = "sequence_classification"
    TOKEN_CLASSIFICATION = "token_classification"
    SPARSE_EMBEDDING = "sparse_embedding"
    FILL_MASK = "fill_mask"
    LATE_INTERACTION = "late_interaction"


class TargetSpec(str):
    """What is built for: a target triple of ``encoderfile runtime list``, ``bundle``, ``oci`` or
    ``wheel``."""


class TokenizerTruncationSide(str, Enum):
    """Which end of a text of too many tokens is truncated."""

    LEFT = "left"
    RIGHT = "right"


class TokenizerTruncationStrategy(str, Enum):
    """Which text of a pair of too many tokens is truncated."""

    LONGEST_FIRST = "longest_first"
    ONLY_FIRST = "only_first"
    ONLY_SECOND = "only_second"


@dataclass(frozen=True)
class BatchLongest:
    """Upstream pads a batch to its longest text; here no text is padded, and this has no effect."""


@dataclass(frozen=True)
class Fixed:
    """Upstream pads every text to so many tokens; here none is, and this has no effect."""

    n: int


@dataclass(frozen=True)
class TokenizerBuildConfig:
    """What is to be other than the model folder's tokenizer says."""

    pad_strategy: BatchLongest | Fixed | None = None
    truncation_side: TokenizerTruncationSide | str | None = None
    truncation_strategy: TokenizerTruncationStrategy | str | None = None
    max_length: int | None = None
    stride: int | None = None

    def _settings(self) -> dict[str, Any]:
        settings = {it.name: getattr(self, it.name) for it in fields(self)}
        if isinstance(self.pad_strategy, Fixed):
            settings["pad_strategy"] = {"fixed": self.pad_strategy.n}
        elif self.pad_strategy is not None:
            settings["pad_strategy"] = "batch_longest"
        return _plain(settings)


@dataclass(frozen=True)
class InspectInfo:
    """What a file says of itself."""

    #: How the model reads texts and what it gives: limits, labels, pooling, prompts.
    model_config: dict[str, Any]
    #: ``name``, ``version`` and ``model_type``.
    encoderfile_config: dict[str, Any]


@dataclass(kw_only=True)
class EncoderfileBuilder:
    """The settings of a build.

    ``path`` is a model folder in Hugging Face layout, a model of the hub (``ORG/NAME``), a dict
    with the path of each file, or nothing for the default model. From ``weights`` on they are
    ours; ``encoderfile build --help`` says what each does. ``transform`` and ``lua_libs`` are
    upstream's and refused.
    """

    name: str | None = None
    version: str | None = None
    model_type: ModelType | str | None = None
    path: StrPath | dict[str, StrPath] | None = None
    output_path: StrPath | None = None
    cache_dir: StrPath | None = None
    base_binary_path: StrPath | None = None
    transform: str | None = None
    lua_libs: list[str] | None = None
    tokenizer: TokenizerBuildConfig | None = None
    validate_transform: bool | None = None
    target: TargetSpec | str | None = None
    weights: str | None = None
    weights_rules: list[str] = field(default_factory=list[str])
    target_size: str | None = None
    min_cosine: float | None = None
    calibration: StrPath | None = None
    compute: str | None = None
    weights_file: StrPath | None = None

    @classmethod
    def from_config(cls, path: StrPath) -> _OfConfig:
        """The settings of an ``encoderfile.yml``."""
        return _OfConfig(Path(path))

    def build(
        self,
        workdir: StrPath | None = None,
        runtime_version: str | None = None,
        no_download: bool = False,
    ) -> Path:
        """Builds it, and gives the path of the file.

        Relative paths begin in ``workdir``, or else in the current folder. Base programs that are
        not in this package are downloaded, unless ``no_download`` forbids it.

        Raises :class:`~encoderfile.ToolError`; what is at ``output_path`` stays as it is then.
        """
        settings = {it.name: getattr(self, it.name) for it in fields(self)}
        settings["tokenizer"] = self.tokenizer and self.tokenizer._settings()
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder, "encoderfile.yml")
            # JSON is YAML.
            config.write_text(json.dumps({"encoderfile": _plain(settings)}), encoding="utf-8")
            return _build(config, workdir or Path.cwd(), runtime_version, no_download)


@dataclass(frozen=True)
class _OfConfig:
    """A build whose settings are in a file."""

    path: Path

    def build(
        self,
        workdir: StrPath | None = None,
        runtime_version: str | None = None,
        no_download: bool = False,
    ) -> Path:
        """As :meth:`EncoderfileBuilder.build`."""
        return _build(self.path, workdir, runtime_version, no_download)


def build(
    *,
    workdir: StrPath | None = None,
    runtime_version: str | None = None,
    no_download: bool = False,
    **settings: Any,
) -> Path:
    """Builds a file; the settings are those of :class:`EncoderfileBuilder`.

    >>> build(path="./my-model", output_path="my-model.encoderfile")
    """
    return EncoderfileBuilder(**settings).build(workdir, runtime_version, no_download)


def build_from_config(
    path: StrPath,
    workdir: StrPath | None = None,
    runtime_version: str | None = None,
    no_download: bool = False,
) -> Path:
    """Builds what an ``encoderfile.yml`` says, and gives the path of the file."""
    return _build(Path(path), workdir, runtime_version, no_download)


def inspect(path: StrPath) -> dict[str, Any]:
    """What is in a file, whose hashes are checked: ``encoderfile inspect --json``."""
    said: dict[str, Any] = json.loads(tool.run(["inspect", "--json", path]))
    return said


def read_metadata(path: StrPath) -> InspectInfo:
    """What a file says of its model."""
    said = inspect(path)
    settings = {"name": said["name"], "version": said["version"], "model_type": said["task"]}
    return InspectInfo(model_config=said["pipeline"], encoderfile_config=settings)


def _build(
    config: Path, workdir: StrPath | None, runtime_version: str | None, no_download: bool
) -> Path:
    arguments: list[StrPath] = ["build", "--config", config.absolute()]
    if workdir is not None:
        arguments += ["--directory", workdir]
    if runtime_version is not None:
        arguments += ["--runtime-version", runtime_version]
    if no_download:
        arguments.append("--no-download")
    said = tool.run(arguments)
    # `PATH: NAME, TASK, …`
    return Path(workdir or ".", said.split(": ", 1)[0]).absolute()


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """What is there of it, as JSON has it."""
    return {name: _value(value) for name, value in settings.items() if value not in (None, [])}


def _value(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, os.PathLike):
        return os.fspath(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, dict):
        return _plain(value)  # pyright: ignore[reportUnknownArgumentType]
    return value
