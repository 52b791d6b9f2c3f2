#!/usr/bin/env python3
"""Trains the model of examples/train_characters.py with aft-pytorch and with aft.torch from the same seed, in turn.

Writes the losses to loss_curves.json and draws them over each other, loss_curves.svg. `make bench-training` runs it.
AFTLocal is missing: aft-pytorch doesn't train its bias.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
TEXT = sorted(str(path) for path in (ROOT / "docs").glob("*.md"))
PACKAGES = {"aft-pytorch": "aft_pytorch", "aft.torch": "aft.torch"}


def train(package, layer, steps):
    command = [sys.executable, str(ROOT / "examples/train_characters.py"), "--package", package, "--layer", layer,
               "--steps", str(steps), *TEXT]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--output", default=str(ROOT / "build/bench/training"), metavar="FOLDER")
    options = parser.parse_args()
    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)

    results = {}
    figure, panels = plt.subplots(1, 2, sharey=True, layout="constrained", figsize=(10, 4))
    for panel, layer in zip(panels, ("full", "simple")):
        curves = {name: train(package, layer, options.steps) for name, package in PACKAGES.items()}
        results[layer] = curves
        for (name, curve), width in zip(curves.items(), (4, 1.2)):
            panel.plot([each["loss"] for each in curve], linewidth=width, label=name)
        panel.set(title=f"AFT{layer.capitalize()}", xlabel="step", ylabel="loss per hidden character")
        panel.legend()
        losses = [[each["loss"] for each in curve] for curve in curves.values()]
        difference = max(abs(a - b) for a, b in zip(*losses))
        times = ", ".join(f"{name} {1e3 * statistics.median(each['seconds'] for each in curve):.4g} ms"
                          for name, curve in curves.items())
        print(f"{layer}: the losses differ by at most {difference:.2g} in {options.steps} steps, the last is "
              f"{losses[1][-1]:.4f}; a step of the whole model: {times}", flush=True)
    figure.savefig(output / "loss_curves.svg")
    (output / "loss_curves.json").write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
