"""The layers as ONNX models, for the runtimes that read them."""

import re

import numpy
import onnx
import onnx.numpy_helper
import onnx.parser

# weight and weighted, exp(key) and exp(key) value, from key and value, keys less their maximum
WEIGHTS = """
    largest = ReduceMax <keepdims = 1> (key, positions)
    difference = Sub(key, largest)
    weight = Exp(difference)
    weighted = Mul(weight, value)"""
# mean from weight and weighted
SIMPLE = """
    weighted_sum = ReduceSum <keepdims = 1> (weighted, positions)
    weight_sum = ReduceSum <keepdims = 1> (weight, positions)
    mean = Div(weighted_sum, weight_sum)"""
CAUSAL_SIMPLE = """
    weighted_sums = CumSum(weighted, one)
    weight_sums = CumSum(weight, one)
    mean = Div(weighted_sums, weight_sums)"""
DENSE = """
    numerator = MatMul(weights, weighted)
    denominator = MatMul(weights, weight)
    mean = Div(numerator, denominator)"""
TERMS = """
    terms = Concat <axis = 2> (weighted, weight)"""
MEAN_OF_SUMS = """
    numerator, denominator = Split <axis = 2, num_outputs = 2> (sums)
    mean = Div(numerator, denominator)"""
BLOCK = """
    sources_%(i)d = Slice(terms, zero, end_%(i)d, positions)
    sums_%(i)d = MatMul(weights_%(i)d, sources_%(i)d)"""
BANDED = """
    padded = Pad(terms, one_zero)
    windows = Gather <axis = 1> (padded, sources)
    blocks = MatMul(weights, windows)
    all_rows = Reshape(blocks, rows_shape)
    rows = Slice(all_rows, zero, seq, positions)
    sums = Add(total, rows)"""
TOTAL = """
    total = ReduceSum <keepdims = 1> (terms, positions)"""
CAUSAL_TOTAL = """
    total = CumSum(terms, one)"""
CONV = """
    channels = Transpose <perm = [0, 2, 1]> (terms)
    filtered = Conv <group = %d, pads = [%d, 0]> (channels, weights)
    rows = Transpose <perm = [0, 2, 1]> (filtered)
    sums = Add(total, rows)"""
# mean from bias and terms
MEAN_OF_CALL = """
    largest_bias = ReduceMax <keepdims = 1> (bias, sources_axis)
    bias_difference = Sub(bias, largest_bias)
    weights = Exp(bias_difference)
    sums = MatMul(weights, terms)"""
# mean from key and value
WKV = """
    last_exponent, last_numerator, last_denominator, mean = Scan <
        num_scan_inputs = 2, scan_input_axes = [1, 1], scan_output_axes = [1],
        body = step (float[%(batch)d, %(projected)d] exponent, float[%(batch)d, %(projected)d] numerator,
                     float[%(batch)d, %(projected)d] denominator, float[%(batch)d, %(projected)d] k,
                     float[%(batch)d, %(projected)d] v)
            => (float[%(batch)d, %(projected)d] next_exponent, float[%(batch)d, %(projected)d] next_numerator,
                float[%(batch)d, %(projected)d] next_denominator, float[%(batch)d, %(projected)d] of_target) {
            current = Add(k, bonus)
            top = Max(exponent, current)
            of_before = Sub(exponent, top)
            of_current = Sub(current, top)
            before = Exp(of_before)
            now = Exp(of_current)
            numerator_before = Mul(before, numerator)
            numerator_now = Mul(now, v)
            target_numerator = Add(numerator_before, numerator_now)
            denominator_before = Mul(before, denominator)
            target_denominator = Add(denominator_before, now)
            of_target = Div(target_numerator, target_denominator)
            decayed = Sub(exponent, decay)
            next_exponent = Max(decayed, k)
            of_kept = Sub(decayed, next_exponent)
            of_added = Sub(k, next_exponent)
            kept = Exp(of_kept)
            added = Exp(of_added)
            numerator_kept = Mul(kept, numerator)
            numerator_added = Mul(added, v)
            next_numerator = Add(numerator_kept, numerator_added)
            denominator_kept = Mul(kept, denominator)
            next_denominator = Add(denominator_kept, added)
        }> (no_exponent, no_sum, no_sum, key, value)"""
PROJECTION = """
    product = MatMul(x, input_weight)
    biased = Add(product, input_bias)"""
SPLIT = """
    query, key, value = Split <axis = 2, num_outputs = 3> (biased)"""
QUERY_ALONE = """
    query = Identity(biased)"""
GATE = """
    gate = Sigmoid(query)
    gated = Mul(gate, mean)"""
OUTPUT = """
    projected = MatMul(gated, output_weight)
    y = Add(projected, output_bias)"""
OUTPUT_ALONE = """
    y = Identity(gated)"""


def mean(problem, form):
    """The mean of a whole layer, and its constants."""
    if problem.layer == "wkv":
        shape = (problem.batch, problem.projected)
        return WKV % vars(problem), {
            "decay": problem.tensors["decay"], "bonus": problem.tensors["bonus"],
            "no_exponent": numpy.full(shape, -1e38, numpy.float32), "no_sum": numpy.zeros(shape, numpy.float32)}
    if problem.layer in ("simple", "causal_simple"):
        return WEIGHTS + (CAUSAL_SIMPLE if problem.is_causal else SIMPLE), {}
    if problem.layer == "conv":
        weights = problem.filter()[:, None]
        return (WEIGHTS + TERMS + CAUSAL_TOTAL + CONV % (len(weights), weights.shape[2] - 1) + MEAN_OF_SUMS,
                {"weights": numpy.ascontiguousarray(weights)})
    if form == "dense":
        return WEIGHTS + DENSE, {"weights": problem.exp_bias()}
    if form == "blocked":
        blocks = problem.triangle()
        constants = {f"weights_{i}": block for i, block in enumerate(blocks)}
        constants |= {f"end_{i}": [block.shape[1]] for i, block in enumerate(blocks)}
        products = "".join(BLOCK % {"i": i} for i in range(len(blocks)))
        sums = f"\n    sums = Concat <axis = 1> ({', '.join(f'sums_{i}' for i in range(len(blocks)))})"
        return WEIGHTS + TERMS + products + sums + MEAN_OF_SUMS, constants | {"zero": [0]}
    constants = {"one_zero": [0, 0, 0, 0, 1, 0], "zero": [0], "seq": [problem.seq],
                 "rows_shape": [problem.batch, -1, 2 * problem.projected]}
    constants["sources"], constants["weights"] = problem.band()
    return WEIGHTS + TERMS + (CAUSAL_TOTAL if problem.is_causal else TOTAL) + BANDED + MEAN_OF_SUMS, constants


def model(problem, form):
    """The model in bytes, with its weights: the problem's inputs, output y."""
    constants = {"positions": [1], "one": numpy.int64(1), "sources_axis": [2]}
    if problem.layer == "given":
        body = WEIGHTS + TERMS + MEAN_OF_CALL + MEAN_OF_SUMS + GATE + OUTPUT_ALONE
    else:
        constants |= {"input_weight": problem.input_weight, "input_bias": problem.input_bias,
                      "output_weight": problem.output_weight, "output_bias": problem.output_bias}
        if problem.layer == "kept":
            body = PROJECTION + QUERY_ALONE + MEAN_OF_CALL + MEAN_OF_SUMS
        else:
            core, more = mean(problem, form)
            constants |= more
            body = PROJECTION + SPLIT + core
        body += GATE + OUTPUT
    inputs = ", ".join(f"float{list(value.shape)} {name}" for name, value in problem.inputs.items())
    shape = list(next(iter(problem.inputs.values())).shape)
    result = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 20]>\nlayer ({inputs}) => (float{shape} y) {{{body}\n}}')
    for name in constants.keys() & set(re.findall(r"\w+", body)):
        result.graph.initializer.append(onnx.numpy_helper.from_array(numpy.asarray(constants[name]), name))
    onnx.checker.check_model(result)
    return result.SerializeToString()
