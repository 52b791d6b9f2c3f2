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
sys.modules["matplotlib"] = mock.MagicMock()  # a system's python3 may not have it
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench/atlas"))

import atlas  # noqa: E402
import figures  # noqa: E402
import generated  # noqa: E402

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


class Figures(unittest.TestCase):
    def test_the_least_bytes_are_those_of_operands_weights_and_bias(self):
        x_and_y, weights = 2 * 2 * 10 * 4, 4 * 4 * 6
        self.assertEqual(figures.least_bytes(row()), 4 * (x_and_y + weights + 10 * 10))
        self.assertEqual(figures.least_bytes(row(algorithm="softmax")), 4 * (x_and_y + weights))
        self.assertEqual(figures.least_bytes(row(algorithm="banded", shape={"window": 3})),
                         4 * (x_and_y + weights + 10 * 5))
        self.assertEqual(figures.least_bytes(row(operation="linear")), 4 * (2 * 10 * (4 + 6) + 4 * 6))
        self.assertIsNone(figures.least_bytes(row(shape={"variant": "lengths"})))
        self.assertIsNone(figures.least_bytes(row(operation="core")))
        self.assertEqual(figures.intensity(row()), 0.5e9 * 2e-3 / figures.least_bytes(row()))

    def test_the_best_time_of_a_search_multiplies_the_ratios_since_packed(self):
        trials = [{"candidate": "a", "incumbent": "packed", "faster": True, "ratio": 0.5},
                  {"candidate": "b", "incumbent": "a", "faster": False, "ratio": 0.1},
                  {"candidate": "c", "incumbent": "random", "faster": True, "ratio": 0.1},
                  {"candidate": "d", "incumbent": "a", "faster": True, "ratio": 0.9}]
        self.assertEqual(figures.best_so_far(trials), [0.5, 0.5, 0.5, 0.45])


class Pages(unittest.TestCase):
    def test_a_journal_is_split_into_searches_but_for_its_broken_lines_and_failures(self):
        trial = {"faster": False, "ratio": 1.1, "failure": ""}
        lines = [{**trial, "trial": "f1 form B1 T8 2 threads: packed depth=8 against packed"},
                 {**trial, "trial": "f1 form B2 T8 2 threads: packed depth=8 against packed"},
                 {**trial, "trial": "f1 form B1 T8 2 threads: packed depth=9 against packed", "failure": "WRONG"}]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "results.jsonl"
            self.assertEqual(atlas.read_searches(path), {})
            path.write_text("\n".join(map(json.dumps, lines)) + '\n{"trial": "f1 fo')
            searches = atlas.read_searches(path)
        self.assertEqual([(trials[0]["problem"], len(trials)) for trials in searches.values()],
                         [("form B1 T8 2 threads", 1), ("form B2 T8 2 threads", 1)])
        self.assertEqual(searches["f1 form B1 T8 2 threads"][0]["candidate"], "packed depth=8")

    def test_code_that_differs_from_before_is_listed(self):
        page = "".join(atlas.page_of_code({"same": "1", "other": "2", "added": "3"},
                                          {"same": "1", "other": "1", "removed": "4"}))
        for line in ("<td>other</td><td>changed</td>", "<td>added</td><td>new</td>", "<td>removed</td><td>gone</td>",
                     "3 of 3 kernels differ"):
            self.assertIn(line, page)
        self.assertNotIn("<td>same</td><td>changed", page)

    def run_on(self, folder, report):
        path = Path(folder) / "report.json"
        path.write_text(report)
        arguments = ["atlas.py", str(path), "--build", folder, "--output", str(Path(folder) / "out")]
        svg = mock.patch.object(figures, "svg_of", return_value="<svg></svg>")
        with mock.patch.object(sys, "argv", arguments), contextlib.redirect_stdout(io.StringIO()), svg:
            figures.pyplot.subplots.return_value = (mock.MagicMock(), mock.MagicMock())
            atlas.main()
        return (Path(folder) / "out/index.html").read_text()

    def test_a_page_has_the_kernels_of_its_report_as_text(self):
        machine = dict.fromkeys(("threads", "os", "compiler", "halide", "fma_peak_gflops", "copy_gbytes_per_second"), 1)
        machine |= {"cpu": "<CPU>", "date": "today", "command": "aft bench"}
        report = {"machine": machine, "devices": [{"id": "cpu", "api": "cpu"}],
                  "kernels": [row(), row(entry="naive"), row(kernel="bad", correct=False, failure="<script>")]}
        with tempfile.TemporaryDirectory() as folder:
            page = self.run_on(folder, json.dumps(report))
        self.assertIn("&lt;CPU&gt;", page)
        self.assertIn("<td>bad</td><td>B2 T10 H4 P6</td><td>&lt;script&gt;</td>", page)
        self.assertIn("<summary>aft_k</summary>", page)
        self.assertNotIn("<script", page)

    def test_a_file_that_is_no_report_is_named(self):
        for text in ("no JSON", "[]", "{}"):
            with tempfile.TemporaryDirectory() as folder:
                with self.assertRaisesRegex(SystemExit, "report.json: "):
                    self.run_on(folder, text)


if __name__ == "__main__":
    unittest.main()
