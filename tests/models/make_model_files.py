"""Makes the `files-*` folders: models as people have them, from the other
folders beside this file, and one or two exports of its own.

    python tests/models/make_model_files.py

Versions: onnx 1.23.2, onnxruntime 1.31.1, numpy 2.4.6, torch 2.15.0,
transformers 4.57.6, optimum-onnx 0.1.0. Everything is deterministic.

References. Where the change to the file changes no result, golden.json is that
of the folder it was made from (PyTorch). Where it does, ONNX Runtime computes
the reference, in float32: on that very file for graphs with GELU approximated,
and for weights in float16 or 8 bits on the graph whose weights are rounded by
numpy. What ONNX Runtime makes of the file with its own rounding of activations
is only asserted to be near.
"""

import json
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.fusion_options import FusionOptions

MODELS = Path(__file__).parent
SCRATCH = Path(tempfile.mkdtemp(prefix="encoderfile-"))
warnings.filterwarnings("ignore")


def main():
    for make in MAKERS:
        if len(sys.argv) == 1 or make.__name__ in sys.argv[1:]:
            print(make.__name__, flush=True)
            make()


# --- folders -----------------------------------------------------------------


def folder(name, base, model=None, reference=None, place="model.onnx"):
    """A copy of `base` with another graph; `reference` computes its outputs."""
    source, target = MODELS / base, MODELS / f"files-{name}"
    shutil.rmtree(target, ignore_errors=True)
    skip = shutil.ignore_patterns("model.*", "special_tokens_map.json")
    shutil.copytree(source, target, ignore=skip)
    if model is not None:
        (target / place).parent.mkdir(exist_ok=True)
        save(model, target / place)
    if reference is not None:
        golden = read_json(target / "golden.json")
        golden["reference"] = {"onnxruntime": ort.__version__}
        for case in golden["cases"]:
            recompute(golden["task"], case, reference)
        write_json(target / "golden.json", golden)
    return target


def recompute(task, case, session):
    output = run(session, case["input_ids"])
    values = lambda array: [float(it) for it in np.asarray(array, dtype=np.float32)]
    if task == "embedding":
        hidden = output[0]
        case["mean"] = values(hidden.mean(0))
        case["cls"], case["last_token"] = values(hidden[0]), values(hidden[-1])
    else:
        assert task == "sequence_classification"
        logits = output[0].astype(np.float64)
        scores = np.exp(logits - logits.max())
        case["logits"], case["scores"] = values(logits), values(scores / scores.sum())
        case.pop("pipeline", None)


def run(session, ids):
    ids = np.array([ids])
    feeds = {}
    for it in session.get_inputs():
        dtype = np.int32 if "int32" in it.type else np.int64
        position_ids = np.arange(ids.shape[1])[None]
        values = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
            "position_ids": position_ids,
        }
        feeds[it.name] = values[it.name].astype(dtype)
    return session.run(None, feeds)[0]


def session(model):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options)


def near(a, b, base, cosine):
    """Two models agree on every text of `base`."""
    for case in read_json(MODELS / base / "golden.json")["cases"]:
        x, y = (run(it, case["input_ids"]).astype(np.float64).ravel() for it in (a, b))
        got = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
        assert got > cosine, (base, got)


def load(base):
    return onnx.load(MODELS / base / "model.onnx")


def save(model, path):
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    onnx.save(model, path)


def read_json(path):
    return json.loads(path.read_text())


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False) + "\n")


# --- where the tensors are ---------------------------------------------------


def external_data():
    target = folder("external-data", "bert-embedding")
    (target / "onnx").mkdir()
    model = load("bert-embedding")
    onnx.save(
        model,
        target / "onnx" / "model.onnx",
        save_as_external_data=True,
        location="model.onnx_data",
        size_threshold=128,
    )


# --- inputs and outputs ------------------------------------------------------


def integers(name, dtype=TensorProto.INT32):
    return helper.make_tensor_value_info(name, dtype, ["batch", "tokens"])


def replace_input(graph, old, new):
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]


def position_table(graph):
    """The Gather of the position embeddings."""
    for node in graph.node:
        if node.op_type == "Gather" and "position_embeddings.weight" in node.input[0]:
            return node
    raise KeyError("no position embeddings")


def with_position_ids(base, dtype, order):
    model = load(base)
    graph = model.graph
    position_table(graph).input[1] = "position_ids"
    inputs = [it.name for it in graph.input] + ["position_ids"]
    casts = []
    if dtype != TensorProto.INT64:
        for name in inputs:
            wide = f"{name}_int64"
            replace_input(graph, name, wide)
            casts.append(helper.make_node("Cast", [name], [wide], to=TensorProto.INT64))
    for cast in reversed(casts):
        graph.node.insert(0, cast)
    del graph.input[:]
    graph.input.extend(integers(name, dtype) for name in order(inputs))
    onnx.checker.check_model(model)
    return model


def position_ids():
    model = with_position_ids("bert-embedding", TensorProto.INT32, lambda it: it[::-1])
    folder("position-ids-int32", "bert-embedding", model)
    # Here a position counts from after the padding id.
    model = with_position_ids("roberta-embedding", TensorProto.INT64, sorted)
    folder("position-ids-roberta", "roberta-embedding", model)


def no_mask():
    model = load("bert-embedding")
    graph = model.graph
    fill = lambda value: helper.make_tensor("value", TensorProto.INT64, [1], [value])
    nodes = [helper.make_node("Shape", ["input_ids"], ["ids_shape"])]
    for name, value in [("attention_mask", 1), ("token_type_ids", 0)]:
        node = helper.make_node("ConstantOfShape", ["ids_shape"], [name], value=fill(value))
        nodes.append(node)
    for node in reversed(nodes):
        graph.node.insert(0, node)
    inputs = [it for it in graph.input if it.name == "input_ids"]
    del graph.input[:]
    graph.input.extend(inputs)
    onnx.checker.check_model(model)
    folder("input-ids-only", "bert-embedding", model)


def rename_output(graph, old, new):
    for node in graph.node:
        node.output[:] = [new if name == old else name for name in node.output]
    replace_input(graph, old, new)
    for output in graph.output:
        if output.name == old:
            output.name = new


def outputs():
    model = load("bert-sequence_classification")
    graph = model.graph
    rename_output(graph, "logits", "output_0")
    norm = [node for node in graph.node if node.op_type == "LayerNormalization"][-1]
    hidden = helper.make_tensor_value_info(
        norm.output[0], TensorProto.FLOAT, ["batch", "tokens", 32]
    )
    graph.output.insert(0, hidden)
    onnx.checker.check_model(model)
    folder("output-0", "bert-sequence_classification", model)


def pooled(graph, hidden):
    """A mean over the tokens, divided by its norm; its shape is not declared."""
    graph.node.extend(
        [
            helper.make_node("ReduceMean", [hidden, "token_axis"], ["mean"], keepdims=0),
            helper.make_node("ReduceL2", ["mean", "width_axis"], ["norm"], keepdims=1),
            helper.make_node("Div", ["mean", "norm"], ["sentence_embedding"]),
        ]
    )
    axis = lambda name, value: numpy_helper.from_array(np.array([value]), name)
    graph.initializer.extend([axis("token_axis", 1), axis("width_axis", 1)])
    return helper.make_tensor_value_info(
        "sentence_embedding", TensorProto.FLOAT, ["batch", "width"]
    )


def pooled_in_graph():
    model = load("st-mean-normalize")
    output = pooled(model.graph, "last_hidden_state")
    del model.graph.output[:]
    model.graph.output.append(output)
    onnx.checker.check_model(model)
    folder("pooled", "st-mean-normalize", model)
    # As optimum exports a model of sentence-transformers: without its files.
    model = load("st-mean-normalize")
    rename_output(model.graph, "last_hidden_state", "token_embeddings")
    model.graph.output.append(pooled(model.graph, "token_embeddings"))
    target = folder("pooled-without-modules", "st-mean-normalize", model)
    shutil.rmtree(target / "1_Pooling")
    for name in ["modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"]:
        (target / name).unlink()
    settings = read_json(target / "tokenizer_config.json")
    write_json(target / "tokenizer_config.json", {**settings, "model_max_length": 48})
    # The folder says the first token, the graph means: the folder is followed.
    model = load("st-cls")
    rename_output(model.graph, "last_hidden_state", "token_embeddings")
    model.graph.output.append(pooled(model.graph, "token_embeddings"))
    onnx.checker.check_model(model)
    folder("pooled-beside", "st-cls", model)


# --- opsets ------------------------------------------------------------------


def opsets():
    """Exports of one model in the oldest and the newest opset, and between."""
    import torch
    from optimum.exporters.onnx import onnx_export_from_model
    from transformers import AutoConfig, AutoModel

    base = "bert-embedding"
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(MODELS / base)
    config._attn_implementation = "eager"
    source = AutoModel.from_config(config).eval()
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.normal_(0, 0.35)
    for opset in [11, 17, 21]:
        out = SCRATCH / f"opset-{opset}"
        onnx_export_from_model(source, out, opset=opset, task="feature-extraction", do_validation=False)
        model = onnx.load(out / "model.onnx")
        assert [it.version for it in model.opset_import if not it.domain] == [opset]
        target = folder(f"opset-{opset}", base, model)
        golden = read_json(target / "golden.json")
        golden["reference"] = {"torch": torch.__version__}
        for case in golden["cases"]:
            ids = torch.tensor([case["input_ids"]])
            with torch.no_grad():
                hidden = source(input_ids=ids, attention_mask=torch.ones_like(ids))[0][0]
            case["mean"] = hidden.mean(0).tolist()
            case["cls"], case["last_token"] = hidden[0].tolist(), hidden[-1].tolist()
        write_json(target / "golden.json", golden)


# --- ONNX Runtime's optimiser ------------------------------------------------


def optimized(base, level, **options):
    """As `optimum-cli export onnx --optimize O1..O4` does it."""
    fusion = FusionOptions("bert")
    fusion.enable_gelu_approximation = level >= 3
    for name, value in options.items():
        setattr(fusion, name, value)
    result = optimizer.optimize_model(
        str(MODELS / base / "model.onnx"),
        "bert",
        optimization_options=None if level == 1 else fusion,
        opt_level=min(level, 2),
        only_onnxruntime=level == 1,
    )
    return result.model


def optimizations():
    base = "bert-embedding"
    for level in [1, 2]:
        folder(f"optimized-O{level}", base, optimized(base, level))
    approximated = optimized(base, 3)
    folder("optimized-O3", base, approximated, session(approximated))
    half = convert_float_to_float16(optimized(base, 3), keep_io_types=True)
    folder("optimized-O4", base, half, session(rounded_to_half(approximated)))
    for base in ["albert-embedding", "deberta-v2-embedding", "modernbert-embedding", "roberta-embedding"]:
        name = base.removesuffix("-embedding")
        model = optimized(base, 2)
        folder(f"optimized-{name}", base, model, session(model))
    base = "bert-embedding"
    model = optimized(base, 2, use_multi_head_attention=True)
    assert "MultiHeadAttention" in {node.op_type for node in model.graph.node}
    folder("optimized-multi-head", base, model)


def fused_operators():
    """Every fused operator that no encoder above has, one after the other."""
    base, hidden = "bert-embedding", 32
    random = np.random.default_rng(0)
    tensors = {
        "table": random.normal(0, 1, (700, hidden)),
        "scale": random.normal(1, 0.2, hidden),
        "bias": random.normal(0, 0.2, hidden),
        "matrix": random.normal(0, 0.2, (hidden, hidden)),
        "kernel": random.normal(0, 0.2, (hidden, hidden, 3)),
    }
    integers = {"rows": [-1, hidden], "shape": [1, -1, hidden]}
    initializers = [
        numpy_helper.from_array(value.astype(np.float32), name) for name, value in tensors.items()
    ] + [numpy_helper.from_array(np.array(value), name) for name, value in integers.items()]
    microsoft = lambda *arguments, **attributes: helper.make_node(
        *arguments, domain="com.microsoft", **attributes
    )
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["x"]),
        microsoft("QuickGelu", ["x"], ["quick"], alpha=1.5),
        helper.make_node("SimplifiedLayerNormalization", ["quick", "scale"], ["simple"], epsilon=1e-3),
        microsoft(
            "SkipSimplifiedLayerNormalization",
            ["simple", "x", "scale", "bias"],
            ["skipped", "", "", "sum"],
            epsilon=1e-3,
        ),
        microsoft("FusedMatMul", ["skipped", "sum"], ["products"], transB=1, alpha=0.1),
        helper.make_node("Softmax", ["products"], ["weights"], axis=-1),
        microsoft("FusedMatMul", ["weights", "skipped"], ["mixed"], transA=1),
        helper.make_node("Reshape", ["mixed", "rows"], ["flat"]),
        microsoft(
            "FusedGemm", ["flat", "matrix", "bias"], ["dense"], activation="Tanh", transB=1, alpha=0.5
        ),
        helper.make_node("Reshape", ["dense", "shape"], ["unflat"]),
        helper.make_node("Transpose", ["unflat"], ["channels"], perm=[0, 2, 1]),
        microsoft(
            "FusedConv", ["channels", "kernel", "bias"], ["convolved"], activation="Relu", pads=[1, 1]
        ),
        helper.make_node("Transpose", ["convolved"], ["tokens"], perm=[0, 2, 1]),
        microsoft("TransposeMatMul", ["tokens", "matrix"], ["turned"], alpha=2.0),
        microsoft("Gelu", ["turned"], ["gelu"]),
        microsoft("FastGelu", ["gelu", "bias"], ["fast"]),
        microsoft(
            "SkipLayerNormalization",
            ["fast", "sum", "scale", "bias", "bias"],
            ["last_hidden_state"],
            epsilon=1e-3,
        ),
    ]
    inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])]
    outputs = [
        helper.make_tensor_value_info(
            "last_hidden_state", TensorProto.FLOAT, ["batch", "tokens", hidden]
        )
    ]
    graph = helper.make_graph(nodes, "operators", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", 14), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    folder("fused-operators", base, model, session(model))


# --- smaller weights ---------------------------------------------------------


def rounded_to_half(model):
    """The float32 graph with weights that a float16 file has."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    attributes = [it.t for node in result.graph.node for it in node.attribute if it.HasField("t")]
    for tensor in [*result.graph.initializer, *attributes]:
        if tensor.data_type == TensorProto.FLOAT:
            # The lowest float32, with which masks are made, becomes the lowest float16.
            values = np.clip(numpy_helper.to_array(tensor), -65504, 65504)
            values = values.astype(np.float16).astype(np.float32)
            # GELU is recognised and computed as it is defined.
            if values.size == 1 and abs(values.item() - np.sqrt(2)) < 1e-3:
                values = np.full_like(values, np.sqrt(2))
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return result


def float16():
    base = "deberta-v2-sequence_classification"
    half = convert_float_to_float16(load(base), keep_io_types=False)
    assert half.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT16
    exact = session(rounded_to_half(load(base)))
    near(exact, session(half), base, 0.9999)
    folder("float16", base, half, exact)


def dequantized(quantized, source):
    """The float32 graph with weights that a quantised file has."""
    result = onnx.ModelProto()
    result.CopyFrom(source)
    stored = {it.name: numpy_helper.to_array(it) for it in quantized.graph.initializer}
    count = 0
    for tensor in result.graph.initializer:
        values = stored.get(f"{tensor.name}_quantized")
        if values is not None:
            scale, zero = stored[f"{tensor.name}_scale"], stored[f"{tensor.name}_zero_point"]
            values = (values.astype(np.float32) - zero.astype(np.float32)) * scale
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
            count += 1
    assert count > 10, count
    return result


def quantized(source, **options):
    path = SCRATCH / "source.onnx"
    onnx.save(source, path)
    extra = {"DefaultTensorType": TensorProto.FLOAT, "MatMulConstBOnly": True}
    quantize_dynamic(path, SCRATCH / "quantized.onnx", extra_options=extra, **options)
    return onnx.load(SCRATCH / "quantized.onnx")


def int8():
    base = "bert-embedding"
    cases = [
        ("int8", load(base), dict(weight_type=QuantType.QInt8)),
        ("uint8-per-channel", load(base), dict(weight_type=QuantType.QUInt8, per_channel=True)),
        ("int8-optimized", optimized(base, 2), dict(weight_type=QuantType.QInt8)),
    ]
    for name, source, options in cases:
        model = quantized(source, **options)
        exact = session(dequantized(model, source))
        near(exact, session(model), base, 0.98)
        folder(name, base, model, exact)
    # What ONNX Runtime's session makes of such a file, and convolutions.
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(SCRATCH / "session.onnx")
    ort.InferenceSession(str(MODELS / "files-int8" / "model.onnx"), options)
    model = onnx.load(SCRATCH / "session.onnx")
    assert "DynamicQuantizeMatMul" in {node.op_type for node in model.graph.node}
    folder("int8-session", base, model, session(dequantized(load_files("int8"), load(base))))
    base = "squeezebert-embedding"
    model = quantized(load(base), weight_type=QuantType.QUInt8)
    assert "ConvInteger" in {node.op_type for node in model.graph.node}
    exact = session(dequantized(model, load(base)))
    near(exact, session(model), base, 0.95)
    folder("int8-convolutions", base, model, exact)


class Branches:
    """What is computed of the last hidden state and added to each of its rows."""

    def __init__(self, base):
        self.model = load(base)
        self.graph = self.model.graph
        self.random = np.random.default_rng(34)
        rename_output(self.graph, self.graph.output[0].name, "hidden")
        self.sum, self.count = "hidden", 0

    def constant(self, values, dtype=np.int64):
        name = f"branch_constant_{len(self.graph.initializer)}"
        values = numpy_helper.from_array(np.asarray(values, dtype), name)
        self.graph.initializer.append(values)
        return name

    def weights(self, *shape):
        scale = 0.4 / np.sqrt(np.prod(shape[1:]))
        return self.constant(self.random.normal(0, scale, shape), np.float32)

    def add(self, op_type, *inputs, **attributes):
        self.count += 1
        name = f"branch_{self.count}"
        self.graph.node.append(helper.make_node(op_type, inputs, [name], name, **attributes))
        return name

    def take(self, vector):
        """Adds a `[1, 32]`, as small as what it is added to."""
        vector = self.add("Mul", vector, self.constant(0.05, np.float32))
        row = self.add("Unsqueeze", vector, self.constant([1]))
        self.sum = self.add("Add", self.sum, row)

    def take_columns(self, columns):
        """Adds what shows the order of a `[1, 32, N]`: its mean, its first and its last column."""
        for place in (0, -1):
            self.take(self.add("Gather", columns, self.constant(place), axis=2))
        self.take(self.add("ReduceMean", columns, self.constant([2]), keepdims=0))

    def finish(self, name, base):
        for node in self.graph.node:
            node.output[:] = ["last_hidden_state" if it == self.sum else it for it in node.output]
        self.graph.output[0].name = "last_hidden_state"
        folder(name, base, self.model, session(self.model))


def convolutions():
    base = "bert-embedding"
    branches = Branches(base)
    columns = branches.add("Transpose", "hidden", perm=[0, 2, 1])

    def convolved(kernel, of=columns, bias=True, **attributes):
        inputs = [of, branches.weights(*kernel)]
        if bias:
            inputs.append(branches.weights(kernel[0]))
        return branches.add("Conv", *inputs, **attributes)

    for kernel, attributes in [
        ((32, 32, 3), dict(pads=[1, 1])),
        ((32, 32, 2), dict(pads=[3, 1], dilations=[2], bias=False)),
        ((32, 8, 1), dict(group=4)),
        ((32, 8, 3), dict(group=4, pads=[1, 2], strides=[2])),
        ((32, 1, 5), dict(group=32, pads=[2, 2])),
        ((32, 1, 3), dict(group=32, pads=[4, 0], strides=[3], dilations=[2], bias=False)),
        ((32, 32, 4), dict(auto_pad="SAME_UPPER", kernel_shape=[4])),
        ((32, 32, 4), dict(auto_pad="SAME_LOWER", bias=False)),
        ((32, 32, 1), dict(auto_pad="VALID", strides=[5])),
    ]:
        branches.take_columns(convolved(kernel, **attributes))
    # Two channels out of each channel in.
    doubled = convolved((64, 1, 3), group=32, pads=[1, 1])
    doubled = branches.add("Reshape", doubled, branches.constant([1, 2, 32, -1]))
    branches.take_columns(branches.add("ReduceSum", doubled, branches.constant([1]), keepdims=0))
    # Of two axes, of which the text is the second, and of two channels.
    image = branches.add("Reshape", columns, branches.constant([1, 2, 16, -1]))
    image = convolved(
        (8, 1, 3, 4), image, group=2, pads=[1, 3, 0, 3], strides=[4, 2], dilations=[1, 2]
    )
    branches.take_columns(branches.add("Reshape", image, branches.constant([1, 32, -1])))
    branches.finish("convolutions", base)


def slices():
    base = "bert-embedding"
    branches = Branches(base)
    constant = branches.constant
    length = branches.add("Shape", "hidden", start=1, end=2)

    def from_length(offset):
        return branches.add("Add", length, constant([offset]))

    most, least = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    of_32_bits = np.iinfo(np.int32)
    # Starts, ends and steps along the text, whose first rows are as short as two.
    for start, end, step in [
        (0, 512, 1),
        (1, -1, 1),
        (-3, most, 1),
        (-40, 7, 1),
        (5, 2, 1),
        (20, 30, 1),
        (0, of_32_bits.max, 2),
        (1, 9, 3),
        (-7, -2, 2),
        (most, least, -1),
        (-1, of_32_bits.min, -2),
        (-1, -6, -2),
        (12, 3, -4),
        (3, 12, -1),
        (from_length(-5), most, 1),
        (2, from_length(-3), 1),
        (from_length(-9), from_length(-1), 2),
        (from_length(-1), from_length(-8), -3),
    ]:
        starts, ends = (it if isinstance(it, str) else constant([it]) for it in (start, end))
        part = branches.add("Slice", "hidden", starts, ends, constant([1]), constant([step]))
        # In order, and nothing where there is no row.
        order = branches.add("CumSum", part, constant(1))
        rows = branches.add("ReduceSum", order, constant([1]), keepdims=0)
        branches.take(branches.add("Mul", rows, constant(0.01, np.float32)))
    # Between places that are computed of the text.
    column = branches.add("Slice", "hidden", constant([0]), constant([1]), constant([2]))
    place = branches.add("ArgMax", column, axis=1, keepdims=0)
    place = branches.add("Reshape", place, constant([1]))
    after = branches.add("Add", place, constant([1]))
    for start, end in [(constant([0]), after), (place, constant([most])), (place, constant([-1]))]:
        part = branches.add("Slice", "hidden", start, end, constant([1]))
        branches.take(branches.add("ReduceSum", part, constant([1]), keepdims=0))
    # Two axes at once, then all, without axes and steps.
    part = branches.add(
        "Slice", "hidden", constant([30, 0]), constant([-40, 2]), constant([-1, 1]), constant([-1, 1])
    )
    part = branches.add("ReduceSum", part, constant([1]), keepdims=0)
    part = branches.add("Pad", part, constant([0, 1, 0, 0]))
    branches.take(part)
    part = branches.add("Slice", "hidden", constant([0, -2, 16]), constant([1, 70, 48]))
    part = branches.add("ReduceMean", part, constant([1]), keepdims=0)
    branches.take(branches.add("Concat", part, part, axis=1))
    branches.finish("slices", base)


def load_files(name):
    return onnx.load(MODELS / f"files-{name}" / "model.onnx")


MAKERS = [
    external_data,
    position_ids,
    no_mask,
    outputs,
    pooled_in_graph,
    opsets,
    optimizations,
    fused_operators,
    float16,
    int8,
    convolutions,
    slices,
]

if __name__ == "__main__":
    try:
        main()
    finally:
        shutil.rmtree(SCRATCH)
