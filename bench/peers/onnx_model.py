"""The layers as ONNX models, for the runtimes that read them."""

import numpy
import onnx
import onnx.numpy_helper
import onnx.parser

SIMPLE = """
    weighted_sum = ReduceSum <keepdims = 1> (weighted, positions)
    weight_sum = ReduceSum <keepdims = 1> (weight, positions)
    mean = Div(weighted_sum, weight_sum)"""
DENSE = """
    numerator = MatMul(weights, weighted)
    denominator = MatMul(weights, weight)
    mean = Div(numerator, denominator)"""
BANDED = """
    terms = Concat <axis = 2> (weighted, weight)
    total = ReduceSum <keepdims = 1> (terms, positions)
    padded = Pad(terms, one_zero)
    windows = Gather <axis = 1> (padded, sources)
    blocks = MatMul(weights, windows)
    all_rows = Reshape(blocks, rows_shape)
    rows = Slice(all_rows, zero, seq, positions)
    sums = Add(total, rows)
    numerator, denominator = Split <axis = 2, num_outputs = 2> (sums)
    mean = Div(numerator, denominator)"""
LAYER = """<ir_version: 10, opset_import: ["" : 20]>
layer (float[%d, %d, %d] x) => (float[%d, %d, %d] y) {
    product = MatMul(x, input_weight)
    biased = Add(product, input_bias)
    query, key, value = Split <axis = 2, num_outputs = 3> (biased)
    largest = ReduceMax <keepdims = 1> (key, positions)
    difference = Sub(key, largest)
    weight = Exp(difference)
    weighted = Mul(weight, value)%s
    gate = Sigmoid(query)
    gated = Mul(gate, mean)
    projected = MatMul(gated, output_weight)
    y = Add(projected, output_bias)
}"""


def model(problem, form):
    """The model in bytes, with its weights: input x, output y."""
    core = SIMPLE if problem.layer == "simple" else DENSE if form == "dense" else BANDED
    result = onnx.parser.parse_model(LAYER % (*problem.x.shape, *problem.x.shape, core))
    constants = {"input_weight": problem.input_weight, "input_bias": problem.input_bias,
                 "output_weight": problem.output_weight, "output_bias": problem.output_bias, "positions": [1]}
    if core is DENSE:
        constants["weights"] = problem.exp_bias()
    elif core is BANDED:
        constants["sources"], constants["weights"] = problem.band()
        constants |= {"one_zero": [0, 0, 0, 0, 1, 0], "zero": [0], "seq": [problem.seq],
                      "rows_shape": [problem.batch, -1, 2 * problem.projected]}
    for name, value in constants.items():
        result.graph.initializer.append(onnx.numpy_helper.from_array(numpy.asarray(value), name))
    onnx.checker.check_model(result)
    return result.SerializeToString()
