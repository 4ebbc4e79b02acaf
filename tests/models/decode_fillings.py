"""The texts of fill-mask results, decoded anew by the transformers that is installed.

Transformers 5 does not tidy up what a BPE tokenizer decodes, whatever
`clean_up_tokenization_spaces` says; 4 did. Scores and tokens do not depend on that, and
stay as make_models.py wrote them. With --check nothing is written, and a difference is
an error: so transformers 4.57.6 was shown to give what make_models.py wrote.

    python decode_fillings.py [--check] FOLDER…
"""

import json
import sys
from pathlib import Path

import transformers
from transformers import AutoTokenizer


def rendered(value, indent=""):
    """JSON as make_models.py writes it."""
    inner = indent + " "
    children = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list)) or not any(isinstance(it, (dict, list)) for it in children):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        lines = [f"{json.dumps(key)}: {rendered(it, inner)}" for key, it in value.items()]
        return "{" + ",".join(f"\n{inner}{line}" for line in lines) + f"\n{indent}}}"
    lines = [rendered(it, inner) for it in value]
    return "[" + ",".join(f"\n{inner}{line}" for line in lines) + f"\n{indent}]"


def decoded(tokenizer, text, masks, options):
    """The fillings of a text's masks as the pipeline decodes them."""
    length = {"truncation": True, "max_length": tokenizer.model_max_length}
    tokenizer.truncation_side = options.get("truncation_side", "right")
    ids = tokenizer(text, **length)["input_ids"]
    places = [place for place, id in enumerate(ids) if id == tokenizer.mask_token_id]
    for place, fillings in zip(places, masks, strict=True):
        for filling in fillings:
            tokens = list(ids)
            tokens[place] = filling["token"]
            tokens = [id for id in tokens if id != tokenizer.pad_token_id]
            sequence = tokenizer.decode(tokens, skip_special_tokens=len(places) == 1)
            yield filling, {"sequence": sequence, "token_str": tokenizer.decode([filling["token"]])}


def main():
    check = "--check" in sys.argv
    for folder in map(Path, (argument for argument in sys.argv[1:] if argument != "--check")):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        path = folder / "requests.json"
        content = json.loads(path.read_text())
        changed = 0
        for request in content["requests"]:
            for item, result in zip(request["items"], request["results"]):
                for filling, new in decoded(tokenizer, item["text"], result["masks"], request["options"]):
                    changed += any(filling.get(key) != value for key, value in new.items())
                    filling.update(new)
        assert not (check and changed), f"{folder}: {changed} fillings differ"
        if changed:
            content["reference"] += f"; decoded by transformers {transformers.__version__}"
            path.write_text(rendered(content) + "\n", encoding="utf-8")
        print(f"{folder.name}: {changed} changed")


main()
