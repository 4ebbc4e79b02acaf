"""The drop-in classes against what sentence-transformers gives: see make_goldens.py."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoderfile import Encoderfile, RequestError
from encoderfile.sentence_transformers import CrossEncoder, SentenceTransformer

from .conftest import MODELS

Build = Callable[[str], str]

GOLDENS = [
    json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "goldens").glob("*.json"))
]
CASES = [
    pytest.param(golden["model"], case, id=f"{golden['model']}-{case['case']}")
    for golden in GOLDENS
    for case in golden["cases"]
]


def close(got: Any, wanted: Any, what: str = "result") -> None:
    """Both have the same shape and, within 1e-4, the same numbers."""
    if isinstance(wanted, dict):
        assert set(got) == set(wanted), what
        for key, value in wanted.items():
            close(got[key], value, f"{what}[{key!r}]")
    elif isinstance(wanted, list) and wanted and isinstance(wanted[0], dict):
        assert len(got) == len(wanted), what
        for index, value in enumerate(wanted):
            close(got[index], value, f"{what}[{index}]")
    elif isinstance(wanted, list) and isinstance(got, list):
        assert len(got) == len(wanted), what
        for index, value in enumerate(wanted):
            close(got[index], value, f"{what}[{index}]")
    elif isinstance(wanted, (str, int)):
        assert got == wanted, what
    else:
        wanted = np.array(wanted)
        assert np.shape(got) == wanted.shape, what
        np.testing.assert_allclose(np.asarray(got), wanted, rtol=0, atol=1e-4, err_msg=what)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_gives_what_sentence_transformers_gives(
    name: str, case: dict[str, Any], build: Build
) -> None:
    kind = SentenceTransformer if name.startswith("st-") else CrossEncoder
    options = dict(case.get("init", {}))
    if "similarity" in case:
        options["similarity_fn_name"] = case["similarity"]
    model = kind(build(name), **options)
    for key, value in case.get("set", {}).items():
        setattr(model, key, value)
    got = getattr(model, case["method"])(*case["args"], **case.get("kwargs", {}))
    precision = case.get("kwargs", {}).get("precision")
    if precision in ("int8", "uint8"):
        # A value at the edge of two steps may fall into either.
        wanted = np.array(case["result"])
        assert got.dtype == precision and got.shape == wanted.shape
        steps = np.abs(got.astype(int) - wanted)
        assert steps.max() <= 1 and (steps > 0).mean() < 0.1
        return
    close(got, case["result"])


@pytest.mark.parametrize("name", ["ce-identity", "ce-modules", "ce-dense"])
def test_the_activation_is_the_one_that_the_folder_says(name: str, build: Build) -> None:
    cases = json.loads((MODELS / name / "golden.json").read_text(encoding="utf-8"))["cases"]
    model = CrossEncoder(build(name))
    pairs = [(case["text"], case["text_pair"]) for case in cases if "text_pair" in case]
    assert pairs
    scores = [(case.get("scores") or [case["pipeline"][0]["score"]])[0] for case in cases]
    close(model.predict(pairs), scores)
    logits = model.predict(pairs, activation_fn=lambda logits: logits)
    close(logits, [case["logits"][0] for case in cases])


def test_roles_have_the_prompts_of_sentence_transformers(build: Build) -> None:
    model = SentenceTransformer(build("st-roles"))
    assert model.similarity_fn_name == "dot"
    assert model.get_sentence_embedding_dimension() == model.get_embedding_dimension() == 12
    text = "We have already a clue."
    for got, read in [
        (model.encode_query(text), "query: " + text),
        # Its empty "document" is before the folder's "passage".
        (model.encode_document(text), text),
        (model.encode(text, prompt_name="passage"), "this is a passage: " + text),
    ]:
        close(got, model.encoderfile.encode(read).tolist())


class TestShape:
    """What callers rely on besides numbers, with the default model."""

    @pytest.fixture
    def st(self, model: Encoderfile) -> SentenceTransformer:
        return SentenceTransformer(model)

    def test_inputs_of_every_kind(self, st: SentenceTransformer) -> None:
        texts = ["A cat", "A dog"]
        wanted = st.encode(texts)
        for given in (tuple(texts), np.array(texts), np.array(texts, object), iter(texts)):
            assert (st.encode(given) == wanted).all()
        assert (st.encode(sentences=texts) == wanted).all()
        assert st.encode("A cat").shape == (384,)
        assert st.encode([]).shape == (0, 384)

    def test_without_effect(self, st: SentenceTransformer) -> None:
        wanted = st.encode(["A cat", "A dog"])
        pool = st.start_multi_process_pool()
        for options in ({"batch_size": 1}, {"device": "cuda"}, {"pool": pool, "chunk_size": 1}):
            assert (st.encode(["A cat", "A dog"], **options) == wanted).all()
        assert (st.encode_multi_process(["A cat", "A dog"], pool) == wanted).all()
        st.stop_multi_process_pool(pool)
        assert st.to("cuda").eval().half().cpu() is st

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ({"output_value": None}, "output_value"),
            ({"precision": "int4"}, "precision"),
            ({"precision": "int8"}, "precision: int8 of one embedding"),
            ({"truncate_dim": 385}, "truncate_dim: from 1 to 384"),
            ({"prompt_name": "none"}, "prompt_name"),
            ({"batch_size": 0}, "batch_size"),
            ({"speed": 1}, "speed"),
        ],
    )
    def test_options_that_are_refused(
        self, st: SentenceTransformer, options: dict[str, Any], problem: str
    ) -> None:
        with pytest.raises(ValueError, match=problem):
            st.encode(["A cat"], **options)

    def test_constructors_that_are_refused(self, model_path: str, build: Build) -> None:
        for options in ({"modules": []}, {"revision": "main"}, {"config_kwargs": {}}):
            with pytest.raises(ValueError, match=f"{next(iter(options))}: decided when"):
                SentenceTransformer(model_path, **options)  # type: ignore[arg-type]
        with pytest.raises(FileNotFoundError, match="encoderfile build --model no-such"):
            SentenceTransformer("no-such")
        with pytest.raises(RequestError, match="sequence_classification"):
            SentenceTransformer(build("cls-pair-rerank"))
        with pytest.raises(RequestError, match="sentence_embedding"):
            CrossEncoder(model_path)
        with pytest.raises(ValueError, match="default_prompt_name"):
            SentenceTransformer(model_path, default_prompt_name="none")

    def test_max_seq_length(self, model_path: str) -> None:
        st = SentenceTransformer(model_path)
        assert st.max_seq_length == st.get_max_seq_length() == 256
        with pytest.raises(RequestError, match="from 1 to 256"):
            st.max_seq_length = 512
        st.max_seq_length = 5
        assert (st.encode("one two three four") == st.encode("one two three")).all()

    def test_truncation_for_a_block(self, st: SentenceTransformer) -> None:
        whole = st.encode("A cat")
        with st.truncate_embeddings(64):
            assert st.get_embedding_dimension() == 64
            assert (st.encode("A cat") == whole[:64]).all()
        assert st.get_embedding_dimension() == 384

    def test_tokens(self, st: SentenceTransformer) -> None:
        assert st.tokenizer.encode("A cat") == [101, 1037, 4937, 102]
        assert st.tokenizer.tokenize("A cat") == ["a", "cat"]
        both = st.tokenizer(["A cat", "A small cat"])
        assert [len(ids) for ids in both["input_ids"]] == [4, 5]
        with pytest.raises(RequestError):
            st.tokenizer.encode("cat " * 300)

    def test_pickled(self, st: SentenceTransformer) -> None:
        again = pickle.loads(pickle.dumps(st))
        assert type(again) is SentenceTransformer
        assert (again.encode("A cat") == st.encode("A cat")).all()


def test_torch_is_not_imported(model_path: str) -> None:
    script = (
        "import sys; from encoderfile.sentence_transformers import SentenceTransformer as S\n"
        "m = S(sys.argv[1]); m.similarity(m.encode(['a']), m.encode(['b'])); str(m.device)\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, model_path], check=True)


def test_without_torch_a_tensor_is_an_error(
    model_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="pip install torch"):
        SentenceTransformer(model_path).encode("A cat", convert_to_tensor=True)


def test_with_torch_tensors_go_in_and_out(model_path: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    st = SentenceTransformer(model_path)
    array = st.encode(["A cat", "A dog"])
    tensor = st.encode(["A cat", "A dog"], convert_to_tensor=True)
    assert isinstance(tensor, torch.Tensor) and (tensor.numpy() == array).all()
    several = st.encode(["A cat", "A dog"], convert_to_numpy=False)
    assert isinstance(several, list) and isinstance(several[0], torch.Tensor)
    assert isinstance(st.similarity(tensor, tensor), torch.Tensor)
    assert isinstance(st.similarity(several, array), torch.Tensor)
    assert isinstance(st.similarity(array, array), np.ndarray)
    assert st.device == torch.device("cpu")
    assert isinstance(st.tokenize(["A cat"])["input_ids"], torch.Tensor)


def test_with_torch_activations_are_of_tensors(build: Build) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    model = CrossEncoder(build("cls-pair-rerank"), activation_fn=torch.nn.Identity())
    raw = model.predict([("A cat", "A dog")])
    by_torch = model.predict([("A cat", "A dog")], activation_fn=torch.sigmoid)
    close(by_torch, CrossEncoder(build("cls-pair-rerank")).predict([("A cat", "A dog")]).tolist())
    close(raw.tolist(), model.encoderfile.infer([("A cat", "A dog")])[0]["logits"])


def test_it_is_an_instance_of_the_real_class(model_path: str, build: Build) -> None:
    library = pytest.importorskip(
        "sentence_transformers", reason="sentence-transformers is not installed"
    )
    assert isinstance(SentenceTransformer(model_path), library.SentenceTransformer)
    assert isinstance(CrossEncoder(build("cls-pair-rerank")), library.CrossEncoder)
    assert not isinstance(SentenceTransformer(model_path), library.CrossEncoder)
