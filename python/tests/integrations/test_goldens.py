"""The goldens are what the installed sentence-transformers gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")

from .make_goldens import CALLS, MODELS, plain, run

GOLDENS = Path(__file__).parent / "goldens"


@pytest.mark.parametrize("name", CALLS)
def test_the_library_gives_the_golden(name: str) -> None:
    golden = json.loads((GOLDENS / f"{name}.json").read_text(encoding="utf-8"))
    assert [case["case"] for case in golden["cases"]] == list(CALLS[name])
    for case, call in zip(golden["cases"], CALLS[name].values(), strict=True):
        assert {**case, **call} == case
        result = plain(run(MODELS / name, dict(call)))
        compare(result, case["result"], case["case"])


def compare(got: object, wanted: object, case: str) -> None:
    if isinstance(wanted, dict):
        assert isinstance(got, dict) and set(got) == set(wanted), case
        for key in wanted:
            compare(got[key], wanted[key], case)
    elif isinstance(wanted, list):
        assert isinstance(got, list) and len(got) == len(wanted), case
        for one, other in zip(got, wanted, strict=True):
            compare(one, other, case)
    elif isinstance(wanted, float):
        assert np.isclose(float(str(got)), wanted, rtol=0, atol=1e-5), case
    elif "int8" in case:
        # A value at the edge of two steps may fall into either.
        assert isinstance(got, int) and isinstance(wanted, int) and abs(got - wanted) <= 1, case
    else:
        assert got == wanted, case
