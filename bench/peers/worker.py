"""A worker of compare.py for the peers that are used from Python.

usage: worker.py LIBRARY THREADS    LIBRARY is one of torch_peers, jax_peers, onnxruntime_peers, openvino_peers

Such a module has prepare(threads) and make(problem, form), which gives what computes y, and answers requests as
worker.cpp does.
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
    """The weights in the shapes that the formulas want; x is [B, T, H]."""

    def __init__(self, path):
        with safe_open(path, "numpy") as file:
            self.layer, self.window = file.metadata()["layer"], int(file.metadata()["window"])
            self.tensors = {key: file.get_tensor(key) for key in file.keys()}
        self.x = self.tensors["input"]
        self.batch, self.seq, self.hidden = self.x.shape
        # One product for query, key and value: [H, 3 P] and [3 P].
        self.input_weight = numpy.ascontiguousarray(
            numpy.concatenate([self.tensors[f"to_{each}.weight"] for each in "qkv"]).T)
        self.input_bias = numpy.concatenate([self.tensors[f"to_{each}.bias"] for each in "qkv"])
        self.output_weight = numpy.ascontiguousarray(self.tensors["project.weight"].T)
        self.output_bias = self.tensors["project.bias"]
        self.projected = self.output_weight.shape[0]

    def position_bias(self):
        bias = self.tensors["wbias"]
        if self.layer != "local":
            return bias
        t = numpy.arange(self.seq)
        return numpy.where(abs(t[:, None] - t) < self.window, bias, 0)

    def exp_bias(self):
        """exp(w), [T, T]: the weights of the dense form."""
        return numpy.exp(self.position_bias())

    def band(self):
        """The banded form multiplies blocks of targets by the sources that their windows reach, [blocks, sources]; what
        lies before and after the sequence is `seq`, a source of zeros. The weights, [blocks, targets, sources], are
        exp(w) - 1, since the sum over all sources comes in addition."""
        targets = max(self.window, MIN_BLOCK)
        blocks = -(-self.seq // targets)
        first = numpy.arange(blocks)[:, None] * targets
        sources = first - self.window + 1 + numpy.arange(targets + 2 * (self.window - 1))
        outside = (sources < 0) | (sources >= self.seq)
        padded = numpy.zeros((blocks * targets, self.seq + 1), numpy.float32)
        padded[:self.seq, :self.seq] = numpy.expm1(self.position_bias())
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
            numpy.asarray(y, numpy.float32).tofile(request["output"])
        else:
            self.warm_up()
            seconds, _ = self.seconds(request["calls"])
        return {"seconds": seconds}


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
