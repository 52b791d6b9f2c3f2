"""bench/peers refuses what is wrong, tells a lost comparison from noise, and keeps neighbours busy."""

import os
import random
import statistics
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "bench", "peers"))

import report  # noqa: E402
from cases import LAYERS, ROUNDING, TRAINED, in_bfloat16, peers, trained_peers  # noqa: E402
from turns import Contestant, busy, measure_in_turn, settle_lost  # noqa: E402
from verdict import LEVEL, MAX_ROUNDING, MIN_TURNS, interval_of_median, refusal, verdict  # noqa: E402


def turns(ratio, noise, count=10, seed=0):
    """Times of ours and of a peer whose calls take `ratio` as long. Other work of the machine slows both in a turn by
    up to 3 times; `noise` falls on each of them."""
    chance = random.Random(seed)
    load = [chance.uniform(1, 3) for _ in range(count)]
    return tuple([part * factor * (1 + chance.uniform(-noise, noise)) for part in load] for factor in (1, ratio))


class Played:
    """A worker whose calls take these times, one after the other."""

    def __init__(self, *times):
        self.times = list(times)

    def ask(self, calls):
        time = self.times.pop(0)
        if time is None:
            raise RuntimeError("the process ended")
        return {"seconds": time}


def contestant(name, *times):
    made = Contestant(name, Played(*times))
    made.estimate = 1  # so that a turn is one call
    return made


class Rule(unittest.TestCase):
    def test_a_gain_of_three_percent_shows_through_a_load_that_both_share(self):
        self.assertEqual(verdict(*turns(1.03, 0.01)).name, "ahead")
        self.assertEqual(verdict(*turns(1 / 1.03, 0.01)).name, "behind")

    def test_noise_is_even(self):
        self.assertEqual(verdict(*turns(1.001, 0.1)).name, "even")

    def test_equals_are_told_apart_as_rarely_as_the_level_says(self):
        found = [verdict(*turns(1, 0.1, seed=seed)).name for seed in range(2000)]
        self.assertLess(1 - found.count("even") / 2000, LEVEL)
        self.assertGreater(found.count("behind"), 0)  # rarely, not never

    def test_the_interval_misses_the_median_as_rarely_as_the_level_says(self):
        for count in (MIN_TURNS, 10, 40):
            missed = 0
            for seed in range(2000):
                chance = random.Random(seed)
                low, high = interval_of_median([chance.expovariate(1) for _ in range(count)])
                missed += not low <= 0.6931 <= high
            self.assertLess(missed / 2000, LEVEL, count)
            self.assertGreater(missed, 0, count)

    def test_the_interval_is_that_of_the_binomial_table(self):
        values = list(range(1, 21))
        self.assertEqual(interval_of_median(values[:10]), (2, 9))  # 2 (1 + 10) / 2^10 = 0.021; with 45 more, 0.11
        self.assertEqual(interval_of_median(values[:MIN_TURNS]), (1, MIN_TURNS))
        self.assertEqual(interval_of_median(values[::-1]), (6, 15))  # 0.041

    def test_few_turns_tell_nothing(self):
        found = verdict([1.0] * (MIN_TURNS - 1), [9.0] * (MIN_TURNS - 1))
        self.assertEqual((found.name, found.low, found.high), ("even", None, None))
        self.assertEqual(verdict([1.0] * MIN_TURNS, [9.0] * MIN_TURNS).name, "ahead")

    def test_eight_of_ten_turns_are_even_and_nine_decide(self):
        self.assertEqual(verdict([1.0] * 10, [0.9] * 8 + [1.1] * 2).name, "even")
        self.assertEqual(verdict([1.0] * 10, [0.9] * 9 + [1.1]).name, "behind")

    def test_a_tie_is_no_win(self):
        self.assertEqual(verdict([1.0] * 10, [1.0] * 9 + [1.1]).name, "even")

    def test_a_time_that_is_no_number_wins_nothing(self):
        self.assertEqual(verdict([1.0] * 10, [float("nan")] * 10).name, "even")

    def test_the_ratio_is_that_of_turns_and_within_its_interval(self):
        found = verdict(*turns(1.2, 0.05))
        self.assertEqual(found.ratio, statistics.median(b / a for a, b in zip(found.ours, found.peer)))
        self.assertTrue(found.low <= found.ratio <= found.high)


class Refusal(unittest.TestCase):
    BEYOND = {"y": (0.5, 0.001), "the gradient": (1.01, 0.02)}
    REASON = "WRONG: the error of the gradient is 1.01 times the tolerance"

    def test_a_result_within_its_tolerance_is_timed(self):
        for rounds_results in (False, True):
            self.assertIsNone(refusal({"y": (1, 0.004), "the gradient": (1, 0.016)}, rounds_results))

    def test_a_result_beyond_it_is_wrong(self):
        self.assertEqual(refusal(self.BEYOND, False), self.REASON)

    def test_a_peer_that_rounds_its_results_is_timed_with_what_rounding_explains(self):
        self.assertIsNone(refusal(self.BEYOND, True))
        self.assertIn("the error of y is 9 times", refusal({"y": (9, 1.01 * MAX_ROUNDING)}, True))

    def test_an_error_that_is_no_number_is_wrong(self):
        nan = float("nan")
        for rounds_results in (False, True):
            self.assertIn("the error of y is nan", refusal({"y": (nan, nan)}, rounds_results))
            self.assertIn("the error of y is nan", refusal({"y": (nan, nan), "the gradient": (0, 0)}, rounds_results))


class InBFloat16(unittest.TestCase):
    def test_every_form_says_how_it_multiplies_bfloat16(self):
        for field in (*map(peers, LAYERS), *map(trained_peers, TRAINED)):
            for peer, _, form in in_bfloat16(field):
                self.assertEqual(sum(word in ("autocast", "bfloat16") for word in form.split()), 1, peer)

    def test_the_names_differ_as_the_forms_do(self):
        for field in (*map(peers, LAYERS), *map(trained_peers, TRAINED)):
            names = [peer for peer, _, _ in in_bfloat16(field)]
            self.assertEqual(len(set(names)), len(names))

    def test_the_field_is_of_libraries_that_multiply_bfloat16(self):
        self.assertEqual(list(in_bfloat16(peers("given"))), [
            ("PyTorch, autocast, eager", "PyTorch", "dense autocast eager"),
            ("PyTorch, bfloat16, eager", "PyTorch", "dense bfloat16 eager"),
            ("PyTorch, autocast, compiled", "PyTorch", "dense autocast compiled"),
            ("PyTorch, bfloat16, compiled", "PyTorch", "dense bfloat16 compiled"),
            ("JAX", "JAX", "dense bfloat16"), ("OpenVINO", "OpenVINO", "dense bfloat16"),
            ("oneDNN", "oneDNN", "dense bfloat16"), ("MKL", "MKL", "dense bfloat16")])

    def test_only_libraries_whose_results_are_bfloat16_may_be_beyond_the_tolerance(self):
        fields = *map(peers, LAYERS), *map(trained_peers, TRAINED)
        rounding = {library for field in fields for peer, library, _ in in_bfloat16(field) if peer.startswith(ROUNDING)}
        self.assertEqual(rounding, {"PyTorch", "OpenVINO"})
        self.assertFalse("aft".startswith(ROUNDING) or "aft.torch, autocast, eager".startswith(ROUNDING))

    def test_aft_torch_runs_under_autocast_alone(self):
        self.assertEqual([form for peer, _, form in in_bfloat16(trained_peers("full")) if "aft.torch" in peer],
                         ["aft.torch training autocast eager", "aft.torch training autocast compiled"])


class Turns(unittest.TestCase):
    def test_every_turn_of_a_peer_has_one_of_ours_beside_it(self):
        ours = contestant("aft", *[0.1] * 10, *[0.3] * 10)  # the load comes when the quick peer has enough
        quick, slow = contestant("quick", *[0.2] * 10), contestant("slow", *[0.15] * 10, *[0.45] * 10)
        found = measure_in_turn(ours, [quick, slow], 1.9)
        self.assertEqual([len(found[each].peer) for each in (quick, slow)], [10, 11])
        self.assertAlmostEqual(found[slow].ratio, 1.5)
        self.assertEqual(found[slow].name, "ahead")
        self.assertEqual(found[quick].ours, [0.1] * 10)

    def test_a_slow_call_has_turns_enough_for_a_verdict(self):
        slow = contestant("slow", *[5.0] * 20)
        found = measure_in_turn(contestant("aft", *[1.0] * 20), [slow], 0.2)
        self.assertEqual((found[slow].name, len(found[slow].peer)), ("ahead", MIN_TURNS))

    def test_quick_calls_have_all_turns_though_the_load_fills_their_seconds(self):
        quick = contestant("quick", *[0.1] * 20)
        quick.estimate = 0.01
        self.assertEqual(len(measure_in_turn(contestant("aft", *[1.0] * 20), [quick], 1)[quick].peer), 10)

    def test_a_peer_that_fails_is_left_out_and_the_others_stay(self):
        ill, well = contestant("ill", 1.0, None), contestant("well", *[1.0] * 10)
        found = measure_in_turn(contestant("aft", *[1.0] * 10), [ill, well], 1)
        self.assertEqual(list(found), [well])
        self.assertEqual(ill.failure, "the process ended")

    def test_nothing_is_compared_when_ours_fails(self):
        ours = contestant("aft", 1.0, None)
        self.assertEqual(measure_in_turn(ours, [contestant("peer", *[1.0] * 10)], 1), {})
        self.assertEqual(ours.failure, "the process ended")

    def settle(self, later):
        """The first turns lose to `fast` and win over `slow`; `later` are those of `fast` when it is measured again."""
        self.ours = contestant("aft", *[1.0] * 100)
        self.fast, self.slow = contestant("fast", *[0.9] * 6, *later), contestant("slow", *[2.0] * 6)
        first = measure_in_turn(self.ours, [self.fast, self.slow], 1)
        self.assertEqual([each.name for each in first.values()], ["behind", "ahead"])
        return first, settle_lost(first, self.ours, 1, 3)

    def test_a_loss_that_new_turns_do_not_show_is_settled(self):
        first, found = self.settle([0.9, 1.1] * 9)
        self.assertEqual(found[self.fast].name, "even")
        self.assertEqual(len(found[self.fast].peer), 18)  # 3 times as many, and not the first ones
        self.assertIs(found[self.slow], first[self.slow])

    def test_a_loss_that_new_turns_show_stays(self):
        _, found = self.settle([0.95] * 18)
        self.assertEqual(found[self.fast].name, "behind")
        self.assertAlmostEqual(found[self.fast].ratio, 0.95)

    def test_a_lost_peer_that_fails_is_no_comparison(self):
        _, found = self.settle([None])
        self.assertEqual(list(found), [self.slow])


class Neighbours(unittest.TestCase):
    STAYS = [sys.executable, "-c", "import sys; sys.stdin.read()"]

    def test_each_keeps_to_its_processor_and_ends_with_the_comparison(self):
        cpus = sorted(os.sched_getaffinity(0))[-2:]
        with busy(self.STAYS, cpus):
            children = [child for child in self.children() if child not in self.before]
            self.assertEqual(sorted(cpu for child in children for cpu in os.sched_getaffinity(child)), cpus)
        self.assertEqual(self.children(), self.before)

    def test_one_that_ends_before_is_an_error(self):
        with self.assertRaisesRegex(RuntimeError, "true ended"):
            with busy(["true"], [min(os.sched_getaffinity(0))]):
                time.sleep(0.5)

    def test_they_end_when_the_comparison_fails(self):
        with self.assertRaisesRegex(ValueError, "wrong"):
            with busy(self.STAYS, [min(os.sched_getaffinity(0))]):
                raise ValueError("wrong")
        self.assertEqual(self.children(), self.before)

    def setUp(self):
        self.before = self.children()

    @staticmethod
    def children():
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="utf-8") as file:
            return [int(number) for number in file.read().split()]


def row(peer, name, ratio, **more):
    return {"layer": "full", "shape": {"batch": 2, "seq": 3}, "threads": 1, "peer": peer, "verdict": name,
            "ratio": ratio, "ratio_low": ratio - 0.01, "ratio_high": ratio + 0.01, "turns": 10, "lost_ratio": None,
            "ours_median_ms": 1.5, "ours_error": 0.00123, "peer_error": 0.0187, "peer_tolerances": 0.5,
            "peer_peak_bytes": None, **more}


class Report(unittest.TestCase):
    def test_the_headings_name_the_neighbours(self):
        text = self.markdown(row("A", "ahead", 1.5), busy=1)
        self.assertIn(" behind in 0 of 1 comparisons, beside 1 core kept busy.\n", text)
        self.assertIn("\n## AFTFull, 1 thread, beside 1 core kept busy\n", text)
        self.assertNotIn("busy", self.markdown(row("A", "ahead", 1.5)))

    def test_the_headings_name_the_storage_and_the_cells_the_errors(self):
        text = self.markdown(row("A", "ahead", 1.5), row("B", "ahead", 1.6, peer_tolerances=1.17), storage="bfloat16")
        self.assertIn(" behind in 0 of 2 comparisons in bfloat16.\n", text)
        self.assertIn("\n## AFTFull in bfloat16, 1 thread\n", text)
        self.assertIn("| aft | 1.5 ms, error 0.12 % |\n| A | 1.50 [1.49, 1.51], error 1.9 % |\n"
                      "| B | 1.60 [1.59, 1.61], error 1.9 %, 1.2 times the tolerance |\n", text)
        in_float32 = self.markdown(row("A", "ahead", 1.5))
        self.assertNotIn("bfloat16", in_float32)
        self.assertNotIn("error", in_float32)

    def markdown(self, *rows, **machine):
        about = {"cpu": "a CPU", "isa": "avx2", "cores": 2, "os": "an OS", "date": "today", "versions": {"jax": None},
                 "level": LEVEL, "busy": 0, "storage": "float32"}
        return report.markdown({"machine": about | machine, "comparisons": rows, "skipped": []})

    def test_the_summary_counts_and_names_what_is_not_ahead(self):
        text = self.markdown(row("A", "ahead", 1.5), row("B", "even", 0.995, lost_ratio=0.93), row("C", "behind", 0.8))
        self.assertIn("We are ahead in 1, even in 1, behind in 1 of 3 comparisons.\n"
                      "- behind: C, AFTFull 2, 3, 1 thread: 0.800 [0.79, 0.81], 10 turns\n"
                      "- even: B, AFTFull 2, 3, 1 thread: 0.995 [0.98, 1.00], 10 turns, after 0.930 at first\n", text)

    def test_the_table_marks_what_is_even_or_behind(self):
        text = self.markdown(row("A", "ahead", 1.5), row("B", "even", 0.98), row("C", "behind", 0.8))
        self.assertIn("| A | 1.50 [1.49, 1.51] |\n| B | 0.98 [0.97, 0.99] even |\n| C | **0.80** [0.79, 0.81] |\n",
                      text)

    def test_a_comparison_without_an_interval_has_none(self):
        self.assertIn("| A | 1.50  even |\n", self.markdown(row("A", "even", 1.5, ratio_low=None, ratio_high=None)))


if __name__ == "__main__":
    unittest.main()
