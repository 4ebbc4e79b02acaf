"""The package's types, and its help."""

from __future__ import annotations

import os
import pydoc
import subprocess
import sys
from pathlib import Path

import encoderfile

PYTHON = Path(__file__).resolve().parents[1]

USED = """
from typing import assert_type
import numpy as np
from numpy.typing import NDArray
from encoderfile import Encoderfile, SparseVector
from encoderfile.types import ClassScore, Entity

async def use(model: Encoderfile) -> None:
    assert_type(model.classify("a"), list[ClassScore])
    assert_type(model.classify([("a", "b")], top_k=1), list[list[ClassScore]])
    assert_type(await model.aentities(["a"]), list[list[Entity]])
    assert_type(await model.aentities("a", aggregation="max"), list[Entity])
    assert_type(model.encode_tokens("a"), list[NDArray[np.float32]])
    assert_type(model.sparse(["a"]), list[SparseVector])
"""


def check(command: list[str], folder: Path, **environment: str) -> str:
    environment = {**os.environ, **environment}
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_mypy() -> None:
    check([sys.executable, "-m", "mypy"], PYTHON)


def test_pyright() -> None:
    pyright = PYTHON.parent / "tests/clients/node_modules/pyright/index.js"
    check(["node", os.fspath(pyright), "--pythonpath", sys.executable], PYTHON)


def test_ruff() -> None:
    check([sys.executable, "-m", "ruff", "check"], PYTHON)
    check([sys.executable, "-m", "ruff", "format", "--check"], PYTHON)


def test_the_types_of_the_installed_package(tmp_path: Path) -> None:
    (tmp_path / "used.py").write_text(USED)
    (tmp_path / "wrong.py").write_text(USED.replace("top_k=1", "topk=1"))
    mypy = [sys.executable, "-m", "mypy", "--strict", "--no-incremental"]
    check([*mypy, "used.py"], tmp_path)
    wrong = subprocess.run([*mypy, "wrong.py"], cwd=tmp_path, capture_output=True, text=True)
    assert wrong.returncode == 1 and '"topk"' in wrong.stdout


def test_help_reads_well() -> None:
    text = pydoc.plain(pydoc.render_doc(encoderfile.Encoderfile))
    for name, member in vars(encoderfile.Encoderfile).items():
        if not name.startswith("_"):
            assert (member.__doc__ or "").strip(), name
            assert name in text


def test_importing_takes_numpy_and_asyncio_only_when_needed() -> None:
    code = "import sys, encoderfile; print({'numpy', 'asyncio'} & set(sys.modules))"
    assert check([sys.executable, "-c", code], PYTHON.parent) == "set()\n"
