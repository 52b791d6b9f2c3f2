#pragma once

#include <cstddef>
#include <vector>

namespace aft::tune {

/// A candidate has to be faster by more than this to count: two builds of the same code differ by up to a percent, by
/// where their memory happens to lie.
inline constexpr double min_gain = 0.01;

/// The chance, over a whole search, that a candidate is taken which isn't faster by min_gain; and of an interval to
/// miss the true value.
inline constexpr double error_rate = 0.05;

/// Rounds of a trial, at most.
inline constexpr int max_rounds = 60;

enum class Verdict { open, faster, not_faster };

/// Whether a candidate is faster than the incumbent, asked after every round in which both were measured.
///
/// A round is won when the candidate takes less than (1 - min_gain) of the incumbent's time. If it isn't faster by
/// min_gain, it wins half of the rounds at best. The evidence is the likelihood of the wins so far under a chance to
/// win that is anywhere between 1/2 and 1 (all equally likely), over that under 1/2:
///     2 integral_{1/2}^{1} (2 p)^wins (2 - 2 p)^losses dp = sum_{j <= wins} C(n + 1, j) / ((n + 1) C(n, wins))
/// As a fair game against 1/2 it reaches 1/a at any time with a chance of at most a (Ville's inequality): no matter how
/// often one looks, and how the times are distributed. Candidate number i of a search has the level a = error_rate /
/// (i (i + 1)), and these sum to error_rate. Giving up costs a missed chance only: the evidence of the losses has to
/// reach 1 / error_rate, whichever candidate it is.
class SignTest {
public:
    /// number: of the candidate in its search, from 1 on.
    explicit SignTest(int number);

    void add_round(double incumbent_seconds, double candidate_seconds);
    Verdict verdict() const;
    int rounds() const {
        return wins_ + losses_;
    }

private:
    double wanted_evidence_;
    int wins_ = 0, losses_ = 0;
};

struct Interval {
    double low, high;
};

/// An interval that holds the median of what the values were drawn from with a chance of at least 1 - error_rate,
/// whatever their distribution: between two of them, by the binomial distribution of how many lie below the median.
/// Unbounded for fewer than 6 values.
Interval median_interval(std::vector<double> values);

}  // namespace aft::tune
