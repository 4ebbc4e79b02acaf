"""Building and inspecting, by upstream's names, the command, and wheels of a single model."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import encoderfile
from encoderfile import (
    BatchLongest,
    Encoderfile,
    EncoderfileBuilder,
    Fixed,
    ModelType,
    TargetSpec,
    TokenizerBuildConfig,
    TokenizerTruncationSide,
    TokenizerTruncationStrategy,
    ToolError,
    building,
)

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests/models/bert-sequence_classification"


def test_the_package_has_all_that_it_names() -> None:
    for name in encoderfile.__all__:
        assert getattr(encoderfile, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'buidl'"):
        encoderfile.buidl  # noqa: B018


def test_a_builder_has_upstreams_names(tmp_path: Path) -> None:
    builder = EncoderfileBuilder(
        name="mine: a # name",
        version="1.2.0",
        model_type=ModelType.SEQUENCE_CLASSIFICATION,
        path=FOLDER,
        output_path="out.ef",
        target=TargetSpec("bundle"),
        tokenizer=TokenizerBuildConfig(
            pad_strategy=Fixed(7),
            truncation_side=TokenizerTruncationSide.LEFT,
            truncation_strategy=TokenizerTruncationStrategy.ONLY_FIRST,
            max_length=16,
        ),
    )
    file = builder.build(workdir=tmp_path, no_download=True)
    assert file == tmp_path / "out.ef"
    info = building.read_metadata(file)
    assert info.encoderfile_config == {
        "name": "mine: a # name",
        "version": "1.2.0",
        "model_type": "sequence_classification",
    }
    assert info.model_config["max_tokens"] == 16
    assert info.model_config["truncation_side"] == "left"
    assert Encoderfile.load(file).info["name"] == "mine: a # name"


def test_a_file_may_say_it_all(tmp_path: Path) -> None:
    config = tmp_path / "encoderfile.yml"
    config.write_text(
        f"encoderfile:\n  name: by-file\n  path: {FOLDER}\n  target: bundle\n"
        "  output_path: by-file.ef\n  tokenizer: {pad_strategy: batch_longest}\n"
    )
    for build in (
        lambda: building.build_from_config(config, workdir=tmp_path),
        lambda: EncoderfileBuilder.from_config(config).build(workdir=tmp_path),
    ):
        assert building.inspect(build())["name"] == "by-file"


def test_a_name_is_found_where_none_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = TokenizerBuildConfig(pad_strategy=BatchLongest())
    file = building.build(path=FOLDER, target="bundle", tokenizer=settings)
    assert file == tmp_path / "bert-sequence_classification.ef" and file.is_file()


@pytest.mark.parametrize(
    "settings,words",
    [
        ({"path": "none"}, "none"),
        ({"path": FOLDER, "transform": "function Postprocess() end"}, "`transform`: Lua"),
        ({"path": FOLDER, "target": "x86_64-linux"}, "no target"),
        ({"path": FOLDER, "weights": "int3"}, "int3"),
    ],
)
def test_a_build_that_fails_leaves_nothing(
    tmp_path: Path, settings: dict[str, object], words: str
) -> None:
    with pytest.raises(ToolError, match=words) as caught:
        building.build(**settings, output_path="out", workdir=tmp_path)
    assert not str(caught.value).startswith("error") and not os.listdir(tmp_path)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * 100)
    with pytest.raises(ToolError, match="magic"):
        building.inspect(tmp_path / "x")


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "encoderfile"]
    version = subprocess.run([*command, "version"], capture_output=True, text=True, check=True)
    assert encoderfile.__version__ in version.stdout
    wrong = subprocess.run([*command, "buidl"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and "buidl" in wrong.stderr
    script = Path(sys.executable).with_name("encoderfile")
    assert subprocess.run([script, "version"], capture_output=True, check=True).stdout


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    settings = {"path": FOLDER, "name": "my-Classifier", "target": "wheel", "workdir": tmp_path}
    return building.build(**settings, version="2.1")


def test_a_wheel_is_what_pip_expects(wheel: Path, tmp_path: Path) -> None:
    assert wheel.name == "my_classifier-2.1-py3-none-any.whl"
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", site, wheel], check=True)
    code = (
        "import my_classifier, importlib.metadata as m\n"
        "model = my_classifier.load(threads=1)\n"
        "print(model.classify('a')[0]['label'], m.version('my-classifier'))\n"
        "print(m.requires('my-classifier'), my_classifier.__doc__)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.fspath(site)}
    run = [sys.executable, "-c", code]
    output = subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout
    model = Encoderfile.load(site / "my_classifier/model.ef")
    assert output.splitlines()[0] == f"{model.classify('a')[0]['label']} 2.1"
    assert output.splitlines()[1].startswith(f"['encoderfile>={encoderfile.__version__}']")
    # pip has compared the hashes of RECORD; nothing else is in the archive.
    with zipfile.ZipFile(wheel) as archive:
        record = archive.read("my_classifier-2.1.dist-info/RECORD").decode().splitlines()
        assert sorted(line.split(",")[0] for line in record) == sorted(archive.namelist())
        assert archive.testzip() is None


def test_a_wheel_is_the_same_bytes_again(wheel: Path, tmp_path: Path) -> None:
    first = wheel.read_bytes()
    wheel.unlink()
    settings = {"path": FOLDER, "name": "my-Classifier", "target": "wheel", "version": "2.1"}
    again = building.build(**settings, workdir=tmp_path)
    assert again.read_bytes() == first


@pytest.mark.parametrize(
    "settings,words",
    [
        ({"name": "模型"}, "no Python package can be called"),
        ({"name": "Encoderfile"}, "would replace encoderfile's own"),
        ({"version": "1.0-rc.1"}, "PEP 440"),
        ({"output_path": "model.whl"}, "this one has to be"),
    ],
)
def test_what_pip_could_not_install_is_refused(
    tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    with pytest.raises(ToolError, match=words):
        building.build(path=FOLDER, target="wheel", workdir=tmp_path, **settings)
    assert not os.listdir(tmp_path)


def test_a_wheels_model_is_the_folders(
    wheel: Path, tmp_path: Path, built: Callable[[str], Encoderfile]
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        payload = archive.read("my_classifier/model.ef")
    model = built("bert-sequence_classification")
    got = Encoderfile.load(payload).infer(["a text"])[0]
    assert np.array_equal(got["logits"], model.infer(["a text"])[0]["logits"])
