#include "reference/benchmark_problems.h"

#include "kernels/selector.h"
#include "reference/forms.h"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace aft {
namespace {

struct Size {
    std::int64_t batch, seq, channels, window;
};

/// Targets that see sources of their own, by a bias for each sample.
struct CrossSize {
    std::int64_t batch, targets, sources, channels;
};

/// The sizes that a device is measured on.
struct Sizes {
    std::vector<Size> whole, composed, projections, means, trained;
    std::vector<CrossSize> cross, trained_cross;
    Size hidden, step;  // calls with masks and lengths; the last position of a sequence
};

bool has_forward(const LayerForm &form) {
    const std::vector<NamedForm> forms = forward_forms();
    return std::any_of(forms.begin(), forms.end(), [&](const NamedForm &named) { return named.form == form; });
}

/// The sequence is as long as the model's. AFT-conv has a filter of 4, in 4 heads.
Problem problem_of(const LayerForm &form, const Size &size) {
    Problem problem{{form, size.channels, size.channels, size.seq}, {size.batch, size.seq}};
    problem.config.window = !form.has_window() ? 0 : form.has_heads() ? 4 : size.window;
    problem.config.heads = form.has_heads() && size.channels % 4 == 0 ? 4 : 1;
    return problem;
}

Problem cross_problem(const CrossSize &size) {
    const auto [batch, targets, sources, channels] = size;
    Problem problem{{aft_given, channels, channels, std::max(targets, sources)}, {batch, targets}};
    problem.sources = sources;
    problem.bias_per_sample = true;
    return problem;
}

/// Whether a mean of pairs takes so many exponentials that only the best kernels are done within seconds.
bool is_long(const Problem &problem) {
    constexpr std::int64_t most = std::int64_t{1} << 24;
    return problem.shape.batch * problem.shape.seq * source_count(problem) * problem.config.projected > most;
}

/// Whole layers that hide sources: with a mask of them, with a mask of pairs, with shorter samples.
void add_calls_that_hide(const Size &size, std::vector<BenchmarkProblem> &problems) {
    const auto add = [&](const LayerForm &form, Mask mask, bool has_lengths) {
        Problem problem = problem_of(form, size);
        problem.mask = mask;
        problem.has_lengths = has_lengths;
        problems.emplace_back(problem);
    };
    for (const LayerForm &form : {aft_full, aft_causal_full, aft_wkv}) {
        add(form, Mask::sources, false);
        add(form, Mask::none, true);
    }
    add(aft_full, Mask::pairs, false);
}

std::vector<BenchmarkProblem> problems_of(const Sizes &sizes) {
    std::vector<BenchmarkProblem> problems;
    for (const bool is_whole : {true, false}) {
        for (const NamedForm &named : named_forms) {
            if (has_forward(named.form) == is_whole && !named.form.takes_bias()) {
                for (const Size &size : is_whole ? sizes.whole : sizes.composed) {
                    problems.emplace_back(problem_of(named.form, size));
                }
            }
        }
    }
    add_calls_that_hide(sizes.hidden, problems);
    for (const NamedForm &named : named_forms) {
        if (named.form.is_causal() && !named.form.takes_bias()) {
            Problem step = problem_of(named.form, sizes.step);
            step.piece = 1;
            problems.emplace_back(step);
        }
    }
    for (const Size &size : sizes.projections) {
        problems.push_back(projection_alone(problem_of(aft_full, size)));
    }
    const auto add_mean = [&](const Problem &problem) {
        problems.push_back(mean_alone(problem));
        problems.back().only_chosen = problems.back().operation == "core" && is_long(problem);
    };
    for (const Size &size : sizes.means) {
        for (const NamedForm &named : named_forms) {
            if (!named.form.takes_bias()) {
                add_mean(problem_of(named.form, size));
            }
        }
    }
    for (const CrossSize &size : sizes.cross) {
        add_mean(cross_problem(size));
        if (size.targets < size.sources) {  // as each call of a model that keeps its sources
            problems.emplace_back(cross_problem(size));
            problems.back().keeps_sources = true;
        }
    }
    const auto add = [&](const std::vector<BenchmarkProblem> &some) {
        problems.insert(problems.end(), some.begin(), some.end());
    };
    for (const Size &size : sizes.trained) {
        for (const LayerForm &form :
             {aft_full, aft_causal_full, aft_local, aft_causal_local, aft_simple, aft_causal_simple}) {
            add(training_of(problem_of(form, size)));
        }
        for (const char *operation : {"linear_training", "linear_gradients"}) {
            problems.push_back(trained_projection(problem_of(aft_full, size), operation));
        }
    }
    for (const CrossSize &size : sizes.trained_cross) {
        add(training_of(cross_problem(size)));
    }
    return problems;
}

}  // namespace

BenchmarkProblem projection_alone(const Problem &problem) {
    return {problem, "linear"};
}

BenchmarkProblem mean_alone(Problem problem) {
    problem.config.hidden = 0;
    return {problem, is_running(problem.config.form) ? "scan" : "core"};
}

std::vector<BenchmarkProblem> training_of(const Problem &layer) {
    Problem problem = layer;
    problem.config.hidden = 0;
    const LayerForm &form = problem.config.form;
    const bool has_bias = form.has_bias() || form.takes_bias(), has_pairs = has_bias || form.is_causal();
    std::vector<BenchmarkProblem> problems;
    if (!form.takes_bias()) {
        problems.emplace_back(layer, "training");
    }
    problems.emplace_back(problem, "training");
    if (has_pairs) {
        problems.emplace_back(problem, "core_training");
    }
    problems.emplace_back(problem, "core_gradients");
    if (has_bias) {
        problems.emplace_back(problem, "bias_gradients");
    }
    for (BenchmarkProblem &each : problems) {
        each.only_chosen = has_pairs && is_long(problem);
    }
    return problems;
}

BenchmarkProblem trained_projection(const Problem &problem, const char *operation) {
    return {problem, operation};
}

bool is_of_training(const BenchmarkProblem &problem) {
    return problem.operation == "training" || problem.operation == "linear_training" ||
           problem.operation == "linear_gradients" || problem.operation == "core_training" ||
           problem.operation == "core_gradients" || problem.operation == "bias_gradients";
}

bool is_projection(const BenchmarkProblem &problem) {
    return problem.operation == "linear" || problem.operation == "linear_training" ||
           problem.operation == "linear_gradients";
}

std::vector<std::string> operations_of_parts() {
    return {"linear",           "core",          "scan",           "training",      "linear_training",
            "linear_gradients", "core_training", "core_gradients", "bias_gradients"};
}

bool has_kernels(const BenchmarkProblem &problem) {
    return problem.operation != "training" &&
           (problem.operation != "forward" || (is_plain(problem) && has_forward(problem.config.form)));
}

bool computes(const KernelInfo &kernel, const BenchmarkProblem &problem) {
    if (kernel.operation != problem.operation || !kernel.layer) {
        return kernel.operation == problem.operation;
    }
    const LayerForm &form = problem.config.form;
    if (kernel.operation == "forward") {
        return kernel.layer == form;
    }
    // A bias that kernels for pairs take as well, in more work. In training, causal sums are those of a window of 0.
    if (is_of_training(problem) ? form.has_window() || is_running(form) : form.has_window() && !form.is_causal()) {
        return kernel.layer->bias == PositionBias::banded;
    }
    const bool is_for_pairs = kernel.layer->takes_bias(), has_pairs = form.bias != PositionBias::none;
    if (is_of_training(problem)) {
        return is_for_pairs == has_pairs;
    }
    return computes_mean(kernel, problem) && (kernel.operation == "scan" || is_for_pairs == has_pairs);
}

Judgement judge(const KernelInfo &kernel, const BenchmarkProblem &problem) {
    if (!computes(kernel, problem)) {
        return {Fit::none, "computes something else"};
    }
    if (kernel.operation == "forward") {
        return judge(kernel, static_cast<const Problem &>(problem));
    }
    LayerConfig config = problem.config;
    config.form = kernel.layer.value_or(config.form);
    config.hidden = kernel.layer ? config.projected : config.hidden;
    config.max_seq_len = std::numeric_limits<std::int32_t>::max();
    return judge(kernel, Demand{kernel.operation, config}, problem.shape);
}

double work(const BenchmarkProblem &problem, const std::vector<std::int64_t> &lengths) {
    const auto of_length = [&](std::int64_t batch, std::int64_t seq) {
        Problem part = problem;
        part.shape = {batch, seq};
        return seq == 0 ? 0 : work(part, problem.operation);
    };
    if (!lengths.empty()) {
        double sum = 0;
        for (const std::int64_t length : lengths) {
            sum += of_length(1, length);
        }
        return sum;
    }
    const auto [batch, seq] = problem.shape;
    if (problem.keeps_sources) {  // queries and outputs have projections of the same size
        return work(problem, "core") + 2 * work(problem, "linear");
    }
    return of_length(batch, seq) - (problem.piece ? of_length(batch, seq - problem.piece) : 0);
}

std::vector<BenchmarkProblem> benchmark_problems() {
    Sizes sizes;
    sizes.whole = {{4, 1024, 512, 32},   // enwik8, 12 layers of 512
                   {16, 197, 192, 32},   // ImageNet, DeiT tiny: 196 patches and a class token
                   {16, 197, 384, 32},   // ImageNet, DeiT small
                   {4, 1024, 256, 32},   // enwik8, 24 layers of 256
                   {2, 3072, 256, 256},  // CIFAR10, a token per subpixel
                   {1, 197, 192, 32},    // one image
                   {1, 16, 512, 32},     // a few rows: what reading the weights costs
                   {1, 64, 64, 32}};     // one short sequence: what calls and threads cost
    sizes.composed = {{4, 1024, 512, 32}, {16, 197, 192, 32}, {1, 64, 64, 32}};
    sizes.projections = {{4, 1024, 512, 0}, {16, 197, 192, 0}, {1, 1, 512, 0}};
    sizes.means = {{4, 1024, 512, 32}, {2, 197, 192, 32}};
    sizes.cross = {{64, 100, 100, 128}, {32, 1000, 1000, 128}, {1, 1000, 1000, 128}, {256, 1, 1000, 128}};
    sizes.trained = {{4, 1024, 512, 32}, {2, 197, 192, 32}};
    sizes.trained_cross = {{64, 100, 100, 128}, {1, 1000, 1000, 128}};
    sizes.hidden = {4, 1024, 512, 32};
    sizes.step = {1, 1025, 512, 32};
    return problems_of(sizes);
}

std::vector<BenchmarkProblem> gpu_benchmark_problems() {
    Sizes sizes;
    sizes.whole = {{32, 1024, 512, 32},  // enwik8, 12 layers of 512
                   {16, 197, 192, 32},   // ImageNet, DeiT tiny
                   {2, 3072, 256, 256},  // CIFAR10
                   {1, 64, 64, 32}};     // what calls and launches cost
    sizes.composed = sizes.projections = sizes.means = {{32, 1024, 512, 32}};
    sizes.cross = {{64, 100, 100, 128}, {32, 1000, 1000, 128}, {256, 1, 1000, 128}};
    sizes.hidden = {16, 197, 192, 32};
    sizes.step = {1, 1025, 512, 32};
    return problems_of(sizes);
}

std::vector<BenchmarkProblem> quick_benchmark_problems(const std::string &api) {
    Sizes sizes;
    sizes.whole = {{2, 197, 192, 32}, {1, 64, 64, 32}};
    sizes.composed = {{1, 64, 64, 32}};
    sizes.projections = sizes.means = {{2, 197, 192, 32}};
    sizes.cross = {{2, 20, 50, 24}, {2, 4, 50, 24}, {2, 1, 50, 24}};
    if (api == "cpu") {
        sizes.trained = {{2, 197, 192, 32}};
        sizes.trained_cross = {{2, 20, 50, 24}};
    }
    sizes.hidden = {4, 65, 64, 16};
    sizes.step = {1, 65, 64, 16};
    std::vector<BenchmarkProblem> problems = problems_of(sizes);
    for (const KernelInfo &kernel : kernels()) {
        const auto is_taken = [&](const BenchmarkProblem &problem) { return judge(kernel, problem).fit != Fit::none; };
        if (!kernel.usable || kernel.api != api || !can_be_named(kernel) ||
            std::any_of(problems.begin(), problems.end(), is_taken)) {
            continue;
        }
        const MinimumExtents &m = kernel.minimum;
        const LayerForm form = kernel.layer.value_or(aft_full);
        const Problem problem{{form, m.hidden, m.projected, m.seq, form.has_window() ? m.window : 0}, {m.batch, m.seq}};
        problems.push_back(kernel.operation == "forward"  ? BenchmarkProblem(problem)
                           : kernel.operation == "linear" ? projection_alone(problem)
                                                          : mean_alone(problem));
    }
    return problems;
}

}  // namespace aft
