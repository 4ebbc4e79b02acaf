"""Puts a model's external data into its model.onnx: `inline_weights.py FOLDER`.

One file is what exporters write of a model below 2 GB, and what ONNX Runtime then has to
read; a mapped file of external data would load in a fifth of the time.
"""

import sys
from pathlib import Path

import onnx

folder = Path(sys.argv[1])
path = folder / "model.onnx"
model = onnx.load(path)
path.unlink()
onnx.save(model, path)
(folder / "weights").unlink()
