"""aft.torch in several processes, on gloo."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("aft.torch")

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = [str(ROOT / "examples/train_characters.py"), str(ROOT / "README.md"), "--steps", "12", "--dim", "32", "--seq",
           "48", "--threads", "1"]


TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]


def run(*command):
    """The lines that a Python program prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=300, env=environment,
                          check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def losses(*command):
    return [json.loads(line)["loss"] for line in run(*command)]


@pytest.mark.parametrize("more", [["--layer", "full"], ["--layer", "simple", "--causal"], ["--layer", "local"],
                                  ["--layer", "full", "--compile"]], ids=" ".join)
def test_two_processes_train_as_one(more):
    alone = losses(*EXAMPLE, *more)
    joint = losses(*TORCHRUN, "2", *EXAMPLE, *more)
    assert len(alone) == len(joint) == 12
    assert alone[-1] < 0.97 * alone[0]
    assert all(abs(a - b) <= 2e-5 * a for a, b in zip(alone, joint))
    assert alone == losses(*EXAMPLE, *more)  # the same bits


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
def test_a_sequence_shared_among_processes(processes):
    run(*TORCHRUN, str(processes), str(pathlib.Path(__file__).with_name("sharded.py")))
