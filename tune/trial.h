#pragma once

#include "sign_test.h"

#include "bench/arena.h"
#include "kernels/kernel_table.h"

#include <functional>
#include <string>

namespace aft::tune {

/// The outcome of a candidate.
enum class Stage {
    build,    ///< the generator or the linker refused it
    check,    ///< its result is wrong
    run,      ///< it can't run
    measured  ///< it was timed
};

/// The outcome of measuring a candidate in turn with the incumbent.
struct TrialResult {
    Verdict verdict = Verdict::not_faster;
    double ratio = 0;                           ///< median over the rounds of candidate time / incumbent time
    Interval interval{0, 0};                    ///< of the median ratio
    double incumbent_ms = 0, candidate_ms = 0;  ///< medians
    int rounds = 0;
    std::string failure = {};  ///< why the candidate is wrong or can't run, and wasn't timed
    Stage stage = Stage::measured;
};

/// One problem on which kernels meet, in pairs; each is checked against the double reference before it is timed.
/// Kernels are prepared anew for every trial: where their weights lie in memory is another sample each time.
class Trials {
public:
    explicit Trials(const Problem &problem) : problem_(problem), arena_(problem, nullptr) {}

    /// Rounds until `test` has a verdict; it is open when `go_on` said no before. Throws std::runtime_error when the
    /// incumbent is wrong or fails.
    TrialResult decide(const KernelRow &incumbent, const KernelRow &candidate, SignTest test,
                       const std::function<bool()> &go_on);

    /// So many rounds. The candidate is faster when the whole interval is below 1.
    TrialResult compare(const KernelRow &incumbent, const KernelRow &candidate, int rounds);

private:
    using AfterRound = std::function<bool(double incumbent_seconds, double candidate_seconds)>;

    TrialResult run(const KernelRow &incumbent, const KernelRow &candidate, int rounds, const AfterRound &go_on);

    Problem problem_;
    bench::Arena arena_;
};

}  // namespace aft::tune
