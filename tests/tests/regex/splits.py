"""What the tokenizers package, which matches with Oniguruma, makes of patterns.

Reads a JSON object a line: `texts`, which count for all lines after it, or `pattern`.
Answers each pattern with a line: `error`, or `splits`, for each text its pieces and
the matches alone, as offsets in characters; null where the match itself gives up.
"""

import json
import sys

from tokenizers import Regex
from tokenizers.pre_tokenizers import Split


def offsets(split, text):
    return [offset for _, offset in split.pre_tokenize_str(text)]


def answer(pattern, texts):
    try:
        pieces = Split(Regex(pattern), "isolated")
        matches = Split(Regex(pattern), "removed", invert=True)
    except Exception as error:
        return {"error": str(error)}
    splits = []
    for text in texts:
        try:
            splits.append([offsets(pieces, text), offsets(matches, text)])
        # What Oniguruma gives up on is a panic, which is no Exception.
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            splits.append(None)
    return {"splits": splits}


def main():
    texts = []
    for line in sys.stdin:
        request = json.loads(line)
        if "pattern" not in request:
            texts = request["texts"]
            continue
        print(json.dumps(answer(request["pattern"], texts)))


main()
