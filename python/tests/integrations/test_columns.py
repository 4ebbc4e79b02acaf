"""Columns of Arrow, and the driver's model in a worker."""

from __future__ import annotations

from pathlib import Path

import pytest

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")

from encoderfile import Encoderfile, ModelFileError, RequestError
from encoderfile.columns import Origin, checked, embedded, nearest

TEXTS = ["Reset your password here.", None, "Our office is in Berlin.", None, "A cat."]


def row(place: int) -> str:
    return f"row {place}"


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
@pytest.mark.parametrize(("begin", "end"), [(0, 5), (1, 5), (1, 2), (2, 3), (5, 5)])
def test_vectors_of_some_rows(kind: pa.DataType, begin: int, end: int, model: Encoderfile) -> None:
    texts = TEXTS[begin:end]
    column = embedded(model, pa.array(TEXTS, kind).slice(begin, end - begin), {}, row)
    column.validate(full=True)
    assert column.type == pa.list_(pa.field("element", pa.float32(), nullable=False))
    assert [it is None for it in column.to_pylist()] == [text is None for text in texts]
    vectors = model.encode([text for text in texts if text is not None])
    assert column.values.to_numpy().tobytes() == vectors.tobytes()


def test_a_text_that_is_refused_is_the_one_of_its_row(model: Encoderfile) -> None:
    column = pa.array(["a", None, None, "cat " * 600])
    with pytest.raises(RequestError) as error:
        embedded(model, column, {"overflow": "error"}, row)
    shown = "cat " * 10
    assert str(error.value).startswith(f"row 3 ('{shown}…'): the text has 602 tokens")
    with pytest.raises(RequestError, match=r"^row 1 \('b b b b '\): "):
        embedded(model, pa.array([None, "b b b b "]), {"overflow": "error", "max_tokens": 4}, row)


def test_another_model_than_the_drivers_is_refused(model_path: str) -> None:
    origin, options = checked(model_path, {"dimensions": 8, "prompt": None})
    assert options == {"dimensions": 8}
    assert origin.path == model_path
    assert origin.identity.size_bytes == Path(model_path).stat().st_size
    path = Path(model_path)
    assert origin.open(path, 1).info["payload_digest"] == origin.identity.digest
    other = Origin(origin.identity._replace(digest="0" * 64), model_path)
    with pytest.raises(ModelFileError, match=f"^{path}: another model than the driver's"):
        other.open(path, 1)
    with pytest.raises(ModelFileError, match="bytes that were sent: another model"):
        other.open(path.read_bytes(), 1)
    with pytest.raises(ModelFileError, match="install the same version of encoderfile"):
        other._replace(path=None).open(None, 1)


def test_the_nearest_name() -> None:
    assert nearest("TEXT", ["id", "text"]) == "the nearest is 'text'"
    assert nearest("body", ["Id", "Text"]) == "there are Id, Text"
    assert nearest("body", []) == "there are none"
