#include "tune.h"

#include "journal.h"
#include "kernels/selector.h"
#include "search.h"
#include "trial.h"

#include "bench/comparison.h"
#include "bench/machine.h"

#include <aft/layer.h>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <future>
#include <iterator>
#include <map>
#include <memory>
#include <stdexcept>
#include <thread>

namespace aft::tune {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// A random search of Adams2019 takes about so long for a layer; all of them may take this share of the budget.
constexpr double adams2019_seconds = 20, adams2019_share = 0.25;

// A descent gains this much at best: a random start that is slower isn't worth one.
constexpr double worst_start = 1.3;

// From the last comparison. Its interval is that of the 14th to the 28th value.
constexpr int rounds_of_comparison = 41;

class Tuner {
public:
    Tuner(const TuneOptions &options, const KernelBuilder &builder)
        : options_(options), builder_(builder), packed_(packed_row(options.problem)), target_(target_of(packed_)),
          axes_(packed_axes(options.problem.config.form, vector_lanes(target_))), trials_(options.problem),
          journal_(options.folder / "results.jsonl") {}

    SearchResult run() {
        Candidate best = descend_from({});
        best = try_adams2019(best);
        for (unsigned seed = 1; go_on(); ++seed) {
            const Candidate start = random_candidate(axes_, seed);
            if (start == best) {
                continue;
            }
            const TrialResult first = trial(best, start);
            if (first.failure.empty() && first.ratio < worst_start) {
                const Candidate local = descend_from(start);
                best = !(local == best) && is_faster(best, local) ? local : best;
            }
        }
        return result_of(best);
    }

private:
    bool go_on() const {
        return !options_.interrupted() && seconds_since(start_) < options_.budget_seconds;
    }

    Candidate descend_from(const Candidate &start) {
        return descend(
            start, axes_,
            [this](const Candidate &incumbent, const std::vector<Candidate> &candidates) {
                upcoming_.clear();
                std::copy_if(candidates.begin(), candidates.end(), std::back_inserter(upcoming_),
                             [&](const Candidate &each) { return !journal_.find(key(incumbent, each)); });
            },
            [this](const Candidate &incumbent, const Candidate &candidate) { return is_faster(incumbent, candidate); },
            [this] { return go_on(); });
    }

    Candidate try_adams2019(Candidate best) {
        double spent = 0;
        for (int number = 1; go_on(); ++number) {
            const Candidate candidate = random_adams2019(number, thread_count());
            if (!journal_.find(key(best, candidate)) &&
                spent + adams2019_seconds > adams2019_share * options_.budget_seconds) {
                break;
            }
            const Clock::time_point start = Clock::now();
            best = is_faster(best, candidate) ? candidate : best;
            spent += seconds_since(start);
        }
        return best;
    }

    bool is_faster(const Candidate &incumbent, const Candidate &candidate) {
        return trial(incumbent, candidate).verdict == Verdict::faster;
    }

    TrialResult trial(const Candidate &incumbent, const Candidate &candidate) {
        ++trial_count_;
        show_progress(fmt::format("trial {}: {}", trial_count_, describe(candidate)));
        TrialResult result;
        if (const TrialResult *known = journal_.find(key(incumbent, candidate))) {
            result = *known;
            take_ratio(incumbent, candidate, result);
        } else {
            try {
                const KernelRow &row = row_of(candidate);
                result = trials_.decide(row_of(incumbent), row, SignTest(trial_count_),
                                        [this] { return !options_.interrupted(); });
            } catch (const BuildError &error) {
                result.failure = error.what();
                result.stage = Stage::build;
            }
            if (options_.interrupted()) {  // so that a tool may have been, or the trial
                return {};
            }
            take_ratio(incumbent, candidate, result);
            const auto built = build_seconds_.find(describe(candidate));
            journal_.add(key(incumbent, candidate), result,
                         {started_, seconds_since(start_), options_.problem, thread_count(), candidate, incumbent,
                          built == build_seconds_.end() ? 0 : *built->second, best_ratio()});
        }
        return result;
    }

    void take_ratio(const Candidate &incumbent, const Candidate &candidate, const TrialResult &result) {
        const auto ratio = ratios_.find(describe(incumbent));
        if (result.verdict == Verdict::faster && ratio != ratios_.end()) {
            ratios_[describe(candidate)] = ratio->second * result.ratio;
        }
    }

    double best_ratio() const {
        const auto by_ratio = [](const auto &a, const auto &b) { return a.second < b.second; };
        return std::min_element(ratios_.begin(), ratios_.end(), by_ratio)->second;
    }

    // All that a result depends on.
    std::string key(const Candidate &incumbent, const Candidate &candidate) const {
        return fmt::format("{} {} {} {} threads: {} against {}", builder_.fingerprint(),
                           name(options_.problem.config.form), bench::shape_name(options_.problem), thread_count(),
                           describe(candidate), describe(incumbent));
    }

    const KernelRow &row_of(const Candidate &candidate) {
        if (candidate == Candidate{}) {
            return packed_;
        }
        if (kernels_.count(describe(candidate)) == 0) {
            build_with_next(candidate);
        }
        return kernels_.at(describe(candidate)).get()->row;
    }

    /// As many at a time as there are processors; not while something is measured, where compilers would be in the way.
    void build_with_next(const Candidate &candidate) {
        std::vector<Candidate> wanted = {candidate};
        const auto at = std::find(upcoming_.begin(), upcoming_.end(), candidate);
        for (auto next = at; next != upcoming_.end() && wanted.size() < std::thread::hardware_concurrency(); ++next) {
            if (kernels_.count(describe(*next)) == 0 && !(*next == candidate)) {
                wanted.push_back(*next);
            }
        }
        for (const Candidate &each : wanted) {
            const auto seconds = build_seconds_[describe(each)] = std::make_shared<double>(0);
            kernels_[describe(each)] = std::async(std::launch::async, [=] {
                                           return builder_.build(each, options_.problem, *seconds);
                                       }).share();
        }
        for (const Candidate &each : wanted) {
            kernels_.at(describe(each)).wait();
        }
    }

    void show_progress(const std::string &what) const {
        const int left = static_cast<int>(std::max(options_.budget_seconds - seconds_since(start_), 0.0));
        options_.progress(fmt::format("{} {}: {}:{:02} left, best {:.3f} of packed, {}",
                                      name(options_.problem.config.form), bench::shape_name(options_.problem),
                                      left / 60, left % 60, best_ratio(), what));
    }

    /// Compares what was found once more with `packed`: the rounds that chose it flatter it.
    SearchResult result_of(const Candidate &best) {
        show_progress("last comparison: " + describe(best));
        const bench::Machine machine = bench::this_machine();
        SearchResult result;
        result.problem = options_.problem;
        result.algorithm = packed_.algorithm;
        result.threads = thread_count();
        result.trials = trial_count_;
        result.date = machine.date;
        result.halide = machine.halide;
        result.target = target_;
        const TrialResult last = trials_.compare(packed_, row_of(best), rounds_of_comparison);
        result.packed_ms = last.incumbent_ms;
        if (!(best == Candidate{}) && last.verdict == Verdict::faster) {
            result.tuned = best;
            result.library = kernels_.at(describe(best)).get()->library;
            result.tuned_ms = last.candidate_ms;
            result.ratio = last.ratio;
            result.interval = last.interval;
        }
        return result;
    }

    const TuneOptions &options_;
    const KernelBuilder &builder_;
    const KernelRow &packed_;
    const std::string target_;
    const std::vector<Axis> axes_;
    Trials trials_;
    Journal journal_;
    const Clock::time_point start_ = Clock::now();
    const std::string started_ = fmt::format("{:%FT%TZ}", fmt::gmtime(std::time(nullptr)));
    int trial_count_ = 0;
    std::map<std::string, double> ratios_ = {{"packed", 1.0}};  // by candidate, of its time to that of `packed`
    std::vector<Candidate> upcoming_;                           // of the axis that is searched, without known results
    std::map<std::string, std::shared_ptr<double>> build_seconds_;  // by candidate, of the processors
    std::map<std::string, std::shared_future<std::unique_ptr<BuiltKernel>>> kernels_;
};

}  // namespace

SearchResult tune(const TuneOptions &options, const KernelBuilder &builder) {
    return Tuner(options, builder).run();
}

const KernelRow &packed_row(const Problem &problem) {
    for (const auto &[row, kernel] : kernels_of("cpu")) {
        if (label(kernel) == "packed" && judge(kernel, problem).fit == Fit::automatic) {
            return row;
        }
    }
    throw std::runtime_error(
        fmt::format("this build has no kernel packed of layer {} to compare with", name(problem.config.form)));
}

std::string target_of(const KernelRow &row) {
    return kernel_info(row).target;
}

}  // namespace aft::tune
