"""What the Python scripts share: their arguments, a model folder's reference
results, and comparisons.

A script prints `ok NAME` for each check; the first that fails prints
`FAILED NAME: WHY` and ends it with status 1.
"""

import argparse
import faulthandler
import json
import math
import sys
from contextlib import contextmanager
from pathlib import Path

# As in tests/src/compare.rs: the references round differently by up to 4e-5.
TOLERANCE = 1e-4

# For a server that never answers: not every client gives up by itself.
STILL_RUNNING_SECONDS = 900


def arguments(description):
    """The server under test and the model it serves."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--http", metavar="URL", help="such as http://127.0.0.1:8080")
    parser.add_argument("--grpc", metavar="HOST:PORT")
    parser.add_argument("--model-dir", type=Path, required=True, help="the folder with golden.json")
    parser.add_argument("--program", metavar="PATH", help="an encoderfile of that folder")
    parser.add_argument("--api-key", help="the key the server was started with")
    parser.add_argument(
        "--cosine", type=float, metavar="LIMIT",
        help="compare embeddings by cosine, which may be lower than 1 by LIMIT: for rounded weights",
    )
    given = parser.parse_args()
    faulthandler.dump_traceback_later(STILL_RUNNING_SECONDS, exit=True)
    return given, Model(given.model_dir, given.cosine)


class Model:
    """A folder's golden.json and requests.json; tests/models/README.md has their forms."""

    def __init__(self, folder, cosine_loss=None):
        self.folder = folder
        self.golden = self._json("golden.json")
        self.name = self.golden["model"]
        self.task = self.golden["task"]
        self.cases = self.golden["cases"]
        self._cosine_loss = cosine_loss

    def requests(self, *options):
        """(name, options, texts, results) of the requests that use no other options."""
        if not (self.folder / "requests.json").exists():
            return
        for request in self._json("requests.json")["requests"]:
            texts = [item["text"] for item in request["items"]]
            pairs = any("text_pair" in item for item in request["items"])
            if not pairs and set(request["options"]) <= set(options):
                yield request["name"], request["options"], texts, request["results"]

    def ranking(self):
        """(query, texts, [{index, score}] best first) of a one-logit model."""
        if "rerank" in self.golden:
            reference = self.golden["rerank"]
            return reference["query"], reference["texts"], reference["ranking"]
        _, options, texts, results = next(it for it in self.requests("query") if it[1])
        return options["query"], texts, results

    def labels(self):
        """The labels in the order of the logits."""
        id2label = self._json("config.json")["id2label"]
        return [id2label[str(index)] for index in range(len(id2label))]

    def best_first(self, case):
        """[{label, score}] of a classification."""
        if "pipeline" in case:
            return case["pipeline"]
        scored = sorted(zip(case["scores"], self.labels()), reverse=True)
        return [{"label": label, "score": score} for score, label in scored]

    def reranks(self):
        return "text_pair" in self.cases[0] and len(self.cases[0]["logits"]) == 1

    def chooses_labels(self):
        return any(options for _, options, _, _ in self.requests("labels"))

    def token_ids(self, text):
        """As the tokenizers library has them, special tokens included."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer.encode(text).ids

    def pair_fits(self, first, second):
        """Whether two texts are not cut: of their special tokens, one goes."""
        return len(self.token_ids(first)) + len(self.token_ids(second)) - 1 <= self._max_length()

    def tokens_read(self, case):
        """How many of a text's tokens are left when it has been cut."""
        return min(case["tokens"], self._max_length())

    def _max_length(self):
        for file, key in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
            limit = self._json(file).get(key) if (self.folder / file).exists() else None
            if limit is not None:
                return limit
        return math.inf

    def normalizes(self):
        """Whether the folder makes all embeddings one long."""
        if (self.folder / "modules.json").exists():
            return self._json("modules.json")[-1]["type"].endswith("Normalize")
        return all(abs(length(case["embedding"]) - 1) < 1e-3 for case in self.cases)

    def same_embedding(self, got, expected):
        if self._cosine_loss is None:
            return near(got, expected)
        loss = 1 - cosine(got, expected)
        demand(loss <= self._cosine_loss, f"cosine is 1 - {loss:.1e}, limit 1 - {self._cosine_loss:.0e}")

    def same_embeddings(self, got, expected):
        got = list(got)
        equal(len(got), len(expected))
        for one, reference in zip(got, expected):
            self.same_embedding(one, reference)

    def same_similarities(self, got, expected):
        """Cosines, of which int8 weights move some by a hundredth."""
        near(got, expected, 1e-3 if self._cosine_loss is None else 3e-2)

    def _json(self, name):
        return json.loads((self.folder / name).read_text(encoding="utf-8"))


@contextmanager
def check(name):
    """Prints how the block ended."""
    try:
        yield
    except Exception as error:
        # Asynchronous clients wrap what went wrong.
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        why = " ".join(str(error).split())
        print(f"FAILED {name}: {type(error).__name__}: {why}", file=sys.stderr)
        raise SystemExit(1) from error
    print(f"ok {name}", flush=True)


@contextmanager
def refused(*error_types):
    """The block must raise one of these; yields a list that then holds the error."""
    caught = []
    try:
        yield caught
    except error_types as error:
        caught.append(error)
        return
    expected = " or ".join(it.__name__ for it in error_types)
    raise AssertionError(f"was accepted, expected {expected}")


def demand(condition, otherwise):
    if not condition:
        raise AssertionError(otherwise)


def equal(got, expected):
    demand(got == expected, f"got {brief(got)}, expected {brief(expected)}")


def brief(value):
    text = repr(value)
    return text if len(text) <= 500 else f"{text[:500]}…"


def says(text, *words):
    """A message must name what it is about; `_` and space are the same."""
    plain = str(text).lower().replace("_", " ")
    for word in words:
        demand(word.lower().replace("_", " ") in plain, f"{text!r} does not say {word!r}")


def near(got, expected, tolerance=TOLERANCE):
    """Numbers, or vectors of them; anything that is not a number is too far."""
    got, expected = as_vector(got), as_vector(expected)
    equal(len(got), len(expected))
    largest = max((abs(a - b) for a, b in zip(got, expected)), default=0.0)
    finite = all(map(math.isfinite, got))
    demand(finite and largest <= tolerance, f"differs by {largest:.1e}, limit {tolerance:.0e}")


def same_int8(got, scale, expected):
    """Times the scale, it is the embedding but for half a step; the largest is 127."""
    equal(max(abs(it) for it in got), 127)
    near([it * scale for it in got], expected, scale / 2 + TOLERANCE)


def same_bits(got, expected):
    """Eight values a uint8, the first the highest bit, as numpy.packbits has them; values near 0
    may be on either side of it."""
    equal(len(got), -(-len(expected) // 8))
    for place, value in enumerate(expected):
        bit = got[place // 8] >> (7 - place % 8) & 1
        demand(abs(value) <= TOLERANCE or bit == (value > 0), f"bit {place} is {bit} of {value}")


def as_vector(numbers):
    return [float(numbers)] if isinstance(numbers, (int, float)) else [float(it) for it in numbers]


def length(vector):
    return math.sqrt(sum(it * it for it in vector))


def unit(vector):
    return [it / length(vector) for it in vector]


def cosine(a, b):
    equal(len(a), len(b))
    return sum(x * y for x, y in zip(unit(a), unit(b)))
