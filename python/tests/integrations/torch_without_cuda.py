"""Makes PyTorch's wheel of PyPI, installed with --no-deps, load without the libraries of CUDA.

It puts empty libraries of their names beside PyTorch's, with the symbols that those ask for, and
takes CUDA's packages out of what pip thinks is required. Computing on the CPU calls none of them.
Needs gcc and binutils; for tests only.
"""

from __future__ import annotations

import re
import subprocess
import sysconfig
import tempfile
from collections import defaultdict
from pathlib import Path

SYSTEM = re.compile(r"ld-linux|lib(c|dl|gcc_s|m|pthread|quadmath|rt|stdc\+\+|z)\.so")
OF_CUDA = re.compile(r"(cu|nccl|nvml|nvrtc|nvshmem|nvtx)")


def printed(*command: str | Path) -> list[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def main() -> None:
    packages = Path(sysconfig.get_path("purelib"))
    folder = packages / "torch" / "lib"
    needed: set[str] = set()
    #: Of each library, by version, the symbols that others ask of it.
    versioned: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    plain: set[str] = set()
    for library in folder.glob("*.so*"):
        needed.update(
            re.findall(r"NEEDED.*\[(.*)\]", "\n".join(printed("readelf", "-dW", library)))
        )
        owners: dict[str, str] = {}
        file = ""
        for line in printed("readelf", "-VW", library):
            if found := re.search(r"File: (\S+)", line):
                file = found[1]
            if found := re.search(r"Name: (\S+)\s+Flags: \S+\s+Version: ", line):
                owners[found[1]] = file
        for line in printed("readelf", "--dyn-syms", "-W", library):
            columns = line.split()
            if len(columns) < 8 or columns[6] != "UND":
                continue
            symbol, _, version = columns[7].partition("@")
            if version in owners:
                versioned[owners[version]][version].add(symbol)
            elif OF_CUDA.match(symbol):
                plain.add(symbol)
    missing = sorted(name for name in needed if not SYSTEM.match(name))
    missing = [name for name in missing if not (folder / name).exists()]
    for index, name in enumerate(missing):
        # Those without a version may be anywhere: they are in the first.
        stub(folder / name, versioned[name], plain if index == 0 else set())
    for metadata in packages.glob("torch-*.dist-info/METADATA"):
        lines = metadata.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [it for it in lines if not re.match(r"Requires-Dist: (cuda-|nvidia-|triton)", it)]
        metadata.write_text("".join(kept), encoding="utf-8")
    print(f"{len(missing)} empty libraries in {folder}")


def stub(path: Path, versions: dict[str, set[str]], plain: set[str]) -> None:
    symbols = sorted(plain.union(*versions.values()))
    with tempfile.TemporaryDirectory() as folder:
        source, script = Path(folder, "stub.c"), Path(folder, "stub.map")
        # cudaErrorUnknown, to whoever calls one nevertheless.
        source.write_text("".join(f"int {it}(void) {{ return 999; }}\n" for it in symbols))
        command = ["gcc", "-w", "-shared", "-fPIC", "-o", path, source, f"-Wl,-soname,{path.name}"]
        if versions:
            blocks = (f"{name} {{ {'; '.join(sorted(of))}; }};\n" for name, of in versions.items())
            script.write_text("".join(blocks))
            command.append(f"-Wl,--version-script={script}")
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
