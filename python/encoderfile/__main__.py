"""``python -m encoderfile``: the command itself."""

from __future__ import annotations

import os
import subprocess
import sys

from .errors import ToolError
from .tool import path


def main() -> int:
    """Becomes the program, with the same arguments."""
    try:
        program = path()
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if os.name == "nt":
        return subprocess.run([program, *sys.argv[1:]], check=False).returncode
    os.execv(program, [os.fspath(program), *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
