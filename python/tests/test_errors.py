"""What goes wrong is an exception in the words of every other frontend, and never an abort."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from encoderfile import (
    ClosedError,
    Encoderfile,
    EncoderfileError,
    ModelFileError,
    ModelFileNotFoundError,
    RequestError,
)


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda it: it.encode(5), "not iterable"),
        (lambda it: it.encode([5]), r"texts\[0\]: a text, a pair of texts or token ids, not int"),
        (lambda it: it.encode(["a", None]), r"texts\[1\]: .* not NoneType"),
        (lambda it: it.encode([b"a"]), r"texts\[0\]: .* not bytes"),
        (lambda it: it.encode([["a", 1]]), r"texts\[0\]: .* not list"),
        (lambda it: it.encode([[-1]]), r"texts\[0\]: .* not list"),
        (lambda it: it.encode([{"text_pair": "a"}]), r"texts\[0\]: .* a dict without `text`"),
        (lambda it: it.encode({"text": 5}), "not dict"),
        (lambda it: it.encode("a", unknown=1), "unexpected keyword"),
        (lambda it: it.infer("a"), "one text, where a list of texts is expected"),
    ],
)
def test_wrong_types(model: Encoderfile, call: Callable[[Any], object], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        call(model)


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda it: it.encode(["a", "b\ud800c"]), r"texts\[1\]: .*U\+D800, at character 1 "),
        (lambda it: it.encode("\udfff"), r"U\+DFFF, at character 0 "),
        (lambda it: it.encode("a", prompt="\ud800"), "surrogate"),
        (lambda it: it.encode("a", dimensions=0), "`dimensions` is 0; the model has 1 to 384"),
        (lambda it: it.encode("a", dimensions=385), "the model has 1 to 384"),
        (lambda it: it.encode("a", dimensions=-1), "invalid value: integer `-1`"),
        (lambda it: it.encode("a", dimensions=1.5), "invalid type: floating point"),
        (lambda it: it.encode("a", normalize="yes"), 'invalid type: string "yes"'),
        (lambda it: it.encode("a", overflow="x"), "unknown variant `x`, expected one of `trunc"),
        (lambda it: it.encode("a", prompt_name="x"), "`x`"),
        (lambda it: it.encode("a", prompt="x", role="query"), "prompt"),
        (lambda it: it.encode("a", max_tokens=0), "`max_tokens`"),
        (lambda it: it.encode([[99999999]]), r"texts\[0\]: token id 99999999 is not"),
        (lambda it: it.encode(["a"], precision="int4"), "precision: one of"),
        (lambda it: it.encode("a", precision="int8"), "int8 of one embedding needs `ranges`"),
        (lambda it: it.encode("a", precision="int8", ranges=[1]), r"ranges: of shape \[2, 384\]"),
        (lambda it: it.encode([("a", "b")]), "`text_pair` does not apply to sentence_embedding"),
        (lambda it: it.infer(["a"], unknown=1), "unknown field `unknown`"),
        (lambda it: it.infer(["a"], labels=object()), "options: "),
        (lambda it: it.rerank("a", ["b"]), "`rerank` is nothing that this model gives"),
    ],
)
def test_wrong_requests(model: Encoderfile, call: Callable[[Any], object], words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        call(model)
    assert isinstance(caught.value, ValueError) and "\n" not in str(caught.value)


def test_an_exception_of_an_iterator_is_the_callers_own(model: Encoderfile) -> None:
    def texts() -> Any:
        yield "a"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        model.encode(texts())


def test_an_error_leaves_the_model_as_it_was(model: Encoderfile) -> None:
    with pytest.raises(RequestError):
        model.encode(["a"] * 100 + ["a " * 1000] + ["a"] * 100, overflow="error")
    assert model.encode(["a"] * 3).shape == (3, 384)


def test_a_length_that_lies_is_not_believed(model: Encoderfile) -> None:
    class Liar:
        def __len__(self) -> int:
            return 1 << 60

        def __iter__(self) -> Any:
            return iter(["a"])

    assert model.encode(Liar()).shape == (1, 384)  # type: ignore[arg-type]


def test_only_embeddings_have_dimensions(built: Callable[[str], Encoderfile]) -> None:
    with pytest.raises(RequestError, match="dimensions: this model is for fill_mask"):
        built("bert-fill_mask").dimensions  # noqa: B018


def test_wrong_files(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileNotFoundError, match="No such file") as caught:
        Encoderfile.load(tmp_path / "none.ef")
    assert isinstance(caught.value, FileNotFoundError)
    with pytest.raises(ModelFileError, match="not a file"):
        Encoderfile.load(tmp_path)
    content = path.read_bytes()
    changed = content[:-5_000_000] + b"\0" * 8 + content[-4_999_992:]
    for name, bad, words in [
        ("empty", b"", "0 bytes"),
        ("text", b"a" * 1000, "no encoderfile magic"),
        ("cut", content[:-1], "magic"),
        ("head", content[1000:], "does not fit the file"),
        ("changed", changed, "do not match their hash"),
    ]:
        file = tmp_path / name
        file.write_bytes(bad)
        for source in (file, os.fspath(file), bad, bytearray(bad), memoryview(bad)):
            with pytest.raises(ModelFileError, match=words) as refused:
                Encoderfile.load(source)
            is_named = str(refused.value).startswith(f"{file}: ")
            assert is_named == isinstance(source, str | Path)


@pytest.mark.parametrize("threads", [0, -1])
def test_wrong_threads(path: Path, threads: int) -> None:
    with pytest.raises(RequestError, match="threads: a number from 1"):
        Encoderfile.load(path, threads=threads)


def test_a_closed_model_says_so(path: Path) -> None:
    with Encoderfile.load(path) as model:
        assert not model.closed and "sentence_embedding" in repr(model)
    assert model.closed and repr(model).endswith("closed)>")
    for call in (
        lambda: model.encode("a"),
        lambda: model.encode(["a"]),
        lambda: model.tokenize("a"),
        lambda: model.infer(["a"]),
        lambda: model.self_test(),
        lambda: model.dimensions,
    ):
        with pytest.raises(ClosedError, match="the model is closed"):
            call()
    assert model.info["task"] == "sentence_embedding"
    model.close()
    assert issubclass(ClosedError, EncoderfileError)
