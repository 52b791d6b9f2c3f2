#!/usr/bin/env python3
"""Writes an atlas of reports of `aft bench`: one page that needs no other file, with a roofline and maps of kernels by
shapes for each report, the schedule and the loop nest of each kernel beside its times, the searches of `aft tune`, and
the hashes of the generated code. Beside it, code.json has the hashes, for --before of a later run.

usage: atlas.py [OPTION...] REPORT...          reports of `make bench`: build/bench/report.json
"""

import argparse
import html
import json
import re
import sys
from pathlib import Path

import figures
import generated

HERE = Path(__file__).resolve().parent
TRIAL = re.compile(r"(?P<search>\w+ (?P<problem>.*)): (?P<candidate>.*) against (?P<incumbent>.*)")


class BadInput(Exception):
    """A file that isn't what it must be. The text names it."""


def read_json(path):
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: {error}") from error


def read_report(path):
    report = read_json(path)
    if not isinstance(report, dict) or not {"machine", "devices", "kernels"} <= report.keys():
        raise BadInput(f"{path}: isn't a report of aft bench")
    return report


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
        match = TRIAL.fullmatch(trial["trial"])
        if match and not trial["failure"]:
            searches.setdefault(match["search"], []).append({**trial, **match.groupdict()})
    return searches


def shape_name(row):
    shape = row["shape"]
    letters = (("batch", "B"), ("seq", "T"), ("sources", "m"), ("hidden", "H"), ("projected", "P"), ("window", "s"))
    return " ".join([f"{letter}{shape[key]}" for key, letter in letters if shape[key] is not None] +
                    ([shape["variant"]] if shape["variant"] else []))


def title_of(row):
    return " ".join(filter(None, (row["operation"], row["layer"])))


def e(text):
    return html.escape(str(text))


def table(head, rows):
    lines = ["<tr>" + "".join(f"<th>{e(cell)}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{e(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return "<div class='card'><table>" + "".join(lines) + "</table></div>"


def grouped(rows, key):
    groups = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def heat_maps(rows):
    """One for each operation and layer with more than one kernel."""
    for title, group in grouped(rows, title_of).items():
        shapes = list(dict.fromkeys(map(shape_name, group)))
        kernels = list(dict.fromkeys(row["entry"] for row in group))
        if len(kernels) < 2:
            continue
        best = {shape: min(row["median_ms"] for row in group if shape_name(row) == shape) for shape in shapes}
        cells = {(row["entry"], shape_name(row)): row["median_ms"] / best[shape_name(row)] for row in group}
        yield figures.heat_map(title, cells, kernels, shapes)


def page_of_report(path, report):
    machine = report["machine"]
    yield f"<h2>{e(machine['cpu'])}, {e(machine['date'])}</h2>"
    yield (f"<p class='soft'>{e(path)}: {e(machine['threads'])} threads, {e(machine['os'])}, {e(machine['compiler'])}, "
           f"Halide {e(machine['halide'])}. <code>{e(machine['command'])}</code></p>")
    for device in report["devices"]:
        rows = [row for row in report["kernels"]
                if row["device_id"] == device["id"] and row["correct"] and row["median_ms"]]
        ceilings = machine if device["api"] == "cpu" else device
        svg = figures.roofline(f"{device['id']}: roofline", rows, ceilings["fma_peak_gflops"],
                               ceilings["copy_gbytes_per_second"])
        if svg:
            yield f"<h3>Roofline of {e(device['id'])}</h3><div class='card'>{svg}</div>"
        yield (f"<h3>Kernels by shapes on {e(device['id'])}</h3><p class='soft'>Median time over that of the fastest "
               "kernel at the shape.</p>")
        yield from (f"<div class='card'>{svg}</div>" for svg in heat_maps(rows))
    if wrong := [row for row in report["kernels"] if not row["correct"]]:
        yield "<h3>Wrong or failed</h3>" + table(
            ("kernel", "shape", "why"), [(row["kernel"], shape_name(row), row["failure"]) for row in wrong])


def page_of_kernels(build, reports):
    yield "<h2>Kernels</h2>"
    rows = [(report["machine"], row) for _, report in reports for row in report["kernels"]]
    for kernel, each in sorted(grouped(rows, lambda pair: pair[1]["kernel"]).items()):
        row = each[0][1]
        schedule, nest = generated.schedule_of(build, row), generated.loop_nest_of(build, kernel)
        if not schedule and not nest:
            continue  # a matrix library, or a layer on several kernels
        yield f"<details class='card' id='{e(kernel)}'><summary>{e(kernel)}</summary>"
        yield table(("machine", "date", "shape", "median ms", "Gflop/s", "% of the peak"), [
            (machine["cpu"], machine["date"], shape_name(row), f"{row['median_ms']:.4g}", f"{row['gflops']:.4g}",
             "" if row["percent_of_peak"] is None else f"{row['percent_of_peak']:.3g}")
            for machine, row in each if row["median_ms"]])
        yield "<div class='pair'>"
        if nest:
            yield f"<div><h4>Loop nest</h4><pre>{e(nest)}</pre></div>"
        if schedule:
            yield f"<div><h4>{e(schedule[0])}</h4><pre>{e(schedule[1])}</pre></div>"
        yield "</div></details>"


def page_of_searches(searches):
    if searches:
        yield "<h2>Searches of aft tune</h2>"
    for trials in searches.values():
        yield f"<div class='card'>{figures.search_trace(trials[0]['problem'], trials)}</div>"


def page_of_code(now, before):
    """The kernels whose code differs from that of an earlier atlas, and all hashes."""
    yield "<h2>Generated code</h2>"
    if before is not None:
        changes = [(name, "new" if name not in before else "gone" if name not in now else "changed")
                   for name in sorted(now.keys() | before.keys()) if now.get(name) != before.get(name)]
        yield f"<p>{len(changes)} of {len(now)} kernels differ from those before.</p>"
        if changes:
            yield table(("kernel", "code"), changes)
    yield ("<details class='card'><summary>SHA-256 of each object</summary>" +
           table(("kernel", "SHA-256"), now.items()) + "</details>")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="+", metavar="REPORT")
    parser.add_argument("--build", default="build", help="build tree with the kernels; default: build")
    parser.add_argument("--journal", help="trials of aft tune; default: tune/results.jsonl in the build tree")
    parser.add_argument("--before", help="code.json of an earlier atlas: marks the kernels whose code differs")
    parser.add_argument("--output", default="build/atlas", help="folder; default: build/atlas")
    options = parser.parse_args()
    try:
        reports = [(path, read_report(path)) for path in options.reports]
        before = read_json(options.before) if options.before else None
        searches = read_searches(options.journal or Path(options.build) / "tune/results.jsonl")
    except BadInput as error:
        sys.exit(f"atlas: {error}")
    code = generated.hashes(options.build)
    body = [part for path, report in reports for part in page_of_report(path, report)]
    body += [*page_of_kernels(options.build, reports), *page_of_searches(searches), *page_of_code(code, before)]
    style = (HERE.parent / "report.css").read_text() + (HERE / "atlas.css").read_text()
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "code.json").write_text(json.dumps(code, indent=2) + "\n")
    (folder / "index.html").write_text(
        "<!DOCTYPE html><html lang='en'><meta charset='utf-8'><title>Atlas of aft's kernels</title>"
        f"<style>{style}</style><main><h1>Atlas of kernels</h1>" + "\n".join(body) + "</main></html>\n")
    print(folder / "index.html")


if __name__ == "__main__":
    main()
