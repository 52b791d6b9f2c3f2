#include "tune.h"

#include "trial.h"
#include "journal.h"
#include "registry.h"
#include "search.h"

#include "bench/comparison.h"
#include "bench/machine.h"

#include <aft/layer.h>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <stdexcept>

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

// Of the last comparison. Its interval is that of the 14th to the 28th value.
constexpr int rounds_of_comparison = 41;

class Tuner {
public:
    Tuner(const TuneOptions &options, const KernelBuilder &builder)
        : options_(options), builder_(builder), packed_(packed_row(options.problem.config.kind)),
          target_(target_of(packed_)), axes_(packed_axes(vector_lanes(target_))), trials_(options.problem),
          journal_(options.folder / "results.jsonl") {}

    ProfileEntry run() {
        Candidate best = descend_from({});
        best = try_adams2019(best);
        for (unsigned seed = 1; go_on(); ++seed) {
            const Candidate start = random_candidate(axes_, seed);
            const TrialResult first = trial(best, start);
            if (first.failure.empty() && first.ratio < worst_start) {
                const Candidate local = descend_from(start);
                best = !(local == best) && is_faster(best, local) ? local : best;
            }
        }
        return entry_of(best);
    }

private:
    bool go_on() const {
        return !options_.interrupted() && seconds_since(start_) < options_.budget_seconds;
    }

    Candidate descend_from(const Candidate &start) {
        return descend(
            start, axes_, [this](const Candidate &a, const Candidate &b) { return is_faster(a, b); },
            [this] { return go_on(); });
    }

    Candidate try_adams2019(Candidate best) {
        double spent = 0;
        for (int seed = 1; go_on(); ++seed) {
            const Candidate candidate = random_adams2019(seed);
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
        show_progress(candidate);
        TrialResult result;
        if (const TrialResult *known = journal_.find(key(incumbent, candidate))) {
            result = *known;
        } else {
            try {
                const KernelRow &row = row_of(candidate);
                result = trials_.decide(row_of(incumbent), row, SignTest(trial_count_),
                                        [this] { return !options_.interrupted(); });
            } catch (const BuildError &error) {
                result.failure = error.what();
            }
            if (options_.interrupted()) {  // so that a tool may have been, or the trial
                return {};
            }
            journal_.add(key(incumbent, candidate), result);
        }
        const auto ratio = ratios_.find(describe(incumbent));
        if (result.verdict == Verdict::faster && ratio != ratios_.end()) {
            ratios_[describe(candidate)] = ratio->second * result.ratio;
        }
        return result;
    }

    // All that a result depends on.
    std::string key(const Candidate &incumbent, const Candidate &candidate) const {
        return fmt::format("{} {} {} {} threads: {} against {}", builder_.fingerprint(),
                           name(options_.problem.config.kind), bench::shape_name(options_.problem), thread_count(),
                           describe(candidate), describe(incumbent));
    }

    const KernelRow &row_of(const Candidate &candidate) {
        if (candidate == Candidate{}) {
            return packed_;
        }
        std::unique_ptr<BuiltKernel> &kernel = kernels_[describe(candidate)];
        if (!kernel) {
            kernel = builder_.build(candidate, options_.problem);
        }
        return kernel->row;
    }

    void show_progress(const Candidate &candidate) const {
        const auto by_ratio = [](const auto &a, const auto &b) { return a.second < b.second; };
        const auto best = std::min_element(ratios_.begin(), ratios_.end(), by_ratio);
        const int left = static_cast<int>(std::max(options_.budget_seconds - seconds_since(start_), 0.0));
        options_.progress(fmt::format("{} {}: {}:{:02} left, best {:.3f} of packed, trial {}: {}",
                                      name(options_.problem.config.kind), bench::shape_name(options_.problem),
                                      left / 60, left % 60, best->second, trial_count_, describe(candidate)));
    }

    /// Compares what was found once more with `packed`: the rounds that chose it flatter it.
    ProfileEntry entry_of(const Candidate &best) {
        options_.progress(fmt::format("{} {}: comparing with packed: {}", name(options_.problem.config.kind),
                                      bench::shape_name(options_.problem), describe(best)));
        const bench::Machine machine = bench::this_machine();
        ProfileEntry entry;
        entry.problem = options_.problem;
        entry.threads = thread_count();
        entry.trials = trial_count_;
        entry.date = machine.date;
        entry.halide = machine.halide;
        entry.target = target_;
        const TrialResult last = trials_.compare(packed_, row_of(best), rounds_of_comparison);
        entry.packed_ms = last.incumbent_ms;
        if (!(best == Candidate{}) && last.verdict == Verdict::faster) {
            entry.tuned = best;
            entry.tuned_ms = last.candidate_ms;
            entry.ratio = last.ratio;
            entry.interval = last.interval;
        }
        return entry;
    }

    const TuneOptions &options_;
    const KernelBuilder &builder_;
    const KernelRow &packed_;
    const std::string target_;
    const std::vector<Axis> axes_;
    Trials trials_;
    Journal journal_;
    const Clock::time_point start_ = Clock::now();
    int trial_count_ = 0;
    std::map<std::string, double> ratios_ = {{"packed", 1.0}};  // by candidate, of its time to that of `packed`
    std::map<std::string, std::unique_ptr<BuiltKernel>> kernels_;
};

}  // namespace

ProfileEntry tune(const TuneOptions &options, const KernelBuilder &builder) {
    return Tuner(options, builder).run();
}

const KernelRow &packed_row(LayerKind kind) {
    const std::string id = fmt::format("aft_{}_cpu_packed", name(kind));
    const auto row =
        std::find_if(kernel_rows, kernel_rows + kernel_row_count, [&](const KernelRow &each) { return each.id == id; });
    if (row == kernel_rows + kernel_row_count) {
        throw std::runtime_error(fmt::format("this build has no kernel {} to compare with", id));
    }
    return *row;
}

std::string target_of(const KernelRow &row) {
    return kernel_info(row).target;
}

}  // namespace aft::tune
