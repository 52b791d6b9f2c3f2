#!/usr/bin/env python3
"""Checks that the rooms of the runtime depend on each other in one direction."""
import pathlib
import re
import sys

# The rooms that a room includes files of, beside its own.
MAY_INCLUDE = {
    "system": set(),
    "threads": {"system"},
    "files": set(),
    "halide": {"system", "threads"},
    "devices": {"halide", "system", "threads"},
    "kernels": {"devices", "files", "halide", "threads", "weights"},
}

runtime = pathlib.Path(__file__).parent.parent / "runtime"
wrong = []
for room, others in MAY_INCLUDE.items():
    for file in sorted((runtime / room).iterdir()):
        for included in re.findall(r'#include "(\w+)/', file.read_text()):
            if included not in others | {room}:
                wrong.append(f"{file.relative_to(runtime)} includes a file of {included}")
print("\n".join(wrong) or "no room includes a file of one above it")
sys.exit(1 if wrong else 0)
