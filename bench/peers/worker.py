"""A worker of compare.py for the peers that are used from Python.

usage: worker.py LIBRARY THREADS    LIBRARY is one of torch_peers, jax_peers, onnxruntime_peers, openvino_peers

Such a module has prepare(threads) and make(problem, form), which gives what computes y, and answers requests as
worker.cpp does. With the word "bfloat16" in the form, products are of bfloat16, with sums in float32. A module that
trains has peak_bytes(step), the memory of a step. One whose results numpy doesn't know has array(y).
"""

import importlib
import json
import os
import sys
import time

import numpy
from safetensors import safe_open

WARM_UP_S = 0.02
MIN_BLOCK = 64  # targets for which a product is still efficient


class Problem:
    """The parameters in the shapes that the formulas want, and `inputs`, what a call takes, by name:

    - a whole layer: x, [B, T, H]
    - given, the mean with a bias of each call: query, [B, n, P]; key, value, [B, m, P]; bias, [B, n, m]
    - kept, a layer with such a mean: x, [B, n, H]; bias; terms, [B, m, 2 P], made once: exp(key) value and exp(key)

    Formulas subtract the largest of what they exponentiate. That of the keys is of the whole sequence, as ordinary
    implementations have it. In causal forms, it underflows where the first keys are more than 87 below a later one; the
    keys of the comparison are of order 1. Only wkv's formulas keep a maximum of their own for each target.
    """

    def __init__(self, path):
        with safe_open(path, "numpy") as file:
            self.layer, self.window = file.metadata()["layer"], int(file.metadata()["window"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        if self.layer == "given":
            self.inputs = {name: tensors[name] for name in ("query", "key", "value", "bias")}
            return
        self.output_weight = numpy.ascontiguousarray(tensors["project.weight"].T)
        self.output_bias = tensors["project.bias"]
        self.projected, self.hidden = self.output_weight.shape
        self.inputs = {"x": tensors["input"]}
        self.batch, self.seq, _ = tensors["input"].shape
        if self.layer == "kept":
            self.input_weight = numpy.ascontiguousarray(tensors["to_q.weight"].T)
            self.input_bias = tensors["to_q.bias"]
            key, value = (tensors[name] @ tensors[f"to_{name[0]}.weight"].T + tensors[f"to_{name[0]}.bias"]
                          for name in ("key", "value"))
            weight = numpy.exp(key - key.max(1, keepdims=True))
            self.inputs |= {"bias": tensors["bias"], "terms": numpy.concatenate([weight * value, weight], -1)}
            return
        self.tensors = tensors
        # One product for query, key and value: [H, 3 P] and [3 P].
        self.input_weight = numpy.ascontiguousarray(
            numpy.concatenate([tensors[f"to_{each}.weight"] for each in "qkv"]).T)
        self.input_bias = numpy.concatenate([tensors[f"to_{each}.bias"] for each in "qkv"])

    @property
    def is_causal(self):
        return self.layer.startswith("causal_")

    def position_bias(self):
        bias = self.tensors["wbias"]
        if not self.layer.endswith("local"):
            return bias
        t = numpy.arange(self.seq)
        return numpy.where(abs(t[:, None] - t) < self.window, bias, 0)

    def exp_bias(self):
        """exp(w), [T, T]: the weights of the dense form; 0 for pairs that a causal form doesn't have."""
        weights = numpy.exp(self.position_bias())
        return numpy.tril(weights) if self.is_causal else weights

    def triangle(self):
        """The blocked form of causal AFTFull: for each block of targets, the weights of the sources that they see,
        [targets, sources]."""
        weights = self.exp_bias()
        return [numpy.ascontiguousarray(weights[first:first + MIN_BLOCK, :first + MIN_BLOCK])
                for first in range(0, self.seq, MIN_BLOCK)]

    def filter(self):
        """exp(w) - 1 of AFT-conv, [2 P, s], of numerators and denominators. The last is of the
        target itself, as in the weights of a convolution. The sum over all sources so far comes in addition."""
        of_heads = numpy.expm1(self.tensors["filter"][:, ::-1])
        return numpy.tile(numpy.repeat(of_heads, self.projected // len(of_heads), 0), (2, 1))

    def band(self):
        """The banded form multiplies blocks of targets by the sources that their windows reach, [blocks, sources]; what
        lies before and after the sequence is `seq`, a source of zeros. The weights, [blocks, targets, sources], are
        exp(w) - 1, since the sum over all sources comes in addition: in a causal form, all sources so far."""
        targets = max(self.window, MIN_BLOCK)
        blocks = -(-self.seq // targets)
        first = numpy.arange(blocks)[:, None] * targets
        after = 0 if self.is_causal else self.window - 1
        sources = first - self.window + 1 + numpy.arange(targets + self.window - 1 + after)
        outside = (sources < 0) | (sources >= self.seq)
        padded = numpy.zeros((blocks * targets, self.seq + 1), numpy.float32)
        weights = numpy.expm1(self.position_bias())
        padded[:self.seq, :self.seq] = numpy.tril(weights) if self.is_causal else weights
        sources = numpy.where(outside, self.seq, sources)
        rows = (first + numpy.arange(targets))[:, :, None]
        return sources, padded[rows, sources[:, None, :]]


class Worker:
    def __init__(self, library, threads):
        self.library = importlib.import_module(library)
        self.library.prepare(threads)
        self.call = None

    def warm_up(self):
        """As in worker.cpp."""
        passed = 0
        while passed < WARM_UP_S:
            passed += self.seconds(1)[0]

    def seconds(self, calls):
        start = time.perf_counter()
        for _ in range(calls):
            y = self.call()
        return (time.perf_counter() - start) / calls, y

    def answer(self, request):
        if "problem" in request:
            self.call = None  # one that can't be made leaves none
            self.call = self.library.make(Problem(request["problem"]), request["form"])
            seconds, y = self.seconds(1)
            memory = self.library.peak_bytes(self.call) if "training" in request["form"] else None
            array = getattr(self.library, "array", numpy.asarray)
            with open(request["output"], "wb") as file:
                for each in y if isinstance(y, tuple) else (y,):  # of a step of training, the gradient of x as well
                    array(each).astype(numpy.float32).tofile(file)
        else:
            self.warm_up()
            seconds, memory = self.seconds(request["calls"])[0], None
        return {"seconds": seconds, "peak_bytes": memory}


def main(library, threads):
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    worker = None
    for line in sys.stdin:
        try:
            worker = worker or Worker(library, int(threads))
            answer = worker.answer(json.loads(line))
        except Exception as error:  # whatever a library throws
            lines = str(error).strip().splitlines()
            answer = {"error": f"{type(error).__name__}: {lines[0] if lines else ''}"}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
