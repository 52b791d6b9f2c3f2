"""scripts/bench-check tells a slower kernel from noise; scripts/bench-scaling knows what grows too fast."""

import importlib.machinery
import importlib.util
import os
import sys
import unittest

sys.dont_write_bytecode = True


def load(name):
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "scripts", name)
    loader = importlib.machinery.SourceFileLoader(name, path)
    script = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(script)
    return script


bench_check, bench_scaling = load("bench-check"), load("bench-scaling")

RECORDED = {"best_percent_of_peak": 90.0, "percent_of_peak": 88.0, "percent_of_blas": 95.0, "deviation_percent": 0.5}


def report(best=1.0, median=1.0, blas=1.0, deviation=0.5, cpu="a CPU", is_known=True):
    """Of a kernel whose ratios are these parts of those that are recorded."""
    shape = {"batch": 2, "seq": 3, "hidden": 4, "projected": 5, "window": 6}
    row = {"kernel": "aft_local_cpu_packed", "target": "avx2", "shape": shape, "best_percent_of_peak": 90 * best,
           "percent_of_peak": 88 * median, "percent_of_blas": None if blas is None else 95 * blas,
           "deviation_percent": deviation, "preferred": True, "rounds_left_out": 0}
    if not is_known:
        row |= {"best_percent_of_peak": None, "percent_of_peak": None, "rounds_left_out": 20}
    others = [{**row, "kernel": "onednn_sgemm"}, {**row, "kernel": "aft_local_cpu_packed_short", "preferred": False}]
    return {"machine": {"cpu": cpu, "threads": 1}, "kernels": [row, *others]}


class BenchCheck(unittest.TestCase):
    def check(self, *reports):
        """Exit code when the first problem gives these reports in turn, and every other one what is recorded."""
        self.said, self.left = [], list(reports)
        return bench_check.check(self.measure, bench_check.baseline_of([report()]), [1], self.said.append)

    def measure(self, problem, _):
        return self.left.pop(0) if problem == bench_check.PROBLEMS[0] else report()

    def test_the_same_figures_pass(self):
        self.assertEqual(self.check(report()), 0)

    def test_the_baseline_has_the_kernels_that_are_for_a_shape_and_no_library(self):
        found = bench_check.baseline_of([report()])
        self.assertEqual(found, {"a CPU, avx2, threads: 1": {"aft_local_cpu_packed B2 T3 H4 P5 s6": RECORDED}})

    def test_a_slowdown_that_stays_fails(self):
        self.assertEqual(self.check(*[report(0.95, 0.95, 0.95)] * 3), 1)
        self.assertIn("  SLOWER: aft_local_cpu_packed B2 T3 H4 P5 s6", self.said)

    def test_a_slowdown_that_a_repetition_does_not_show_passes(self):
        slow = report(0.9, 0.9, 0.9)
        self.assertEqual(self.check(slow, report()), 0)
        self.assertEqual(self.check(slow, slow, report()), 0)
        self.assertEqual(self.left, [])

    def test_a_slowdown_of_less_than_three_percent_passes(self):
        self.assertEqual(self.check(report(0.975, 0.975, 0.975)), 0)

    def test_a_median_that_falls_alone_passes(self):
        self.assertEqual(self.check(report(median=0.8, blas=0.8)), 0)

    def test_a_fall_that_the_blas_shares_passes(self):
        self.assertEqual(self.check(report(0.8, 0.8, 1.0)), 0)

    def test_a_slowdown_within_three_deviations_passes(self):
        self.assertEqual(self.check(report(0.9, 0.9, 0.9, deviation=4)), 0)

    def test_without_a_blas_the_other_ratios_decide(self):
        self.assertEqual(self.check(*[report(0.9, 0.9, None)] * 3), 1)
        self.assertEqual(self.check(report(1, 1, None)), 0)

    def test_a_figure_that_is_no_number_fails(self):
        nan = float("nan")
        self.assertEqual(self.check(*[report(nan, nan, nan)] * 3), 1)

    def test_a_run_whose_peak_dropped_in_every_round_neither_fails_nor_clears_by_itself(self):
        disturbed, slow = report(blas=None, is_known=False), report(0.9, 0.9, 0.9)
        self.assertEqual(self.check(disturbed, report()), 0)
        self.assertEqual(self.check(slow, disturbed, slow), 1)
        self.assertEqual(self.check(slow, disturbed, report()), 0)

    def test_a_run_whose_peak_dropped_in_every_round_is_no_baseline(self):
        with self.assertRaisesRegex(SystemExit, "the peak dropped in every round"):
            bench_check.baseline_of([report(is_known=False)])

    def test_a_machine_without_a_baseline_is_told_and_passes(self):
        self.assertEqual(self.check(report(0.1, 0.1, 0.1, cpu="another CPU")), 0)
        self.assertTrue(any("no baseline for another CPU, avx2, threads: 1" in line for line in self.said))

    def test_the_baseline_is_the_median_of_its_runs_and_knows_their_spread(self):
        found = bench_check.recorded_of([report(median=part)["kernels"][0] for part in (0.9, 1.0, 1.1)])
        self.assertEqual(found["percent_of_peak"], 88)
        self.assertAlmostEqual(found["deviation_percent"], 14.83, 2)


class BenchScaling(unittest.TestCase):
    def failures(self, exponent=1.0, over_inputs=1):
        times = [{"T": seq, "best_ms": (seq / 1024) ** exponent if seq >= 1024 else 1} for seq in (256, 1024, 8192)]
        memory = [{"layer": layer, "T": seq, "matrix": 100, "over_inputs": over_inputs if seq == 512 else 1000}
                  for layer in bench_scaling.LAYERS for seq in (256, 512)]
        exponents = {layer: bench_scaling.exponent(times) for layer in bench_scaling.LAYERS}
        return list(bench_scaling.failures({"exponents": exponents, "memory": memory}))

    def test_linear_layers_pass(self):
        self.assertEqual(self.failures(1.09, 49), [])

    def test_time_above_the_exponent_fails_but_of_aft_full(self):
        self.assertEqual([each.split(":")[0] for each in self.failures(1.2)], ["AFTSimple", "AFTLocal"])

    def test_an_exponent_that_is_no_number_fails(self):
        self.assertEqual(len(self.failures(float("nan"))), 2)

    def test_a_matrix_over_the_sequence_fails_but_the_bias_of_aft_full(self):
        self.assertEqual(len(self.failures(over_inputs=100)), 2)
        self.assertEqual(len(self.failures(over_inputs=200)), 3)


if __name__ == "__main__":
    unittest.main()
