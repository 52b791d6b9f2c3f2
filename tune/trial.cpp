#include "trial.h"

#include "kernels/kernels.h"
#include "kernels/prepared_kernel.h"

#include "bench/failure.h"
#include "bench/rounds.h"

#include <aft/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <stdexcept>
#include <vector>

namespace aft::tune {

namespace {

// A round repeats a short call for so long: well above what the clock and the start of a round cost.
constexpr double seconds_per_round = 0.02;

/// A kernel that is ready to be measured.
class MeasuredKernel {
public:
    MeasuredKernel(const KernelRow &row, const Problem &problem, bench::Arena &arena)
        : info_(kernel_info(row)), kernel_(row, info_, forward_parameters(arena.weights(), problem.config, identity_),
                                           {{"x", arena.input()}, {"y", arena.output()}}, nullptr),
          arena_(arena) {}
    MeasuredKernel(const MeasuredKernel &) = delete;
    MeasuredKernel &operator=(const MeasuredKernel &) = delete;

    void call() {
        CallMemory memory(nullptr, scratch_);
        kernel_.call({{"x", arena_.input()}, {"y", arena_.output()}}, memory);
    }
    /// Why it is wrong or fails; empty when it is right.
    std::string failure() {
        double error = 0;
        std::string text;
        try {
            arena_.check({{}, {}, [this] { call(); }}, allowed_tolerances(info_), error, text);
            is_wrong_ = !text.empty();
        } catch (const std::exception &failed) {
            text = bench::what_failed(failed);
        }
        return text;
    }
    /// Whether it failed by its results.
    bool is_wrong() const {
        return is_wrong_;
    }
    /// Seconds of a call, roughly: the median of three.
    double estimate() {
        std::vector<double> seconds;
        for (int i = 0; i < 3; ++i) {
            const auto start = std::chrono::steady_clock::now();
            call();
            seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
        }
        return bench::median(seconds);
    }

private:
    const KernelInfo info_;
    std::vector<float> identity_;
    const PreparedKernel kernel_;
    bench::Arena &arena_;
    ScratchPool scratch_;
    bool is_wrong_ = false;
};

bench::Contestant contestant(const std::string &name, MeasuredKernel &kernel, int rounds) {
    bench::Contestant result{name, [&kernel] { kernel.call(); }};
    result.estimate = kernel.estimate();
    result.rounds = rounds;
    result.min_seconds = rounds * std::max(seconds_per_round, result.estimate);
    return result;
}

}  // namespace

TrialResult Trials::decide(const KernelRow &incumbent, const KernelRow &candidate, SignTest test,
                           const std::function<bool()> &go_on) {
    TrialResult result = run(incumbent, candidate, max_rounds, [&](double incumbent_seconds, double candidate_seconds) {
        test.add_round(incumbent_seconds, candidate_seconds);
        return test.verdict() == Verdict::open && go_on();
    });
    result.verdict = result.failure.empty() ? test.verdict() : Verdict::not_faster;
    return result;
}

TrialResult Trials::compare(const KernelRow &incumbent, const KernelRow &candidate, int rounds) {
    TrialResult result = run(incumbent, candidate, rounds, [](double, double) { return true; });
    result.verdict = result.failure.empty() && result.interval.high < 1 ? Verdict::faster : Verdict::not_faster;
    return result;
}

TrialResult Trials::run(const KernelRow &incumbent, const KernelRow &candidate, int rounds, const AfterRound &go_on) {
    TrialResult result;
    MeasuredKernel defender(incumbent, problem_, arena_);
    if (const std::string failure = defender.failure(); !failure.empty()) {
        throw std::runtime_error(fmt::format("{}: {}", incumbent.id, failure));
    }
    try {
        MeasuredKernel challenger(candidate, problem_, arena_);
        result.failure = challenger.failure();
        if (!result.failure.empty()) {
            result.stage = challenger.is_wrong() ? Stage::check : Stage::run;
            return result;
        }
        std::vector<bench::Contestant> both = {contestant("incumbent", defender, rounds),
                                               contestant("candidate", challenger, rounds)};
        std::vector<double> log_ratios;
        bench::measure_in_turn(both, [&](int round) {
            const std::size_t i = round - 1;
            if (both[0].seconds.size() <= i || both[1].seconds.size() <= i) {  // one has measured enough, or failed
                return false;
            }
            log_ratios.push_back(std::log(both[1].seconds[i] / both[0].seconds[i]));
            return go_on(both[0].seconds[i], both[1].seconds[i]);
        });
        if (!both[0].failure.empty()) {
            throw std::runtime_error(fmt::format("{}: {}", incumbent.id, both[0].failure));
        }
        result.failure = both[1].failure;
        result.stage = result.failure.empty() ? Stage::measured : Stage::run;
        result.rounds = static_cast<int>(log_ratios.size());
        result.incumbent_ms = bench::median(both[0].seconds) * 1e3;
        result.candidate_ms = bench::median(both[1].seconds) * 1e3;
        result.ratio = std::exp(bench::median(log_ratios));
        const Interval interval = median_interval(log_ratios);
        result.interval = {std::exp(interval.low), std::exp(interval.high)};
    } catch (const Error &error) {  // a shape that an autoscheduled kernel doesn't take, or prepare that fails
        result.failure = error.what();
        result.stage = Stage::run;
    }
    return result;
}

}  // namespace aft::tune
