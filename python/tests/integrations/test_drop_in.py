"""Libraries made for sentence-transformers, with our class in the place of theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from encoderfile import Encoderfile
from encoderfile.sentence_transformers import CrossEncoder, SentenceTransformer

TOPICS = {
    "cats": ["kitten", "cat", "tomcat", "pet cat", "feline", "cat food", "cat's paw", "purring"],
    "money": ["bank", "loan", "interest", "mortgage", "savings", "credit", "currency", "shares"],
}
SENTENCES = [
    (f"{opening} {word}.", topic)
    for topic, words in TOPICS.items()
    for word in words
    for opening in ("Yesterday we talked about the", "She wrote a letter about a", "Here is the")
]
TEXTS = [text for text, _ in SENTENCES]
LABELS = [list(TOPICS).index(topic) for _, topic in SENTENCES]


@pytest.fixture
def st(model: Encoderfile) -> SentenceTransformer:
    return SentenceTransformer(model)


def test_keybert(st: SentenceTransformer) -> None:
    keybert = pytest.importorskip("keybert", reason="keybert is not installed")
    text = "The bank lowers the interest of every mortgage, and savings accounts follow."
    found = keybert.KeyBERT(st).extract_keywords(text, top_n=3)
    words = [word for word, _ in found]
    assert set(words) <= {"bank", "interest", "mortgage", "savings", "accounts", "lowers"}
    wanted = st.encoderfile.similarity(st.encode([text]), st.encode(words))[0]
    np.testing.assert_allclose([score for _, score in found], wanted, atol=1e-3)


def test_bertopic(st: SentenceTransformer) -> None:
    bertopic = pytest.importorskip("bertopic", reason="bertopic is not installed")
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    def topics(**options: Any) -> Any:
        return bertopic.BERTopic(
            umap_model=PCA(n_components=4, random_state=0),
            hdbscan_model=KMeans(n_clusters=2, n_init=10, random_state=0),
            **options,
        )

    ours = topics(embedding_model=st)
    found, _ = ours.fit_transform(TEXTS)
    wanted, _ = topics().fit_transform(TEXTS, embeddings=st.encode(TEXTS))
    assert found == wanted and len(set(found)) == 2
    assert list(ours.transform(TEXTS[:4])[0]) == found[:4]


def test_setfit(st: SentenceTransformer) -> None:
    setfit = pytest.importorskip("setfit", reason="setfit is not installed")
    from sklearn.linear_model import LogisticRegression

    classifier = setfit.SetFitModel(st, LogisticRegression())
    classifier.fit(TEXTS, LABELS, num_epochs=1)
    assert list(classifier.predict(["A kitten is purring.", "A mortgage and a loan"])) == [0, 1]


def test_mteb_compares_sentences(st: SentenceTransformer) -> None:
    mteb = pytest.importorskip("mteb", reason="mteb is not installed")
    from scipy.stats import spearmanr

    pairs = [("A cat", "A kitten", 4.0), ("A cat", "A bank", 0.5), ("A loan", "A mortgage", 4.5)]
    (result,) = mteb.evaluate(st, sts_task(mteb, pairs), cache=None).task_results
    one, other = (st.encode([pair[side] for pair in pairs]) for side in (0, 1))
    wanted = spearmanr(st.similarity_pairwise(one, other), [pair[2] for pair in pairs]).statistic
    assert result.scores["test"][0]["cosine_spearman"] == pytest.approx(wanted)


def test_mteb_retrieves_and_reranks(st: SentenceTransformer, build: Callable[[str], str]) -> None:
    mteb = pytest.importorskip("mteb", reason="mteb is not installed")
    from mteb.mocks.mock_tasks import MockRerankingTask, MockRetrievalTask

    cross = CrossEncoder(build("cls-pair-rerank"))

    def by_vectors(query: str, texts: list[str]) -> Any:
        return st.similarity(st.encode_query([query]), st.encode_document(texts))[0]

    def by_pairs(query: str, texts: list[str]) -> Any:
        return cross.predict([(query, text) for text in texts])

    for kind, model, scored in [
        (MockRetrievalTask, st, by_vectors),
        (MockRerankingTask, cross, by_pairs),
    ]:
        task = kind()
        (result,) = mteb.evaluate(model, task, cache=None).task_results
        wanted = mean_reciprocal_rank(task, scored)
        assert result.scores["test"][0]["mrr_at_10"] == pytest.approx(wanted, abs=1e-5)


def mean_reciprocal_rank(task: Any, scored: Callable[[str, list[str]], Any]) -> float:
    """Of the relevant document of each query, of which each has one."""
    task.load_data()
    data = task.dataset["default"]["test"]
    ids, texts = list(data["corpus"]["id"]), list(data["corpus"]["text"])
    ranks = []
    for name, query in zip(data["queries"]["id"], data["queries"]["text"], strict=True):
        scores = scored(query, texts)
        (relevant,) = (it for it, grade in data["relevant_docs"][name].items() if grade > 0)
        ranks.append(1 + int((scores > scores[ids.index(relevant)]).sum()))
    return float(np.mean([1 / rank for rank in ranks]))


def sts_task(mteb: Any, pairs: list[tuple[str, str, float]]) -> Any:
    """A task of MTEB's over a few pairs, which it would load from the hub."""
    from datasets import Dataset, DatasetDict
    from mteb.abstasks.sts import AbsTaskSTS

    class FewPairs(AbsTaskSTS):
        metadata = mteb.TaskMetadata(
            name="FewPairs",
            description="A few pairs.",
            dataset={"path": "none", "revision": "none"},
            type="STS",
            category="t2t",
            modalities=["text"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="cosine_spearman",
        )
        min_score, max_score = 0, 5

        def load_data(self, *_args: Any, **_kwargs: Any) -> None:
            rows = [dict(zip(("sentence1", "sentence2", "score"), it, strict=True)) for it in pairs]
            self.dataset = DatasetDict(test=Dataset.from_list(rows))
            self.data_loaded = True

    return FewPairs()
