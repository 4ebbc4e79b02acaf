"""Threads, forks, workers, signals and memory."""

from __future__ import annotations

import concurrent.futures
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from encoderfile import ClosedError, Encoderfile

TEXTS = [f"text number {index} of many" for index in range(40)]
unix = pytest.mark.skipif(os.name == "nt", reason="needs fork and signals of Unix")


def test_a_pickle_keeps_the_path(model: Encoderfile, path: Path) -> None:
    pickled = pickle.dumps(model)
    assert len(pickled) < 1000 and os.fsencode(path) in pickled
    assert np.array_equal(pickle.loads(pickled).encode("a"), model.encode("a"))


def test_a_pickle_of_bytes_has_them(model: Encoderfile, path: Path) -> None:
    copy = pickle.loads(pickle.dumps(Encoderfile.load(path.read_bytes(), threads=1)))
    assert np.array_equal(copy.encode("a"), model.encode("a"))


def test_a_relative_path_stays_where_it_was(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    model = Encoderfile.load(path.name)
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(pickle.dumps(model)).name == model.name


def test_threads_share_a_model(model: Encoderfile) -> None:
    expected = model.encode(TEXTS)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for got in pool.map(lambda _: model.encode(TEXTS), range(8)):
            assert np.array_equal(got, expected)
        for got, row in zip(pool.map(model.encode, TEXTS), expected, strict=True):
            assert np.array_equal(got, row)


def test_other_threads_run_meanwhile(model: Encoderfile) -> None:
    done = threading.Event()
    ticks = 0

    def count() -> None:
        nonlocal ticks
        while not done.wait(0.001):
            ticks += 1

    counter = threading.Thread(target=count)
    counter.start()
    model.encode(TEXTS * 10)
    done.set()
    counter.join()
    assert ticks > 10


def test_closing_waits_for_nobody(path: Path) -> None:
    model = Encoderfile.load(path)
    results: list[np.ndarray] = []
    begun = threading.Event()

    def texts() -> Iterator[str]:
        begun.set()
        yield from TEXTS * 5

    computing = threading.Thread(target=lambda: results.append(model.encode(texts())))
    computing.start()
    begun.wait()
    model.close()
    computing.join()
    assert results[0].shape == (200, 384)
    with pytest.raises(ClosedError):
        model.encode("a")


def test_nothing_keeps_a_model(path: Path) -> None:
    model = Encoderfile.load(path)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def child(model: Encoderfile, results: multiprocessing.SimpleQueue[bytes]) -> None:
    results.put(model.encode(TEXTS).tobytes())


@unix
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_every_kind(model: Encoderfile, method: str) -> None:
    # All threads of the parent exist, and are at work while it forks.
    expected = model.encode(TEXTS).tobytes()
    busy = threading.Thread(target=lambda: model.encode(TEXTS * 20))
    busy.start()
    context = multiprocessing.get_context(method)
    results = context.SimpleQueue()
    children = [context.Process(target=child, args=(model, results)) for _ in range(3)]
    for process in children:
        process.start()
    assert [results.get() for _ in children] == [expected] * 3
    for process in children:
        process.join(60)
        assert process.exitcode == 0
    busy.join()
    assert model.encode(TEXTS).tobytes() == expected


@unix
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_child_of_a_child_and_a_closed_model(path: Path) -> None:
    with Encoderfile.load(path) as model:
        expected = model.encode("a").tobytes()
        first = os.fork()
        if first == 0:
            same = model.encode("a").tobytes() == expected
            second = os.fork()
            if second == 0:
                os._exit(0 if model.encode(["a"])[0].tobytes() == expected else 1)
            ended = os.waitpid(second, 0)[1]
            model.close()
            os._exit(0 if same and ended == 0 else 1)
        assert os.waitpid(first, 0)[1] == 0


INTERRUPTED = """
import signal, sys
from encoderfile import Encoderfile
# Whoever runs the tests in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
model = Encoderfile.load(sys.argv[1])
model.encode("a")
print("ready", flush=True)
try:
    model.encode(["a long text " * 80] * 100_000)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    print(model.encode("a").shape)
"""


@unix
def test_ctrl_c_ends_a_call(path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        try:
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert output == "interrupted\n(384,)\n"


SHARED = """
import sys
from encoderfile import Encoderfile
model = Encoderfile.load(sys.argv[1], threads=1)
model.encode(["a text"] * 4)
print("ready", flush=True)
sys.stdin.readline()
"""


def mapped(process: int, file: Path) -> dict[str, int]:
    """The memory of a process that a file is mapped to, in bytes: resident (``Rss``), and with
    shared pages divided among those that share them (``Pss``)."""
    sums = {"Rss": 0, "Pss": 0}
    is_of_file = False
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in sums and is_of_file:
            sums[name] += int(rest.split()[0]) * 1024
        elif "-" in line.split(" ", 1)[0]:
            is_of_file = line.endswith(str(file))
    return sums


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc of Linux")
def test_processes_share_the_memory_of_a_file(path: Path) -> None:
    command = [sys.executable, "-c", SHARED, path]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(8)]  # type: ignore[call-overload]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        each = [mapped(process.pid, path) for process in processes]
    finally:
        for process in processes:
            process.communicate("\n")
    # Each has the matrices that a text is multiplied by, and all of them together one copy.
    length = path.stat().st_size
    assert all(it["Rss"] > 0.3 * length for it in each), each
    assert sum(it["Pss"] for it in each) < 1.1 * length, each
