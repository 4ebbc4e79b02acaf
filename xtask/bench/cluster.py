"""Measures encoderfile in Spark and in Ray on this machine beside one process with as many threads:
the same rows, in turns. Prints JSON.

python cluster.py FILE PASSAGES ROWS TURNS: an encoderfile, texts that are repeated, how many rows the
longer of two jobs has, and how often each is measured. A row's time is the difference of the two over
the difference of their rows; what remains is what a job takes besides.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path

FILE, PASSAGES, ROWS, TURNS = *sys.argv[1:3], *map(int, sys.argv[3:5])
CORES = len(os.sched_getaffinity(0))
#: So many blocks of rows for each core.
BLOCKS = 4 * CORES
SIZES = [ROWS // 5, ROWS]


def seconds(call):
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def one_process(texts):
    """`encode` over all texts with all threads."""
    from encoderfile import Encoderfile

    model = Encoderfile.load(FILE)
    return [lambda size=size: model.encode(texts[:size]) for size in SIZES]


def session(folder):
    """Spark as a cluster of processes on loopback, with an executor that has all cores: one of a core
    would be the same whether a core or an executor has a process."""
    import pyspark
    from pyspark.sql import SparkSession

    # Executors write into Spark's own folder: one whose entries are links.
    for entry in Path(pyspark.__file__).parent.iterdir():
        (Path(folder) / entry.name).symlink_to(entry)
    os.environ.update(SPARK_HOME=folder, SPARK_LOCAL_IP="127.0.0.1", PYSPARK_PYTHON=sys.executable)
    builder = SparkSession.builder.master(f"local-cluster[1,{CORES},2048]")
    builder = builder.config("spark.executorEnv.PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    builder = builder.config("spark.executor.memory", "2g").config("spark.ui.enabled", "false")
    spark = builder.config("spark.scheduler.minRegisteredResourcesRatio", "1.0").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def in_spark(spark, texts, processes):
    """Rows that executors have in memory; the result is thrown away where it is computed."""
    from encoderfile.spark import with_embeddings

    def job(size):
        rows = spark.createDataFrame([(text,) for text in texts[:size]], "text string")
        rows = rows.repartition(BLOCKS).cache()
        rows.count()
        result = with_embeddings(rows, "text", FILE, processes=processes)
        return lambda: result.write.format("noop").mode("overwrite").save()

    return [job(size) for size in SIZES]


def in_ray(texts):
    """Rows in the object store, and an actor for each core."""
    import ray
    from encoderfile.ray import with_embeddings

    ray.init(address="local", num_cpus=CORES, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False

    def job(size):
        rows = ray.data.from_items([{"text": text} for text in texts[:size]])
        rows = rows.repartition(BLOCKS).materialize()
        result = with_embeddings(rows, "text", FILE, actors=CORES)

        def run():
            for _ in result.iter_internal_ref_bundles():
                pass

        return run

    return [job(size) for size in SIZES]


def main():
    texts = list(islice(cycle(Path(PASSAGES).read_text(encoding="utf-8").splitlines()), ROWS))
    with tempfile.TemporaryDirectory() as folder:
        spark = session(folder)
        jobs = {
            "one process": one_process(texts),
            "Spark, a process a core": in_spark(spark, texts, "core"),
            "Spark, a process an executor": in_spark(spark, texts, "executor"),
            "Ray, an actor a core": in_ray(texts),
        }
        for short, _ in jobs.values():
            short()
        taken = {name: [] for name in jobs}
        for _ in range(TURNS):
            for name, calls in jobs.items():
                pair = [seconds(call) for call in calls]
                taken[name].append(pair)
                print(f"{name}: {pair[0]:.1f} s, {pair[1]:.1f} s", file=sys.stderr)
        spark.stop()
    slopes = {name: [slope(*pair) for pair in pairs] for name, pairs in taken.items()}
    print(
        json.dumps({
            "cores": CORES,
            "rows": SIZES,
            "versions": f"pyspark {version('pyspark')}, ray {version('ray')}",
            "of_a_row": {name: statistics.median(it) for name, it in slopes.items()},
            "of_a_job": {
                name: statistics.median(pair[1] - ROWS * it for pair, it in zip(pairs, slopes[name]))
                for name, pairs in taken.items()
            },
        })
    )


def slope(short, long):
    """The seconds of a row."""
    return (long - short) / (SIZES[1] - SIZES[0])


main()
