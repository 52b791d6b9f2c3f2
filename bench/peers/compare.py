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
from cases import (AS_ON_INTEL, CALL_EXTENTS, EXTENTS, LAYERS, QUICK_SHAPES, ROUNDING, TAKING_BIAS, TRAINED,
                   TRAINED_SHAPES, WINDOWS, in_bfloat16, peers, trained_peers)
from turns import Contestant, Worker, busy, measure_in_turn, settle_lost
from verdict import LEVEL, refusal

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build"
MAX_CALL_S = 2  # a peer whose call takes longer isn't timed
OURS = "aft"
# How far a gradient may be from ours in float32, relative to its largest: in bfloat16 as far as
# allowed_tolerances() of the reference lets a mean, four operands off by 2^-8 of themselves.
SAME_GRADIENT = {"float32": 1e-4, "bfloat16": 4 * 2**-8}

MODULES = {"OpenVINO": "openvino_peers", "ONNX Runtime": "onnxruntime_peers", "JAX": "jax_peers",
           "PyTorch": "torch_peers", AS_ON_INTEL: "torch_as_on_intel_peers"}
# The peers whose documentation says how to limit them to AVX2; the loops between their products are of the build.
AVX2 = {"oneDNN": {"ONEDNN_MAX_CPU_ISA": "AVX2"}, "OpenBLAS": {"OPENBLAS_CORETYPE": "Haswell"},
        "MKL": {"MKL_ENABLE_INSTRUCTIONS": "AVX2"}}
BLAS = {"oneDNN": "libdnnl.so*", "OpenBLAS": "libscipy_openblas.so", "MKL": "libmkl_rt.so*"}
PACKAGES = ["torch", "aft-pytorch", "jax", "onnxruntime", "openvino", "onednn-cpu-gomp", "scipy-openblas32", "mkl"]


class Comparison:
    def __init__(self, options):
        self.options = options
        self.peers_build = BUILD / ("avx2" if options.avx2 else "") / "benchmark/peers"
        self.program = str(self.peers_build / "aft_peers")
        self.folder = Path(options.output) / "peers"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = open(self.folder / "workers.log", "w", encoding="utf-8")
        self.cpus = sorted(os.sched_getaffinity(0))
        self.storage = "bfloat16" if options.bfloat16 else "float32"
        self.problems, self.workers = {}, {}
        self.comparisons, self.skipped, self.wrong = [], [], False

    def worker(self, library, form, threads):
        """A process for each form, on the same processors with the same settings; kept for the next problem."""
        if (library, form) in self.workers:
            return self.workers[library, form]
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith(("AFT_", "ATEN_", "DNNL_", "GOMP_", "HL_", "KMP_", "MKL_", "OMP_",
                                              "ONEDNN_", "OPENBLAS_", "XLA_"))}
        environment |= {
            # Big buffers aren't given back to the system and faulted in again at each call.
            "MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
            "MALLOC_TOP_PAD_": str(1 << 26),
            "PYTHONPATH": str(BUILD.parent / "python"), "AFT_LIBRARY": str(BUILD / "runtime/libaft.so"),
            "OMP_NUM_THREADS": str(threads), "MKL_THREADING_LAYER": "GNU",
            "TORCHINDUCTOR_CACHE_DIR": str(self.folder / "inductor"), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        if library == AS_ON_INTEL:
            environment["LD_PRELOAD"] = str(self.peers_build / "libaft_mkl_as_on_intel.so")
        if library in MODULES:
            command = [sys.executable, str(HERE / "worker.py"), MODULES[library], str(threads)]
        else:
            command = [self.program, "work", str(threads)]
        if self.options.avx2:
            environment |= AVX2.get(library, {})
        if library in BLAS:
            found = sorted(glob.glob(f"{sys.prefix}/lib/**/{BLAS[library]}", recursive=True))
            command.append(found[0] if found else BLAS[library])  # the loader says that there is none
        worker = self.workers[library, form] = Worker(command, environment, self.cpus[:threads], self.log)
        return worker

    def problem(self, layer, shape):
        """The file with weights, input and reference."""
        if (layer, shape) not in self.problems:
            path = self.folder / f"{layer}-{'-'.join(map(str, shape))}.safetensors"
            subprocess.run([self.program, "problem", layer, ",".join(map(str, shape)), path], check=True)
            self.problems[layer, shape] = str(path)
        return self.problems[layer, shape]

    def first_call(self, contestant, form, problem):
        """The answer to the first request, y, and of a step of training the gradient of x; raises RuntimeError."""
        output = self.folder / "y.f32"
        output.unlink(missing_ok=True)
        answer = contestant.worker.ask(problem=problem, form=form, output=str(output))
        y = numpy.fromfile(output, numpy.float32)
        return answer, *(numpy.split(y, 2) if self.options.training else (y, None))

    def failure(self, contestant, form, problem):
        """Why a contestant can't be timed; None when it's right."""
        try:
            if self.options.training and contestant.peer == OURS:  # tests compare it with the reference
                _, _, self.gradient = self.first_call(contestant, "training", problem)
            answer, y, gradient = self.first_call(contestant, form, problem)
            with safe_open(problem, "numpy") as file:
                rows, expected, tolerance = map(file.get_tensor, ("rows", "expected", "tolerance"))
                if self.storage == "bfloat16":
                    tolerance *= float(file.metadata()["bfloat16_tolerances"])
            y = y.reshape(len(expected), -1, expected.shape[2])
            if not numpy.isfinite(y).all():
                return "WRONG: y isn't finite"
            error = abs(y[:, rows] - expected)
            errors = {"y": (float((error / tolerance).max()), float(error.max() / abs(expected).max()))}
            if gradient is not None:
                difference = float(abs(gradient - self.gradient).max() / abs(self.gradient).max())
                errors["the gradient"] = (difference / SAME_GRADIENT[self.storage], difference)
            refused = refusal(errors, self.options.bfloat16 and contestant.peer.startswith(ROUNDING))
            if refused:
                return refused
            contestant.tolerances, contestant.error = map(max, zip(*errors.values()))
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
        form = " ".join(word for word in ("training", "bfloat16") if getattr(self.options, word))
        failure = self.failure(ours, form, problem)
        if failure:
            self.wrong = True
            self.skipped.append({**case, "peer": OURS, "reason": failure})
            return
        field, opponents = [], (trained_peers if self.options.training else peers)(layer)
        for peer, library, form in in_bfloat16(opponents) if self.options.bfloat16 else opponents:
            is_wanted = any(name.lower() in peer.lower() for name in self.options.peer or [""])
            if is_wanted and (library in AVX2 or not self.options.avx2):
                contestant = Contestant(peer, self.worker(library, form, threads))
                failure = self.failure(contestant, form, problem)
                if failure:
                    self.skipped.append({**case, "peer": peer, "reason": failure})
                else:
                    field.append(contestant)
        first = found = measure_in_turn(ours, field, self.options.seconds)
        if self.options.repeat_lost:
            found = settle_lost(first, ours, self.options.seconds, self.options.repeat_lost)
        self.wrong |= ours.failure is not None
        for each in (ours, *field):
            if each.failure:
                self.skipped.append({**case, "peer": each.peer, "reason": each.failure})
        for each, verdict in found.items():
            self.comparisons.append({
                **case, "peer": each.peer, "kernel": ours.kernel, "verdict": verdict.name, "ratio": verdict.ratio,
                "ratio_low": verdict.low, "ratio_high": verdict.high, "turns": len(verdict.peer),
                "lost_ratio": first[each].ratio if verdict is not first[each] else None,
                "ours_median_ms": statistics.median(verdict.ours) * 1e3,
                "peer_median_ms": statistics.median(verdict.peer) * 1e3, "ours_best_ms": min(verdict.ours) * 1e3,
                "peer_best_ms": min(verdict.peer) * 1e3, "ours_error": ours.error, "peer_error": each.error,
                "peer_tolerances": each.tolerances, "peer_peak_bytes": each.peak_bytes})

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
                             f"{closest['ratio']:.2f} times, {closest['verdict']}" if closest else "nothing compared"),
                          flush=True)
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
    isa = next((isa for isa in ("avx512f", "avx2", "sse4_1") if isa in flags), platform.machine())
    return {"cpu": first("/proc/cpuinfo", "model name", ":"), "cores": os.cpu_count(),
            "isa": f"{isa}, all limited to AVX2" if options.avx2 else isa,
            "os": f"{first('/etc/os-release', 'PRETTY_NAME', '=')}, {platform.system()} {platform.release()}",
            "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "versions": versions,
            "seconds": options.seconds, "level": LEVEL, "busy": options.busy,
            "storage": "bfloat16" if options.bfloat16 else "float32",
            "command": " ".join(["compare.py", *sys.argv[1:]])}


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
    parser.add_argument("--repeat-lost", type=int, choices=range(1, 101), metavar="N",
                        help="repeat a comparison that says \"behind\", for N times as many turns: the new ones decide")
    parser.add_argument("--avx2", action="store_true",
                        help=f"limit ours and {', '.join(AVX2)} to AVX2, without other peers; ours is the build in "
                             "build/avx2, by make bench-avx2")
    parser.add_argument("--bfloat16", action="store_true",
                        help="products of bfloat16 with sums in float32, of ours and of the peers that have them")
    parser.add_argument("--busy", type=int, choices=range(cores + 1), default=0, metavar="N",
                        help="keep the last N processors at work by multiply-adds, beside every contestant alike")
    parser.add_argument("--training", action="store_true",
                        help=f"steps of training, of {', '.join(TRAINED)}: the result and all gradients")
    parser.add_argument("--quick", action="store_true", help=f"all threads, 0.2 s, shapes {' '.join(QUICK_SHAPES)}")
    parser.add_argument("--output", default=str(BUILD / "bench"), metavar="FOLDER", help="default: build/bench")
    options = parser.parse_args()
    if options.avx2 and options.training:
        parser.error("--avx2: none of its peers trains")
    if options.avx2 and options.bfloat16:
        parser.error("--avx2: it has no instruction that multiplies bfloat16")
    options.cases = [(layer, each) for layer in options.layer or (TRAINED if options.training else LAYERS)
                     for each in shapes_of(layer, options)]
    options.threads = options.threads or ([cores] if options.quick else sorted({1, cores}))
    options.seconds = options.seconds or (0.2 if options.quick else 0.7)
    return options


def main():
    options = parsed_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # or stopped workers would stay behind
    comparison = Comparison(options)
    with busy([comparison.program, "busy"], comparison.cpus[len(comparison.cpus) - options.busy:]):
        comparison.run_all()
    report.write(comparison.save(), Path(options.output))
    return 1 if comparison.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
