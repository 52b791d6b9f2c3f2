"""Whether a result is right, and whether we are ahead of a peer, behind, or even: a sign test over the turns that both
took.

It needs nothing but Python, so that its tests run where no peer is installed.
"""

import math
import statistics
from dataclasses import dataclass

LEVEL = 0.05  # chance, of each comparison, that one between equals is called "ahead" or "behind"
MIN_TURNS = 6  # fewer can't tell at this level: 2 / 2^5 is more
MAX_ROUNDING = 2**-4  # of the largest value; no rounding to bfloat16 explains more


@dataclass(frozen=True)
class Verdict:
    ours: list  # seconds of a call, turn by turn
    peer: list  # the same, in the same turns
    name: str  # "ahead", "behind" or "even"
    ratio: float  # the median, over the turns, of the peer's time / ours
    low: float | None  # the interval of that median; None for fewer than MIN_TURNS
    high: float | None


def refusal(errors, rounds_results):
    """Why a result isn't timed; None if it is. errors: {what: (in tolerances, relative to the largest value)}. A peer
    that `rounds_results` to bfloat16 may be beyond the tolerance, which is of operands: the table states its error."""
    for name, (tolerances, relative) in errors.items():
        if not (tolerances <= 1 or rounds_results and relative <= MAX_ROUNDING):
            return f"WRONG: the error of {name} is {tolerances:.3g} times the tolerance"
    return None


def interval_of_median(values):
    """Holds the median of what the values were drawn from with a chance of 1 - LEVEL or more, whatever their
    distribution: from the k-th value from below to the k-th from above. It misses if fewer than k of n values lie on
    one side of that median, with a chance of 2 (C(n, 0) + ... + C(n, k - 1)) / 2^n. k is the largest for LEVEL."""
    values, n = sorted(values), len(values)
    missed = [2 * sum(math.comb(n, j) for j in range(k)) / 2**n for k in range(n // 2 + 1)]
    k = max(k for k, chance in enumerate(missed) if chance <= LEVEL)
    return (values[k - 1], values[n - k]) if k else (None, None)


def verdict(ours, peer):
    """Of the times in the same turns. An interval on one side of 1 is the two-sided sign test at LEVEL: one of two
    equals wins so many turns with that chance at most."""
    ratios = [time / own for own, time in zip(ours, peer, strict=True)]
    low, high = interval_of_median(ratios)
    name = "even" if low is None else "ahead" if low > 1 else "behind" if high < 1 else "even"
    return Verdict(ours, peer, name, statistics.median(ratios), low, high)
