#include "reference/forms.h"
#include "reference/random.h"

#include <algorithm>
#include <array>

namespace aft {
namespace {

using Sizes = std::array<std::int64_t, 3>;  // targets, sources, channels

/// 1, primes, and both sides of vector widths, register tiles and chunks of sources (16, 64, 256).
constexpr std::array<Sizes, 18> sizes = {{{1, 1, 1},
                                          {2, 3, 5},
                                          {1, 64, 16},
                                          {7, 2, 17},
                                          {4, 16, 8},
                                          {13, 17, 33},
                                          {8, 5, 64},
                                          {33, 31, 9},
                                          {16, 33, 31},
                                          {65, 15, 24},
                                          {31, 63, 65},
                                          {48, 129, 12},
                                          {97, 47, 7},
                                          {64, 64, 47},
                                          {129, 128, 3},
                                          {20, 259, 49},
                                          {300, 300, 5},
                                          {263, 540, 4}}};

LayerConfig mean_of(LayerForm form, std::int64_t projected, std::int64_t max_seq_len, std::int64_t window) {
    LayerConfig config{form, 0, projected, max_seq_len, form.has_window() ? window : 0};
    if (form.has_heads()) {
        config.window = std::max<std::int64_t>(window, 1);
        for (const std::int64_t heads : {5, 4, 3, 2}) {
            if (projected % heads == 0) {
                config.heads = heads;
                break;
            }
        }
    }
    return config;
}

constexpr std::array<Data, 16> every_data = {Data::outliers,       Data::mismatched_maxima, Data::cancelling_band,
                                             Data::unbounded_bias, Data::unbounded_offsets, Data::huge_queries,
                                             Data::huge_keys,      Data::offset_keys,       Data::offset_biases,
                                             Data::huge_values,    Data::largest_values,    Data::denormal_values,
                                             Data::rising_keys,    Data::wide_biases,       Data::lowest_biases,
                                             Data::hidden_keys};

Problem without_projections(LayerForm form, const Sizes &size, std::int64_t window, std::int64_t batch) {
    const auto [n, m, P] = size;
    Problem problem{mean_of(form, P, std::max(n, m) + batch % 2, window), {batch, n}};
    problem.sources = n == m ? 0 : m;
    return problem;
}

LayerForm with_gate(LayerForm form, std::size_t i) {
    form.gate = gates()[i % gates().size()];
    return form;
}

/// Biases of the call: one for all or one for each sample, and every second one in distances that a factor scales.
void set_bias(Problem &problem, std::size_t i) {
    if (problem.config.form.takes_bias()) {
        problem.bias_per_sample = i % 3 != 0;
        problem.bias_scale = i % 2 ? -0.75f : 1.0f;
    }
}

/// Windows that are a part of the sequence only, in several tiles of targets or of sources, with every kind of data.
void add_narrow_windows(const LayerForm &form, std::vector<Problem> &problems) {
    std::size_t i = 0;
    for (const Sizes &size : {Sizes{130, 130, 20}, Sizes{150, 90, 17}, Sizes{40, 300, 9}, Sizes{1, 100, 7}}) {
        for (const std::int64_t window : {0, 1, 9, 30}) {
            for (const Data data : {Data::normal, every_data[i % every_data.size()]}) {
                Problem problem = without_projections(with_gate(form, i), size, window, 3);
                problem.data = data;
                problem.seed = i + 1;
                problem.mask = i % 2 ? Mask::sources : Mask::none;
                problem.has_lengths = i % 3 == 1;
                problems.push_back(problem);
            }
            ++i;
        }
    }
}

}  // namespace

std::vector<Problem> core_problems() {
    std::vector<Problem> problems;
    for (const NamedForm &named : named_forms) {
        // Forms with a state see all sources at once only where a mask of pairs keeps them from running.
        const bool needs_mask = is_running(named.form);
        if (needs_mask && named.form.varies_by_channel()) {
            continue;
        }
        for (std::size_t i = 0; i < sizes.size(); ++i) {
            Sizes size = sizes[i];
            size[1] = needs_mask ? size[0] : size[1];
            Problem problem = without_projections(with_gate(named.form, i), size, 1 + 3 * static_cast<std::int64_t>(i),
                                                  1 + static_cast<std::int64_t>(i % 4));
            problem.data = i % 4 == 3 ? Data::outliers : Data::normal;
            problem.seed = i + 1;
            problem.mask = needs_mask ? i % 2 ? Mask::pairs : Mask::pairs_of_samples : static_cast<Mask>(i % 4);
            problem.has_lengths = i % 3 == 1;
            set_bias(problem, i);
            problems.push_back(problem);
        }
        std::size_t i = 0;
        for (const Data data : every_data) {
            for (const Sizes &size : {Sizes{4, 4, 5}, Sizes{64, 64, 16}, Sizes{21, 100, 8}}) {
                Problem problem = without_projections(named.form, {size[0], needs_mask ? size[0] : size[1], size[2]},
                                                      i % 2 ? 2 : 40, 3);
                problem.data = data;
                problem.mask = needs_mask ? Mask::pairs : Mask::none;
                problem.bias_per_sample = named.form.takes_bias() && i % 4 != 0;
                if (data == Data::lowest_biases && named.form.takes_bias()) {
                    problem.bias_scale = std::array<float, 3>{1, 2, -2}[i % 3];
                }
                problems.push_back(problem);
                ++i;
            }
        }
        if (named.form.has_window() && !needs_mask) {
            add_narrow_windows(named.form, problems);
        }
    }
    return problems;
}

std::vector<Problem> scan_problems() {
    constexpr std::array<std::int64_t, 12> lengths = {1, 2, 3, 5, 8, 15, 17, 33, 64, 65, 129, 300};
    constexpr std::array<std::int64_t, 12> channels = {1, 5, 16, 65, 3, 24, 33, 8, 47, 12, 31, 20};
    constexpr std::array<std::int64_t, 12> windows = {1, 4, 2, 3, 8, 1, 40, 16, 5, 64, 7, 33};
    constexpr std::array<std::int64_t, 4> pieces = {0, 1, 0, 7};
    std::vector<Problem> problems;
    for (const NamedForm &named : named_forms) {
        if (!is_running(named.form)) {
            continue;
        }
        const auto problem_of = [&](std::size_t i, std::int64_t n, std::int64_t P, std::int64_t window) {
            Problem problem = without_projections(with_gate(named.form, i), {n, n, P}, window, 1 + i % 3);
            problem.piece = std::min(pieces[i % pieces.size()], n);
            problem.seed = i + 1;
            return problem;
        };
        for (std::size_t i = 0; i < lengths.size(); ++i) {
            Problem problem = problem_of(i, lengths[i], channels[i], windows[i]);
            problem.data = i % 4 == 3 ? Data::outliers : Data::normal;
            problem.has_lengths = i % 3 == 1;
            problem.mask = problem.piece == 0 && i % 4 == 2 ? Mask::sources : Mask::none;
            problems.push_back(problem);
        }
        for (const Data data : every_data) {
            for (const std::int64_t n : {4, 64, 100}) {
                for (const std::int64_t window : {2, 40}) {
                    if (window == 2 || named.form.has_window()) {
                        // Not in pieces: a state's maximum is one float, and the scores may need two.
                        Problem problem = problem_of(0, n, n == 64 ? 16 : 5, window);
                        problem.data = data;
                        problems.push_back(problem);
                    }
                }
            }
        }
        for (const Data data : {Data::huge_keys, Data::rising_keys, Data::offset_keys, Data::huge_values}) {
            for (const std::int64_t piece : {1, 6}) {
                Problem problem = problem_of(0, 50, 9, 7);
                problem.data = data;
                problem.piece = piece;
                problems.push_back(problem);
            }
        }
        if (named.form.has_window()) {
            for (const std::int64_t window : {0, 1, 19, 20, 21, 2000000000}) {  // about the sequence's 20
                if (window > 0 || !named.form.has_heads()) {
                    const bool is_stored = named.form.has_heads();
                    problems.push_back(problem_of(0, 20, 6, is_stored ? std::min<std::int64_t>(window, 40) : window));
                }
            }
        }
    }
    return problems;
}

std::vector<Problem> layer_problems() {
    std::vector<Problem> problems;
    for (const NamedForm &named : named_forms) {
        for (std::size_t g = 0; g < gates().size(); ++g) {
            const LayerForm form = with_gate(named.form, g);
            const auto add = [&](std::int64_t n, std::int64_t hidden, std::int64_t P, const auto &change) {
                LayerConfig config = mean_of(form, P, n + 3, 5);
                config.hidden = hidden;
                Problem problem{config, {3, n}, Data::normal, g + 1};
                set_bias(problem, g);
                change(problem);
                problems.push_back(problem);
            };
            add(21, 19, 12, [](Problem &) {});
            add(9, 33, 16, [](Problem &problem) { problem.has_lengths = true; });
            add(17, 10, 10, [](Problem &problem) {
                problem.projects_output = false;
                problem.data = Data::outliers;
            });
            add(16, 24, 8, [](Problem &problem) {
                problem.data = Data::rising_keys;
                problem.has_lengths = true;
            });
            // Other inputs; a mean that runs along the sequence needs a target for each source.
            add(14, 20, 18, [&](Problem &problem) {
                problem.sources = is_running(form) ? 14 : 11;
                problem.config.key_hidden = 7;
                problem.config.value_hidden = 29;
                problem.mask = Mask::sources;
            });
            if (!is_running(form)) {
                add(6, 36, 12, [](Problem &problem) {
                    problem.sources = 9;
                    problem.has_lengths = true;
                    problem.mask = Mask::pairs_of_samples;
                });
            } else {
                add(23, 20, 15, [](Problem &problem) { problem.piece = 4; });
                add(11, 20, 15, [](Problem &problem) {
                    problem.piece = 1;
                    problem.has_lengths = true;
                });
            }
        }
    }
    return problems;
}

Problem random_core_problem(LayerForm form, std::uint64_t seed) {
    Random random(seed);
    const auto size = [&random](std::int64_t from) {
        static constexpr std::uint64_t limits[] = {8, 40, 150, 300};
        const std::uint64_t limit = limits[random.bits() % 4];
        return from + static_cast<std::int64_t>(random.bits() % limit);
    };
    const std::int64_t n = size(1), m = is_running(form) || random.one_in(2) ? n : size(1);
    const Data data = random.one_in(2) ? Data::normal : every_data[random.bits() % every_data.size()];
    // The last gate is the query itself, which takes huge values beyond float32.
    const std::size_t gate = random.bits() % (data == Data::normal ? gates().size() : gates().size() - 1);
    Problem problem = without_projections(with_gate(form, gate), {n, m, size(1)}, size(1),
                                          1 + static_cast<std::int64_t>(random.bits() % 4));
    problem.seed = seed;
    problem.data = data;
    problem.has_lengths = random.one_in(3);
    problem.mask =
        is_running(form) ? random.one_in(3) ? Mask::sources : Mask::none : static_cast<Mask>(random.bits() % 4);
    problem.bias_per_sample = form.takes_bias() && random.one_in(2);
    return problem;
}

}  // namespace aft
