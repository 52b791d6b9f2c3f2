#include "problem.h"

#include "kernels/kernel_table.h"
#include "kernels/selector.h"
#include "reference/forms.h"
#include "reference/random.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

namespace aft {
namespace {

const std::array<const char *, 17> data_names = {"normal",          "outliers",       "mismatched_maxima",
                                                 "cancelling_band", "unbounded_bias", "unbounded_offsets",
                                                 "huge_queries",    "huge_keys",      "offset_keys",
                                                 "offset_biases",   "huge_values",    "largest_values",
                                                 "denormal_values", "rising_keys",    "wide_biases",
                                                 "lowest_biases",   "hidden_keys"};

const std::array<const char *, 4> mask_names = {"", " mask of sources", " mask of pairs", " masks of pairs"};

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
        case Data::unbounded_offsets:
        case Data::lowest_biases: return problem.config.form.has_bias();
        case Data::offset_biases: return problem.config.form.has_window();  // 0 outside the band
        default: return false;
    }
}

}  // namespace

Judgement judge(const KernelInfo &kernel, const Problem &problem) {
    const BiasRange bias{has_wide_bias(problem) ? std::numeric_limits<float>::infinity() : 0.0f, 0};
    return judge(kernel, {"forward", problem.config, bias}, problem.shape);
}

bool can_be_named(const KernelInfo &kernel) {
    return kernel.operation == "forward" || kernel.operation == "linear" || kernel.operation == "core" ||
           kernel.operation == "scan";
}

bool computes_mean(const KernelInfo &kernel, const Problem &problem) {
    const LayerForm &form = problem.config.form;
    const bool has_pairs = problem.mask == Mask::pairs || problem.mask == Mask::pairs_of_samples;
    if (kernel.operation == "core") {
        return kernel.layer->takes_bias() ? !form.varies_by_channel() && problem.piece == 0
                                          : kernel.layer->bias == form.bias && !form.is_causal() && !has_pairs;
    }
    // Sums of all sources before are those of a decay of 0.
    const bool is_sum = form.bias == PositionBias::none || (form.has_window() && problem.config.window == 0);
    const bool is_served = is_sum ? kernel.layer->has_decay() : kernel.layer->bias == form.bias;
    return kernel.operation == "scan" && form.is_causal() && is_served && !has_pairs;
}

bool is_running(const LayerForm &form) {
    return form.is_causal() && !form.takes_bias() && (!form.has_bias() || form.has_window());
}

std::vector<NamedForm> forward_forms() {
    std::vector<NamedForm> forms;
    for (const NamedForm &named : named_forms) {
        if (std::any_of(kernel_rows().begin(), kernel_rows().end(), [&](const KernelRow &row) {  // loads no driver
                return std::string_view(row.operation) == "forward" && row.layer == named.form;
            })) {
            forms.push_back(named);
        }
    }
    return forms;
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
        for (const Data data :
             {Data::mismatched_maxima, Data::cancelling_band, Data::unbounded_bias, Data::unbounded_offsets,
              Data::lowest_biases, Data::huge_queries, Data::huge_keys, Data::offset_keys, Data::offset_biases,
              Data::huge_values, Data::largest_values, Data::denormal_values}) {
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

}  // namespace aft
