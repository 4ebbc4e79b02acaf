"""What tests share: the installed package, its default model, and models built of tests/models."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from encoderfile import Encoderfile, building

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def path() -> Path:
    """The file of the default model."""
    return Path(os.environ.get("ENCODERFILE_TEST_MODEL", ROOT / "models/all-MiniLM-L6-v2.ef"))


@pytest.fixture(scope="session")
def model(path: Path) -> Encoderfile:
    """The default model."""
    return Encoderfile.load(path)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Encoderfile]]:
    """The model of a folder of tests/models, by its name."""
    folder = tmp_path_factory.mktemp("models")
    models: dict[str, Encoderfile] = {}

    def load(name: str) -> Encoderfile:
        if name not in models:
            file = building.build(
                path=ROOT / "tests/models" / name,
                output_path=folder / f"{name}.ef",
                target="bundle",
            )
            models[name] = Encoderfile.load(file)
        return models[name]

    yield load
    for model in models.values():
        model.close()
