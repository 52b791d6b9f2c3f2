"""Kernels that a program loads."""

import json
import subprocess
import sys

import pytest

import aft

ENTRY = {"layer": "full", "algorithm": "dense", "kernel": "tuned", "target": "x86-64-linux",
         "shape": {"batch": 1, "seq": 8, "hidden": 4, "projected": 4, "window": 0},
         "library": {"file": "kernel.so", "sha256": "0" * 64, "abi": 1}}


def test_a_file_that_is_refused_is_named(tmp_path):
    path = tmp_path / "w.json"
    with pytest.raises(aft.ConfigError, match="w.json: can't be opened"):
        aft.load_kernels(path)
    path.write_text("no JSON")
    path.chmod(0o644)
    with pytest.raises(aft.ConfigError, match="w.json: not JSON at byte 2"):
        aft.load_kernels(str(path))


def test_kernels_of_another_cpu_are_listed_with_the_reason(tmp_path):
    path = tmp_path / "w.json"
    path.write_text(json.dumps({"cpu": "Other CPU", "isa": "avx2", "results": [ENTRY]}))
    path.chmod(0o644)
    # In a process of its own: they would stay in the list of this one.
    program = ("import sys, aft; aft.load_kernels(sys.argv[1]); kernel = aft.kernels()[0]; "
               "print(kernel.id, kernel.usable, kernel.preferred_seq, kernel.reason)")
    said = subprocess.run([sys.executable, "-c", program, path], check=True, capture_output=True, text=True).stdout
    assert said.startswith("wisdom_full_cpu_tuned_b1_t8_h4_p4_00000000 False (4, 16) was tuned on Other CPU, this is ")
