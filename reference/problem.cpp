#include "problem.h"

#include "kernels/selector.h"
#include "reference/forms.h"
#include "reference/random.h"

#include <algorithm>
#include <array>
#include <limits>

namespace aft {
namespace {

const std::array<const char *, 16> data_names = {"normal",          "outliers",       "mismatched_maxima",
                                                 "cancelling_band", "unbounded_bias", "unbounded_offsets",
                                                 "huge_queries",    "huge_keys",      "offset_keys",
                                                 "offset_biases",   "huge_values",    "largest_values",
                                                 "denormal_values", "rising_keys",    "wide_biases",
                                                 "hidden_keys"};

const std::array<const char *, 4> mask_names = {"", " mask of sources", " mask of pairs", " masks of pairs"};

/// Those that some kernel computes in one pipeline.
std::vector<NamedForm> forward_forms() {
    std::vector<NamedForm> forms;
    for (const NamedForm &named : named_forms) {
        if (std::any_of(kernels().begin(), kernels().end(), [&](const KernelInfo &kernel) {
                return kernel.operation == "forward" && kernel.layer == named.form;
            })) {
            forms.push_back(named);
        }
    }
    return forms;
}

}  // namespace

std::string describe(const Problem &problem) {
    const LayerConfig &c = problem.config;
    std::string text(name(c.form));
    text += " B" + std::to_string(problem.shape.batch) + " T" + std::to_string(problem.shape.seq);
    const auto add_unless = [&text](std::int64_t usual, const char *name, std::int64_t value) {
        if (value != usual) {
            text += name + std::to_string(value);
        }
    };
    add_unless(0, " m", problem.sources);
    add_unless(0, " H", c.hidden);
    add_unless(0, " key", c.key_hidden);
    add_unless(0, " value", c.value_hidden);
    text += " P" + std::to_string(c.projected) + " S" + std::to_string(c.max_seq_len);
    if (c.form.has_window()) {
        text += " s" + std::to_string(c.window);
    }
    add_unless(1, " heads", c.heads);
    add_unless(0, " pieces of ", problem.piece);
    text += c.form.gate == Gate() ? "" : " gate " + name(c.form.gate);
    text += problem.has_lengths ? " lengths" : "";
    text += mask_names[static_cast<std::size_t>(problem.mask)];
    text += problem.bias_per_sample ? " bias per sample" : "";
    text += problem.bias_scale == 1 ? "" : " bias scaled";
    text += problem.projects_output ? "" : " no output projection";
    return text + " " + data_names[static_cast<std::size_t>(problem.data)] + " seed " + std::to_string(problem.seed);
}

namespace {

/// Whether a row of the position bias is beyond max_bias_range.
bool has_wide_bias(const Problem &problem) {
    switch (problem.data) {
        case Data::unbounded_bias:
        case Data::unbounded_offsets: return problem.config.form.has_bias();
        case Data::offset_biases: return problem.config.form.has_window();  // 0 outside the band
        default: return false;
    }
}

}  // namespace

Judgement judge(const KernelInfo &kernel, const Problem &problem) {
    const BiasRange bias{has_wide_bias(problem) ? std::numeric_limits<float>::infinity() : 0.0f, 0};
    return judge(kernel, {"forward", problem.config, bias}, problem.shape);
}

std::vector<Problem> test_problems() {
    // Each list of sizes holds 1, primes, and both sides of vector widths (4, 8, 16), register tiles (2, 4, 6, 8, 11
    // rows; 16, 24, 32, 64 columns) and the chunks of the reductions (256). They are paired at different strides.
    const std::array<std::int64_t, 32> sizes = {1,  2,  3,  4,  5,  6,  7,  8,  9,  11, 12, 13, 15,  16,  17,  23,
                                                24, 25, 31, 32, 33, 47, 48, 49, 63, 64, 65, 97, 127, 128, 129, 257};
    std::vector<Problem> problems;
    for (const NamedForm &named : forward_forms()) {
        const LayerForm form = named.form;
        for (std::size_t i = 0; i < sizes.size(); ++i) {
            const std::int64_t T = sizes[i], H = sizes[(7 * i + 3) % sizes.size()],
                               P = sizes[(11 * i + 5) % sizes.size()];
            const std::int64_t S = T + (i % 3 == 1 ? 5 : 0), B = 1 + static_cast<std::int64_t>(i % 3);
            const std::array<std::int64_t, 8> windows = {3, 0, T, 1, T - 1, 2, T + 1, 2000000000};
            const std::int64_t window = form.has_window() ? windows[i % windows.size()] : 0;
            problems.push_back({{form, H, P, S, window}, {B, T}, i % 4 == 3 ? Data::outliers : Data::normal, i + 1});
        }
        for (const Data data : {Data::mismatched_maxima, Data::cancelling_band, Data::unbounded_bias,
                                Data::unbounded_offsets, Data::huge_queries, Data::huge_keys, Data::offset_keys,
                                Data::offset_biases, Data::huge_values, Data::largest_values, Data::denormal_values}) {
            for (const std::int64_t T : {4, 64, 100}) {
                for (const std::int64_t window : {2, 40}) {
                    const std::int64_t P = T == 64 ? 16 : 5;
                    if (form.has_window()) {
                        problems.push_back({{form, 3 * P, P, T, window}, {2, T}, data});
                    } else if (window == 2) {
                        problems.push_back({{form, 3 * P, P, T + 1, 0}, {2, T}, data});
                    }
                }
            }
        }
        // More than one chunk, in each of the three reductions.
        const std::int64_t window = form.has_window() ? 70 : 0;
        problems.push_back({{form, 24, 40, 520, window}, {1, 515}});
        problems.push_back({{form, 515, 31, 20, window}, {1, 20}});
        problems.push_back({{form, 24, 515, 20, window}, {1, 20}});
    }
    return problems;
}

Problem random_problem(LayerForm form, std::uint64_t seed) {
    Random random(seed);
    const auto size = [&random] {
        static constexpr std::uint64_t limits[] = {8, 40, 150, 600};
        const std::uint64_t limit = limits[random.bits() % 4];
        return 1 + static_cast<std::int64_t>(random.bits() % limit);
    };
    const std::int64_t T = size(), H = size(), P = size(), window = form.has_window() ? size() - 1 : 0;
    const std::int64_t S = T + (random.one_in(2) ? size() : 0), B = 1 + static_cast<std::int64_t>(random.bits() % 3);
    const Data data = random.one_in(2) ? Data::outliers : Data::normal;
    return {{form, H, P, S, window}, {B, T}, data, seed};
}

Problem problem_for(const KernelInfo &kernel) {
    const MinimumExtents &m = kernel.minimum;
    const std::int64_t T = std::max<std::int64_t>(m.seq, 70) + 1;
    const std::int64_t window = kernel.layer->has_window() ? std::max<std::int64_t>(m.window, 9) : 0;
    return {{*kernel.layer, std::max<std::int64_t>(m.hidden, 33), std::max<std::int64_t>(m.projected, 45), T + 2,
             window},
            {m.batch + 2, T}};
}

namespace {

struct Size {
    std::int64_t batch, seq, channels, window;
};

/// Each size for each layer, the sequence as long as the model's.
std::vector<Problem> for_each_layer(const std::vector<Size> &sizes) {
    std::vector<Problem> problems;
    for (const NamedForm &named : forward_forms()) {
        for (const Size &size : sizes) {
            const std::int64_t window = named.form.has_window() ? size.window : 0;
            problems.push_back({{named.form, size.channels, size.channels, size.seq, window}, {size.batch, size.seq}});
        }
    }
    return problems;
}

}  // namespace

std::vector<Problem> benchmark_problems() {
    return for_each_layer({{4, 1024, 512, 32},   // enwik8, 12 layers of 512
                           {16, 197, 192, 32},   // ImageNet, DeiT tiny: 196 patches and a class token
                           {16, 197, 384, 32},   // ImageNet, DeiT small
                           {4, 1024, 256, 32},   // enwik8, 24 layers of 256
                           {2, 3072, 256, 256},  // CIFAR10, a token per subpixel
                           {1, 197, 192, 32},    // one image
                           {1, 16, 512, 32},     // a few rows: what reading the weights costs
                           {1, 64, 64, 32}});    // one short sequence: what calls and threads cost
}

std::vector<Problem> gpu_benchmark_problems() {
    return for_each_layer({{32, 1024, 512, 32},  // enwik8, 12 layers of 512
                           {16, 197, 192, 32},   // ImageNet, DeiT tiny
                           {2, 3072, 256, 256},  // CIFAR10
                           {1, 64, 64, 32}});    // what calls and launches cost
}

std::vector<Problem> quick_benchmark_problems(const std::string &api) {
    std::vector<Problem> problems = for_each_layer({{2, 197, 192, 32}, {1, 64, 64, 32}});
    for (const KernelInfo &kernel : kernels()) {
        const auto is_taken = [&](const Problem &problem) { return judge(kernel, problem).fit != Fit::none; };
        const MinimumExtents &m = kernel.minimum;
        if (kernel.usable && kernel.operation == "forward" && kernel.api == api &&
            std::none_of(problems.begin(), problems.end(), is_taken)) {
            problems.push_back({{*kernel.layer, m.hidden, m.projected, m.seq, m.window}, {m.batch, m.seq}});
        }
    }
    return problems;
}

}  // namespace aft
