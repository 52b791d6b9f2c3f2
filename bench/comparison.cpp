#include "comparison.h"

#include "ceilings.h"
#include "rounds.h"
#include "tests/reference.h"

#include <aft/error.h>
#include <aft/layer.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>

namespace aft::bench {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// The reference costs seq x channels exponentials a row: enough rows to meet every tile, few enough to be quick.
constexpr std::int64_t max_checked_rows = 16;

// The first, the last and evenly spaced ones between them.
std::vector<std::int64_t> checked_rows(std::int64_t seq) {
    const std::int64_t count = std::min(seq, max_checked_rows);
    std::vector<std::int64_t> rows;
    for (std::int64_t i = 0; i < count; ++i) {
        rows.push_back(count == 1 ? 0 : i * (seq - 1) / (count - 1));
    }
    return rows;
}

// A problem with its data and its right answer. All kernels write to the same y.
class Arena {
public:
    explicit Arena(const Problem &problem)
        : problem_(problem), weights_(make_weights(problem)), x_(make_input(problem)), y_(x_.size()),
          rows_(checked_rows(problem.shape.seq)),
          reference_(reference_forward(problem.config, weights_, x_, problem.shape, rows_)) {}

    // Throws ConfigError or ShapeError when the kernel can't do the problem.
    std::shared_ptr<const Layer> layer(const KernelInfo &kernel) const {
        auto layer = std::make_shared<const Layer>(problem_.config, weights_, LayerOptions{kernel.id});
        layer->kernel_for(problem_.shape);
        return layer;
    }

    void forward(const Layer &layer) {
        const TensorView<float, 3>::Extents extents{problem_.shape.batch, problem_.shape.seq, problem_.config.hidden};
        layer.forward(TensorView<const float, 3>(x_.data(), extents), TensorView<float, 3>(y_.data(), extents));
    }

    // Runs the layer on a y of NaN. Throws KernelError.
    void check(const Layer &layer, double &max_error, std::string &failure) {
        std::fill(y_.begin(), y_.end(), std::numeric_limits<float>::quiet_NaN());
        forward(layer);
        const std::vector<float> actual = checked_part_of_y();
        double largest_error = 0, largest_output = 0;
        for (std::size_t i = 0; i < actual.size(); ++i) {
            const double error = std::abs(actual[i] - reference_.output[i]);
            largest_error = std::max(largest_error, std::isnan(error) ? infinity : error);
            largest_output = std::max(largest_output, std::abs(reference_.output[i]));
        }
        max_error = largest_error / largest_output;
        const double in_tolerances = error_in_tolerances(reference_, actual);
        if (!(in_tolerances <= 1)) {
            failure = fmt::format("WRONG: the error is {:.3g} times the tolerance", in_tolerances);
        }
    }

private:
    std::vector<float> checked_part_of_y() const {
        const std::int64_t hidden = problem_.config.hidden;
        std::vector<float> values;
        for (std::int64_t sample = 0; sample < problem_.shape.batch; ++sample) {
            for (const std::int64_t row : rows_) {
                const auto first = y_.begin() + (sample * problem_.shape.seq + row) * hidden;
                values.insert(values.end(), first, first + hidden);
            }
        }
        return values;
    }

    Problem problem_;
    Weights weights_;
    std::vector<float> x_, y_;
    std::vector<std::int64_t> rows_;
    Reference reference_;
};

// The ceilings take part in the rounds of every problem; what they reached is gathered over the whole run.
class CeilingProbes {
public:
    explicit CeilingProbes(int threads) : threads_(threads) {}

    void join(std::vector<Contestant> &contestants, double min_seconds) {
        constexpr double estimate = 0.005;
        contestants.push_back({"fma", [this] { work_[0] = fma_loop(threads_); }, estimate, min_seconds});
        contestants.push_back({"fma_one_thread", [this] { work_[1] = fma_loop(1); }, estimate, min_seconds});
        contestants.push_back({"copy", [this] { work_[2] = copy_(threads_); }, estimate, min_seconds});
    }

    // Takes the results of those that joined, which are the last. Returns the multiply-add peak in these rounds.
    Ceiling gather(const std::vector<Contestant> &contestants) {
        const Contestant *const joined = &contestants[contestants.size() - seconds_.size()];
        for (std::size_t i = 0; i < seconds_.size(); ++i) {
            seconds_[i].insert(seconds_[i].end(), joined[i].seconds.begin(), joined[i].seconds.end());
        }
        return ceiling(work_[0], joined[0].seconds);
    }

    void report(Comparison &comparison) const {
        comparison.fma_peak_gflops = ceiling(work_[0], seconds_[0]);
        comparison.fma_peak_gflops_one_thread = ceiling(work_[1], seconds_[1]);
        comparison.copy_gbytes_per_second = ceiling(work_[2], seconds_[2]);
    }

private:
    static Ceiling ceiling(double work, const std::vector<double> &seconds) {
        if (seconds.empty()) {
            return {not_measured, not_measured};
        }
        const double best = *std::min_element(seconds.begin(), seconds.end());
        return {work / median(seconds) / 1e9, work / best / 1e9};
    }

    int threads_;
    CopyLoop copy_;
    std::array<double, 3> work_{};
    std::array<std::vector<double>, 3> seconds_;
};

double seconds_of(const std::function<void()> &call) {
    const auto start = std::chrono::steady_clock::now();
    call();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Checks a kernel: appends to measurements and contestants alike (a wrong one isn't run again), or to `skipped`.
void enter(const KernelInfo &kernel, const Problem &problem, Arena &arena, double min_seconds,
           std::vector<Measurement> &measurements, std::vector<Contestant> &contestants, std::vector<Skip> &skipped) {
    Measurement measurement{kernel, problem};
    Contestant contestant{kernel.id, {}, 0, min_seconds};
    try {
        const std::shared_ptr<const Layer> layer = arena.layer(kernel);
        contestant.call = [&arena, layer] { arena.forward(*layer); };
        const auto check = [&] { arena.check(*layer, measurement.max_error, contestant.failure); };
        contestant.estimate = seconds_of(check);
        // The first call allocates and is compared: a short one is estimated once more.
        if (contestant.failure.empty() && contestant.estimate < 0.2) {
            contestant.estimate = seconds_of(contestant.call);
        }
    } catch (const KernelError &error) {
        contestant.failure = error.what();
    } catch (const Error &error) {  // ConfigError or ShapeError
        skipped.push_back({kernel.id, entry_name(kernel), problem, error.what()});
        return;
    }
    measurements.push_back(std::move(measurement));
    contestants.push_back(std::move(contestant));
}

void take_result(const Contestant &contestant, const Ceiling &fma_peak_gflops, Measurement &measurement) {
    measurement.failure = contestant.failure;
    if (!contestant.failure.empty()) {
        return;
    }
    measurement.rounds = static_cast<int>(contestant.seconds.size());
    measurement.median_ms = median(contestant.seconds) * 1e3;
    measurement.best_ms = *std::min_element(contestant.seconds.begin(), contestant.seconds.end()) * 1e3;
    measurement.gflops = work(measurement.problem) / measurement.median_ms / 1e6;
    measurement.peak_gflops = fma_peak_gflops.median;
    measurement.percent_of_peak = 100 * measurement.gflops / fma_peak_gflops.median;
    measurement.best_percent_of_peak =
        100 * work(measurement.problem) / measurement.best_ms / 1e6 / fma_peak_gflops.best;
}

std::vector<Measurement> compare_on(const Problem &problem, const ComparisonOptions &options, const std::string &title,
                                    CeilingProbes &ceilings, std::vector<Skip> &skipped) {
    options.progress(title + ": reference", false);
    Arena arena(problem);
    std::vector<Measurement> measurements;
    std::vector<Contestant> contestants;
    std::vector<Skip> unfit;
    const auto is_in = [&measurements](const std::string &entry) {
        return std::any_of(measurements.begin(), measurements.end(),
                           [&](const Measurement &each) { return entry_name(each.kernel) == entry; });
    };
    for (const KernelInfo &kernel : kernels()) {
        const bool wanted = options.schedules.empty() ||
                            std::count(options.schedules.begin(), options.schedules.end(), kernel.schedule) != 0;
        // Rows stand in the order of preference: of those that share an entry, the first one that fits has it.
        if (kernel.layer == problem.config.kind && wanted && !is_in(entry_name(kernel))) {
            options.progress(fmt::format("{}: checking {}", title, kernel.id), false);
            enter(kernel, problem, arena, options.min_seconds, measurements, contestants, unfit);
        }
    }
    std::copy_if(unfit.begin(), unfit.end(), std::back_inserter(skipped),
                 [&](const Skip &skip) { return !is_in(skip.entry); });
    ceilings.join(contestants, options.min_seconds / 10);
    measure_in_turn(contestants, [&](int round) {
        options.progress(fmt::format("{}: {} kernels in turn, round {}", title, measurements.size(), round), false);
    });
    const Ceiling fma_peak_gflops = ceilings.gather(contestants);

    double naive_ms = not_measured;
    for (std::size_t i = 0; i < measurements.size(); ++i) {
        take_result(contestants[i], fma_peak_gflops, measurements[i]);
        if (schedule_name(measurements[i].kernel) == "naive") {
            naive_ms = measurements[i].median_ms;
        }
    }
    std::string summary = title + ":";
    for (Measurement &each : measurements) {
        each.speedup_over_naive = naive_ms / each.median_ms;
        summary += each.failure.empty() ? fmt::format("  {} {:.4g} ms", schedule_name(each.kernel), each.median_ms)
                                        : fmt::format("  {} failed", schedule_name(each.kernel));
    }
    options.progress(summary, true);
    return measurements;
}

}  // namespace

double work(const Problem &problem) {
    const double seq = static_cast<double>(problem.shape.seq);
    const double rows = static_cast<double>(problem.shape.batch) * seq;
    const double hidden = static_cast<double>(problem.config.hidden);
    const double projected = static_cast<double>(problem.config.projected);
    const double projections = 4 * 2 * rows * hidden * projected;  // query, key, value, output
    // Numerator and denominator take a multiply-add each for every pair of target and source that has a bias;
    // AFTSimple an exponential, two sums, a product, the division and the gate for every element.
    const auto core = [&](double sources) { return 2 * 2 * rows * sources * projected; };
    switch (problem.config.kind) {
        case LayerKind::full: return projections + core(seq);
        case LayerKind::local:
            return projections + core(std::clamp(2 * static_cast<double>(problem.config.window) - 1, 0.0, seq));
        case LayerKind::simple: return projections + 6 * rows * projected;
    }
    return not_measured;
}

std::string schedule_name(const KernelInfo &kernel) {
    return kernel.id.substr(kernel.id.find(kernel.schedule));
}

std::string entry_name(const KernelInfo &kernel) {
    const bool takes_any_shape = kernel.minimum.batch == 1 && kernel.minimum.seq == 1 && kernel.minimum.hidden == 1;
    return takes_any_shape ? schedule_name(kernel) : kernel.schedule;
}

std::string shape_name(const Problem &problem) {
    const LayerConfig &config = problem.config;
    return fmt::format("B{} T{} H{} P{}{}", problem.shape.batch, problem.shape.seq, config.hidden, config.projected,
                       config.kind == LayerKind::local ? fmt::format(" s{}", config.window) : "");
}

Comparison compare(const ComparisonOptions &options) {
    Comparison comparison;
    comparison.machine = this_machine();
    comparison.threads = thread_count();
    CeilingProbes ceilings(comparison.threads);
    for (std::size_t i = 0; i < options.problems.size(); ++i) {
        const Problem &problem = options.problems[i];
        const std::string title = fmt::format("[{:2}/{}] {} {}", i + 1, options.problems.size(),
                                              name(problem.config.kind), shape_name(problem));
        std::vector<Measurement> measurements = compare_on(problem, options, title, ceilings, comparison.skipped);
        std::move(measurements.begin(), measurements.end(), std::back_inserter(comparison.measurements));
    }
    ceilings.report(comparison);
    return comparison;
}

}  // namespace aft::bench
