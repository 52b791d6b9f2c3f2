#!/usr/bin/env python3
"""Times the usual implementation of the layers: the formulas of aft-pytorch in PyTorch, eager and compiled.

usage: gpu-peers.py peers.json

The shapes are those of `aft bench` on a GPU (gpu_benchmark_problems() in reference/benchmark_problems.cpp). x and y lie on the
device. The time is that of many calls between two CUDA events, after a warm-up. Needs PyTorch with CUDA.
"""

import json
import os
import statistics
import sys
import time

import torch

SHAPES = [(32, 1024, 512, 32), (16, 197, 192, 32), (2, 3072, 256, 256), (1, 64, 64, 32)]  # B, T, H = P, s
SAMPLES = 20
SAMPLE_MS = 20
BUDGET_S = 150  # compiling takes seconds each: what comes later goes without


class Layer(torch.nn.Module):
    def __init__(self, kind, seq, channels, window):
        super().__init__()
        self.kind = kind
        self.to_q = torch.nn.Linear(channels, channels)
        self.to_k = torch.nn.Linear(channels, channels)
        self.to_v = torch.nn.Linear(channels, channels)
        self.project = torch.nn.Linear(channels, channels)
        if kind != "simple":
            bias = torch.randn(seq, seq)
            if kind == "local":
                distance = torch.arange(seq)[:, None] - torch.arange(seq)[None, :]
                bias = torch.where(distance.abs() < window, bias, 0.0)
            self.wbias = torch.nn.Parameter(bias)

    def forward(self, x):
        q, k, v = self.to_q(x), self.to_k(x), self.to_v(x)
        if self.kind == "simple":
            mean = (torch.softmax(k, 1) * v).sum(dim=1, keepdim=True)
        else:
            w = torch.exp(self.wbias.unsqueeze(0))
            mean = (w @ (torch.exp(k) * v)) / (w @ torch.exp(k))
        return self.project(torch.sigmoid(q) * mean)


def samples_ms(call):
    """Milliseconds of a call, sample by sample."""
    def timed(count):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(count):
            call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / count

    for _ in range(5):
        call()
    torch.cuda.synchronize()
    count = max(1, min(5000, round(SAMPLE_MS / max(timed(5), 1e-3))))
    return [timed(count) for _ in range(SAMPLES)]


def measure(kind, shape, mode, tf32):
    batch, seq, channels, window = shape
    row = {"layer": kind, "mode": mode, "tf32": tf32,
           "shape": {"batch": batch, "seq": seq, "hidden": channels, "projected": channels,
                     "window": window if kind == "local" else None},
           "median_ms": None, "best_ms": None, "max_error": None, "failure": None}
    try:
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.manual_seed(1)
        layer = Layer(kind, seq, channels, window).cuda().eval()
        x = torch.randn(batch, seq, channels, device="cuda")
        run = layer
        if mode == "compile":
            torch._dynamo.reset()
            run = torch.compile(layer, dynamic=False)
        with torch.no_grad():
            y = run(x)
            samples = samples_ms(lambda: run(x))
            exact = layer.double()(x.double())
        row["max_error"] = float((y.double() - exact).abs().max() / exact.abs().max())
        row["median_ms"], row["best_ms"] = statistics.median(samples), min(samples)
    except Exception as error:  # whatever a compiler of kernels finds missing here
        lines = str(error).strip().splitlines()
        row["failure"] = f"{type(error).__name__}: {lines[0] if lines else ''}"
    return row


def main(path):
    start = time.monotonic()
    rows = []
    # The most important ones first: compiled ones in float32, the largest shape before the others.
    runs = [(shape, kind, mode, False) for shape in SHAPES for kind in ("full", "simple", "local")
            for mode in ("eager", "compile")]
    runs += [(shape, kind, "eager", True) for shape in SHAPES for kind in ("full", "simple", "local")]
    runs += [(SHAPES[0], kind, "compile", True) for kind in ("full", "simple", "local")]
    for shape, kind, mode, tf32 in runs:
        if time.monotonic() - start > BUDGET_S and mode == "compile":
            print(f"{kind} {shape} compile: no time was left", flush=True)
            continue
        row = measure(kind, shape, mode, tf32)
        rows.append(row)
        print(f"{kind} {shape} {mode}{' TF32' if tf32 else ''}: "
              + (row["failure"] or f"{row['median_ms']:.4g} ms, error {row['max_error']:.1e}"), flush=True)
        with open(path + ".new", "w", encoding="utf-8") as file:  # a time limit may end this in the middle
            json.dump({"torch": torch.__version__, "cuda": torch.version.cuda,
                       "device": torch.cuda.get_device_name(), "rows": rows}, file, indent=1)
        os.replace(path + ".new", path)
    # The eager ones always run. If torch.compile finds no compiler, its rows say so.
    return any(row["failure"] for row in rows if row["mode"] == "eager")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
