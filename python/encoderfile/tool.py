"""The command ``encoderfile``, which is in this package."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .errors import ToolError

__all__ = ["path", "run"]


def path() -> Path:
    """Where the program is: in this package, unless ``ENCODERFILE_TOOL`` names another."""
    name = "encoderfile.exe" if os.name == "nt" else "encoderfile"
    chosen = os.environ.get("ENCODERFILE_TOOL")
    program = Path(chosen) if chosen else Path(__file__).parent / "bin" / name
    if not program.is_file():
        raise ToolError(
            f"{program}: there is no such program; this installation of encoderfile was built "
            "without it (set ENCODERFILE_TOOL to the path of the encoderfile tool)"
        )
    return program


def run(arguments: Sequence[str | os.PathLike[str]], cwd: Path | None = None) -> str:
    """What the program prints; :class:`ToolError` with what it says if it fails."""
    ended = subprocess.run(
        [path(), *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if ended.returncode != 0:
        lines = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
        said = lines[-1].removeprefix("error: ") if lines else ended.stderr.strip()
        raise ToolError(said or f"encoderfile ended with {ended.returncode}")
    return ended.stdout
