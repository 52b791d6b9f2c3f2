"""What bench/atlas measures by itself: kernels of the build called in turn, their stages, traces of beams."""

import ctypes
import os
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench/atlas"))

import kernel  # noqa: E402
import measure  # noqa: E402

BUILD = os.environ.get("AFT_BUILD")
COMMAND = ("  COMMAND = cd /build/generators && /build/generators/aft_generator -n aft_k_cpu_packed -d 0 "
           "-g aft_forward -f aft_k_cpu_packed -e c_header,object,stmt -o . target=host-user_context-no_runtime "
           "layer_bias=none\n")
PROFILE = """one
 total time: 2996.442383 ms  samples: 2593  runs: 329  time per run: 9.107728 ms
 average threads used: 0.998843
    overhead:                                  0.003ms ( 0.0%)   threads: 0.000 
    query:                                     1.292ms (20.0%)   threads: 1.000  peak: 307200   num: 2632
    sums_first:                                1.199ms (30.0%)   threads: 1.000  stack: 384
    sums_1:                                    1.199ms (10.0%)   threads: 1.000  stack: 384
    softmax_sums:                              1.199ms (20.0%)   threads: 1.000  stack: 384
two
    output:                                    1.136ms ( 5.0%)   threads: 1.000
"""
LOG = """Adams2019.beam_size:2
Pass 0 of 5, cost: 1.71622, time (ms): 301
Pass 1 of 5, cost: 1.69171, time (ms): 246
Best cost: 1.69171
Cost evaluated this many times: 6001
** Optimal schedule:
Schedule features for sums.update(0)
    points_computed_total:                 1.2e+02
    points_computed_minimum:               60
    vector_size:                           8
    num_vectors:                           10
    num_scalars:                           20
Schedule features for y
    points_computed_total:                 0
    points_computed_minimum:               0
    vector_size:                           8
    num_vectors:                           0
    num_scalars:                           0
"""


class Texts(unittest.TestCase):
    def test_the_build_has_the_command_of_each_kernel(self):
        with tempfile.TemporaryDirectory() as build:
            (Path(build) / "build.ninja").write_text("rule X\n" + COMMAND)
            commands = kernel.commands(build)
        self.assertEqual(commands["aft_k_cpu_packed"][:3],
                         ["/build/generators/aft_generator", "-n", "aft_k_cpu_packed"])
        self.assertEqual(measure.value_of(commands["aft_k_cpu_packed"], "layer_bias"), "none")
        self.assertEqual(measure.layers_of(commands), ["k"])
        with self.assertRaisesRegex(kernel.Failure, "nowhere: isn't a build by Ninja"):
            kernel.commands("nowhere")

    def test_a_profile_is_split_into_the_products_and_the_rest(self):
        profiles = measure.profiles(PROFILE)
        self.assertEqual(profiles["two"], {"output": 5.0})
        self.assertEqual(measure.stages(profiles["one"]),
                         {"query": 25.0, "key_value": 0.0, "sums": 50.0, "output": 0.0, "rest": 25.0})

    def test_a_trace_has_the_passes_and_the_features_of_each_stage(self):
        self.assertEqual(measure.trace(LOG), {
            "passes": [{"cost": 1.71622, "ms": 301}, {"cost": 1.69171, "ms": 246}], "evaluated": 6001,
            "stages": {"sums.update(0)": {"times_computed": 2.0, "percent_scalar": 20.0},
                       "y": {"times_computed": None, "percent_scalar": 0}}})
        self.assertIsNone(measure.trace("a hand schedule has no passes"))

    def test_the_floors_are_those_of_the_products(self):
        floors = measure.floors("banded", (2, 10, 4, 6, 3))
        self.assertEqual(floors["query"], {"flop": 2 * 20 * 4 * 6, "bytes": 4 * (20 * 4 + 20 * 6 + 4 * 6)})
        self.assertEqual(floors["key_value"], {"flop": 4 * 20 * 4 * 6, "bytes": 4 * (20 * 4 + 2 * 20 * 6 + 2 * 4 * 6)})
        self.assertEqual(floors["sums"], {"flop": 4 * 20 * 5 * 6, "bytes": 4 * (10 * 5 + 4 * 20 * 6)})
        self.assertNotIn("sums", measure.floors("none", (2, 10, 4, 6, 3)))

    def test_beams_and_changes_are_those_of_the_autoscheduled_kernel(self):
        known = {"aft_k_cpu_packed": [], "aft_k_cpu_adams2019_t8": ["autoscheduler.beam_size=2"]}
        self.assertEqual(list(measure.wanted("k", "t8", known, [1, 2], {"key": "value"})), [
            ("packed", "aft_k_cpu_packed", {}), ("adams2019", "aft_k_cpu_adams2019_t8", {}),
            ("adams2019_beam1", "aft_k_cpu_adams2019_t8", {"autoscheduler.beam_size": 1}),
            ("adams2019_changed", "aft_k_cpu_adams2019_t8", {"key": "value"})])


@unittest.skipUnless(BUILD and (Path(BUILD) / "build.ninja").exists(), "needs a build that makes kernels for this CPU")
class Kernels(unittest.TestCase):
    SHAPE = (2, 16, 16, 24, 3)

    @classmethod
    def setUpClass(cls):
        cls.known = kernel.commands(BUILD)
        cls.layer = measure.layers_of(cls.known)[0]
        cls.naive = cls.known[f"aft_{cls.layer}_cpu_naive"]
        if measure.value_of(cls.naive, "target") != "host-user_context-no_runtime":
            raise unittest.SkipTest("the kernels are for another CPU")

    def test_a_kernel_is_made_profiled_checked_and_timed(self):
        with tempfile.TemporaryDirectory() as folder:
            library, log = kernel.make(self.naive, "plain", folder)
            self.assertIsNone(measure.trace(log))
            profiled, _ = kernel.make(self.naive, "seen", folder, {"tile_rows": 4}, profiled=True)
            times, report = measure.called(2, ",".join(map(str, self.SHAPE)), {"plain": library, "seen": profiled})
            self.assertEqual(set(times), {"plain", "seen"})
            self.assertTrue(all(0 < each < 1000 for each in times.values()))
            stages = measure.stages(measure.profiles(report)["seen"])
            self.assertAlmostEqual(sum(stages.values()), 100, delta=0.1)
            self.assertGreater(stages["query"], 0)

            one, other = kernel.Kernel(library, "plain", self.SHAPE), kernel.Kernel(profiled, "seen", self.SHAPE)
            kernel.check([one, other])
            first = ctypes.c_float.from_address(other.buffers["y"].host)
            for wrong in (first.value + 1, float("nan")):
                first.value = wrong
                with self.assertRaisesRegex(kernel.Failure, "seen: its output isn't"):
                    kernel.check([one, other])

    def test_a_kernel_that_fails_and_one_that_cant_be_made_are_named(self):
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaisesRegex(kernel.Failure, "no_such_schedule"):
                kernel.make(self.naive, "bad", folder, {"schedule": "no_such_schedule"})


if __name__ == "__main__":
    unittest.main()
