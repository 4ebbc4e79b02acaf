"""Makes the `files-int4*`, `files-bnb4`, `files-int8-weights` and `files-static*` folders:
models whose weights, and in `static` also whose activations, are quantised.

    python tests/models/make_quantised.py [MAKER…]

Versions: onnx 1.23.2, onnxruntime 1.31.1, numpy 2.4.6, onnx-ir 1.1.0, sympy 1.14.0; of
make_model_files.py only what needs no torch is used. Everything is deterministic.

References are what ONNX Runtime computes with that very file, without its graph
optimisations: those replace a `QuantizeLinear` and `DequantizeLinear` around an operator by an
operator on integers, whose results can be a step of the quantisation apart. `made` asserts
how near the optimised session is.
"""

import logging
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from make_model_files import MODELS, SCRATCH, load, near, read_json, rounded_to_half, session
from make_model_files import folder as folder_with_checkpoint
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.matmul_bnb4_quantizer import MatMulBnb4Quantizer
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.transformers.float16 import convert_float_to_float16

logging.disable(logging.INFO)
BASE = "bert-embedding"
CLASSIFIER = "bert-sequence_classification"
# Whose float model is 0.04 from the quantised one, and not ten times as near to it.
STATIC = "electra-embedding"


def main():
    for make in MAKERS:
        if len(sys.argv) == 1 or make.__name__ in sys.argv[1:]:
            print(make.__name__, flush=True)
            make()


def folder(name, base, model, reference):
    """Without the checkpoint, which gives other results."""
    target = folder_with_checkpoint(name, base, model, reference)
    (target / "model.safetensors").unlink(missing_ok=True)


def operators(model):
    return {node.op_type for node in model.graph.node}


def optimised_session(model):
    """As anybody runs it."""
    return ort.InferenceSession(model.SerializeToString())


def made(name, model, base=BASE, cosine=0.999):
    """A folder whose references are of `model` itself."""
    near(session(model), optimised_session(model), base, cosine)
    folder(name, base, model, session(model))


# --- weights of four bits ----------------------------------------------------


def n_bits(model, **options):
    quantizer = MatMulNBitsQuantizer(model, **options)
    quantizer.process()
    return quantizer.model.model


def int4():
    """`MatMulNBits` as transformers.js has it, with and without zero points."""
    model = n_bits(load(BASE), block_size=32, is_symmetric=True)
    assert "MatMulNBits" in operators(model)
    made("int4", model)
    model = n_bits(load(BASE), block_size=16, is_symmetric=False)
    # ONNX Runtime rounds every product to float16, where this computes in float32.
    exact = session(rounded_to_half(model))
    half = convert_float_to_float16(
        model, keep_io_types=True, disable_shape_infer=True, op_block_list=[]
    )
    assert any(it.data_type == TensorProto.FLOAT16 for it in half.graph.initializer)
    near(exact, session(half), BASE, 0.9999)
    folder("int4-float16", BASE, half, exact)


def int4_table():
    """The tables of embeddings, too: `GatherBlockQuantized`."""
    model = n_bits(
        load(BASE),
        block_size=16,
        is_symmetric=False,
        op_types_to_quantize=("MatMul", "Gather"),
        quant_axes=(("MatMul", 0), ("Gather", 1)),
    )
    assert "GatherBlockQuantized" in operators(model)
    made("int4-table", model)


def int4_blocked():
    """`DequantizeLinear` in blocks, of opset 21."""
    model = n_bits(load(BASE), block_size=16, is_symmetric=True, quant_format=QuantFormat.QDQ)
    assert any(it.data_type == TensorProto.INT4 for it in model.graph.initializer)
    made("int4-blocked", model)


def bnb4():
    quantizer = MatMulBnb4Quantizer(load(BASE), quant_type=1, block_size=16)
    quantizer.process()
    model = quantizer.model.model
    assert "MatMulBnb4" in operators(model)
    made("bnb4", model)


# --- every operator on blocks, whatever writes it -----------------------------


HIDDEN = 32


def tensor(name, values, data_type=None, dims=None):
    """Values as they are, or as numbers of a type that numpy does not have."""
    if data_type is None:
        return numpy_helper.from_array(values, name)
    return helper.make_tensor(name, data_type, dims or values.shape, values.ravel().tolist())


class Operators:
    """A graph of products and tables, one after the other, with random weights."""

    def __init__(self):
        self.random = np.random.default_rng(0)
        self.nodes, self.initializers = [], []

    def constant(self, name, values, data_type=None):
        self.initializers.append(tensor(name, values, data_type))
        return name

    def bytes(self, name, *shape):
        return self.constant(name, self.random.integers(0, 256, shape, dtype=np.uint8))

    def scales(self, name, *shape, dtype=np.float32):
        values = self.random.uniform(0.01, 0.03, shape) * self.random.choice([-1, 1], shape)
        return self.constant(name, values.astype(dtype))

    def node(self, op_type, inputs, output, **attributes):
        self.nodes.append(
            helper.make_node(op_type, inputs, [output], domain="com.microsoft", **attributes)
        )
        return output

    def normalised(self, x, output):
        """So that what follows neither grows nor vanishes."""
        if not any(it.name == "ones" for it in self.initializers):
            self.constant("ones", np.ones(HIDDEN, np.float32))
        self.nodes.append(helper.make_node("LayerNormalization", [x, "ones"], [output], axis=-1))
        return output

    def n_bits(self, x, name, bits, width=HIDDEN, depth=HIDDEN, block_size=16, **inputs):
        """A `MatMulNBits`; `inputs` are those after the scales, by their names."""
        blocks = -(-depth // block_size)
        names = [
            x,
            self.bytes(f"{name}.weight", width, blocks, block_size * bits // 8),
            self.scales(f"{name}.scales", width * blocks),
            *(inputs.get(it, "") for it in ["zero_points", "g_idx", "bias"]),
        ]
        while not names[-1]:
            names.pop()
        attributes = dict(K=depth, N=width, bits=bits, block_size=block_size)
        product = self.node("MatMulNBits", names, f"{name}.product", **attributes)
        return self.normalised(product, f"{name}.output") if width == HIDDEN else product

    def model(self):
        self.nodes[-1].output[0] = "last_hidden_state"
        ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
        shape = ["batch", "tokens", HIDDEN]
        hidden = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, "operators", [ids], [hidden], self.initializers)
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def int4_operators():
    ops = Operators()
    rows = 700
    nibbles = lambda low, high, *shape: ops.random.integers(low, high, shape)
    tables = []
    # Tables of nibbles with and without a sign, of two values in a byte, and of bytes.
    for name, data_type, low in [("int4", TensorProto.INT4, -8), ("uint4", TensorProto.UINT4, 0)]:
        for zeros in [False, True]:
            table = f"{name}.{zeros}"
            inputs = [
                ops.constant(f"{table}.table", nibbles(low, low + 16, rows, HIDDEN), data_type),
                "input_ids",
                ops.scales(f"{table}.scales", rows, HIDDEN // 16),
            ]
            if zeros:
                zero_points = nibbles(low, low + 16, rows, HIDDEN // 16)
                inputs.append(ops.constant(f"{table}.zeros", zero_points, data_type))
            attributes = dict(gather_axis=0, quantize_axis=1, block_size=16)
            tables.append(ops.node("GatherBlockQuantized", inputs, f"{table}.rows", **attributes))
    for bits in [4, 8]:
        for zeros in [False, True]:
            table = f"uint8.{bits}.{zeros}"
            inputs = [
                ops.bytes(f"{table}.table", rows, HIDDEN * bits // 8),
                "input_ids",
                ops.scales(f"{table}.scales", rows, HIDDEN // 16),
            ]
            if zeros:
                inputs.append(ops.bytes(f"{table}.zeros", rows, HIDDEN // 16 * bits // 8))
            attributes = dict(gather_axis=0, quantize_axis=1, block_size=16, bits=bits)
            tables.append(ops.node("GatherBlockQuantized", inputs, f"{table}.rows", **attributes))
    ops.nodes.append(helper.make_node("Sum", tables, ["sum"]))
    x = ops.normalised("sum", "x")
    # Every width, with packed zero points and with floats as such.
    for bits in [2, 4, 8]:
        x = ops.n_bits(x, f"bits.{bits}", bits)
        zeros = ops.bytes(f"packed.{bits}.zeros", HIDDEN * -(-2 * bits // 8))
        x = ops.n_bits(x, f"packed.{bits}", bits, zero_points=zeros)
    zeros = ops.constant("floats.zeros", ops.random.uniform(5, 10, 2 * HIDDEN).astype(np.float32))
    x = ops.n_bits(x, "floats", 4, zero_points=zeros)
    order = ops.constant("order.g_idx", ops.random.integers(0, 2, HIDDEN).astype(np.int32))
    x = ops.n_bits(x, "order", 4, g_idx=order)
    bias = ops.constant("bias.bias", ops.random.normal(0, 1, HIDDEN).astype(np.float32))
    x = ops.n_bits(x, "bias", 4, bias=bias)
    # A last block that is not full, with an odd number of blocks.
    wide = ops.n_bits(x, "wide", 4, width=40)
    zeros = ops.bytes("narrow.zeros", HIDDEN * 2)
    x = ops.n_bits(wide, "narrow", 4, depth=40, zero_points=zeros)
    for name, quant_type in [("fp4", 0), ("nf4", 1)]:
        inputs = [
            x,
            ops.bytes(f"{name}.weight", HIDDEN * HIDDEN // 2),
            ops.scales(f"{name}.absmax", HIDDEN * HIDDEN // 64),
        ]
        attributes = dict(K=HIDDEN, N=HIDDEN, block_size=64, quant_type=quant_type)
        product = ops.node("MatMulBnb4", inputs, f"{name}.product", **attributes)
        x = ops.normalised(product, f"{name}.output")
    model = ops.model()
    folder("int4-operators", BASE, model, session(model))


# --- weights of eight bits ---------------------------------------------------


def int8_weights():
    """`DequantizeLinear` of weights alone: per tensor for tables, per channel for matrices."""
    model = load(BASE)
    graph = model.graph
    tables = {node.input[0] for node in graph.node if node.op_type == "Gather"}
    matrices = {node.input[1] for node in graph.node if node.op_type == "MatMul"}
    for weight in list(graph.initializer):
        values = numpy_helper.to_array(weight)
        if values.ndim != 2 or weight.name not in tables | matrices:
            continue
        axis = None if weight.name in tables else 0
        scales = (np.abs(values).max(axis) / 127).astype(np.float32)
        quantised = np.round(values / scales).clip(-127, 127).astype(np.int8)
        name = weight.name
        graph.initializer.remove(weight)
        graph.initializer.append(numpy_helper.from_array(quantised, f"{name}.int8"))
        graph.initializer.append(numpy_helper.from_array(scales, f"{name}.scales"))
        inputs = [f"{name}.int8", f"{name}.scales"]
        graph.node.insert(0, helper.make_node("DequantizeLinear", inputs, [name], axis=1))
    model.opset_import[0].version = max(model.opset_import[0].version, 13)
    onnx.checker.check_model(model)
    made("int8-weights", model)


# --- activations, too --------------------------------------------------------


class Texts(CalibrationDataReader):
    """The texts of a folder, whose results say the ranges of activations."""

    def __init__(self, base):
        cases = read_json(MODELS / base / "golden.json")["cases"]
        names = [it.name for it in load(base).graph.input]
        self.feeds = iter([self.feed(case["input_ids"], names) for case in cases])

    @staticmethod
    def feed(ids, names):
        ids = np.array([ids], dtype=np.int64)
        values = dict(
            input_ids=ids, attention_mask=np.ones_like(ids), token_type_ids=np.zeros_like(ids)
        )
        return {name: values[name] for name in names}

    def get_next(self):
        return next(self.feeds, None)


def static(base, source=None, **options):
    path, result = SCRATCH / "source.onnx", SCRATCH / "static.onnx"
    onnx.save(source or load(base), path)
    quantize_static(path, result, Texts(base), **options)
    return onnx.load(result)


def saved_session(model, level):
    """What ONNX Runtime's session makes of a model."""
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.optimized_model_filepath = str(SCRATCH / "session.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(model.SerializeToString(), options)
    return onnx.load(SCRATCH / "session.onnx")


def static_qdq():
    """`QuantizeLinear` and `DequantizeLinear` around operators, and what a session makes of it."""
    types = dict(activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    model = static(STATIC, quant_format=QuantFormat.QDQ, **types)
    made("static", model, STATIC, 0.99)
    fused = saved_session(model, ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)
    assert "QLinearMatMul" in operators(fused)
    made("static-session", fused, STATIC, 0.99)
    types = dict(activation_type=QuantType.QInt8, weight_type=QuantType.QInt8)
    model = static(STATIC, quant_format=QuantFormat.QDQ, per_channel=True, **types)
    made("static-per-channel", model, STATIC, 0.99)


def static_16_bits():
    """Of opset 21, the first that has them in the standard."""
    base = "files-opset-21"
    types = dict(activation_type=QuantType.QUInt16, weight_type=QuantType.QInt8)
    model = static(base, quant_format=QuantFormat.QDQ, **types)
    assert any(it.data_type == TensorProto.UINT16 for it in model.graph.initializer)
    made("static-16-bits", model, base)


def static_operators():
    """`QLinearMatMul` and others on integers, convolutions, and `QGemm`."""
    types = dict(activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    types["quant_format"] = QuantFormat.QOperator
    made("static-operators", static(STATIC, **types), STATIC)
    base = "squeezebert-embedding"
    model = static(base, per_channel=True, **types)
    assert "QLinearConv" in operators(model)
    made("static-convolutions", model, base)
    model = static(CLASSIFIER, op_types_to_quantize=["Gemm"], **types)
    assert "QGemm" in operators(model)
    made("static-gemm", model, CLASSIFIER)


def static_others():
    """Every operator on integers that no folder above has."""
    ops = Operators()
    ops.constant("table", ops.random.normal(0, 1, (700, HIDDEN)).astype(np.float32))
    ops.nodes.append(helper.make_node("Gather", ["table", "input_ids"], ["x"]))
    for name, scale, zero in [("a", 0.03, 128), ("b", 0.02, 100), ("c", 0.01, 60)]:
        ops.constant(f"{name}.scale", np.array(scale, np.float32))
        ops.constant(f"{name}.zero", np.array(zero, np.uint8))
    steps = lambda name: [f"{name}.scale", f"{name}.zero"]
    ops.nodes.append(helper.make_node("QuantizeLinear", ["x", *steps("a")], ["q"]))
    ops.node("QLinearSigmoid", ["q", *steps("a"), *steps("c")], "sigmoid")
    ops.node("QLinearLeakyRelu", ["q", *steps("a"), *steps("b")], "leaky", alpha=0.2)
    ops.node("QLinearMul", ["sigmoid", *steps("c"), "leaky", *steps("b"), *steps("b")], "product")
    ops.constant("half", np.array(100, np.uint8))
    ops.nodes.append(helper.make_node("Greater", ["q", "half"], ["is_large"]))
    branches = ["leaky", *steps("b"), "product", *steps("b")]
    ops.node("QLinearWhere", ["is_large", *branches, *steps("a")], "chosen")
    parts = ["chosen", *steps("a"), "sigmoid", *steps("c")]
    ops.node("QLinearConcat", [*steps("b"), *parts], "joined", axis=2)
    signed = lambda *shape: ops.random.integers(-127, 128, shape).astype(np.int8)
    ops.constant("narrow", signed(2 * HIDDEN, HIDDEN))
    ops.constant("narrow.scale", ops.random.uniform(0.001, 0.003, HIDDEN).astype(np.float32))
    product = ["joined", "narrow", "b.scale", "narrow.scale", "b.zero"]
    ops.node("MatMulIntegerToFloat", product, "narrowed")
    ops.normalised("narrowed", "normal")
    ops.nodes.append(helper.make_node("QuantizeLinear", ["normal", *steps("a")], ["rows"]))
    ops.constant("heads", signed(HIDDEN, 3 * HIDDEN))
    ops.constant("heads.scale", np.array(0.005, np.float32))
    ops.constant("heads.zero", np.array(3, np.int8))
    ops.constant("heads.bias", ops.random.normal(0, 0.5, 3 * HIDDEN).astype(np.float32))
    attention = ["rows", "heads", "heads.bias", "a.scale", "heads.scale", "", "a.zero", "heads.zero"]
    ops.node("QAttention", attention, "attended", num_heads=4)
    ops.nodes.append(helper.make_node("Identity", ["attended"], ["result"]))
    model = ops.model()
    made("static-others", model, cosine=0.99)


MAKERS = [
    int4,
    int4_table,
    int4_blocked,
    bnb4,
    int4_operators,
    int8_weights,
    static_qdq,
    static_16_bits,
    static_operators,
    static_others,
]

if __name__ == "__main__":
    try:
        main()
    finally:
        shutil.rmtree(SCRATCH)
