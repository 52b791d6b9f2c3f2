#!/usr/bin/env python3
"""Compares aft::Layer and aft::Core, with the kernels that the registry chooses, with other libraries.

`make bench-peers` installs and builds what this needs. Writes peers.json, peers.md and a chart for each layer. The exit
code is 1 when a result of ours is wrong, 0 whatever happens to a peer.
"""

import argparse
import glob
import importlib.metadata
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from itertools import zip_longest
from pathlib import Path

import numpy
from safetensors import safe_open

import report
from turns import Contestant, Worker

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build"
PROGRAM = str(BUILD / "benchmark/peers/aft_peers")
SHAPES = ["4,1024,512,512", "16,197,192,192", "2,3072,256,256", "2,3072,256,256,256", "1,64,64,64", "1,197,192,192",
          "1,1,512,512", "1,4,512,512", "1,16,512,512"]
QUICK_SHAPES = ["16,197,192,192", "1,64,64,64", "1,4,512,512", "64,100,100,128", "256,1,1000,128"]
COMPOSED_SHAPES = ["4,1024,512,512", "16,197,192,192", "1,64,64,64"]
# B,T,H,P[,s] of whole layers; B,n,m,P of a mean with a bias of each call, and of a layer that keeps its sources.
LAYERS = {"full": SHAPES, "simple": SHAPES, "local": SHAPES, "causal_full": COMPOSED_SHAPES,
          "causal_simple": COMPOSED_SHAPES, "causal_local": COMPOSED_SHAPES, "conv": COMPOSED_SHAPES,
          "wkv": COMPOSED_SHAPES, "given": ["64,100,100,128", "32,1000,1000,128", "1,1000,1000,128"],
          "kept": ["256,1,1000,128"]}
TAKING_BIAS = ("given", "kept")
TRAINED = ("full", "simple", "local", "causal_full", "causal_simple", "causal_local")
TRAINED_SHAPES = ["4,1024,512,512", "16,197,192,192", "2,3072,256,256", "1,197,192,192", "1,64,64,64"]
WINDOWS = {"local": 32, "causal_local": 32, "conv": 4}  # of a shape without one
FORMS = {"local": ["dense", "banded"], "causal_full": ["dense", "blocked"], "causal_local": ["dense", "banded"],
         "wkv": ["recurrent", "associative"]}
EXTENTS = ("batch", "seq", "hidden", "projected", "window")
CALL_EXTENTS = ("batch", "seq", "sources", "projected")
MAX_CALL_S = 2  # a peer whose call takes longer isn't timed
OURS = "aft"
SAME_GRADIENT = 1e-4  # of the largest

MODULES = {"OpenVINO": "openvino_peers", "ONNX Runtime": "onnxruntime_peers", "JAX": "jax_peers",
           "PyTorch": "torch_peers"}
BLAS = {"oneDNN": "libdnnl.so*", "OpenBLAS": "libscipy_openblas.so", "MKL": "libmkl_rt.so*"}
PACKAGES = ["torch", "aft-pytorch", "jax", "onnxruntime", "openvino", "onednn-cpu-gomp", "scipy-openblas32", "mkl"]


def trained_peers(layer):
    """The same for a step of training."""
    for mode in ("eager", "compiled"):
        yield f"aft.torch, {mode}", "PyTorch", f"aft.torch training {mode}"
        if layer in ("full", "simple"):  # its AFTLocal makes a new parameter in each call, which isn't trained
            yield f"aft-pytorch, {mode}", "PyTorch", f"aft-pytorch training {mode}"
        yield f"PyTorch, {mode}", "PyTorch", f"dense training {mode}"


def peers(layer):
    """(peer, library, form) of each opponent."""
    forms = FORMS.get(layer, ["dense"])
    names = {form: f", {form}" if len(forms) > 1 else "" for form in forms}
    for mode in ("eager", "compiled"):
        # AFTLocal makes its bias in Python, position by position: nothing to compile.
        if layer in ("full", "simple") or (layer, mode) == ("local", "eager"):
            yield f"aft-pytorch, {mode}", "PyTorch", f"aft-pytorch {mode}"
        for form in forms:
            yield f"PyTorch{names[form]}, {mode}", "PyTorch", f"{form} {mode}"
    for library in ("JAX", "ONNX Runtime", "OpenVINO", "oneDNN", "OpenBLAS", "MKL"):
        for form in forms:
            # JAX and PyTorch have operators for it; the others would run a loop of their own.
            if form != "associative" or library == "JAX":
                yield library + names[form], library, form


class Comparison:
    def __init__(self, options):
        self.options = options
        self.folder = Path(options.output) / "peers"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = open(self.folder / "workers.log", "w", encoding="utf-8")
        self.cpus = sorted(os.sched_getaffinity(0))
        self.problems, self.workers = {}, {}
        self.comparisons, self.skipped, self.wrong = [], [], False

    def worker(self, library, form, threads):
        """A process for each form, on the same processors with the same settings; kept for the next problem."""
        if (library, form) in self.workers:
            return self.workers[library, form]
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith(("AFT_", "GOMP_", "HL_", "KMP_", "MKL_", "OMP_", "OPENBLAS_", "XLA_"))}
        environment |= {
            # Big buffers aren't given back to the system and faulted in again at each call.
            "MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
            "MALLOC_TOP_PAD_": str(1 << 26),
            "PYTHONPATH": str(BUILD.parent / "python"), "AFT_LIBRARY": str(BUILD / "runtime/libaft.so"),
            "OMP_NUM_THREADS": str(threads), "MKL_THREADING_LAYER": "GNU",
            "TORCHINDUCTOR_CACHE_DIR": str(self.folder / "inductor"), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        if library in MODULES:
            command = [sys.executable, str(HERE / "worker.py"), MODULES[library], str(threads)]
        else:
            command = [PROGRAM, "work", str(threads)]
        if library in BLAS:
            found = sorted(glob.glob(f"{sys.prefix}/lib/**/{BLAS[library]}", recursive=True))
            command.append(found[0] if found else BLAS[library])  # the loader says that there is none
        worker = self.workers[library, form] = Worker(command, environment, self.cpus[:threads], self.log)
        return worker

    def problem(self, layer, shape):
        """The file with weights, input and reference."""
        if (layer, shape) not in self.problems:
            path = self.folder / f"{layer}-{'-'.join(map(str, shape))}.safetensors"
            subprocess.run([PROGRAM, "problem", layer, ",".join(map(str, shape)), path], check=True)
            self.problems[layer, shape] = str(path)
        return self.problems[layer, shape]

    def failure(self, contestant, form, problem):
        """Why a contestant can't be timed; None when it's right."""
        output = self.folder / "y.f32"
        try:
            output.unlink(missing_ok=True)
            answer = contestant.worker.ask(problem=problem, form=form, output=str(output))
            with safe_open(problem, "numpy") as file:
                rows, expected, tolerance = map(file.get_tensor, ("rows", "expected", "tolerance"))
            y = numpy.fromfile(output, numpy.float32)
            if self.options.training:
                y, gradient = numpy.split(y, 2)
                if contestant.peer == OURS:  # tests compare it with the reference
                    self.gradient = gradient
                difference = abs(gradient - self.gradient).max() / abs(self.gradient).max()
                if not difference <= SAME_GRADIENT:
                    return f"WRONG: the gradient differs from ours by {difference:.3g}"
            y = y.reshape(len(expected), -1, expected.shape[2])
            error = (abs(y[:, rows] - expected) / tolerance).max()
            if not (error <= 1 and numpy.isfinite(y).all()):
                return f"WRONG: the error is {error:.3g} times the tolerance"
            contestant.kernel, contestant.estimate = answer.get("kernel") or None, answer["seconds"]
            contestant.peak_bytes = answer.get("peak_bytes")
            if contestant.estimate > MAX_CALL_S:
                return f"a call takes {contestant.estimate:.3g} s"
            if contestant.estimate < MAX_CALL_S / 10:  # the first call allocates
                contestant.estimate = contestant.worker.ask(calls=1)["seconds"]
        except RuntimeError as error:
            return str(error)
        return None

    def run(self, layer, shape, threads):
        extents = dict(zip_longest(CALL_EXTENTS if layer in TAKING_BIAS else EXTENTS, shape))
        case = {"layer": f"training {layer}" if self.options.training else layer, "shape": extents, "threads": threads}
        problem = self.problem(layer, shape)
        ours = Contestant(OURS, self.worker(OURS, "", threads))
        failure = self.failure(ours, "training" if self.options.training else "", problem)
        if failure:
            self.wrong = True
            self.skipped.append({**case, "peer": OURS, "reason": failure})
            return
        field = [ours]
        for peer, library, form in (trained_peers if self.options.training else peers)(layer):
            if any(name.lower() in peer.lower() for name in self.options.peer or [""]):
                contestant = Contestant(peer, self.worker(library, form, threads))
                failure = self.failure(contestant, form, problem)
                if failure:
                    self.skipped.append({**case, "peer": peer, "reason": failure})
                else:
                    field.append(contestant)
        # A list, as all() would end a round with the first who has enough.
        while any([each.take_turn(self.options.seconds) for each in field]):
            pass
        if ours.failure:
            self.wrong = True
        for each in field:
            if each.failure:
                self.skipped.append({**case, "peer": each.peer, "reason": each.failure})
            elif each is not ours and not ours.failure:
                median, peer_median = statistics.median(ours.times), statistics.median(each.times)
                self.comparisons.append({
                    **case, "peer": each.peer, "kernel": ours.kernel, "ours_median_ms": median * 1e3,
                    "peer_median_ms": peer_median * 1e3, "ours_best_ms": min(ours.times) * 1e3,
                    "peer_best_ms": min(each.times) * 1e3, "ratio": peer_median / median,
                    "peer_peak_bytes": each.peak_bytes})

    def run_all(self):
        start = time.monotonic()
        for threads in self.options.threads:
            try:
                for layer, shape in self.options.cases:
                    before = len(self.comparisons)
                    self.run(layer, shape, threads)
                    self.save()
                    rows = self.comparisons[before:]
                    closest = min(rows, key=lambda row: row["ratio"], default=None)
                    print(f"{time.monotonic() - start:5.0f} s  {layer} {','.join(map(str, shape))}, {threads} "
                          f"thread{'s' * (threads > 1)}: "
                          + (f"{closest['ours_median_ms']:.4g} ms, closest {closest['peer']} "
                             f"{closest['ratio']:.2f} times" if closest else "nothing compared"), flush=True)
            finally:
                for worker in self.workers.values():
                    worker.end()
                self.workers.clear()

    def save(self):
        result = {"machine": machine(self.options), "comparisons": self.comparisons, "skipped": self.skipped}
        written = self.folder.parent / "peers.json.new"  # what was compared before outlives an end while it is written
        with open(written, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
        os.replace(written, self.folder.parent / "peers.json")
        return result


def machine(options):
    def first(path, key, separator):
        with open(path, encoding="utf-8") as file:
            return next((line.split(separator, 1)[1].strip(' "\n') for line in file if line.startswith(key)), "")

    flags = first("/proc/cpuinfo", "flags", ":").split()
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {"cpu": first("/proc/cpuinfo", "model name", ":"), "cores": os.cpu_count(),
            "isa": next((isa for isa in ("avx512f", "avx2", "sse4_1") if isa in flags), platform.machine()),
            "os": f"{first('/etc/os-release', 'PRETTY_NAME', '=')}, {platform.system()} {platform.release()}",
            "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "versions": versions,
            "seconds": options.seconds, "command": " ".join(["compare.py", *sys.argv[1:]])}


def shape(text):
    extents = [int(part) for part in text.split(",")]
    if len(extents) not in (4, 5) or min(extents) < 1:
        raise ValueError
    return tuple(extents)


def shapes_of(layer, options):
    listed = TRAINED_SHAPES if options.training else LAYERS[layer]
    shapes = options.shape or [shape(text) for text in listed if not options.quick or text in QUICK_SHAPES]
    # Windows are of some layers alone.
    return dict.fromkeys((*each, WINDOWS[layer])[:5] if layer in WINDOWS else each[:4] for each in shapes)


def parsed_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--layer", action="append", choices=LAYERS,
                        help="given: the mean alone, with a bias of each call; kept: a layer with such a mean, of "
                             "sources that it keeps; default: all; options can be repeated")
    parser.add_argument("--shape", action="append", type=shape, metavar="B,T,H,P[,s]",
                        help="default: those of each layer; without s, it is 32, of conv 4; "
                             "of given and kept: B,n,m,P for n targets and m sources")
    parser.add_argument("--threads", action="append", type=int, choices=range(1, cores + 1), metavar="N",
                        help=f"default: 1 and {cores}")
    parser.add_argument("--peer", action="append", metavar="TEXT", help="peers whose name has the text; default: all")
    parser.add_argument("--seconds", type=float, help="of measuring, for each contestant; default: 0.7")
    parser.add_argument("--training", action="store_true",
                        help=f"steps of training, of {', '.join(TRAINED)}: the result and all gradients")
    parser.add_argument("--quick", action="store_true", help=f"all threads, 0.2 s, shapes {' '.join(QUICK_SHAPES)}")
    parser.add_argument("--output", default=str(BUILD / "bench"), metavar="FOLDER", help="default: build/bench")
    options = parser.parse_args()
    options.cases = [(layer, each) for layer in options.layer or (TRAINED if options.training else LAYERS)
                     for each in shapes_of(layer, options)]
    options.threads = options.threads or ([cores] if options.quick else sorted({1, cores}))
    options.seconds = options.seconds or (0.2 if options.quick else 0.7)
    return options


def main():
    options = parsed_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # or stopped workers would stay behind
    comparison = Comparison(options)
    comparison.run_all()
    report.write(comparison.save(), Path(options.output))
    return 1 if comparison.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
