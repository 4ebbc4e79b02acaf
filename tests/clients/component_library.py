"""A component as a library, by PyPI's wasmtime: each method of `encoderfile:encoder` beside what the
command line of a native file prints.

component_library.py COMPONENT NATIVE…: the first has a model of its own; those of the others are
opened by it, in a folder that is pre-opened.
"""

import json
import subprocess
import sys
from pathlib import Path

from cases import check, demand, equal, near, says
from wasmtime import Engine, Store, WasiConfig
from wasmtime.component import Component, Linker
from wasmtime.component import Record as WitRecord

INTERFACE = "encoderfile:encoder/encoder@0.1.0"
TEXTS = ["a cat sits on the mat", "of the house in Berlin", ""]


class Library:
    """An instance, with the folders of files pre-opened."""

    def __init__(self, component, files):
        engine = Engine()
        linker = Linker(engine)
        linker.add_wasip2()
        linker.add_wasi_http()
        self.store = Store(engine)
        wasi = WasiConfig()
        for folder in {it.parent for it in files}:
            wasi.preopen_dir(str(folder), str(folder))
        self.store.set_wasi(wasi)
        self.store.set_wasi_http()
        self.instance = linker.instantiate(self.store, Component.from_file(engine, component))
        self.interface = self.instance.get_export_index(self.store, INTERFACE)

    def call(self, name, *arguments):
        index = self.instance.get_export_index(self.store, name, self.interface)
        function = self.instance.get_func(self.store, index)
        result = function(self.store, *arguments)
        function.post_return(self.store)
        return result

    def open(self, path=None):
        return Model(self, self.call("[static]model.open", path))


class Model:
    """The resource."""

    def __init__(self, library, handle):
        self.library, self.handle = library, handle

    def __getattr__(self, name):
        method = f"[method]model.{name.replace('_', '-')}"
        return lambda *arguments: self.library.call(method, self.handle, *arguments)


class Record(WitRecord):
    """A record of WIT, whose names have hyphens."""

    def __init__(self, **fields):
        for name, value in fields.items():
            self.__dict__[name.replace("_", "-")] = value


def printed(native, *arguments):
    """The results that a native file prints."""
    command = [native, "infer", "--format", "jsonl", *arguments]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in lines.splitlines()]


def sentence_embedding(model, native):
    expected = printed(native, *TEXTS)
    for got, reference in zip(model.embed(TEXTS, None, None), expected, strict=True):
        near(got.values, reference["embedding"])
    options = Record(normalize=True, dimensions=4)
    reading = reading_of(max_tokens=5)
    expected = printed(native, "--normalize", "true", "--dimensions", "4", "--max-tokens", "5", TEXTS[0])[0]
    got = model.embed(TEXTS[:1], reading, options)[0]
    near(got.values, expected["embedding"])
    equal(getattr(got.usage, "tokens-total"), expected["tokens_total"])
    tokens = model.embed_tokens(TEXTS[:1], None, None)[0].tokens
    expected = printed(native, "--unpooled", TEXTS[0])[0]["embeddings"]
    equal([it.token for it in tokens], [it["token_info"]["token"] for it in expected])
    for got, reference in zip(tokens, expected, strict=True):
        near(got.values, reference["embedding"])


def reading_of(**given):
    names = ["prompt", "prompt_name", "role", "overflow", "truncation_side", "max_tokens"]
    return Record(**{name: given.get(name) for name in names})


def token_classification(model, native):
    expected = printed(native, "--aggregation", "simple", *TEXTS)
    for got, reference in zip(model.entities(TEXTS, None, None), expected, strict=True):
        equal([(it.label, it.start, it.end) for it in got.entities],
              [(it["entity_group"], it["start"], it["end"]) for it in reference["entities"]])
        near([it.score for it in got.entities], [it["score"] for it in reference["entities"]])


def sequence_classification(model, native):
    info = json.loads(model.info().json)
    if "rerank" in model.info().capabilities:
        expected = printed(native, "--query", "a house", *TEXTS)
        got = model.rerank("a house", TEXTS, None, 2)
        equal([it.index for it in got], [it["index"] for it in expected[:2]])
        near([it.score for it in got], [it["score"] for it in expected[:2]])
    if "zero-shot" in model.info().capabilities:
        labels = ["house", "cat"]
        expected = printed(native, "--labels", ",".join(labels), TEXTS[0])[0]
        got = model.zero_shot(TEXTS[:1], labels, None, None)[0].classes
        equal([it.label for it in got], expected["labels"])
        near([it.score for it in got], expected["scores"])
    if "classify" in model.info().capabilities:
        expected = printed(native, *TEXTS)
        got = model.classify(TEXTS, None, None)
        for one, reference in zip(got, expected, strict=True):
            scores = dict(zip(info["labels"], reference["scores"]))
            equal(len(one.classes), len(scores))
            near([it.score for it in one.classes], [scores[it.label] for it in one.classes])
            demand(one.classes[0].score == max(it.score for it in one.classes), "not best first")


def fill_mask(model, native):
    text = "a [MASK] in the house"
    expected = printed(native, "--top-k", "3", text)[0]["masks"]
    got = model.fill_mask([text], None, Record(top_k=3, targets=None))[0].masks
    equal([[getattr(it, "token-text") for it in mask] for mask in got],
          [[it["token_str"] for it in mask] for mask in expected])
    near([it.score for mask in got for it in mask], [it["score"] for mask in expected for it in mask])


def sparse_embedding(model, native):
    expected = printed(native, *TEXTS)
    for got, reference in zip(model.sparse(TEXTS, None, None), expected, strict=True):
        equal([it.index for it in got.values], [it["index"] for it in reference["sparse_embedding"]])
        near([it.value for it in got.values], [it["value"] for it in reference["sparse_embedding"]])


def mistakes(library, model):
    with check("an option that makes no sense is an error of the request"):
        error = model.embed(TEXTS, None, Record(normalize=None, dimensions=0))
        equal(error.tag, "request")
        equal(error.payload.field, "dimensions")
    with check("a text that is too long is named by its place"):
        error = model.embed(["a", "a " * 1000], reading_of(overflow="error"), None)
        equal(error.tag, "request")
        equal(error.payload.input, 1)
        says(error.payload.message, "tokens")
    with check("what the model does not give is an error of the request"):
        error = model.entities(TEXTS, None, None)
        equal(error.tag, "request")
        says(error.payload.message, "entities", "embed")
    with check("a file that is not there is an error of the file"):
        error = library.call("[static]model.open", "/nowhere/model.ef")
        equal(error.tag, "file")
    with check("infer is /predict"):
        answer = json.loads(model.infer(json.dumps({"inputs": TEXTS[:1]})))
        near(answer["results"][0]["embedding"], model.embed(TEXTS[:1], None, None)[0].values)
        error = model.infer("{")
        equal(error.tag, "request")


def main():
    component, *natives = sys.argv[1:]
    library = Library(component, [Path(it).resolve() for it in natives])
    for place, native in enumerate(natives):
        model = library.open(None if place == 0 else str(Path(native).resolve()))
        info = model.info()
        with check(f"{info.task} of {info.name}"):
            equal(json.loads(info.json)["name"], info.name)
            globals()[info.task](model, native)
            tokens = model.tokenize(TEXTS[:1], None)[0].tokens
            demand(tokens[0].special and not tokens[1].special, "special tokens are none")
        if place == 0:
            mistakes(library, model)


if __name__ == "__main__":
    main()
