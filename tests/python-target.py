"""What the command line's `infer` and `tokenize` print, through the Python package:
`python python-target.py MODEL COMMAND OPTIONS`, with the items as lines of JSON."""

import json
import sys

from encoderfile import Encoderfile

path, command, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
items = [json.loads(line) for line in sys.stdin]
with Encoderfile.load(path) as model:
    if command == "self-test":
        results = [json.dumps(model.self_test())]
    elif command == "tokenize":
        results = [json.dumps({"results": model.tokenize(items, **options)})]
    elif "query" in options:
        texts = [item["text"] for item in items]
        results = map(json.dumps, model.rerank(options.pop("query"), texts, **options))
    else:
        results = map(json.dumps, model.infer(items, **options))
    print(*results, sep="\n")
