"""ONNX Runtime's own int8: `quantize.py FROM TO`, a model folder into another."""

import shutil
import sys
from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic

source, folder = map(Path, sys.argv[1:])
folder.mkdir(parents=True, exist_ok=True)
quantize_dynamic(source / "model.onnx", folder / "model.onnx", weight_type=QuantType.QInt8)
for name in ["tokenizer.json", "sentence_bert_config.json"]:
    shutil.copyfile(source / name, folder / name)
