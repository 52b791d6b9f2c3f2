#include "sign_test.h"

#include <algorithm>
#include <limits>

namespace aft::tune {

namespace {

double binomial(int n, int k) {
    double result = 1;
    for (int i = 1; i <= k; ++i) {
        result *= static_cast<double>(n - k + i) / i;
    }
    return result;
}

double evidence(int wins, int losses) {
    const int n = wins + losses;
    double sum = 0;
    for (int j = 0; j <= wins; ++j) {
        sum += binomial(n + 1, j);
    }
    return sum / ((n + 1) * binomial(n, wins));
}

}  // namespace

SignTest::SignTest(int number) : wanted_evidence_(number * (number + 1.0) / error_rate) {}

void SignTest::add_round(double incumbent_seconds, double candidate_seconds) {
    ++(candidate_seconds < (1 - min_gain) * incumbent_seconds ? wins_ : losses_);
}

Verdict SignTest::verdict() const {
    if (evidence(wins_, losses_) >= wanted_evidence_) {
        return Verdict::faster;
    }
    return evidence(losses_, wins_) >= 1 / error_rate || rounds() >= max_rounds ? Verdict::not_faster : Verdict::open;
}

Interval median_interval(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const int n = static_cast<int>(values.size());
    // The interval from the k-th value from below to the k-th from above misses when fewer than k lie on one side.
    int k = 0;
    double one_side = 1;  // C(n, 0) + ... + C(n, k)
    for (int i = 0; i < n; ++i) {
        one_side *= 0.5;
    }
    for (double term = one_side; 2 * one_side <= error_rate && k < n / 2;) {
        term *= static_cast<double>(n - k) / (k + 1);
        ++k;
        one_side += term;
    }
    constexpr double infinity = std::numeric_limits<double>::infinity();
    return k == 0 ? Interval{-infinity, infinity} : Interval{values[k - 1], values[n - k]};
}

}  // namespace aft::tune
