"""Writes the archives that the tests read, and what safetensors makes of the same tensors.

Made with torch 2.11.0 and safetensors 0.8.0: python make.py, in this folder.
"""

import collections
import io
import os
import pathlib
import pickle
import struct
import zipfile

import safetensors.torch
import torch

HERE = pathlib.Path(__file__).parent
torch.manual_seed(0)


def valid(name, saved, tensors=None, **options):
    """An archive, and the tensors that are to be read from it."""
    torch.save(saved, HERE / f"{name}.bin", **options)
    tensors = {key: value.detach().clone().contiguous() for key, value in (tensors or saved).items()}
    safetensors.torch.save_file(tensors, HERE / f"{name}.safetensors")


class Storage:
    """Becomes a persistent id."""

    def __init__(self, *id):
        self.id = id


class Call:
    """Becomes a call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Pickler(pickle._Pickler):
    def persistent_id(self, it):
        return it.id if isinstance(it, Storage) else None


def pickled(it, protocol=2):
    out = io.BytesIO()
    Pickler(out, protocol).dump(it)
    return out.getvalue()


def archive(name, pickle, entries=(("data/0", bytes(16)),), order=b"little", method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(HERE / f"{name}.bin", "w", method) as out:
        for entry, value in [("data.pkl", pickle), ("byteorder", order), *entries, ("version", b"3\n")]:
            out.writestr(zipfile.ZipInfo(f"archive/{entry}"), value, method)


def tensor(size, stride, offset=0, key="0", count=4):
    storage = Storage("storage", torch.FloatStorage, key, "cpu", count)
    hooks = collections.OrderedDict()
    return Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, hooks)


def zip64(name, entries):
    """An archive whose every number is in a field of 64 bits."""
    out, directory = b"", b""
    for entry, value in entries:
        entry = f"archive/{entry}".encode()
        crc = zipfile.crc32(value)
        wide = struct.pack("<HHQQ", 1, 16, len(value), len(value))
        directory += struct.pack("<4s6H3L5H2L", b"PK\1\2", 45, 45, 0, 0, 0, 0, crc, 2**32 - 1, 2**32 - 1,
                                 len(entry), 36, 0, 0, 0, 0, 2**32 - 1)
        other = struct.pack("<HHL", 7, 4, 0)
        directory += entry + other + struct.pack("<HHQQQ", 1, 24, len(value), len(value), len(out))
        out += struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 0, 0, 0, crc, 2**32 - 1, 2**32 - 1, len(entry), 20)
        out += entry + wide + value
    end = len(out) + len(directory)
    out, start = out + directory, len(out)
    out += struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, len(entries), len(entries), len(directory), start)
    out += struct.pack("<4sLQL", b"PK\6\7", 0, end, 1)
    out += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1, 0)
    (HERE / f"{name}.bin").write_bytes(out)


# What torch writes.
module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
module.register_buffer("position_ids", torch.arange(5).expand((1, -1)))
valid("module", module.state_dict())

numbers = torch.tensor([[1.5, -2.0, 0.25], [3.0, 65504.0, -0.0]])
dtypes = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64]
valid("dtypes", {str(dtype): numbers.nan_to_num(0).to(dtype) for dtype in dtypes})
whole = torch.tensor([-3, 0, 1, 127])
dtypes = [torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
valid("integers", {str(dtype): whole.to(dtype) for dtype in dtypes})

base = torch.arange(24, dtype=torch.float32)
valid("views", {
    "whole": base,
    "transposed": base.view(4, 6).t(),
    "permuted": base.view(2, 3, 4).permute(2, 0, 1),
    "columns": base.view(4, 6)[:, 1:3],
    "row": base.view(4, 6)[2],
    "every_other": base[1::2],
    "expanded": base[3:5].expand(3, 2),
    "scalar": base[7],
    "empty": base.view(4, 6)[4:, :],
    "one": base.view(4, 6)[1:2, 5:],
})
weight = torch.nn.Parameter(torch.arange(6.0).view(2, 3))
valid("parameter", {"weight": weight, "tied": weight, "frozen": torch.nn.Parameter(weight.t(), requires_grad=False)})

linear = torch.nn.Linear(2, 2)
state = linear.state_dict()
optimizer = torch.optim.SGD(linear.parameters(), lr=0.1, momentum=0.9)
linear(torch.ones(1, 2)).sum().backward()
optimizer.step()
valid("nested", {
    "epoch": 3, "best": torch.tensor(0.5), "note": "é", "lr": 1e-3, "big": 2**70, "steps": [1, -2, 70000, None, (True,)],
    "state_dict": state, "optimizer": optimizer.state_dict(),
}, state)
valid("model", {"model": state, "ema": dict(state)}, state)
valid("beside", {"weight": base[:4], "epoch": 3, "history": [{"loss": 0.5}, ("a", 2**70)]}, {"weight": base[:4]})
for protocol in (3, 4, 5):
    valid(f"protocol{protocol}", {"weight": weight, "long" * 70: base[:2], "raw": b"bytes"},
          {"weight": weight, "long" * 70: base[:2]}, pickle_protocol=protocol)

# What it writes that is not read.
before_1_6 = {"_use_new_zipfile_serialization": False}
valid("old", state, **before_1_6)
valid("old_views", {"whole": base, "transposed": base.view(4, 6).t(), "row": base.view(4, 6)[2],
                    "half": base.half(), "tied": weight, "again": weight}, **before_1_6)
torch.save({"a": torch.zeros(2, dtype=torch.complex64)}, HERE / "complex.bin")
torch.save({"a": torch.zeros(2, dtype=torch.uint16)}, HERE / "uint16.bin")
torch.save({"a": torch.eye(2).to_sparse()}, HERE / "sparse.bin")
torch.save({"a": 1, "b": [2]}, HERE / "no_tensors.bin")
torch.save({"a": state, "b": dict(state)}, HERE / "several.bin")
torch.save({"weight": base[:4], "more": {"deep": base[:4]}}, HERE / "lost.bin")
torch.save(linear, HERE / "whole_module.bin")

# What it would not write.
fine = pickled({"a": tensor((4,), (1,))})
loop = []
loop.append(loop)
for _ in range(60):
    loop = (loop, loop)
archive("bomb", pickled({"a": tensor((4,), (1,)), "bomb": loop}))
archive("os_system", pickled({"a": Call(os.system, "touch /tmp/pickle-was-run")}))
archive("eval", pickled(Call(eval, "1"), protocol=4))
archive("torch_load", b"\x80\x02ctorch\nload\n(X\x01\x00\x00\x00atR.")
archive("arguments", pickled({"a": Call(torch._utils._rebuild_tensor_v2, 1, 2)}))
archive("parameter_of_text", pickled({"a": Call(torch._utils._rebuild_parameter, "a", True, collections.OrderedDict())}))
archive("ordered_dict", pickled({"a": Call(collections.OrderedDict, [])}))
archive("no_storage", fine, entries=())
archive("overflow", pickled({"a": tensor((2**62, 2**62), (1, 1))}))
archive("overflow_zero", pickled({"a": tensor((2**62, 2**62, 0), (1, 1, 1))}))
archive("overflow_count", pickled({"a": tensor((4,), (1,), count=2**62)}))
archive("negative", pickled({"a": tensor((-4,), (1,))}))
archive("outside", pickled({"a": tensor((4,), (1,), offset=1)}))
archive("outside_stride", pickled({"a": tensor((2, 2), (1, 3))}))
archive("outside_count", pickled({"a": tensor((4,), (1,), count=3)}), entries=(("data/0", bytes(12)),))
archive("short", pickled({"a": tensor((4,), (1,), count=5)}))
archive("expanded", pickled({"a": tensor((2**40,), (0,))}))
archive("cut", fine[:-20])
archive("big", fine, order=b"big")
archive("compressed", fine, method=zipfile.ZIP_DEFLATED)
archive("twice", fine, entries=(("data/0", bytes(16)),) * 2)
zip64("zip64", [("data.pkl", fine), ("data/0", struct.pack("<4f", 1, 2, 3, 4)), ("version", b"3\n")])
safetensors.torch.save_file({"a": torch.tensor([1.0, 2, 3, 4])}, HERE / "zip64.safetensors")
safetensors.torch.save_file({"a": torch.zeros(4)}, HERE / "bomb.safetensors")
