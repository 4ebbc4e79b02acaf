"""The files that the tests open: the default model, and models that the tool builds of folders."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from encoderfile import Encoderfile, tool

# Nothing here asks a network: what a library would fetch or report fails at once instead.
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    ANONYMIZED_TELEMETRY="False",
    HAYSTACK_TELEMETRY_ENABLED="False",
    TOKENIZERS_PARALLELISM="false",
    LANGSMITH_TRACING="false",
)

ROOT = Path(__file__).resolve().parents[3]
MODELS = ROOT / "tests" / "models"


@pytest.fixture(scope="session")
def model_path() -> str:
    """The default model's file."""
    default = ROOT / "models" / "all-MiniLM-L6-v2.ef"
    return os.environ.get("ENCODERFILE_TEST_MODEL", str(default))


@pytest.fixture(scope="session")
def model(model_path: str) -> Encoderfile:
    """The default model."""
    return Encoderfile.load(model_path)


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The path of a file that is built of a folder of tests/models."""
    folder = tmp_path_factory.mktemp("models")

    @cache
    def built(name: str) -> str:
        path = folder / f"{name}.ef"
        tool.run(["build", "--model", MODELS / name, "-o", path, "--target", "bundle"])
        return str(path)

    return built
