"""A pipeline of spaCy with our component, stored and read again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

spacy = pytest.importorskip("spacy", reason="spacy is not installed")

import encoderfile.integrations.spacy  # noqa: F401
from encoderfile import Encoderfile

TEXTS = [
    "Zoë in 東京 😀: my father was a schoolmaster in Chesterfield.",
    "There are rumours of foul play in the matter.",
    "",
]
MODEL = "distilbert-token_classification"


def pipeline(path: str, **config: object) -> spacy.Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("encoderfile", config={"model": path, **config})
    return nlp


def test_spans_have_the_entities_offsets_and_scores(build: Callable[[str], str]) -> None:
    core = Encoderfile.load(build(MODEL))
    nlp = pipeline(build(MODEL), span_group="found", alignment_mode="strict")
    compared = 0
    for doc, text in zip(nlp.pipe(TEXTS), TEXTS, strict=True):
        wanted = {(it["start"], it["end"]): it for it in core.entities(text)}
        assert doc.ents == ()
        assert bool(doc.spans["found"]) <= bool(wanted)
        for span in doc.spans["found"]:
            entity = wanted[span.start_char, span.end_char]
            assert span.label_ == entity["entity_group"]
            assert span._.encoderfile_score == entity["score"]
            assert span.text == text[entity["start"] : entity["end"]]
            compared += 1
        alone = nlp(text)
        assert [it.text for it in alone.spans["found"]] == [it.text for it in doc.spans["found"]]
    assert compared > 0


def test_entities_are_whole_tokens_and_do_not_overlap(build: Callable[[str], str]) -> None:
    core = Encoderfile.load(build(MODEL))
    nlp = pipeline(build(MODEL), options={"ignore_labels": []})
    doc = nlp(TEXTS[0])
    found = core.entities(TEXTS[0], ignore_labels=[])
    assert doc.ents
    for span in doc.ents:
        inside = [it for it in found if it["start"] < span.end_char and it["end"] > span.start_char]
        assert span.label_ in {it["entity_group"] for it in inside}


def test_entities_that_were_set_before_are_kept(build: Callable[[str], str]) -> None:
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PLACE", "pattern": "Chesterfield"}])
    config = {"model": build(MODEL), "options": {"ignore_labels": []}}
    nlp.add_pipe("encoderfile", config=config)
    doc = nlp(TEXTS[0])
    assert ("Chesterfield", "PLACE") in [(it.text, it.label_) for it in doc.ents]
    assert len(doc.ents) > 1


def test_a_pipeline_is_stored_and_read_again(build: Callable[[str], str], tmp_path: Path) -> None:
    nlp = pipeline(build(MODEL), options={"aggregation": "first"})
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    before = [(it.text, it.label_) for it in nlp(TEXTS[0]).ents]
    assert [(it.text, it.label_) for it in again(TEXTS[0]).ents] == before
