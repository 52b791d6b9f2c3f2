#!/usr/bin/env python3
"""Measures the stages of whole layers on one thread, schedule by schedule, and traces the beams of Adams2019: for each
kernel the least CPU time of a call, the share of each Func in it by Halide's profiler, and of a search the cost of each
pass. Writes them for the atlas.

usage: measure.py [OPTION...]          after `make`: it takes the generator program and the commands of the build
"""

import argparse
import json
import re
import resource
import sys
import tempfile
import time
from pathlib import Path

from kernel import Failure, commands, make, run

HERE = Path(__file__).resolve().parent
# The products of a layer; in every form of the algorithm, their Funcs have these names.
PRODUCTS = ("query", "key_value", "sums", "output")
FLOAT = 4  # bytes
SCHEDULES = ("packed", "naive", "li2018", "mullapudi2016", "adams2019")
PASS = re.compile(r"Pass (\d+) of \d+, cost: (\S+), time \(ms\): (\d+)")
EVALUATED = re.compile(r"Cost evaluated this many times: (\d+)")
FUNC = re.compile(r" {4}(\S[^:]*):\s+\S+ms \(\s*([\d.]+)%\)")
PROFILED_SECONDS = 5
# Features that the trace lists for each stage of the schedule found.
FEATURES = ("points_computed_total", "points_computed_minimum", "num_vectors", "num_scalars", "vector_size")


def stage_of(func):
    return next((product for product in PRODUCTS if re.fullmatch(product + r"(_(\d+|first|partial))?", func)), "rest")


def profiles(report):
    """The percentage of each Func in the time of each pipeline of a report of Halide's profiler, by its name."""
    result, funcs = {}, {}
    for line in report.splitlines():
        if re.fullmatch(r"\w+", line):
            funcs = result[line] = {}
        elif match := FUNC.match(line):
            funcs[match[1]] = float(match[2])
    return result


def stages(funcs):
    """The percentages by product; `rest` is all between the products."""
    result = dict.fromkeys((*PRODUCTS, "rest"), 0.0)
    for func, percent in funcs.items():
        result[stage_of(func)] += percent
    whole = sum(result.values())
    if not whole:
        raise Failure("the profiler saw no Func: the calls took too short a time")
    return {stage: round(100 * percent / whole, 2) for stage, percent in result.items()}


def floors(layer_bias, shape):
    """Floating-point operations of each product of a layer, and the bytes of its operands and its result, each once."""
    batch, seq, hidden, projected, window = shape
    rows = batch * seq
    pairs = {"dense": seq * seq, "banded": seq * min(2 * window - 1, seq), "none": 0}[layer_bias]
    project = 2 * rows * hidden * projected, FLOAT * (rows * (hidden + projected) + hidden * projected)
    result = {"query": project, "output": project,
              "key_value": (2 * project[0], FLOAT * (rows * (hidden + 2 * projected) + 2 * hidden * projected))}
    if pairs:
        result["sums"] = 4 * batch * pairs * projected, FLOAT * (pairs + 4 * rows * projected)
    return {product: {"flop": flop, "bytes": moved} for product, (flop, moved) in result.items()}


def trace(log):
    """The search in a log of Adams2019: the least cost of each pass, how many states had their cost evaluated, and, for
    each stage of the schedule found, how often a point is computed and how much of it is no vector. None of another
    log."""
    passes = [{"cost": float(cost), "ms": int(ms)} for _, cost, ms in PASS.findall(log)]
    if not passes:
        return None
    found = {}
    for part in log.split("Schedule features for ")[1:]:
        values = {key: float(value) for key, value in re.findall(r"^ +(\w+): +(\S+)$", part, re.MULTILINE)}
        points, least, vectors, scalars, lanes = (values[key] for key in FEATURES)
        found[part.split("\n", 1)[0]] = {
            "times_computed": round(points / least, 2) if least else None,
            "percent_scalar": round(100 * scalars / (scalars + vectors * lanes), 1) if scalars + vectors else 0}
    return {"passes": passes, "evaluated": int(EVALUATED.search(log)[1]), "stages": found}


def layers_of(known):
    """Those with a hand schedule of the whole layer."""
    return [match[1] for kernel, command in known.items()
            if "aft_forward" in command and (match := re.fullmatch(r"aft_(\w+)_cpu_packed", kernel))]


def value_of(command, key):
    return next((word.split("=", 1)[1] for word in command if word.startswith(key + "=")), None)


def wanted(layer, variant, known, beams, change):
    """Names, kernels of the build and changed parameters of all that is measured of a layer."""
    for schedule in SCHEDULES:
        kernel = next((each for each in (f"aft_{layer}_cpu_{schedule}_{variant}", f"aft_{layer}_cpu_{schedule}")
                       if each in known), None)
        if kernel:
            yield schedule, kernel, {}
        if kernel and schedule == "adams2019":
            size = "autoscheduler.beam_size"
            yield from ((f"{schedule}_beam{beam}", kernel, {size: beam}) for beam in beams
                        if str(beam) != value_of(known[kernel], size))
            if change:
                yield f"{schedule}_changed", kernel, change


def cpu_of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def called(seconds, shape, libraries):
    """The least CPU times of kernels called in turn, on one thread, and what Halide's profiler prints."""
    command = [sys.executable, HERE / "kernel.py", str(seconds), shape]
    done = run([*command, *(f"{name}={library}" for name, library in libraries.items())], HL_NUM_THREADS="1")
    times, report = done.stdout.split("\n", 1)
    return json.loads(times), report


def measure(layer, options, known, folder):
    """The rows of a layer."""
    rows, libraries = [], {}
    for name, kernel, parameters in wanted(layer, options.variant, known, options.beam,
                                           dict(each.split("=", 1) for each in options.change)):
        print(f"{layer}: {name}", file=sys.stderr)
        before = cpu_of_children()
        libraries[name], log = make(known[kernel], name, folder, parameters)
        search = trace(log)
        if search:
            search["cpu_seconds"] = round(cpu_of_children() - before, 1)
            search["beam_size"] = int(re.search(r"beam_size:(\d+)", log)[1])
        # Alone: the profiler counts the time of another kernel's turn as that of the first Func after it.
        profiled, _ = make(known[kernel], name, folder, parameters, profiled=True)
        times, report = called(PROFILED_SECONDS, options.shape, {name: profiled})
        funcs = profiles(report)[name]
        rows.append({"layer": layer, "kernel": kernel, "name": name, "shape": options.shape,
                     "floors": floors(value_of(known[kernel], "layer_bias"), map(int, options.shape.split(","))),
                     "profiled_cpu_ms": round(times[name], 4), "stages": stages(funcs),
                     "funcs": {func: percent for func, percent in funcs.items() if percent}, "search": search})
    times, _ = called(options.seconds, options.shape, libraries)
    for row in rows:
        row["cpu_ms"] = round(times[row["name"]], 4)
    return rows


def this_machine():
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {"cpu": cpu[1] if cpu else "unknown", "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "command": " ".join(["bench/atlas/measure.py", *sys.argv[1:]])}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="build tree with the generator program; default: build")
    parser.add_argument("--layer", nargs="+", help="default: all with kernels of whole layers")
    parser.add_argument("--shape", default="2,192,192,192,32", help="B,T,H,P,s; default: 2,192,192,192,32")
    parser.add_argument("--variant", default="t192", help="of the autoscheduled kernels; default: t192")
    parser.add_argument("--beam", nargs="*", type=int, default=[1, 4],
                        help="beams of Adams2019 beside that of the build; default: 1 4")
    parser.add_argument("--change", nargs="+", default=[], metavar="KEY=VALUE",
                        help="a kernel of Adams2019 with these parameters, too, e.g. estimated_seq=56")
    parser.add_argument("--seconds", type=float, default=30, help="of calls for each layer; default: 30")
    parser.add_argument("--output", default="build/bench/stages.json", help="default: build/bench/stages.json")
    options = parser.parse_args()
    try:
        known = commands(options.build)
        layers = layers_of(known)
        if wrong := set(options.layer or layers) - set(layers):
            raise Failure(f"{', '.join(sorted(wrong))}: no layer of {', '.join(layers)}")
        with tempfile.TemporaryDirectory() as folder:
            rows = [row for layer in options.layer or layers for row in measure(layer, options, known, folder)]
    except Failure as error:
        sys.exit(f"measure: {error}")
    output = Path(options.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"machine": this_machine(), "rows": rows}, indent=1) + "\n")
    print(output)


if __name__ == "__main__":
    main()
