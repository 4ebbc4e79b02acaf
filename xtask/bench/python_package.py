"""Measures the Python package beside the command line, a server of encoderfile's, and whatever of
sentence-transformers and fastembed is installed: in turns, in one process. Prints JSON.

python python_package.py FILE FOLDER PASSAGES TURNS: a native encoderfile, the model folder it was
built of, texts, and how often each is measured.
"""

import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version

FILE, FOLDER, PASSAGES, TURNS = *sys.argv[1:4], int(sys.argv[4])
SHORT = "How do I reset my password?"
IMPORT = "import time; t = time.perf_counter(); import encoderfile; print(time.perf_counter() - t)"


def seconds(call):
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turns(calls):
    """The seconds of each call, over all turns."""
    taken = {name: [] for name in calls}
    for _ in range(TURNS):
        for name, call in calls.items():
            taken[name].append(call())
    return taken


def fresh(code):
    """What a new interpreter measures of itself."""
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)


def infer():
    """All passages through the command line, start and load included, as for whoever uses it."""
    command = [FILE, "infer", "--input", PASSAGES]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Asked:
    """`infer` with pipes: it answers each text before the next is written."""

    def __init__(self):
        command = [FILE, "infer", "--format", "jsonl", "--input", "-"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, **pipes)

    def ask(self, text):
        self.process.stdin.write((json.dumps({"text": text}) + "\n").encode())
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


class Served:
    """`serve` on a free port of loopback, asked in batches of 32 over one connection."""

    def __init__(self):
        command = [FILE, "serve", "--hostname", "127.0.0.1", "--http-port", "0"]
        command.append("--disable-grpc")
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(command, text=True, **pipes)
        for line in self.process.stdout:
            if "http://127.0.0.1:" in line:
                port = line.split("http://127.0.0.1:")[1].split()[0]
                break
        self.connection = http.client.HTTPConnection("127.0.0.1", int(port))

    def embed(self, texts):
        for start in range(0, len(texts), 32):
            body = json.dumps({"inputs": texts[start : start + 32], "truncate": True})
            headers = {"Content-Type": "application/json"}
            self.connection.request("POST", "/embed", body, headers)
            assert len(json.load(self.connection.getresponse())) == len(texts[start : start + 32])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate()


def torch_peer(texts, expected):
    """The model in sentence-transformers, and what to call it. A folder that has no weights of
    PyTorch's gets random ones: the shapes are what takes the time."""
    import numpy as np
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import AutoConfig, AutoModel

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    name = f"{version('sentence-transformers')}, torch {version('torch')}"
    try:
        peer = SentenceTransformer(FOLDER, device="cpu")
    except OSError:
        with tempfile.TemporaryDirectory() as folder:
            left_out = shutil.ignore_patterns("*.onnx", "*.onnx_data")
            shutil.copytree(FOLDER, folder, ignore=left_out, dirs_exist_ok=True)
            AutoModel.from_config(AutoConfig.from_pretrained(FOLDER)).save_pretrained(folder)
            peer = SentenceTransformer(folder, device="cpu")
        return peer, f"{name}, random weights"
    assert np.abs(peer.encode(texts) - expected).max() < 1e-4, "other vectors than sentence-transformers"
    return peer, name


def main():
    with Served() as served, Asked() as asked:
        print(json.dumps(measured(served, asked)))


def measured(served, asked):
    """All of it, as xtask reads it."""
    import numpy as np
    from encoderfile import Encoderfile

    with open(PASSAGES, encoding="utf-8") as file:
        texts = file.read().splitlines()
    model = Encoderfile.load(FILE)
    expected = model.encode(texts)
    calls = {
        "encode": lambda: seconds(lambda: model.encode(texts)),
        "infer": lambda: seconds(infer),
        "http": lambda: seconds(lambda: served.embed(texts)),
    }
    peers = {}
    try:
        peer, name = torch_peer(texts, expected)
        calls["sentence-transformers"] = lambda: seconds(lambda: peer.encode(texts))
        peers["sentence-transformers"] = name
    except ImportError as error:
        print(f"skipped: sentence-transformers: {error}", file=sys.stderr)
    try:
        from fastembed import TextEmbedding
        from fastembed.common.model_description import ModelSource, PoolingType

        TextEmbedding.add_custom_model(
            model="local", pooling=PoolingType.MEAN, normalization=True,
            sources=ModelSource(hf="local/local"), dim=expected.shape[1], model_file="model.onnx",
        )  # fmt: skip
        fast = TextEmbedding("local", specific_model_path=FOLDER)
        got = np.stack(list(fast.embed(texts)))
        # It truncates what is longer than the folder's limit elsewhere.
        assert np.median(np.abs(got - expected)) < 1e-4, "other vectors than fastembed"
        calls["fastembed"] = lambda: seconds(lambda: list(fast.embed(texts, batch_size=32)))
        peers["fastembed"] = version("fastembed")
    except (ImportError, PackageNotFoundError) as error:
        print(f"skipped: fastembed: {error}", file=sys.stderr)
    passages = in_turns(calls)

    for _ in range(20):
        asked.ask(SHORT)
    short = {"encode": [], "infer": []}
    for _ in range(300):
        short["encode"].append(seconds(lambda: model.encode(SHORT)))
        short["infer"].append(seconds(lambda: asked.ask(SHORT)))
    load = f"import time, encoderfile; t = time.perf_counter(); encoderfile.Encoderfile.load({FILE!r}); print(time.perf_counter() - t)"
    starts = in_turns({"import": lambda: fresh(IMPORT), "load": lambda: fresh(load)})
    median = statistics.median
    return {
        "texts": len(texts),
        "peers": peers,
        "passages": {name: {"median": median(it), "best": min(it)} for name, it in passages.items()},
        "short": {name: median(it) for name, it in short.items()},
        "starts": {name: median(it) for name, it in starts.items()},
    }


main()
