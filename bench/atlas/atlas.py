#!/usr/bin/env python3
"""Writes an atlas of reports of `aft bench`: a site whose pages need no other file. It compares machines by percent of
the peak, those of bench/baseline.json too. It has a page with rooflines and maps of kernels by shapes for each report,
the schedule and the loop nest of each kernel beside its times, the searches of `aft tune`, and the hashes of the
generated code. Stages of layers and beams of Adams2019 are shown where measure.py put stages.json beside a report.
code.json has the hashes, for --before of a later run.

usage: atlas.py [OPTION...] REPORT...          reports of `make bench`: build/bench/report.json
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import generated
import markup
import pages
from reports import BadInput, machine_name, read_baseline, read_json, read_report, read_searches, reduced

HERE = Path(__file__).resolve().parent


def keep(path, report, folder):
    """Puts what the atlas shows of a report, and the stages beside it, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(reduced(report))
    stages = Path(path).parent / "stages.json"
    if stages.exists():
        shutil.copy(stages, folder)


def site(options, reports, baseline, searches, before):
    """The files of the site."""
    described = pages.described(options.build, reports)
    hashes = generated.hashes(options.build)
    bodies = [("Machines", "index.html", pages.machines(reports + baseline, described))]
    for i, (path, report) in enumerate(reports, 1):
        bodies.append((f"{i}: {machine_name(report)}", f"machine{i}.html", pages.one_report(path, report, described)))
    bodies += [("Kernels", "kernels.html", pages.kernels(described)),
               ("Searches of aft tune", "searches.html", pages.searches(searches)),
               ("Generated code", "code.html", pages.code(hashes, before))]
    links = [(title, file) for title, file, _ in bodies]
    files = {file: markup.page(title, links, list(body)) for title, file, body in bodies}
    return files | {"code.json": json.dumps(hashes, indent=2) + "\n"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="+", metavar="REPORT")
    parser.add_argument("--build", default="build", help="build tree with the kernels; default: build")
    parser.add_argument("--journal", help="trials of aft tune; default: tune/results.jsonl in the build tree")
    parser.add_argument("--before", help="code.json of an earlier atlas: marks the kernels whose code differs")
    parser.add_argument("--keep", metavar="FOLDER", help="puts what the atlas shows of the first report there")
    parser.add_argument("--output", default="build/atlas", help="folder; default: build/atlas")
    options = parser.parse_args()
    try:
        reports = [(path, read_report(path)) for path in options.reports]
        baseline = read_baseline(HERE.parent / "baseline.json")
        before = read_json(options.before) if options.before else None
        searches = read_searches(options.journal or Path(options.build) / "tune/results.jsonl")
    except BadInput as error:
        sys.exit(f"atlas: {error}")
    if options.keep:
        keep(*reports[0], Path(options.keep))
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in site(options, reports, baseline, searches, before).items():
        (folder / name).write_text(text)
    print(folder / "index.html")


if __name__ == "__main__":
    main()
