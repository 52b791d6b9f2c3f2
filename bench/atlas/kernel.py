"""Kernels of whole layers as shared objects with a Halide runtime of their own, and calls of them in turn.

The parameters are those that the build has for the kernel, but for changes that the caller wants. So a kernel can be
made with Halide's profiler in it, or with another beam of its autoscheduler.

As a program, kernel.py calls kernels in turn and prints the least CPU time of each as a line of JSON. Halide's profiler
prints its reports after it, as the program ends: kernel.py SECONDS BATCH,SEQ,HIDDEN,PROJECTED,WINDOW NAME=LIBRARY...
"""

import ctypes
import itertools
import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

TURN = 0.02  # seconds of a kernel's calls in a round, at least
TOLERANCE = 1e-4  # of the largest output: between kernels that sum in another order
GENERATED = re.compile(r"&& (\S*aft_generator) -n (\S+) (.*)")


class Failure(Exception):
    """A kernel that can't be made, that fails, or whose output is another one. The text names it."""


def commands(build):
    """The command that generates each kernel of a build, as a list, by the kernel's id."""
    try:
        text = (Path(build) / "build.ninja").read_text()
    except OSError as error:
        raise Failure(f"{build}: isn't a build by Ninja: {error}") from error
    return {name: [program, "-n", name, *rest.split()] for program, name, rest in GENERATED.findall(text)}


def run(command, **environment):
    done = subprocess.run(command, capture_output=True, text=True, errors="replace",
                          env={**os.environ, **environment})
    if done.returncode:
        raise Failure(f"{' '.join(map(str, command))}: exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    return done


def make(command, name, folder, parameters=(), profiled=False):
    """Makes the kernel of a command of the build with another name and other parameters. Returns the path of its shared
    object, and the log of its autoscheduler."""
    changed = dict(word.split("=", 1) for word in command if "=" in word)
    changed.update(parameters)
    changed["target"] = changed["target"].replace("-no_runtime", "-profile" if profiled else "")
    options = [word for word in command[1:] if "=" not in word]
    for option, value in (("-n", name), ("-f", name), ("-e", "static_library,stmt"), ("-o", str(folder))):
        options[options.index(option) + 1] = value
    log = run([command[0], *options, *(f"{key}={value}" for key, value in changed.items())],
              HL_DEBUG_AUTOSCHEDULE="1").stderr
    library = Path(folder) / f"{name}{'_profiled' if profiled else ''}.so"
    run([os.environ.get("CXX", "g++"), "-shared", "-o", library, "-Wl,--whole-archive", Path(folder) / f"{name}.a",
         "-Wl,--no-whole-archive", "-lpthread", "-ldl"])
    return library, log


# HalideRuntime.h has these.
class Type(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class Dimension(ctypes.Structure):
    _fields_ = [("min", ctypes.c_int32), ("extent", ctypes.c_int32), ("stride", ctypes.c_int32),
                ("flags", ctypes.c_uint32)]


class Buffer(ctypes.Structure):
    _fields_ = [("device", ctypes.c_uint64), ("device_interface", ctypes.c_void_p), ("host", ctypes.c_void_p),
                ("flags", ctypes.c_uint64), ("type", Type), ("dimensions", ctypes.c_int32),
                ("dim", ctypes.POINTER(Dimension)), ("padding", ctypes.c_void_p)]


class Argument(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("kind", ctypes.c_int32), ("dimensions", ctypes.c_int32), ("type", Type),
                ("defaults", ctypes.c_void_p * 5)]


class Metadata(ctypes.Structure):
    _fields_ = [("version", ctypes.c_int32), ("count", ctypes.c_int32), ("arguments", ctypes.POINTER(Argument)),
                ("target", ctypes.c_char_p), ("name", ctypes.c_char_p)]


class Kernel:
    """A loaded kernel with its operands: x and biases in -1 to 1, weights that keep sums in that range, and prepared
    biases in 0 to 1. The values are the same for every kernel with operands of the same layout."""

    SCALAR = 0

    def __init__(self, library, name, shape):
        batch, seq, hidden, projected, window = shape
        known = {"x": (hidden, seq, batch), "y": (hidden, seq, batch), "bq": (projected,), "bv": (projected,),
                 "bo": (hidden,)}
        code = ctypes.CDLL(str(library))
        metadata = getattr(code, f"{name}_metadata")
        metadata.restype = ctypes.POINTER(Metadata)
        self.name, self.function, self.buffers, self.memory = name, getattr(code, f"{name}_argv"), {}, []
        arguments = []
        for argument in metadata().contents.arguments[:metadata().contents.count]:
            each = argument.name.decode()
            if argument.kind == self.SCALAR:  # the caller's context is null
                value = ctypes.c_int64({"window": window, "max_seq_len": seq}.get(each, 0))
                self.memory.append(value)
            else:
                dimensions = (Dimension * argument.dimensions)()
                stride = 1
                for dimension, extent in zip(dimensions, known.get(each, ())):
                    dimension.extent, dimension.stride = extent, stride
                    stride *= extent
                value = self.buffers[each] = Buffer(type=argument.type, dimensions=argument.dimensions, dim=dimensions)
            arguments.append(ctypes.addressof(value))
        self.arguments = (ctypes.c_void_p * len(arguments))(*arguments)
        self.fill(known, 1)
        self.call()  # a bounds query, as other buffers have no memory: it sets their extents
        self.fill([each for each in self.buffers if each.startswith("w")], hidden ** -0.5)
        self.fill([each for each in self.buffers if not self.buffers[each].host], 1, least=0.01)
        self.call()

    def fill(self, names, most, least=None):
        for name in names:
            buffer = self.buffers[name]
            size = 1 + sum((each.extent - 1) * each.stride for each in buffer.dim[:buffer.dimensions])
            draw = random.Random(name)
            few = [draw.uniform(-most if least is None else least, most) for _ in range(997)]  # a prime
            values = (ctypes.c_float * size)(*itertools.islice(itertools.cycle(few), size))
            self.memory.append(values)
            buffer.host = ctypes.addressof(values)

    def call(self):
        if code := self.function(self.arguments):
            raise Failure(f"{self.name}: error {code}")

    def layout(self):
        return tuple((name, tuple(each.extent for each in buffer.dim[:buffer.dimensions]))
                     for name, buffer in sorted(self.buffers.items()))

    def output(self):
        y = self.buffers["y"]
        size = y.dim[0].extent * y.dim[1].extent * y.dim[2].extent
        return (ctypes.c_float * size).from_address(y.host)[:]


def check(kernels):
    """Operands of one layout give one output."""
    first = {}
    for kernel in kernels:
        y = kernel.output()
        largest = max(map(abs, y))
        other = first.setdefault(kernel.layout(), y)
        if not all(abs(a - b) <= TOLERANCE * largest for a, b in zip(y, other)):  # nor NaN
            raise Failure(f"{kernel.name}: its output isn't that of the kernels beside it")


def least_times(kernels, seconds):
    """The least CPU time of a call of each kernel, in ms, of turns that alternate."""
    calls, least = {}, {}
    end = time.monotonic() + seconds
    while not least or time.monotonic() < end:
        for kernel in kernels:
            count = calls.get(kernel.name, 1)
            start = time.process_time()
            for _ in range(count):
                kernel.call()
            each = (time.process_time() - start) / count
            calls[kernel.name] = max(count, int(TURN / each) + 1)
            least[kernel.name] = min(least.get(kernel.name, each * 1e3), each * 1e3)
    return least


def main():
    seconds, shape, *named = sys.argv[1:]
    shape = tuple(map(int, shape.split(",")))
    kernels = [Kernel(library, name, shape) for name, library in (each.split("=", 1) for each in named)]
    check(kernels)
    print(json.dumps(least_times(kernels, float(seconds))), flush=True)


if __name__ == "__main__":
    main()
