"""What a build tree has about the code of its kernels: the schedule, the loop nest, a hash of the object."""

import hashlib
import re
from pathlib import Path

SCHEDULES = Path(__file__).resolve().parents[2] / "generators/schedules"
# The schedule by hand of an operation, by the start of its name: the first that fits.
BY_HAND = {
    "packed": (("scan", "cpu_scan.h"), ("core_gradients", "core_gradients_packed.h"),
               ("bias_gradients", "core_gradients_packed.h"), ("core", "core_packed.h"), ("sources", "core_packed.h"),
               ("kept", "core_packed.h"), ("linear_gradients", "linear_gradients_packed.h"), ("", "cpu_packed.h")),
    "tiled": (("core", "core_tiled.h"), ("", "gpu_tiled.h")),
    "naive": (("", "naive.h"),),
}
# A line of a lowered statement that begins a loop, a job, or the memory of a stage.
NEST = re.compile(r"( *)(internal func|func|for|parallel|gpu_block|gpu_thread|allocate) ?\(?(.*?)\)? ?\{?$")


def folder_of(build):
    return Path(build) / "generators"


def file_name(kernel):
    """Of the kernel with an id: that of one of several targets has @ before the instruction set."""
    return kernel.replace("@", "_")


def hashes(build):
    """The SHA-256 of the object of every kernel of a build, by the name of its function."""
    return {path.stem: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder_of(build).glob("aft_*.o")) if path.stem != "aft_halide_runtime"}


def schedule_of(build, row):
    """The title and the text of the schedule of a kernel of a report, or None."""
    found = folder_of(build) / f"{file_name(row['kernel'])}.schedule.h"
    if found.exists():
        return found.name, found.read_text()
    for start, name in BY_HAND.get(row["schedule"], ()):
        if row["operation"].startswith(start):
            return f"generators/schedules/{name}", (SCHEDULES / name).read_text()
    return None


def loop_nest(statement):
    """The loops, jobs and allocations of a lowered statement, by their depth."""
    lines = []
    for line in statement.splitlines():
        match = NEST.match(line)
        if not match:
            continue
        depth, word, rest = len(match[1]), match[2], match[3]
        if word.endswith("func"):
            name = rest.split(" ")[0].split("(")[0]
            lines.append(f"\n{name.rpartition('_par_for_')[2] or name}:" if "_par_for_" in name else f"\n{name}:")
        elif word == "allocate":
            lines.append(f"{' ' * depth}  store {rest}")
        else:
            variable, _, bounds = rest.partition(", ")
            lines.append(f"{' ' * depth}  {word} {variable} in {bounds}")
    return "\n".join(lines).strip()


def loop_nest_of(build, kernel):
    """None where the build tree has no statement of the kernel."""
    statement = folder_of(build) / f"{file_name(kernel)}.stmt"
    # That of a GPU kernel has its code in it.
    return loop_nest(statement.read_text(errors="replace")) if statement.exists() else None
