#include "rounds.h"

#include "failure.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <numeric>
#include <utility>

namespace aft::bench {

namespace {

constexpr std::size_t min_rounds = 3;

constexpr benchmark::IterationCount max_calls_per_round = 1'000'000;

benchmark::IterationCount calls_per_round(const Contestant &contestant) {
    const double calls = contestant.min_seconds / contestant.rounds / std::max(contestant.estimate, 1e-9);
    return std::clamp<benchmark::IterationCount>(static_cast<benchmark::IterationCount>(calls), 1, max_calls_per_round);
}

bool is_done(const Contestant &contestant, const double measured_seconds) {
    return !contestant.failure.empty() ||
           (contestant.seconds.size() >= min_rounds && measured_seconds >= contestant.min_seconds);
}

// The peaks after the contestant before; by nothing, if it had none.
struct LastPeaks {
    std::shared_ptr<const std::function<Peaks()>> measured_by;
    Peaks peaks;
};

void run(benchmark::State &state, Contestant &contestant, LastPeaks &last) {
    const auto attempt = [&](const auto &action) {
        try {
            action();
            return true;
        } catch (const std::exception &error) {
            contestant.failure = what_failed(error);
            state.SkipWithError("failed");
            return false;
        }
    };
    RoundPeaks peaks;
    const LastPeaks before = std::exchange(last, {});
    if (contestant.peaks && contestant.peaks == before.measured_by) {
        peaks.before = before.peaks;
    } else if (contestant.peaks && !attempt([&] { peaks.before = (*contestant.peaks)(); })) {
        return;
    }
    benchmark::IterationCount left = state.max_iterations;
    const auto call = [&] {
        contestant.call();
        if (--left == 0 && contestant.finish) {
            contestant.finish();
        }
    };
    for (auto _ : state) {
        if (!attempt(call)) {
            return;
        }
    }
    if (contestant.peaks && attempt([&] { peaks.after = (*contestant.peaks)(); })) {
        contestant.peaks_around.push_back(peaks);
        last = {contestant.peaks, peaks.after};
    }
}

// Hands the time of a run to its contestant.
class Collector : public benchmark::BenchmarkReporter {
public:
    Collector(std::vector<Contestant> &contestants, std::vector<double> &measured_seconds)
        : contestants_(contestants), measured_seconds_(measured_seconds) {}

    bool ReportContext(const Context &) override {
        return true;
    }

    void ReportRuns(const std::vector<Run> &runs) override {
        for (const Run &run : runs) {
            for (std::size_t i = 0; i < contestants_.size(); ++i) {
                if (contestants_[i].name == run.run_name.function_name && contestants_[i].failure.empty()) {
                    contestants_[i].seconds.push_back(run.real_accumulated_time / static_cast<double>(run.iterations));
                    measured_seconds_[i] += run.real_accumulated_time;
                }
            }
        }
    }

private:
    std::vector<Contestant> &contestants_;
    std::vector<double> &measured_seconds_;
};

}  // namespace

void measure_in_turn(std::vector<Contestant> &contestants, const std::function<bool(int round)> &after_round) {
    std::vector<double> measured_seconds(contestants.size(), 0.0);
    Collector collector(contestants, measured_seconds);
    for (int round = 1;; ++round) {
        LastPeaks last;
        bool any = false;
        for (std::size_t i = 0; i < contestants.size(); ++i) {
            Contestant &contestant = contestants[i];
            if (is_done(contestant, measured_seconds[i])) {
                continue;
            }
            any = true;
            benchmark::RegisterBenchmark(contestant.name.c_str(),
                                         [&contestant, &last](benchmark::State &state) {
                                             run(state, contestant, last);
                                         })
                ->Iterations(calls_per_round(contestant))
                ->Repetitions(1)  // whatever the environment says
                ->UseRealTime();
        }
        if (!any) {
            return;
        }
        benchmark::RunSpecifiedBenchmarks(&collector, ".");
        benchmark::ClearRegisteredBenchmarks();
        if (!after_round(round)) {
            return;
        }
    }
}

double median(std::vector<double> values) {
    if (values.empty()) {
        return std::numeric_limits<double>::quiet_NaN();
    }
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    if (values.size() % 2 == 1) {
        return *middle;
    }
    return (*std::max_element(values.begin(), middle) + *middle) / 2;
}

}  // namespace aft::bench
