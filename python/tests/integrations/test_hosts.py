"""One file for all processes of a host."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from encoderfile import hosts
from encoderfile.hosts import Identity, link_or_copy, shared

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no folder for it")

CONTENT = b"what is in the file"
FILE = Identity("d" * 64, len(CONTENT))
OTHER = Identity("e" * 64, len(CONTENT))
#: Prints the inode that a process shares, and keeps it until its input ends.
PROCESS = """
import sys
from pathlib import Path
from encoderfile.hosts import Identity, link_or_copy, shared
identity = Identity(sys.argv[1], int(sys.argv[2]))
print(shared(identity, lambda target: link_or_copy(sys.argv[3], target)).stat().st_ino, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the test's own, also for processes that it starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(hosts, "_locked", {})
    return folder


def place(target: Path) -> None:
    target.write_bytes(CONTENT)


def refuse(target: Path) -> None:
    raise AssertionError(f"{target} is there already")


def start(own: Path, identity: Identity = FILE) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROCESS, identity.digest, str(identity.size_bytes), str(own)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def inode(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def test_the_second_finds_what_the_first_put_there(temporary: Path) -> None:
    path = shared(FILE, place)
    assert path is not None and path.read_bytes() == CONTENT
    assert path.parent == temporary / f"encoderfile-{os.getuid()}"
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert shared(FILE, refuse) == path
    assert [it.name for it in path.parent.iterdir()] == [FILE.name]


def test_processes_that_begin_at_once_have_one_file(tmp_path: Path) -> None:
    copies = [tmp_path / f"copy-{n}" for n in range(6)]
    for copy in copies:
        copy.write_bytes(CONTENT)
    processes = [start(copy) for copy in copies]
    inodes = {inode(process) for process in processes}
    assert len(inodes) == 1
    assert inodes <= {copy.stat().st_ino for copy in copies}
    for process in processes:
        process.communicate()
        assert process.returncode == 0


def test_what_a_living_process_has_stays_and_what_a_killed_one_had_goes(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(CONTENT)
    process = start(copy)
    inode(process)
    path = shared(OTHER, place)
    assert path is not None
    names = {it.name for it in path.parent.iterdir()}
    assert names == {FILE.name, OTHER.name}
    process.kill()
    process.communicate()
    third = Identity("f" * 64, len(CONTENT))
    shared(third, place)
    assert {it.name for it in path.parent.iterdir()} == {OTHER.name, third.name}


def test_a_file_that_was_removed_is_put_there_again() -> None:
    path = shared(FILE, place)
    assert path is not None
    path.unlink()
    assert shared(FILE, place) == path and path.read_bytes() == CONTENT


def test_a_file_that_could_not_be_written_leaves_nothing(temporary: Path) -> None:
    def fail(target: Path) -> None:
        target.write_bytes(CONTENT[:4])
        raise OSError("no space left on device")

    assert shared(FILE, fail) is None
    assert list((temporary / f"encoderfile-{os.getuid()}").iterdir()) == []
    assert shared(FILE, place) is not None


@pytest.mark.parametrize("mode", [0o777, 0o750])
def test_a_folder_that_others_can_enter_is_refused(
    mode: int, temporary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = temporary / f"encoderfile-{os.getuid()}"
    folder.mkdir()
    folder.chmod(mode)
    assert shared(FILE, place) is None
    assert f"{folder}: not a folder that is this user's alone" in caplog.text
    assert list(folder.iterdir()) == []


def test_a_folder_of_somebody_else_is_refused(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = os.getuid() + 1
    (temporary / f"encoderfile-{user}").mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: user)
    assert shared(FILE, place) is None


def test_links_in_place_of_folder_and_file_are_refused(temporary: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    folder = temporary / f"encoderfile-{os.getuid()}"
    folder.symlink_to(elsewhere)
    assert shared(FILE, place) is None
    assert list(elsewhere.iterdir()) == []
    folder.unlink()
    folder.mkdir(mode=0o700)
    (elsewhere / "file").write_bytes(CONTENT)
    (folder / FILE.name).symlink_to(elsewhere / "file")
    assert shared(FILE, place) is None


def test_a_file_of_another_size_is_not_taken(temporary: Path) -> None:
    folder = temporary / f"encoderfile-{os.getuid()}"
    folder.mkdir(mode=0o700)
    held = (folder / FILE.name).open("wb")
    held.write(b"cut")
    held.flush()
    # Somebody uses it, so that it stays.
    import fcntl

    fcntl.flock(held, fcntl.LOCK_SH)
    assert shared(FILE, place) is None
    held.close()
    assert shared(FILE, place) is not None


def test_a_copy_where_there_can_be_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    link_or_copy(source, tmp_path / "link")
    assert (tmp_path / "link").samefile(source)

    def refuse(*_: object) -> None:
        raise OSError("invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    link_or_copy(source, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert not (tmp_path / "copy").samefile(source)
