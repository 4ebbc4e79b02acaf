"""The files that the tests open: the default model, and models that the tool builds of folders; and
the engines, Spark and Ray."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from encoderfile import Encoderfile, tool

# Nothing here asks a network: what a library would fetch or report fails at once instead.
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    ANONYMIZED_TELEMETRY="False",
    HAYSTACK_TELEMETRY_ENABLED="False",
    TOKENIZERS_PARALLELISM="false",
    LANGSMITH_TRACING="false",
    RAY_USAGE_STATS_ENABLED="0",
    # Ray listens on loopback alone then, as it does on other systems than Linux.
    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
)

ROOT = Path(__file__).resolve().parents[3]
MODELS = ROOT / "tests" / "models"


@pytest.fixture(scope="session")
def model_path() -> str:
    """The default model's file."""
    default = ROOT / "models" / "all-MiniLM-L6-v2.ef"
    return os.environ.get("ENCODERFILE_TEST_MODEL", str(default))


@pytest.fixture(scope="session")
def model(model_path: str) -> Encoderfile:
    """The default model."""
    return Encoderfile.load(model_path)


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The path of a file that is built of a folder of tests/models."""
    folder = tmp_path_factory.mktemp("models")

    @cache
    def built(name: str) -> str:
        path = folder / f"{name}.ef"
        tool.run(["build", "--model", MODELS / name, "-o", path, "--target", "bundle"])
        return str(path)

    return built


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A session of Spark as a cluster of two executors with two cores each, on loopback."""
    pyspark = pytest.importorskip("pyspark", reason="pyspark is not installed")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed")
    folder = tmp_path_factory.mktemp("spark")
    with pytest.MonkeyPatch.context() as patch:
        # Executors write into Spark's own folder: one whose entries are links.
        (folder / "home").mkdir()
        (folder / "tmp").mkdir()
        for entry in Path(pyspark.__file__).parent.iterdir():
            (folder / "home" / entry.name).symlink_to(entry)
        patch.setenv("SPARK_HOME", str(folder / "home"))
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        builder = pyspark.sql.SparkSession.builder.master("local-cluster[2,2,1024]")
        settings = {
            "spark.ui.enabled": "false",
            "spark.executorEnv.TMPDIR": str(folder / "tmp"),
            "spark.executorEnv.PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "spark.scheduler.minRegisteredResourcesRatio": "1.0",
            "spark.scheduler.maxRegisteredResourcesWaitingTime": "300s",
            "spark.sql.warehouse.dir": str(folder / "warehouse"),
        }
        for name, value in settings.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("OFF")
        yield session
        session.stop()


@pytest.fixture(scope="session")
def ray_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The temporary folder of the actors of Ray, which has two cores whatever the machine has."""
    ray = pytest.importorskip("ray", reason="ray is not installed")
    pytest.importorskip("ray.data", reason="ray[data] is not installed")
    folder = tmp_path_factory.mktemp("ray")
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=200 * 1024 * 1024,
        log_to_driver=False,
        runtime_env={"env_vars": {"TMPDIR": str(folder)}},
    )
    yield folder
    ray.shutdown()
