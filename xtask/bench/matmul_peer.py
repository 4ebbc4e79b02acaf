"""GFLOP/s of ONNX Runtime's MatMul with a constant matrix, by shape, on one thread.

usage: matmul_peer.py ROWSxDEPTHxCOLUMNS...

Each line is `onnxruntime`, a shape and a rate, as runtime/kernels/examples/gemm.rs prints
its own; the best of as many runs of as many multiplications.
"""

import sys
import time

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper

MULTIPLICATIONS = 300_000_000
RUNS = 5


def session(depth, columns):
    weights = (numpy.arange(depth * columns) % 13 - 6).astype(numpy.float32)
    b = onnx.numpy_helper.from_array(weights.reshape(depth, columns), "b")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, ["rows", depth])],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, ["rows", columns])],
        [b],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def gigaflops(shape):
    rows, depth, columns = map(int, shape.split("x"))
    product = session(depth, columns)
    a = (numpy.arange(rows * depth) % 13 - 6).astype(numpy.float32).reshape(rows, depth)
    binding = product.io_binding()
    binding.bind_cpu_input("a", a)
    c = onnxruntime.OrtValue.ortvalue_from_numpy(numpy.zeros((rows, columns), numpy.float32))
    binding.bind_ortvalue_output("c", c)
    multiplications = rows * depth * columns
    times = max(1, MULTIPLICATIONS // multiplications)
    product.run_with_iobinding(binding)
    best = float("inf")
    for _ in range(RUNS):
        start = time.perf_counter()
        for _ in range(times):
            product.run_with_iobinding(binding)
        best = min(best, time.perf_counter() - start)
    return 2 * multiplications * times / best / 1e9


for shape in sys.argv[1:]:
    print("onnxruntime", shape, f"{gigaflops(shape):.1f}")
