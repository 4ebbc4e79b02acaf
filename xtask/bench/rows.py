"""Measures `infer` over files of many short rows: Parquet beside JSON lines, memory over the number of
rows, and runs that are killed. Prints JSON. Needs pyarrow.

python rows.py TOOL FILE FOLDER ROWS TURNS: the tool, an encoderfile, a folder to write to, how many
rows, and how often each is measured.
"""

import hashlib
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

TOOL, FILE, FOLDER = sys.argv[1], sys.argv[2], Path(sys.argv[3])
ROWS, TURNS = map(int, sys.argv[4:6])
FEWER = 10
KINDS = ("jsonl", "parquet")
# A run that keeps no part in this time is no run.
WAIT_SECONDS = 600


def make(rows, name):
    """The same rows as JSON lines and as Parquet."""
    texts = [f"row {row} of the house" for row in range(rows)]
    with open(FOLDER / f"{name}.jsonl", "w", encoding="utf-8") as lines:
        lines.writelines(json.dumps({"id": row, "text": it}) + "\n" for row, it in enumerate(texts))
    table = pa.table({"id": pa.array(range(rows), pa.int64()), "text": texts})
    parquet.write_table(table, FOLDER / f"{name}.parquet")


def infer(name, kind, output, *options):
    command = [TOOL, "infer", FILE, "--input", FOLDER / f"{name}.{kind}", "--id-column", "id"]
    return [*command, "-o", FOLDER / f"{output}.{kind}", *options]


def run(command):
    """Seconds."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def peak(command):
    """The most bytes that were resident; of a process of its own, since a child has its parent's until
    it is another program."""
    measure = [sys.executable, Path(__file__).with_name("peak_memory.py"), *command]
    return int(subprocess.run(measure, check=True, capture_output=True, text=True).stdout)


def killed(command, part):
    """Kills a run when it has kept so many parts."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        begun = time.monotonic()
        while not part.exists():
            assert process.poll() is None, "it ended before it was killed"
            assert time.monotonic() - begun < WAIT_SECONDS, f"no {part}"
            time.sleep(0.01)
        process.kill()


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lost_or_doubled():
    """Rows that a run which was killed twice and resumed has not once, over both formats."""
    wrong = 0
    for kind in KINDS:
        unfinished = FOLDER / f"killed.{kind}.unfinished"
        killed(infer("rows", kind, "killed"), unfinished / "00000000.json")
        killed(infer("rows", kind, "killed", "--resume"), unfinished / "00000001.json")
        run(infer("rows", kind, "killed", "--resume"))
        file = FOLDER / f"killed.{kind}"
        assert digest(file) == digest(FOLDER / f"whole.{kind}"), f"{file}: other bytes"
        if kind == "parquet":
            ids = parquet.read_table(file, columns=["id"])["id"].to_pylist()
        else:
            with open(file, encoding="utf-8") as lines:
                ids = [json.loads(line)["id"] for line in lines]
        wrong += len(set(range(ROWS)).symmetric_difference(ids)) + len(ids) - len(set(ids))
    return wrong


def main():
    make(ROWS, "rows")
    make(ROWS // FEWER, "fewer")
    seconds = {kind: [] for kind in KINDS}
    for _ in range(TURNS):
        for kind in KINDS:
            (FOLDER / f"whole.{kind}").unlink(missing_ok=True)
            seconds[kind].append(run(infer("rows", kind, "whole")))
    json.dump(
        {
            "seconds": {
                kind: {"median": statistics.median_high(it), "best": min(it)}
                for kind, it in seconds.items()
            },
            "peak": {kind: peak(infer("rows", kind, "measured")) for kind in KINDS},
            "peak_of_fewer": {kind: peak(infer("fewer", kind, "measured-fewer")) for kind in KINDS},
            "lost_or_doubled": lost_or_doubled(),
        },
        sys.stdout,
    )


main()
