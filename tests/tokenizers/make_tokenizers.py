"""What transformers makes of tokenizer files that say different things.

For each tokenizer class: a folder with tokenizer.json and config.json, and cases.json.
A case says what its files have instead (`files`: keys to `set` and to `remove`; null
takes a file away) and holds what `AutoTokenizer` gives for each text: ids, segment ids
and offsets, cut to 32 tokens; or `same_as`, the name of a case with the same results.
Where transformers refuses a case or its texts, `refused` is true.

    python make_tokenizers.py ../models OUT

Run with the versions in requirements.txt beside this file; the same run gives the same
bytes. The vocabularies are those of the model folders.
"""

import copy
import json
import sys
import tempfile
import warnings
from pathlib import Path

import transformers
from transformers import AutoTokenizer

MAX_LENGTH = 32
SPECIAL = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]

TEXTS = [
    ["Hello World, Zoë flew to ÉCOLE PARIS in 東京 for the King"],
    ["THE QUICK brown Fox"],
    ["naïve café Müller, nai\u0308ve"],
    ["the </s> end <s> [SEP] mid [MASK] x <mask> y"],
    ["  hello  world "],
    ["one line\n  two lines \n\nthree. ``quoted'' it's"],
    ["the king rode out and the quick brown fox ran " * 4],
    ["The king rode out.", "He stayed at home, the queen too."],
    [""],
]

# class, folder of the vocabulary, model type, names for special tokens in the vocabulary
CLASSES = {
    "bert": ("BertTokenizer", "bert-embedding", "bert", {}),
    "distilbert": ("DistilBertTokenizer", "distilbert-embedding", "distilbert", {}),
    "electra": ("ElectraTokenizerFast", "electra-embedding", "electra", {}),
    "convbert": ("ConvBertTokenizer", "bert-embedding", "convbert", {}),
    "dpr": ("DPRQuestionEncoderTokenizer", "bert-embedding", "dpr", {}),
    "dpr-fast": ("DPRContextEncoderTokenizerFast", "bert-embedding", "bert", {}),
    "mpnet": ("MPNetTokenizer", "bert-embedding", "mpnet",
              {"[CLS]": "<s>", "[SEP]": "</s>", "[PAD]": "<pad>", "[MASK]": "<mask>"}),
    "roberta": ("RobertaTokenizer", "roberta-embedding", "roberta", {}),
    "xlm-roberta": ("XLMRobertaTokenizerFast", "xlm-roberta-embedding", "xlm-roberta", {}),
    "camembert": ("CamembertTokenizer", "camembert-embedding", "camembert", {}),
    "albert": ("AlbertTokenizer", "albert-embedding", "albert", {}),
    "fnet": ("FNetTokenizer", "albert-embedding", "fnet", {}),
    "deberta": ("DebertaTokenizer", "deberta-embedding", "deberta", {}),
    "deberta-v2": ("DebertaV2Tokenizer", "deberta-v2-embedding", "deberta-v2", {}),
    "rembert": ("RemBertTokenizer", "rembert-embedding", "rembert", {}),
    "big_bird": ("BigBirdTokenizer", "big_bird-embedding", "big_bird", {}),
    "modernbert": ("PreTrainedTokenizerFast", "modernbert-embedding", "modernbert", {}),
    "gemma": ("GemmaTokenizer", "roberta-embedding", "gemma3_text",
              {"<s>": "<bos>", "</s>": "<eos>"}),
    "llama": ("LlamaTokenizer", "roberta-embedding", "bert", {}),
    "llama-byte-level": ("LlamaTokenizer", "roberta-embedding", "bert", {}),
    "gpt2": ("GPT2Tokenizer", "roberta-embedding", "bert", {}),
    "t5": ("T5Tokenizer", "xlm-roberta-embedding", "t5", {}),
    "generic": ("PreTrainedTokenizerFast", "bert-embedding", "bert", {}),
}

# Keys that transformers takes and does nothing with.
WITHOUT_MEANING = {
    "truncation": True, "verbose": True, "return_token_type_ids": False, "return_attention_mask": False,
    "return_tensors": None, "cache_dir": None, "use_auth_token": None, "lowercase": False,
    "wordpieces_prefix": "x", "max_seq_length": 8, "vocab_type": "sentencepiece",
}

FLAGS = [
    "do_lower_case", "strip_accents", "tokenize_chinese_chars", "add_prefix_space",
    "trim_offsets", "keep_accents", "legacy", "split_by_punct", "add_bos_token",
    "add_eos_token", "split_special_tokens", "clean_up_tokenization_spaces",
]


def renamed(value, names):
    """A tokenizer.json whose special tokens have other names."""
    if isinstance(value, dict):
        return {names.get(key, key): renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [renamed(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def token(content, **flags):
    fields = {"content": content, "lstrip": False, "normalized": False, "rstrip": False,
              "single_word": False, "special": True}
    return {**fields, **flags}


def sentencepiece(tokenizer):
    """A byte-level BPE's tokenizer.json as a Llama has it: spaces are U+2581."""
    model = tokenizer["model"]
    spaced = lambda text: text.replace("\u0120", "\u2581")
    model["vocab"] = {spaced(token): id for token, id in model["vocab"].items()}
    model["merges"] = [spaced(merge) if isinstance(merge, str) else [spaced(part) for part in merge]
                       for merge in model["merges"]]
    bos = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    text = lambda name, type_id: {"Sequence": {"id": name, "type_id": type_id}}
    return {
        **tokenizer,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": False},
        "decoder": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": False},
        "post_processor": {
            "type": "TemplateProcessing", "single": [bos, text("A", 0)],
            "pair": [bos, text("A", 0), text("B", 1)],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}},
    }


class Case:
    """A folder's files before they are changed."""

    def __init__(self, models, name):
        class_name, folder, model_type, names = CLASSES[name]
        read = lambda file: renamed(json.loads((models / folder / file).read_text()), names)
        self.tokenizer = read("tokenizer.json")
        if name == "llama":
            self.tokenizer = sentencepiece(self.tokenizer)
        if not self.tokenizer["model"].get("unk_token") and self.tokenizer["model"]["type"] == "BPE":
            self.tokenizer["model"].pop("unk_token", None)
        self.config = {"architectures": ["BertModel"], "model_type": model_type,
                       "vocab_size": 800, "max_position_embeddings": 80, "type_vocab_size": 2,
                       "hidden_size": 32, **({"use_bidirectional_attention": True} if name == "gemma" else {})}
        config = read("tokenizer_config.json")
        config["tokenizer_class"] = class_name
        config["model_max_length"] = MAX_LENGTH
        self.tokenizer_config = config

    def changes(self):
        """Each case by its name: what is said instead."""
        config, tokenizer = self.tokenizer_config, self.tokenizer
        with_keys = lambda **keys: {"tokenizer_config.json": {**config, **keys}}
        without = lambda *keys: {k: v for k, v in config.items() if k not in keys}
        yield "as it is", {}
        for flag in FLAGS:
            for value in [True, False]:
                yield f"{flag} {value}".lower(), with_keys(**{flag: value})
        yield "strip_accents null", with_keys(strip_accents=None)
        yield "truncation_side left", with_keys(truncation_side="left")
        yield "token type ids", with_keys(model_input_names=["input_ids", "token_type_ids", "attention_mask"])
        yield "no token type ids", with_keys(model_input_names=["input_ids", "attention_mask"])
        yield "no model_input_names", {"tokenizer_config.json": without("model_input_names")}
        yield "additional tokens", with_keys(additional_special_tokens=["qu", "wor"])
        yield "extra list", with_keys(extra_special_tokens=["qu", "king"])
        yield "extra map", with_keys(extra_special_tokens={"some_token": "qu"})
        yield "additional and extra", with_keys(additional_special_tokens=["qu"], extra_special_tokens=["wor"])
        yield "a token of its own", with_keys(query_token="king")
        yield "a token with flags", with_keys(
            extra_special_tokens=[{"__type": "AddedToken", **token("king", lstrip=True, special=False)}])
        decoder = config["added_tokens_decoder"]
        mask = next((i for i, t in decoder.items() if "mask" in t["content"].lower()), None)
        if mask:
            for flag in ["lstrip", "rstrip", "normalized", "single_word", "special"]:
                other = copy.deepcopy(decoder)
                other[mask][flag] = not other[mask][flag]
                yield f"mask {flag}", with_keys(added_tokens_decoder=other)
            other = {i: t for i, t in decoder.items() if i != mask}
            yield "no mask in the decoder", with_keys(added_tokens_decoder=other)
            named = decoder[mask]["content"]
            map_ = {"mask_token": {k: v for k, v in token(named, lstrip=True, rstrip=True).items() if k != "special"}}
            yield "map beside the decoder", {"special_tokens_map.json": map_}
            yield "map without the decoder", {
                "tokenizer_config.json": without("added_tokens_decoder"), "special_tokens_map.json": map_}
            lists = copy.deepcopy(tokenizer)
            for entry in lists["added_tokens"]:
                entry["lstrip"] = entry["lstrip"] or entry["content"] == named
            yield "mask lstrip in tokenizer.json", {"tokenizer.json": lists}
            yield "the same without the decoder", {
                "tokenizer_config.json": without("added_tokens_decoder"), "tokenizer.json": lists}
        for key in SPECIAL:
            if config.get(key):
                yield f"no {key}", {"tokenizer_config.json": without(key)}
                yield f"another {key}", with_keys(**{key: "qu"})
        yield "map names others", {"special_tokens_map.json": {"unk_token": "qu", "cls_token": "wor"}}
        yield "map names others, no decoder", {
            "tokenizer_config.json": without("added_tokens_decoder"),
            "special_tokens_map.json": {"sep_token": "qu", "additional_special_tokens": ["king"]}}
        yield "added_tokens.json", {
            "tokenizer_config.json": without("added_tokens_decoder"), "added_tokens.json": {"king": 33, "wor": 34}}
        yield "added_tokens.json beside the decoder", {"added_tokens.json": {"king": 33}}
        yield "no class", {"tokenizer_config.json": without("tokenizer_class")}
        yield "no tokenizer_config.json", {"tokenizer_config.json": None}
        yield "class of config.json", {
            "tokenizer_config.json": without("tokenizer_class"),
            "config.json": {**self.config, "tokenizer_class": config["tokenizer_class"]}}
        yield "generic class", with_keys(tokenizer_class="PreTrainedTokenizerFast", do_lower_case=False)
        yield "nobody's class", with_keys(tokenizer_class="SomebodysTokenizer")
        for section in ["normalizer", "post_processor", "pre_tokenizer"]:
            yield f"no {section}", {"tokenizer.json": {**tokenizer, section: None}}
        cut = {"direction": "Left", "max_length": 20, "strategy": "LongestFirst", "stride": 0}
        yield "truncation in tokenizer.json", {"tokenizer.json": {**tokenizer, "truncation": cut}}
        yield "truncation contradicted", {
            "tokenizer.json": {**tokenizer, "truncation": cut}, **with_keys(truncation_side="right")}
        yield from self.maps_of_tokens()
        for pad in ["[PAD]", "qu", "<new>"]:
            padded = {**tokenizer, "padding": {
                "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None,
                "pad_id": 0, "pad_type_id": 0, "pad_token": pad}}
            yield f"padding with {pad} in tokenizer.json", {"tokenizer.json": padded}
            yield f"padding with {pad}, no pad_token", {
                "tokenizer.json": padded, "tokenizer_config.json": without("pad_token", "added_tokens_decoder")}
            yield f"padding with {pad}, pad_token null", {
                "tokenizer.json": padded, **with_keys(pad_token=None)}
        own = copy.deepcopy(tokenizer)
        own["added_tokens"] += [{"id": 33, **token("king", special=False, normalized=True, rstrip=True)}]
        yield "extra and special in one list only", {
            "tokenizer.json": own, "tokenizer_config.json": {
                **without("added_tokens_decoder"), "extra_special_tokens": ["king"], "query_token": "wor"}}
        yield "extra and in the decoder", with_keys(
            added_tokens_decoder={**decoder, "900": token("king", special=False, normalized=True, lstrip=True)},
            extra_special_tokens=["king"])
        yield "keys without meaning", with_keys(**WITHOUT_MEANING)
        yield "unknown key", with_keys(some_new_switch=True)


    def maps_of_tokens(self):
        """A map of the model's own tokens beside lists of extra ones."""
        config = self.tokenizer_config
        no_decoder = {k: v for k, v in config.items() if k != "added_tokens_decoder"}
        own, others = {"some": "qu", "image_token": "wor"}, ["king", "fox"]
        specific = {"some": "king", "image_token": "fox"}
        flags = {"some": {"__type": "AddedToken", **token("qu", rstrip=True)}}
        for name, base in [("the decoder", config), ("no decoder", no_decoder)]:
            case = lambda map_=None, **keys: {
                "tokenizer_config.json": {**base, **keys}, **({"special_tokens_map.json": map_} if map_ else {})}
            yield f"extra map and additional, {name}", case(
                extra_special_tokens=own, additional_special_tokens=others)
            yield f"extra map and a list in the map, {name}", case(
                {"extra_special_tokens": others}, extra_special_tokens=own)
            yield f"extra list and a map in the map, {name}", case(
                {"extra_special_tokens": own}, extra_special_tokens=others)
            yield f"additional and a map in the map, {name}", case(
                {"extra_special_tokens": own}, additional_special_tokens=others)
            yield f"maps in both, {name}", case({"extra_special_tokens": flags}, extra_special_tokens=own)
            yield f"map and additional in the map, {name}", case(
                {"extra_special_tokens": own, "additional_special_tokens": others})
            yield f"additional null in the map, {name}", case({"additional_special_tokens": None})
            yield f"specific map, {name}", case(model_specific_special_tokens=specific)
            yield f"specific and extra map, {name}", case(
                model_specific_special_tokens=specific, extra_special_tokens=own)
            yield f"specific map and a token of its own, {name}", case(
                model_specific_special_tokens=specific, query_token="wor")
            yield f"specific map and one in the map, {name}", case(
                {"extra_special_tokens": own, "query_token": "the"}, model_specific_special_tokens=specific)


def outcome(folder):
    """What transformers gives for each text."""
    try:
        return {"results": results(AutoTokenizer.from_pretrained(folder))}
    except Exception:
        return {"refused": True}


def results(tokenizer):
    results = []
    for texts in TEXTS:
        out = tokenizer(*texts, truncation=True, max_length=MAX_LENGTH, return_offsets_mapping=True)
        types = out.get("token_type_ids", [0] * len(out["input_ids"]))
        offsets = [list(pair) for pair in out["offset_mapping"]]
        results.append({"input_ids": out["input_ids"], "type_ids": types, "offsets": offsets})
    return results


def difference(before, after):
    """A file as what it has instead of another."""
    if after is None:
        return None
    missing = object()
    changed = {key: value for key, value in after.items() if before.get(key, missing) != value}
    return {"set": changed, "remove": [key for key in before if key not in after]}


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


def main():
    models, out = Path(sys.argv[1]), Path(sys.argv[2])
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    # A name with Fast that is another class becomes a mere name once the other is loaded.
    transformers.DPRContextEncoderTokenizerFast
    for name in CLASSES:
        case = Case(models, name)
        base = {"config.json": case.config, "tokenizer.json": case.tokenizer,
                "tokenizer_config.json": case.tokenizer_config}
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in base.items():
            write(folder / file, content)
        cases = []
        for title, files in case.changes():
            with tempfile.TemporaryDirectory() as place:
                for file, content in {**base, **files}.items():
                    if content is not None:
                        write(Path(place) / file, content)
                entry = {"name": title, "files": {
                    file: difference(base.get(file, {}), content) for file, content in files.items()}}
                found = outcome(place)
                same = next((it["name"] for it in cases if it.get("results", 0) == found.get("results")), None)
                cases.append({**entry, **({"same_as": same} if same else found)})
        lines = ",\n".join(json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in cases)
        versions = {"transformers": transformers.__version__}
        (folder / "cases.json").write_text(
            f'{{"reference":{json.dumps(versions)},"texts":{json.dumps(TEXTS, ensure_ascii=False)},"cases":[\n{lines}\n]}}\n')
        refused = sum("refused" in entry for entry in cases)
        print(f"{name}: {len(cases)} cases, {refused} refused")


if __name__ == "__main__":
    main()
