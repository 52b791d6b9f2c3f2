#include "compare_lengths.h"

#include "sign_test.h"

#include "bench/arena.h"
#include "bench/comparison.h"
#include "bench/failure.h"
#include "bench/machine.h"
#include "bench/rounds.h"
#include "kernels/device.h"
#include "reference/reference.h"

#include <aft/threads.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <limits>
#include <map>
#include <optional>
#include <stdexcept>
#include <string_view>

namespace aft::tune {

namespace {

using Range = PreferredExtents::Range;

// A round repeats a call for so long: a thousand times what the clock costs.
constexpr double seconds_per_round = 0.004;

// Sources of a mean alone, whose targets are the length: a call of few targets is one of many sources.
constexpr std::int64_t sources_of_mean = 256;

constexpr double infinity = std::numeric_limits<double>::infinity();

// Kernels of kept sources can't be named.
bool is_measured(const KernelInfo &kernel) {
    return kernel.operation == "forward" || kernel.operation == "linear" || kernel.operation == "core" ||
           kernel.operation == "core_training";
}

BenchmarkProblem problem_of(const KernelInfo &kernel, Problem problem) {
    LayerConfig &config = problem.config;
    config.form = kernel.layer.value_or(LayerForm());  // a projection is the same in every form
    config.window = config.form.has_window() ? config.window : 0;
    config.max_seq_len = problem.shape.seq;
    if (kernel.operation == "forward") {
        return problem;
    }
    if (kernel.operation == "linear") {
        return projection_alone(problem);
    }
    if (config.form.takes_bias()) {
        problem.sources = std::max(problem.shape.seq, sources_of_mean);
        config.max_seq_len = problem.sources;
    }
    if (kernel.operation == "core") {
        return mean_alone(problem);
    }
    config.hidden = 0;
    return {problem, kernel.operation.c_str()};
}

double now() {
    if (thread_count() == 1) {  // whatever else the machine does isn't in it
        return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
    }
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double seconds_of(const bench::Subject &subject, int calls) {
    const double start = now();
    for (int i = 0; i < calls; ++i) {
        subject.call();
    }
    return (now() - start) / calls;
}

int calls_per_round(const bench::Subject &subject) {
    const double seconds = bench::median({seconds_of(subject, 1), seconds_of(subject, 1), seconds_of(subject, 1)});
    return static_cast<int>(std::clamp(seconds_per_round / std::max(seconds, 1e-7), 1.0, 1e5));
}

// The median over rounds of candidate / incumbent, and whether the candidate is faster.
struct Ratio {
    double ratio;
    bool is_faster;
};

Ratio measure(const bench::Subject &incumbent, const bench::Subject &candidate, SignTest test) {
    const int calls = calls_per_round(incumbent), calls_of_candidate = calls_per_round(candidate);
    std::vector<double> ratios;
    while (test.verdict() == Verdict::open) {
        // Each one comes first in every other round.
        const bool is_first = test.rounds() % 2 == 0;
        const double early = is_first ? seconds_of(candidate, calls_of_candidate) : 0;
        const double of_incumbent = seconds_of(incumbent, calls);
        const double of_candidate = is_first ? early : seconds_of(candidate, calls_of_candidate);
        test.add_round(of_incumbent, of_candidate);
        ratios.push_back(of_candidate / of_incumbent);
    }
    return {bench::median(ratios), test.verdict() == Verdict::faster};
}

// Null for a kernel that is wrong or fails.
std::optional<bench::Subject> subject_of(const KernelInfo &kernel, bench::Arena &arena, std::string &failure) {
    double error = 0;
    try {
        bench::Subject subject = arena.kernel(kernel, device_named("cpu").info);
        arena.check(subject, allowed_tolerances(kernel), error, failure);
        if (failure.empty()) {
            return subject;
        }
    } catch (const std::exception &failed) {
        failure = bench::what_failed(failed);
    }
    return {};
}

LengthPoint measure_point(const Family &family, const BenchmarkProblem &problem, int &trials) {
    bench::Arena arena(problem, nullptr);
    const std::size_t of_table = kernel_of_table(family.of_table(), problem.shape.seq), count = family.kernels.size();
    LengthPoint point{problem, std::vector<double>(count, infinity), {problem.shape.seq, {}}};
    point.cost.of_kernel.assign(count, infinity);
    point.ratios[of_table] = 1;
    point.cost.of_kernel[of_table] = 0;
    std::string failure;
    const std::optional<bench::Subject> incumbent = subject_of(family.kernels[of_table]->info, arena, failure);
    if (!incumbent) {
        throw std::runtime_error(fmt::format("{}: {}", family.kernels[of_table]->info.id, failure));
    }
    for (std::size_t i = 0; i < count; ++i) {
        std::string ignored;  // a kernel that is wrong gets no length
        const std::optional<bench::Subject> candidate =
            i == of_table ? std::nullopt : subject_of(family.kernels[i]->info, arena, ignored);
        if (!candidate) {
            continue;
        }
        const Ratio ratio = measure(*incumbent, *candidate, SignTest(++trials));
        point.ratios[i] = ratio.ratio;
        const double cost = std::log(ratio.ratio);
        point.cost.of_kernel[i] = ratio.is_faster ? cost : std::max(cost, 0.0);
    }
    return point;
}

// The mean over the problems of each length.
std::vector<Cost> costs_of(const std::vector<LengthPoint> &points) {
    std::map<std::int64_t, std::vector<double>> sums;
    std::map<std::int64_t, double> counts;
    for (const LengthPoint &point : points) {
        std::vector<double> &sum = sums[point.cost.seq];
        sum.resize(point.cost.of_kernel.size());
        for (std::size_t i = 0; i < sum.size(); ++i) {
            sum[i] += point.cost.of_kernel[i];
        }
        ++counts[point.cost.seq];
    }
    std::vector<Cost> costs;
    for (auto &[seq, sum] : sums) {
        for (double &each : sum) {
            each /= counts[seq];
        }
        costs.push_back({seq, sum});
    }
    return costs;
}

}  // namespace

std::string Family::subject() const {
    const KernelInfo &kernel = kernels.front()->info;
    return fmt::format("{}{} in {}", kernel.operation, kernel.layer ? fmt::format(" {}", name(*kernel.layer)) : "",
                       kernel.storage);
}

std::vector<Range> Family::of_table() const {
    std::vector<Range> ranges;
    for (const Kernel *kernel : kernels) {
        ranges.push_back(kernel->row.preferred.seq);
    }
    return ranges;
}

std::vector<Family> families(const std::optional<LayerForm> &form) {
    std::map<std::string, Family> found;
    std::vector<std::string> order;
    for (const Kernel &kernel : kernels_of("cpu")) {
        const KernelInfo &info = kernel.info;
        const bool is_own = std::any_of(own_kernels.rows, own_kernels.rows + own_kernels.count,
                                        [&](const KernelRow &row) { return std::string_view(row.id) == info.id; });
        if (!is_own || !info.usable || info.schedule != "packed" || !is_measured(info) ||
            (form && !(info.layer == form))) {
            continue;
        }
        const std::string key = fmt::format("{} {} {} {}", info.operation, info.layer ? name(*info.layer) : "none",
                                            info.algorithm, info.storage);
        Family &family = found[key];
        if (family.kernels.empty()) {
            order.push_back(key);
        }
        // With wisdom, a kernel may be there several times.
        if (family.kernels.empty() ||
            (family.kernels.front()->info.target == info.target && family.kernels.back()->info.id != info.id)) {
            family.kernels.push_back(&kernel);
        }
    }
    std::vector<Family> result;
    for (const std::string &key : order) {
        if (found[key].kernels.size() > 1) {
            result.push_back(found[key]);
        }
    }
    return result;
}

LengthResult compare_lengths(const Family &family, const LengthOptions &options) {
    LengthResult result;
    result.family = family;
    result.threads = thread_count();
    const bench::Machine machine = bench::this_machine();
    result.date = machine.date;
    result.halide = machine.halide;
    int trials = 0;
    for (const Problem &each : options.problems) {
        if (options.interrupted()) {
            return result;
        }
        const BenchmarkProblem problem = problem_of(family.kernels.front()->info, each);
        options.progress(fmt::format("{}: {}", family.subject(), bench::shape_name(problem)));
        result.points.push_back(measure_point(family, problem, trials));
    }
    result.choices = best_choices(family.of_table(), costs_of(result.points));
    return result;
}

}  // namespace aft::tune
