"""Which tokenizer class `AutoTokenizer` takes, for every type and every name of a class.

Writes classes.json beside this file: rows of `tokenizer_class` (null where no file names
one), the class that transformers takes (null where it fails), and the model types. Nothing
is loaded: it stops where `from_pretrained` of the class would begin.

    python make_classes.py

With `--tables` it prints the tables of builder/src/folder/tokenizer/class/names.rs instead.
Run with the versions in requirements.txt and sentencepiece, without mistral-common.
"""

import json
import re
import sys
import tempfile
import textwrap
import warnings
from collections import defaultdict
from pathlib import Path

import transformers
from transformers import AutoConfig, AutoTokenizer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.tokenization_auto import (
    MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS, TOKENIZER_MAPPING_NAMES, tokenizer_class_from_name)
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

HERE = Path(__file__).parent
NAMES = HERE / "../../builder/src/folder/tokenizer/class/names.rs"
TOKENIZER = HERE / "bert/tokenizer.json"

# Classes that are named beside every type.
BESIDE_ALL = [None, "BertTokenizer", "PreTrainedTokenizerFast", "SomebodysTokenizer"]

# Types beside which every class is named: one with a class of its own, one that transformers
# does not have, one whose class is the generic one, and one whose name is not believed.
BESIDE_TYPES = ["bert", "new", "nystromformer", "modernbert", "siglip2", "dpr"]


class Found(Exception):
    """The class that was taken."""


def registered():
    """Classes by the type that config.json states."""
    names = TOKENIZER_MAPPING_NAMES.items()
    return {model_type: name.removesuffix("Fast") for model_type, name in names if name}


def exported():
    """Every name of a tokenizer class that transformers knows, without Fast."""
    names = {name.removesuffix("Fast") for name in dir(transformers)}
    names |= set(registered().values())
    return sorted(name for name in names if name.endswith("Tokenizer") and name not in ("AutoTokenizer", "PreTrainedTokenizer"))


def rows(title, entries):
    lines = [f"{title}: [{'&str' if isinstance(entries, list) else '(&str, &str)'}; {len(entries)}] = ["]
    for entry in entries if isinstance(entries, list) else []:
        lines.append(f'    "{entry}",')
    for name, types in ({} if isinstance(entries, list) else entries).items():
        wrapped = textwrap.wrap(" ".join(sorted(types)), 84, break_on_hyphens=False)
        text = " \\\n         ".join(wrapped)
        if len(wrapped) == 1 and len(name) + len(text) < 84:
            lines.append(f'    ("{name}", "{text}"),')
        else:
            lines.append(f'    (\n        "{name}",\n        "{text}",\n    ),')
    return "\n".join([*lines, "];"])


def tables():
    by_class = defaultdict(list)
    for model_type, name in registered().items():
        by_class[name].append(model_type)
    # As its folders have GPT-2's config, they have its class.
    by_class["GPT2Tokenizer"].append(by_class.pop("GPTSw3Tokenizer")[0])
    gone = [it for it, name in registered().items()
            if it not in CONFIG_MAPPING_NAMES and name != "TokenizersBackend"]
    served = re.search(r"const SERVED.*?^\];", NAMES.read_text(), re.S | re.M).group()
    unsupported = [name for name in exported() if f'"{name}"' not in served]
    print(rows("const REGISTERED", dict(sorted(by_class.items()))))
    print(rows("const UNSUPPORTED", unsupported))
    print(rows("const NOT_BELIEVED", sorted(MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS)))
    print(rows("const GONE", sorted(gone)))


class Unread(Exception):
    """A type whose config.json has to say more than the type."""


def taken(model_type, name):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "tokenizer.json").symlink_to(TOKENIZER.resolve())
        (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name} if name else {}))
        try:
            if model_type in CONFIG_MAPPING_NAMES:
                AutoConfig.from_pretrained(folder)
        except Exception as error:
            raise Unread from error
        try:
            AutoTokenizer.from_pretrained(folder)
        except Found as found:
            return str(found)
        except Exception:
            return None


def stop(cls, *_, **__):
    raise Found(cls.__name__)


def main():
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    if sys.argv[1:] == ["--tables"]:
        return tables()
    PreTrainedTokenizerBase.from_pretrained = classmethod(stop)
    # Its two tokenizers are in folders of their own.
    transformers.RagTokenizer.from_pretrained = classmethod(stop)
    # A name with Fast that is another class becomes a mere name once the other is loaded.
    transformers.DPRQuestionEncoderTokenizerFast, transformers.DPRReaderTokenizerFast
    found = defaultdict(list)
    pairs = [(it, name) for it in sorted(registered()) + ["new", "eurobert"] for name in BESIDE_ALL]
    # Here the classes of DPR's two encoders are one.
    names = [name for name in exported() if name != "DPRContextEncoderTokenizer"]
    names += [f"{name}Fast" for name in names]
    pairs += [(it, name) for it in BESIDE_TYPES for name in names if name not in BESIDE_ALL]
    for model_type, name in pairs:
        try:
            found[name, taken(model_type, name)].append(model_type)
        except Unread:
            print(f"{model_type} is left out")
    lines = [json.dumps([name, result, " ".join(types)]) for (name, result), types in found.items()]
    versions = json.dumps({"transformers": transformers.__version__})
    text = ",\n".join(lines)
    (HERE / "classes.json").write_text(f'{{"reference":{versions},"rows":[\n{text}\n]}}\n')
    print(f"{len(pairs)} decisions in {len(lines)} rows")


main()
