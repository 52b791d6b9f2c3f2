"""Reports of `aft bench`, with the stages and beams that measure.py put beside them, and journals of `aft tune`."""

import json
import re
from pathlib import Path

# Fields of a row; a kept report has no others, and none that are null.
ROW = ("kernel", "operation", "layer", "device_id", "algorithm", "schedule", "entry", "shape", "median_ms", "best_ms",
       "gflops", "percent_of_peak", "max_error", "rounds", "correct", "failure")
SHAPE = ("batch", "seq", "sources", "hidden", "projected", "window", "variant")
FLOAT = 4  # bytes


class BadInput(Exception):
    """A file that isn't what it must be. The text names it."""


def read_json(path):
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: {error}") from error


def read_report(path):
    """A report, with the rows of stages.json in the same folder as its `stages`."""
    report = read_json(path)
    if not isinstance(report, dict) or not {"machine", "devices", "kernels"} <= report.keys():
        raise BadInput(f"{path}: isn't a report of aft bench")
    for row in report["kernels"]:
        row.update({key: None for key in ROW if key not in row})
        row["shape"].update({key: None for key in SHAPE if key not in row["shape"]})
    stages = Path(path).parent / "stages.json"
    report["stages"] = []
    if stages.exists():
        found = read_json(stages)
        if not isinstance(found, dict) or "rows" not in found:
            raise BadInput(f"{stages}: isn't of bench/atlas/measure.py")
        report["stages"] = found["rows"]
    return report


def reduced(report):
    """The text of a report with no more than the atlas shows, a row a line: small enough to be committed."""
    def known(values, keys):
        return {key: values[key] for key in keys if values.get(key) is not None}

    rows = ",\n".join(json.dumps(known({**row, "shape": known(row["shape"], SHAPE)}, ROW)) for row in report["kernels"])
    # The folder of the report says nothing about it.
    machine = {**report["machine"], "command": re.sub(r" --report \S+", "", report["machine"]["command"])}
    head = json.dumps({"machine": machine, "devices": report["devices"]}, indent=1)
    return f'{head[:-2]},\n "kernels": [\n{rows}\n]}}\n'


def read_searches(path):
    """The trials of each search in a journal, in their order; none without a journal."""
    searches = {}
    if not Path(path).exists():
        return searches
    for line in Path(path).read_text().splitlines():
        try:
            trial = json.loads(line)
        except ValueError:
            continue  # the end of a search that was killed
        if "search" in trial:  # not of a version that kept no trace
            searches.setdefault((trial["search"], title_of_search(trial)), []).append(trial)
    return searches


def title_of_search(trial):
    shape = trial["shape"]
    window = f" s{shape['window']}" if shape["window"] else ""
    return (f"{trial['layer']} B{shape['batch']} T{shape['seq']} H{shape['hidden']} P{shape['projected']}{window}, "
            f"threads: {trial['threads']}")


def read_baseline(path):
    """The figures of `make bench-baseline` as reports: the percent of the peak of hand schedules alone."""
    reports = []
    for machine, figures in read_json(path).items():
        cpu, target, threads = re.fullmatch(r"(.*), (\S+), threads: (\d+)", machine).groups()
        rows = []
        for name, values in figures.items():
            kernel, shape = name.split(" ", 1)
            layer, entry = re.fullmatch(r"aft_(\w+?)_cpu_(\w+)", kernel).groups()
            rows.append({"kernel": kernel, "operation": "forward", "layer": layer, "entry": entry, "correct": True,
                         "shape": shape, "percent_of_peak": values["percent_of_peak"]})
        reports.append((path, {"kernels": rows, "machine": {
            "cpu": cpu, "target": target, "threads": int(threads), "command": "make bench-baseline"}}))
    return reports


def machine_name(report):
    """Clouds give many CPUs one name: the model that the kernels are tuned for tells them apart."""
    machine = report["machine"]
    target, threads = machine.get("target") or "", machine["threads"]
    model = re.search(r"tune_([^-]+)", target)
    isa = machine.get("isa") or ("AVX-512" if "avx512" in target else "AVX2" if "avx2" in target else "")
    cpu = machine["cpu"] + (f" ({model[1]})" if model else "")
    return ", ".join(filter(None, (cpu, isa, "1 thread" if threads == 1 else f"{threads} threads")))


def shape_name(row):
    shape = row["shape"]
    if isinstance(shape, str):
        return shape
    letters = (("batch", "B"), ("seq", "T"), ("sources", "m"), ("hidden", "H"), ("projected", "P"), ("window", "s"))
    return " ".join([f"{letter}{shape[key]}" for key, letter in letters if shape[key] is not None] +
                    ([shape["variant"]] if shape["variant"] else []))


def title_of(row):
    return " ".join(filter(None, (row["operation"], row["layer"])))


def least_bytes(row):
    """Bytes that a call moves at least: its operands, every weight and every bias once, and the result, in float32.
    None where a row doesn't tell them: calls with masks or lengths, and training."""
    shape = row["shape"]
    batch, rows, hidden, projected = shape["batch"], shape["seq"], shape["hidden"], shape["projected"]
    band = rows * min(2 * (shape["window"] or 0) - 1, rows)
    biases = {"dense": rows * rows, "exact": band if shape["window"] else rows * rows, "banded": band, "softmax": 0}
    if shape["variant"] or shape["sources"]:
        return None
    if row["operation"] == "forward" and row["algorithm"] in biases:
        return FLOAT * (2 * batch * rows * hidden + 4 * hidden * projected + biases[row["algorithm"]])
    if row["operation"] == "linear":
        return FLOAT * (batch * rows * (hidden + projected) + hidden * projected)
    if row["operation"] in ("core", "scan"):  # q, k, v and the mean; a bias of positions is of all samples
        return FLOAT * 4 * batch * rows * projected
    return None


def intensity(row):
    """Floating-point operations of the work floor for each byte that must move; None where unknown."""
    moved = least_bytes(row)
    if not moved or not row["gflops"] or not row["median_ms"]:
        return None
    return row["gflops"] * row["median_ms"] * 1e6 / moved
