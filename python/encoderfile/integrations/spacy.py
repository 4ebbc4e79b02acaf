"""spaCy: a component, ``encoderfile``, that finds entities.

>>> import spacy
>>> import encoderfile.integrations.spacy
>>> nlp = spacy.blank("en")
>>> _ = nlp.add_pipe("encoderfile", config={"model": "ner.encoderfile"})
>>> doc = nlp("Angela Merkel visited Paris.")
>>> entities = [(span.text, span.label_, span._.encoderfile_score) for span in doc.ents]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from . import missing, opened

try:
    from spacy.language import Language
    from spacy.tokens import Doc, Span
    from spacy.util import filter_spans
except ImportError as error:
    raise missing("spacy", error) from error

if TYPE_CHECKING:
    from ..types import Entity

__all__ = ["EncoderfileEntities"]


class EncoderfileEntities:
    """Sets ``doc.ents``, or a span group, to the entities of a model for token classification.

    An entity that ends within a token takes all of it (``alignment_mode``: ``expand``, ``contract``
    or ``strict``, which leaves such out). ``doc.ents`` cannot overlap: the longest are kept, and
    entities that were set before win. A span's score is in ``span._.encoderfile_score``.
    """

    def __init__(
        self,
        nlp: Language,
        name: str,
        model: Any,
        span_group: str | None,
        alignment_mode: str,
        options: dict[str, Any],
    ) -> None:
        self.name = name
        self.model = opened(model)
        self.span_group = span_group
        self.alignment_mode = alignment_mode
        self.options = options
        if not Span.has_extension("encoderfile_score"):
            Span.set_extension("encoderfile_score", default=None)

    def __call__(self, doc: Doc) -> Doc:
        return self._set(doc, self.model.entities(doc.text, **self.options))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """The same of many, on all cores."""
        docs = iter(stream)
        while batch := list(islice(docs, batch_size)):
            found = self.model.entities([doc.text for doc in batch], **self.options)
            for doc, entities in zip(batch, found, strict=True):
                yield self._set(doc, entities)

    def _set(self, doc: Doc, entities: list[Entity]) -> Doc:
        spans: list[Span] = []
        for entity in entities:
            span = doc.char_span(
                entity["start"],
                entity["end"],
                label=entity["entity_group"],
                alignment_mode=self.alignment_mode,
            )
            if span is not None and len(span) > 0:
                cast(Any, span._).encoderfile_score = entity["score"]
                spans.append(span)
        if self.span_group is not None:
            doc.spans[self.span_group] = spans
            return doc
        taken = {token.i for span in doc.ents for token in span}
        free = [span for span in spans if not taken.intersection(range(span.start, span.end))]
        doc.ents = (*doc.ents, *filter_spans(free))  # type: ignore[assignment, unused-ignore]
        return doc


# Not as a decorator, which is untyped.
cast(Any, Language).factory(
    "encoderfile",
    default_config={
        "model": None,
        "span_group": None,
        "alignment_mode": "expand",
        "options": {},
    },
    assigns=["doc.ents"],
    func=EncoderfileEntities,
)
