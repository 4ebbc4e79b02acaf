"""docs/python.md, whose examples run as they are."""

from __future__ import annotations

import doctest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_examples(tmp_path: Path) -> None:
    names = {"folder": ROOT / "tests/models/st-mean-normalize", "output": tmp_path / "out.ef"}
    page = ROOT / "docs/python.md"
    results = doctest.testfile(str(page), module_relative=False, globs=names)
    assert results.failed == 0 and results.attempted > 8
