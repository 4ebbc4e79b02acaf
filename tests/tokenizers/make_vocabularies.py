"""What transformers makes of tokenizer files older than tokenizer.json.

For each tokenizer class: a folder `CLASS-files` with the vocabulary as the class of that time
kept it (vocab.txt, vocab.json and merges.txt, or a SentencePiece model), config.json,
tokenizer_config.json and special_tokens_map.json, and a cases.json like those of
make_tokenizers.py. The vocabularies are those of the model folders, in the order of ids that
each class expects of its own files; the SentencePiece models are written, not trained.

    python make_vocabularies.py ../models OUT

Run with the versions in requirements.txt beside this file; the same run gives the same bytes.
"""

import json
import sys
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import sentencepiece
import transformers
from make_tokenizers import FLAGS, MAX_LENGTH, SPECIAL, TEXTS, difference, results, token, write
from sentencepiece import sentencepiece_model_pb2 as protocol
from transformers import AutoTokenizer

SPACE = "\u2581"

# The graph that runs some cases has rows for no more ids.
IDS_MAX = 690

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
UNIGRAM, BPE = 1, 2

# What a SentencePiece model normalises by itself: a few rules like those of NFKC.
RULES = {"\ufb01": "fi", "\u2026": "...", "\uff21": "A", "\u3000": " ", "\t": " ", "\n": " ", "\u00e9": "e\u0301"}

MORE_TEXTS = [
    ["\ufb01ne\u2026 \uff21\u3000b\tc caf\u00e9", "x\u00a0y"],
    ["qu que king the  \u2581king <mask>"],
    ["\u2581 lead", " trail \u2581"],
    ["MKTAYIAKQR QISFVK<mask>RQ ZBUX", "LAGVSERTID<eos>.-<null_1>q"],
    ["\u0000a\u200bb\ufffd \u4eac\U0001f600", "1,2 3, 44,"],
]


def charsmap():
    """The compiled form of RULES."""
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        points = lambda text: " ".join(f"{ord(it):X}" for it in text)
        (place / "rules.tsv").write_text("".join(f"{points(a)}\t{points(b)}\n" for a, b in RULES.items()))
        (place / "text").write_text("the king rode out\n" * 9)
        sentencepiece.SentencePieceTrainer.train(
            input=str(place / "text"), model_prefix=str(place / "m"), vocab_size=15,
            hard_vocab_limit=False, minloglevel=2, normalization_rule_tsv=str(place / "rules.tsv"))
        model = protocol.ModelProto()
        model.ParseFromString((place / "m.model").read_bytes())
        return model.normalizer_spec.precompiled_charsmap


@dataclass
class SentencePiece:
    """A SentencePiece model: its first pieces, as (piece, type), and what it says of itself."""

    first: list
    model_type: int = UNIGRAM
    bytes: bool = False
    last: list = field(default_factory=list)
    user_defined: list = field(default_factory=list)
    ids: dict = field(default_factory=dict)
    normalizer: dict = field(default_factory=dict)
    has_charsmap: bool = True

    def encode(self, models, room):
        model = protocol.ModelProto()
        pieces = [(piece, 0.0, kind) for piece, kind in self.first]
        if self.bytes:
            pieces += [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]
        special = {piece for piece, _, _ in pieces} | {piece for piece, _ in self.last}
        for piece, score in self.pieces(models):
            if piece not in special and len(pieces) + len(self.last) < room:
                kind = USER_DEFINED if piece in self.user_defined else NORMAL
                pieces.append((piece, 0.0 if kind == USER_DEFINED else score, kind))
        pieces += [(piece, 0.0, kind) for piece, kind in self.last]
        for piece, score, kind in pieces:
            model.pieces.add(piece=piece, score=score, type=kind)
        spec = model.trainer_spec
        spec.model_type, spec.byte_fallback = self.model_type, self.bytes
        spec.vocab_size = len(pieces)
        spec.unk_id = next(id for id, it in enumerate(pieces) if it[2] == UNKNOWN)
        for key, value in self.ids.items():
            setattr(spec, key, value)
        model.normalizer_spec.name = "user_defined"
        model.normalizer_spec.precompiled_charsmap = charsmap() if self.has_charsmap else b""
        for key, value in self.normalizer.items():
            setattr(model.normalizer_spec, key, value)
        return model.SerializeToString()

    def pieces(self, models):
        if self.model_type == UNIGRAM:
            tokenizer = json.loads((models / "xlm-roberta-embedding/tokenizer.json").read_text())
            for piece, score in tokenizer["model"]["vocab"][5:]:
                yield piece, score
            return
        tokenizer = json.loads((models / "roberta-embedding/tokenizer.json").read_text())
        for id, piece in enumerate(list(tokenizer["model"]["vocab"])[5:]):
            yield piece.replace("\u0120", SPACE), -float(id)


def word_pieces(names):
    """vocab.txt of BERT's vocabulary, with other names for some tokens."""
    def files(models):
        tokenizer = json.loads((models / "bert-embedding/tokenizer.json").read_text())
        lines = [names.get(piece, piece) for piece in tokenizer["model"]["vocab"]]
        return {"vocab.txt": "".join(f"{line}\n" for line in lines).encode()}
    return files


def amino_acids(models):
    """vocab.txt as ESM-2 has it."""
    lines = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>"]
    return {"vocab.txt": "\n".join(lines).encode()}


def byte_level(names):
    """vocab.json and merges.txt of RoBERTa's vocabulary."""
    def files(models):
        model = json.loads((models / "roberta-embedding/tokenizer.json").read_text())["model"]
        vocabulary = {names.get(piece, piece): id for piece, id in model["vocab"].items()}
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
        return {
            "vocab.json": json.dumps(vocabulary, ensure_ascii=False).encode(),
            "merges.txt": "\n".join(["#version: 0.2", *merges, ""]).encode(),
        }
    return files


def sentence_piece(name, model, room=IDS_MAX):
    return lambda models: {name: model.encode(models, room)}


BERT = {key: key for key in ["[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]"]}
ALBERT = [("<pad>", CONTROL), ("<unk>", UNKNOWN), ("[CLS]", CONTROL), ("[SEP]", CONTROL), ("[MASK]", CONTROL)]
T5 = [("<pad>", CONTROL), ("</s>", CONTROL), ("<unk>", UNKNOWN)]
FAIRSEQ = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)]
DEBERTA = [("[PAD]", CONTROL), ("[CLS]", CONTROL), ("[SEP]", CONTROL), ("[UNK]", UNKNOWN)]
REMBERT = [*T5, ("[CLS]", CONTROL), ("[SEP]", CONTROL), ("[MASK]", CONTROL)]
BIG_BIRD = [("<pad>", CONTROL), ("</s>", CONTROL), ("<s>", CONTROL), ("<unk>", UNKNOWN)]
GEMMA = [("<pad>", CONTROL), ("<eos>", CONTROL), ("<bos>", CONTROL), ("<unk>", UNKNOWN), ("<mask>", USER_DEFINED)]
IDS = {"pad_id": 0, "bos_id": 1, "eos_id": 2}
LLAMA = SentencePiece(FAIRSEQ, BPE, bytes=True, has_charsmap=False, ids={"bos_id": 1, "eos_id": 2})
RAW = {"add_dummy_prefix": False, "remove_extra_whitespaces": False}

# What tokenizers written in Python do otherwise than the others, and encoderfile refuses.
OF_PYTHON = ["split_special_tokens true", "added_tokens.json", "decoder", "decoder with names"]

# class, model type, files
CLASSES = {
    "bert-files": ("BertTokenizer", "bert", word_pieces({})),
    "distilbert-files": ("DistilBertTokenizer", "distilbert", word_pieces({})),
    "electra-files": ("ElectraTokenizer", "electra", word_pieces({})),
    "convbert-files": ("ConvBertTokenizer", "convbert", word_pieces({})),
    "dpr-files": ("DPRQuestionEncoderTokenizer", "dpr", word_pieces({})),
    "dpr-fast-files": ("DPRContextEncoderTokenizerFast", "bert", word_pieces({})),
    "esm-files": ("EsmTokenizer", "esm", amino_acids),
    "mpnet-files": ("MPNetTokenizer", "mpnet", word_pieces(
        {"[CLS]": "<s>", "[SEP]": "</s>", "[PAD]": "<pad>", "[MASK]": "<mask>"})),
    "roberta-files": ("RobertaTokenizer", "roberta", byte_level({})),
    "deberta-files": ("DebertaTokenizer", "deberta", byte_level(
        {"<s>": "[CLS]", "</s>": "[SEP]", "<pad>": "[PAD]", "<mask>": "[MASK]", "<unk>": "[UNK]"})),
    "gpt2-files": ("GPT2Tokenizer", "bert", byte_level({})),
    "albert-files": ("AlbertTokenizer", "albert", sentence_piece(
        "spiece.model", SentencePiece(ALBERT, user_defined=[f"{SPACE}king"], ids=IDS))),
    "fnet-files": ("FNetTokenizer", "fnet", sentence_piece("spiece.model", SentencePiece(ALBERT))),
    "t5-files": ("T5Tokenizer", "t5", sentence_piece("spiece.model", SentencePiece(T5), IDS_MAX - 100)),
    "rembert-files": ("RemBertTokenizer", "rembert", sentence_piece(
        "sentencepiece.model", SentencePiece(REMBERT))),
    "big_bird-files": ("BigBirdTokenizer", "big_bird", sentence_piece(
        "spiece.model", SentencePiece(BIG_BIRD, last=ALBERT[2:]))),
    "xlm-roberta-files": ("XLMRobertaTokenizer", "xlm-roberta", sentence_piece(
        "sentencepiece.bpe.model", SentencePiece(FAIRSEQ))),
    "camembert-files": ("CamembertTokenizer", "camembert", sentence_piece(
        "sentencepiece.bpe.model", SentencePiece(FAIRSEQ, user_defined=["ing"]))),
    "deberta-v2-files": ("DebertaV2Tokenizer", "deberta-v2", sentence_piece(
        "spm.model", SentencePiece(DEBERTA))),
    "llama-files": ("LlamaTokenizer", "bert", sentence_piece("tokenizer.model", LLAMA)),
    "gemma-files": ("GemmaTokenizer", "gemma3_text", sentence_piece(
        "tokenizer.model", SentencePiece(GEMMA, BPE, bytes=True, has_charsmap=False, normalizer=RAW))),
    "generic-unigram-files": ("PreTrainedTokenizerFast", "bert", sentence_piece(
        "tokenizer.model", SentencePiece(FAIRSEQ, user_defined=["qu", f"{SPACE}king", "(t"]))),
    "generic-bytes-files": ("PreTrainedTokenizerFast", "modernbert", sentence_piece(
        "tokenizer.model", SentencePiece(FAIRSEQ, bytes=True, normalizer=RAW))),
    "generic-bpe-files": ("PreTrainedTokenizerFast", "bert", sentence_piece(
        "tokenizer.model", SentencePiece(FAIRSEQ, BPE, has_charsmap=False))),
    "generic-bpe-user-files": ("PreTrainedTokenizerFast", "bert", sentence_piece(
        "tokenizer.model", SentencePiece(FAIRSEQ, BPE, bytes=True, user_defined=["qu", f"{SPACE}king"]))),
}


class Case:
    """A folder's files before they are changed."""

    def __init__(self, class_name, model_type, vocabulary):
        self.config = {"architectures": ["BertModel"], "model_type": model_type,
                       "vocab_size": 2000, "max_position_embeddings": 80, "type_vocab_size": 2,
                       "hidden_size": 32,
                       **({"use_bidirectional_attention": True} if class_name == "GemmaTokenizer" else {})}
        self.tokenizer_config = {"tokenizer_class": class_name, "model_max_length": MAX_LENGTH}
        self.vocabulary = vocabulary

    def changes(self):
        """Each case by its name: what is said instead."""
        config = self.tokenizer_config
        with_keys = lambda **keys: {"tokenizer_config.json": {**config, **keys}}
        yield "as it is", {}
        for flag in FLAGS:
            for value in [True, False]:
                yield f"{flag} {value}".lower(), with_keys(**{flag: value})
        yield "bos and eos", with_keys(add_bos_token=True, add_eos_token=True)
        yield "bos and eos of another name", with_keys(
            add_bos_token=True, add_eos_token=True, bos_token="qu", eos_token="the")
        yield "strip_accents null", with_keys(strip_accents=None)
        yield "truncation_side left", with_keys(truncation_side="left")
        yield "token type ids", with_keys(model_input_names=["input_ids", "token_type_ids", "attention_mask"])
        yield "unk_id", with_keys(unk_id=2)
        yield "extra_ids", with_keys(extra_ids=4)
        yield "additional tokens", with_keys(additional_special_tokens=["qu", "wor"])
        yield "extra list", with_keys(extra_special_tokens=["qu", "king"])
        yield "extra map", with_keys(extra_special_tokens={"some_token": "qu"})
        yield "a token of its own", with_keys(query_token="king")
        for key in SPECIAL:
            yield f"another {key}", with_keys(**{key: "qu"})
            yield f"{key} null", with_keys(**{key: None})
        flags = {"__type": "AddedToken", **token("<mask>", lstrip=True, special=False)}
        yield "a mask with flags", with_keys(mask_token=flags)
        yield "map names others", {
            "special_tokens_map.json": {"sep_token": "qu", "additional_special_tokens": ["king"]}}
        yield "map has flags", {"special_tokens_map.json": {
            "mask_token": {"content": "[MASK]", "lstrip": True, "normalized": False, "rstrip": False,
                           "single_word": False}, "unk_token": "<unk>"}}
        yield "added_tokens.json", {"added_tokens.json": {"king": 33, "wor": 34, "<new>": 900}}
        yield "decoder", with_keys(added_tokens_decoder={
            "0": token("qu"), "1": token("<pad>"), "900": token("<new>", special=False, normalized=True)})
        yield "decoder with names", with_keys(added_tokens_decoder={
            "5": token("the"), "6": token("[NEW]", lstrip=True), "7": token("king", normalized=True)})
        yield "no class", {"tokenizer_config.json": {"model_max_length": MAX_LENGTH}}
        yield "no tokenizer_config.json", {"tokenizer_config.json": None}
        yield "class of config.json", {
            "tokenizer_config.json": {},
            "config.json": {**self.config, "tokenizer_class": config["tokenizer_class"]}}
        yield "nobody's class", with_keys(tokenizer_class="SomebodysTokenizer")
        for other in ["BertTokenizer", "RobertaTokenizer", "AlbertTokenizer", "XLMRobertaTokenizer"]:
            yield f"read as {other}", with_keys(tokenizer_class=other)
        yield "unknown key", with_keys(some_new_switch=True)


def outcome(folder):
    """What transformers gives for each text. A class whose file is not there is built with its
    special tokens alone, which is no tokenizer: here that is refused."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        if not tokenizer.is_fast:
            return {"results": [results_without_offsets(tokenizer, texts) for texts in TEXTS]}
        is_empty = tokenizer._tokenizer.get_vocab_size(with_added_tokens=False) < 20
        return {"refused": True} if is_empty else {"results": results(tokenizer)}
    except Exception:
        return {"refused": True}


def results_without_offsets(tokenizer, texts):
    """Tokenizers that are written in Python know no offsets."""
    out = tokenizer(*texts, truncation=True, max_length=MAX_LENGTH)
    assert None not in out["input_ids"]
    types = out.get("token_type_ids", [0] * len(out["input_ids"]))
    return {"input_ids": out["input_ids"], "type_ids": types, "offsets": None}


def main():
    models, out = Path(sys.argv[1]), Path(sys.argv[2])
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    # A name with Fast that is another class becomes a mere name once the other is loaded.
    transformers.DPRContextEncoderTokenizerFast
    TEXTS.extend(MORE_TEXTS)
    for name, (class_name, model_type, files) in CLASSES.items():
        case = Case(class_name, model_type, files(models))
        base = {"config.json": case.config, "tokenizer_config.json": case.tokenizer_config}
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in base.items():
            write(folder / file, content)
        for file, content in case.vocabulary.items():
            (folder / file).write_bytes(content)
        cases = []
        for title, changed in case.changes():
            if class_name == "EsmTokenizer" and title in OF_PYTHON:
                continue
            with tempfile.TemporaryDirectory() as place:
                for file, content in case.vocabulary.items():
                    (Path(place) / file).write_bytes(content)
                for file, content in {**base, **changed}.items():
                    if content is not None:
                        write(Path(place) / file, content)
                entry = {"name": title, "files": {
                    file: difference(base.get(file, {}), content) for file, content in changed.items()}}
                found = outcome(place)
                same = next((it["name"] for it in cases if it.get("results", 0) == found.get("results")), None)
                cases.append({**entry, **({"same_as": same} if same else found)})
        lines = ",\n".join(json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in cases)
        versions = {"transformers": transformers.__version__, "sentencepiece": sentencepiece.__version__}
        (folder / "cases.json").write_text(
            f'{{"reference":{json.dumps(versions)},"texts":{json.dumps(TEXTS, ensure_ascii=False)},"cases":[\n{lines}\n]}}\n')
        refused = [entry["name"] for entry in cases if "refused" in entry]
        print(f"{name}: {len(cases)} cases, {len(refused)} refused: {refused[:8]}", flush=True)


if __name__ == "__main__":
    main()
