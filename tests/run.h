#pragma once

#include "halide/limits.h"
#include "reference/problem.h"

#include <aft/core.h>
#include <aft/layer.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace aft {

/// How a tensor lies in memory: floats before the first row, after each row and after each sample.
struct Padding {
    std::int64_t before = 0, after_row = 0, after_sample = 0;
};

/// A problem of several tiles in both directions, with a rest in each.
Problem wide_problem(const LayerForm &form);

/// Runs the layer on x, [batch, seq, hidden] without gaps, and returns y likewise. The layer sees both with `padding`.
/// All memory that isn't x is NaN, and y is NaN before. Throws std::logic_error when the layer wrote outside y or into
/// x.
std::vector<float> run(const Layer &layer, const std::vector<float> &x, const Shape &shape,
                       const Padding &padding = {});
/// The same of a call. Its inputs lie with `padding`, too, but for the lengths; what they share stays shared.
std::vector<float> run(const Layer &layer, const LayerCall &call, const Padding &padding = {});
/// The same. The query has extents even if it has no data.
std::vector<float> run(const Core &core, const CoreCall &call, const Padding &padding = {});

/// The sequences of a call from an empty state, in steps of `piece` positions.
std::vector<float> run_in_pieces(const Layer &layer, const LayerCall &call, std::int64_t piece);
std::vector<float> run_in_pieces(const Core &core, const CoreCall &call, std::int64_t piece);

/// Whether a kernel is run: it is usable, and of the one API that this test program is for (any, unless its build
/// defines AFT_TEST_API). Autoscheduled GPU kernels take minutes where an interpreter or a CPU stands for the GPU: with
/// AFT_LONG_TESTS=1 only, but for what a CPU does in seconds.
bool runs_here(const KernelInfo &kernel);

/// The problems of a sweep that this test program runs: all, but of large ones an interpreter takes every eighth. With
/// AFT_LONG_TESTS=1, all.
std::vector<Problem> quick_problems(std::vector<Problem> problems);

/// Whether a kernel is run as a layer: it computes a whole one, and runs here.
bool is_tested(const KernelInfo &kernel);

/// Whether a kernel of the operations `core` and `scan` computes the mean of a problem when it is named.
bool serves_mean(const KernelInfo &kernel, const Problem &problem);

/// Whether the kernel can run the problem here, be it only when it is named.
bool can_run(const KernelInfo &kernel, const Problem &problem);

/// Whether tests that run a kernel many times take it: its smallest problem is quick. Autoscheduled kernels for long
/// sequences take up to a second a run; AFT_LONG_TESTS=1 has them in.
bool runs_by_default(const KernelInfo &kernel);

/// The process runs kernels on so many threads while this lives.
class ThreadCount {
public:
    explicit ThreadCount(int threads) : before_(thread_count()) {
        set_thread_count(threads);
    }
    ~ThreadCount() {
        set_thread_count(before_);
    }
    ThreadCount(const ThreadCount &) = delete;
    ThreadCount &operator=(const ThreadCount &) = delete;

private:
    int before_;
};

/// While it lives, kernels can count to so many elements in a call, so that larger calls are made in parts.
class ElementLimit {
public:
    explicit ElementLimit(std::int64_t most) {
        max_elements_of_call = most;
    }
    ~ElementLimit() {
        max_elements_of_call = max_elements;
    }
    ElementLimit(const ElementLimit &) = delete;
    ElementLimit &operator=(const ElementLimit &) = delete;
};

/// Lowers the limit until a call fails. Before, every call must give what check() expects. Returns the lowest limit
/// that a call kept.
template<typename Call, typename Check>
std::int64_t lowest_limit(const Call &call, const Check &check) {
    std::int64_t kept = max_elements;
    for (std::int64_t most = 1 << 20; most > 0; most = most * 2 / 3) {
        const ElementLimit limit(most);
        try {
            check(call());
        } catch (const KernelError &) {
            break;
        }
        kept = most;
    }
    return kept;
}

/// Sets an environment variable while it lives.
class Environment {
public:
    Environment(const char *name, const std::string &value);
    ~Environment();
    Environment(const Environment &) = delete;
    Environment &operator=(const Environment &) = delete;

private:
    const char *name_;
};

/// NaN is NaN.
inline bool same_bits(const std::vector<float> &a, const std::vector<float> &b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

}  // namespace aft
