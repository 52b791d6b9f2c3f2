"""The atlas of bench/atlas, without its figures, which need matplotlib."""

import contextlib
import io
import json
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
matplotlib = sys.modules["matplotlib"] = mock.MagicMock()  # a system's python3 may not have it
matplotlib.ticker.LogFormatter = type("LogFormatter", (), {"__init__": lambda self, **_: None})  # has a subclass
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench/atlas"))

import atlas  # noqa: E402
import figures  # noqa: E402
import generated  # noqa: E402
import pages  # noqa: E402
import reports  # noqa: E402

STATEMENT = """module name=k, target=host
internal func k_par_for_y_s0_row (__user_context, y.s0.row, closure) {
let t1 = 2
allocate sums[float32 * 16] in Register
for (y.s0.block, 0, t1) {
 let t2 = 3
 for (y.s0.lane, 0, 4) {
  y[y.s0.lane] = sums[0]
 }
}
}
external func k (__user_context, y.buffer) {
}
"""


def row(**others):
    shape = {"batch": 2, "seq": 10, "sources": None, "hidden": 4, "projected": 6, "window": None, "variant": None}
    shape |= others.pop("shape", {})
    return {"kernel": "aft_k", "operation": "forward", "layer": "a form", "algorithm": "dense", "schedule": "packed",
            "entry": "packed", "device_id": "cpu", "shape": shape, "median_ms": 2.0, "gflops": 0.5, "correct": True,
            "failure": None, "percent_of_peak": None} | others


class Generated(unittest.TestCase):
    def test_a_loop_nest_has_loops_jobs_and_stores_by_depth(self):
        self.assertEqual(generated.loop_nest(STATEMENT), """y_s0_row:
  store sums[float32 * 16] in Register
  for y.s0.block in 0, t1
   for y.s0.lane in 0, 4""")

    def test_a_kernel_has_the_schedule_of_its_operation_or_the_one_that_was_found_for_it(self):
        with tempfile.TemporaryDirectory() as build:
            (Path(build) / "generators").mkdir()
            for operation, schedule, name in (
                    ("forward", "packed", "cpu_packed.h"), ("scan", "packed", "cpu_scan.h"),
                    ("core_training", "packed", "core_packed.h"), ("core", "tiled", "core_tiled.h"),
                    ("core_gradients", "packed", "core_gradients_packed.h"), ("linear", "naive", "naive.h"),
                    ("linear_gradients", "packed", "linear_gradients_packed.h")):
                title, text = generated.schedule_of(build, row(operation=operation, schedule=schedule))
                self.assertEqual(title, "generators/schedules/" + name)
                self.assertIn("namespace aft", text)
            self.assertIsNone(generated.schedule_of(build, row(schedule="adams2019")))
            (Path(build) / "generators/aft_k_avx2.schedule.h").write_text("found")
            self.assertEqual(generated.schedule_of(build, row(kernel="aft_k@avx2", schedule="adams2019"))[1], "found")

    def test_every_object_of_a_kernel_has_a_hash(self):
        with tempfile.TemporaryDirectory() as build:
            (Path(build) / "generators").mkdir()
            for name in ("aft_k.o", "aft_halide_runtime.o", "other.o"):
                (Path(build) / "generators" / name).write_bytes(b"code")
            self.assertEqual(generated.hashes(build), {
                "aft_k": "5694d08a2e53ffcae0c3103e5ad6f6076abd960eb1f8a56577040bc1028f702b"})


def report_of(rows, **machine):
    machine = dict.fromkeys(("threads", "os", "compiler", "halide", "fma_peak_gflops", "copy_gbytes_per_second"), 1) | {
        "cpu": "<CPU>", "isa": "AVX2", "target": "x86-64-linux-tune_znver1-avx2", "date": "today",
        "command": "aft bench --quick --report there"} | machine
    return {"machine": machine, "devices": [{"id": "cpu", "api": "cpu"}], "kernels": rows}


def staged(name, beam_size=None):
    search = None if beam_size is None else {
        "beam_size": beam_size, "evaluated": 77, "cpu_seconds": 3.0, "passes": [{"cost": 2.5, "ms": 1}],
        "stages": {"sums_0.update(0)": {"times_computed": 1.5, "percent_scalar": 100.0}}}
    return {"layer": "a form", "kernel": "aft_k", "name": name, "shape": "2,10,4,6,3", "cpu_ms": 5.0,
            "profiled_cpu_ms": 5.1, "stages": {"query": 20.0, "key_value": 20, "sums": 40, "output": 10, "rest": 10},
            "funcs": {"sums_0": 40.0, "query": 20.0}, "floors": {"query": {"flop": 960, "bytes": 480}},
            "search": search}


class Reports(unittest.TestCase):
    def test_the_least_bytes_are_those_of_operands_weights_and_bias(self):
        x_and_y, weights = 2 * 2 * 10 * 4, 4 * 4 * 6
        self.assertEqual(reports.least_bytes(row()), 4 * (x_and_y + weights + 10 * 10))
        self.assertEqual(reports.least_bytes(row(algorithm="softmax")), 4 * (x_and_y + weights))
        self.assertEqual(reports.least_bytes(row(algorithm="banded", shape={"window": 3})),
                         4 * (x_and_y + weights + 10 * 5))
        self.assertEqual(reports.least_bytes(row(operation="linear")), 4 * (2 * 10 * (4 + 6) + 4 * 6))
        self.assertEqual(reports.least_bytes(row(operation="scan")), 4 * 4 * 2 * 10 * 6)
        self.assertIsNone(reports.least_bytes(row(shape={"variant": "lengths"})))
        self.assertIsNone(reports.least_bytes(row(operation="core", shape={"sources": 20})))
        self.assertIsNone(reports.least_bytes(row(operation="training")))
        self.assertEqual(reports.intensity(row()), 0.5e9 * 2e-3 / reports.least_bytes(row()))

    def test_a_reduced_report_reads_like_the_whole_one(self):
        whole = report_of([row(peak_gflops=40.0, percent_of_peak=80.0), row(entry="naive", median_ms=None)])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "report.json"
            path.write_text(reports.reduced(whole))
            read = reports.read_report(path)
        self.assertNotIn("peak_gflops", read["kernels"][0])
        self.assertEqual([{key: each[key] for key in reports.ROW} for each in read["kernels"]],
                         [{key: each.get(key) for key in reports.ROW} for each in whole["kernels"]])
        self.assertEqual(read["machine"]["command"], "aft bench --quick")

    def test_a_machine_has_the_model_that_its_kernels_are_tuned_for(self):
        self.assertEqual(reports.machine_name(report_of([])), "<CPU> (znver1), AVX2, 1 thread")
        self.assertEqual(reports.machine_name(report_of([], target="arm-64-linux", isa="NEON", threads=2)),
                         "<CPU>, NEON, 2 threads")

    def test_the_baseline_gives_a_report_of_each_machine(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "baseline.json"
            path.write_text(json.dumps({"CPU, Inc., x86-64-linux-tune_znver4-avx512, threads: 2": {
                "aft_a_form_cpu_packed_short B2 T3 H4 P5": {"percent_of_peak": 80.5}}}))
            (_, report), = reports.read_baseline(path)
        self.assertEqual(reports.machine_name(report), "CPU, Inc. (znver4), AVX-512, 2 threads")
        self.assertIn("<th colspan='1'>B2 T3 H4 P5</th>", "".join(pages.machines([("", report)], ())))
        self.assertEqual((report["kernels"][0]["layer"], report["kernels"][0]["entry"]), ("a_form", "packed_short"))

    def test_a_trace_is_split_into_searches_but_for_its_broken_lines(self):
        shape = {"batch": 1, "seq": 8, "hidden": 4, "projected": 6, "window": 0}
        trial = {"trial": "all", "search": "then", "layer": "form", "shape": shape, "threads": 2, "seconds": 3.0,
                 "outcome": "faster", "ratio": 0.9, "best_ratio": 0.9}
        lines = [trial, {"trial": "of a version before"}, {**trial, "outcome": "wrong"},
                 {**trial, "shape": {**shape, "seq": 9, "window": 3}}]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "results.jsonl"
            self.assertEqual(reports.read_searches(path), {})
            path.write_text("\n".join(map(json.dumps, lines)) + '\n\n{"trial": "f1 fo')
            searches = reports.read_searches(path)
        self.assertEqual({name: len(trials) for name, trials in searches.items()},
                         {("then", "form B1 T8 H4 P6, threads: 2"): 2, ("then", "form B1 T9 H4 P6 s3, threads: 2"): 1})


class Pages(unittest.TestCase):
    def test_code_that_differs_from_before_is_listed(self):
        page = "".join(pages.code({"same": "1", "other": "2", "added": "3"},
                                  {"same": "1", "other": "1", "removed": "4"}))
        for line in ("<td>other</td><td>changed</td>", "<td>added</td><td>new</td>", "<td>removed</td><td>gone</td>",
                     "3 of 3 kernels differ"):
            self.assertIn(line, page)
        self.assertNotIn("<td>same</td><td>changed", page)

    def test_machines_are_compared_by_kernel_and_shape(self):
        several = [("a", report_of([row(percent_of_peak=81.4), row(percent_of_peak=11, correct=False)])),
                   ("b", report_of([row(percent_of_peak=52.0), row(entry="naive", percent_of_peak=None)]))]
        page = "".join(pages.machines(several, {"aft_k"}))
        self.assertIn("<th colspan='2'>B2 T10 H4 P6</th>", page)
        self.assertRegex(page, r'<a href="kernels.html#aft_k">packed</a></th><td [^>]*>81</td><td [^>]*>52</td></tr>')
        self.assertNotIn(">11<", page)

    def test_a_beam_has_the_funcs_that_take_the_time(self):
        self.assertEqual(list(pages.found(staged("adams2019", 2))), [
            (2, 77, 3.0, 2.5, "5", "sums_0", 40.0, 1.5, 100.0), ("", "", "", "", "", "query", 20.0, "", "")])

    def run_on(self, folder, report, stages=None, arguments=()):
        path = Path(folder) / "report.json"
        path.write_text(report)
        if stages is not None:
            (Path(folder) / "stages.json").write_text(stages)
        arguments = ["atlas.py", str(path), "--build", folder, "--output", str(Path(folder) / "out"), *arguments]
        svg = mock.patch.object(figures, "svg_of", return_value="<svg></svg>")
        axes = mock.patch.object(figures.pyplot, "subplots",
                                 side_effect=lambda rows=1, columns=1, **_: (mock.MagicMock(), mock.MagicMock()
                                                                             if columns == 1 else
                                                                             [mock.MagicMock()] * columns))
        with mock.patch.object(sys, "argv", arguments), contextlib.redirect_stdout(io.StringIO()), svg, axes:
            atlas.main()
        return {path.name: path.read_text() for path in (Path(folder) / "out").glob("*.html")}

    def test_the_site_has_a_page_of_each_report_and_the_kernels_as_text(self):
        report = report_of([row(), row(entry="naive", median_ms=4.0),
                            row(kernel="bad", correct=False, failure="<script>")])
        stages = {"rows": [staged("packed"), staged("adams2019", 2), staged("adams2019_changed", 3)]}
        with tempfile.TemporaryDirectory() as folder:
            site = self.run_on(folder, json.dumps(report), json.dumps(stages), ["--keep", f"{folder}/kept"])
            self.assertEqual(json.loads((Path(folder) / "kept/stages.json").read_text()), stages)
            self.assertEqual(len(reports.read_report(Path(folder) / "kept/report.json")["kernels"]), 3)
        self.assertEqual(set(site), {"index.html", "machine1.html", "kernels.html", "searches.html", "code.html"})
        page = site["machine1.html"]
        self.assertIn("&lt;CPU&gt;", page)
        self.assertIn("<td>bad</td><td>B2 T10 H4 P6</td><td>&lt;script&gt;</td>", page)
        self.assertRegex(page, "naive</a></th><td [^>]*>2.00</td>")
        self.assertIn("Beams of Adams2019", page)
        self.assertIn("<tr><td>2</td><td>77</td>", page)
        self.assertNotIn("<tr><td>3</td><td>77</td>", page)  # costs at other estimates don't compare
        self.assertEqual(page.count("<svg>"), 4)  # rooflines of the kernels and of the products, stages, beams
        self.assertIn("<summary>aft_k</summary>", site["kernels.html"])
        for text in site.values():
            self.assertNotIn("<script", text)
            self.assertNotRegex(text, r"(src|href)=['\"]\w+:")

    def test_a_file_that_is_no_report_is_named(self):
        for text in ("no JSON", "[]", "{}"):
            with tempfile.TemporaryDirectory() as folder:
                with self.assertRaisesRegex(SystemExit, "report.json: "):
                    self.run_on(folder, text)
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaisesRegex(SystemExit, "stages.json: "):
                self.run_on(folder, json.dumps(report_of([])), "[]")

    def test_the_machines_of_the_repository_can_be_read(self):
        kept = sorted(Path(atlas.HERE.parent / "machines").glob("*/report.json"))
        self.assertTrue(kept)
        for path in kept:
            self.assertLess(path.stat().st_size, 200_000)
            report = reports.read_report(path)
            self.assertTrue(all(each["correct"] for each in report["kernels"]))
            self.assertTrue("".join(pages.machines([(path, report)], set())))


if __name__ == "__main__":
    unittest.main()
