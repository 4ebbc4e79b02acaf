"""Embeddings: arrays, options and precision."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

import encoderfile
from encoderfile import Encoderfile, RequestError

TEXTS = ["How do I reset my password?", "Our office is in Berlin.", "", "a" * 5000]


def test_a_text_gives_a_vector_and_texts_give_a_matrix(model: Encoderfile) -> None:
    one = model.encode(TEXTS[0])
    many = model.encode(TEXTS)
    assert one.shape == (384,) and many.shape == (4, 384)
    assert many.dtype == np.float32 and many.flags.c_contiguous and many.flags.writeable
    assert np.array_equal(many[0], one)
    assert model.dimensions == 384 and model.encode([]).shape == (0, 384)
    assert model.encode([], dimensions=7).shape == (0, 7)


def test_no_vector_depends_on_the_texts_around_it(model: Encoderfile) -> None:
    many = model.encode(TEXTS)
    assert np.array_equal(model.encode(TEXTS[::-1]), many[::-1])
    for text, row in zip(TEXTS, many, strict=True):
        assert np.array_equal(model.encode(text), row)


@pytest.mark.parametrize("make", [tuple, iter, np.array, lambda it: (text for text in it)])
def test_texts_are_any_iterable(model: Encoderfile, make: Callable[[list[str]], object]) -> None:
    assert np.array_equal(model.encode(make(TEXTS[:2])), model.encode(TEXTS[:2]))  # type: ignore[arg-type]


def test_a_tuple_of_two_texts_is_two_texts(model: Encoderfile) -> None:
    assert model.encode(("a", "b")).shape == (2, 384)


def test_options(model: Encoderfile) -> None:
    whole = model.encode("a kitten")
    short = model.encode("a kitten", dimensions=32)
    assert np.allclose(short, whole[:32] / np.linalg.norm(whole[:32]), atol=1e-6)
    raw = model.encode("a kitten", normalize=False)
    assert not np.isclose(np.linalg.norm(raw), 1)
    assert np.allclose(raw / np.linalg.norm(raw), whole, atol=1e-6)
    assert np.array_equal(model.encode("kitten", prompt="a "), whole)
    long = " ".join(["word"] * 600)
    mean = model.encode(long, overflow="mean")
    assert not np.array_equal(mean, model.encode(long))
    with pytest.raises(RequestError, match="602 tokens, the model takes 256"):
        model.encode(long, overflow="error")


def test_prompts_and_roles(built: Callable[[str], Encoderfile]) -> None:
    model = built("st-prompts")
    prompts = model.info["prompts"]
    name, prompt = next(iter(prompts.items()))
    named = model.encode("a text", prompt_name=name)
    assert np.array_equal(named, model.encode("a text", prompt=prompt))
    assert not np.array_equal(named, model.encode("a text", prompt=""))


def test_token_ids_give_what_their_text_gives(model: Encoderfile) -> None:
    ids = [token["token_id"] for token in model.tokenize("a kitten")["tokens"]]
    assert np.array_equal(model.encode([ids])[0], model.encode("a kitten"))


def test_binary_is_whether_values_are_above_zero(model: Encoderfile) -> None:
    values = model.encode(TEXTS[:3])
    packed = model.encode(TEXTS[:3], precision="ubinary")
    assert packed.shape == (3, 48) and packed.dtype == np.uint8
    assert np.array_equal(np.unpackbits(packed, axis=1).astype(bool), values > 0)
    signed = model.encode(TEXTS[:3], precision="binary")
    assert signed.dtype == np.int8
    assert np.array_equal(signed.astype(int) + 128, packed.astype(int))
    assert np.array_equal(model.encode(TEXTS[0], precision="ubinary"), packed[0])


@pytest.mark.parametrize("precision,lowest", [("int8", -128), ("uint8", 0)])
def test_integers_are_255_steps_of_a_range(
    model: Encoderfile, precision: encoderfile.types.Precision, lowest: int
) -> None:
    values = model.encode(TEXTS)
    quantized = model.encode(TEXTS, precision=precision).astype(int) - lowest
    low, high = values.min(axis=0), values.max(axis=0)
    assert quantized.min() == 0 and quantized.max() == 255
    back = low + quantized * (high - low) / 255
    assert np.all(np.abs(back - values) <= (high - low) / 255 * 1.01)
    # With ranges, a vector depends on no other.
    ranges = np.stack([low, high])
    one = model.encode(TEXTS[1], precision=precision, ranges=ranges)
    assert np.array_equal(one.astype(int) - lowest, quantized[1])
    beyond = encoderfile.quantize(values * 3, precision, ranges=ranges).astype(int) - lowest
    assert beyond.min() == 0 and beyond.max() == 255
    constant = encoderfile.quantize(np.zeros((2, 8)), precision).astype(int)
    assert np.all(constant == lowest)


@pytest.mark.parametrize("function", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarity_is_that_of_float64(function: str) -> None:
    random = np.random.default_rng(1)
    a, b = random.normal(size=(3, 17)), random.normal(size=(5, 17))
    expected = {
        "cosine": a @ b.T / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)),
        "dot": a @ b.T,
        "euclidean": -np.linalg.norm(a[:, None] - b, axis=2),
        "manhattan": -np.abs(a[:, None] - b).sum(axis=2),
    }
    assert np.allclose(encoderfile.similarity(a, b, function), expected[function], atol=1e-5)


def test_similarity_of_the_model(model: Encoderfile) -> None:
    a = model.encode(["a cat sleeps", "interest rates rose"])
    alike = model.similarity(model.encode("a kitten naps"), a)
    assert alike.shape == (1, 2) and alike[0, 0] > 0.5 > 0.2 > alike[0, 1]


def test_every_method_can_be_awaited(model: Encoderfile) -> None:
    async def both() -> list[np.ndarray]:
        return list(await asyncio.gather(model.aencode("a"), model.aencode(["b"])))

    a, b = asyncio.run(both())
    assert np.array_equal(a, model.encode("a")) and np.array_equal(b, model.encode(["b"]))
    methods = "encode encode_tokens sparse classify zero_shot entities fill_mask rerank tokenize"
    for name in methods.split():
        awaited = getattr(Encoderfile, f"a{name}")
        assert asyncio.iscoroutinefunction(awaited) and name in awaited.__doc__


def test_progress_is_shown(
    model: Encoderfile, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model.encode(TEXTS * 10, show_progress_bar=True)
    assert "40/40" in capfd.readouterr().err
    monkeypatch.setitem(__import__("sys").modules, "tqdm.auto", None)
    model.encode(TEXTS * 10, show_progress_bar=True)
    assert capfd.readouterr().err.endswith("40 of 40 texts\n")
    model.encode(TEXTS)
    assert capfd.readouterr().err == ""
