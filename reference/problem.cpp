#include "problem.h"

#include "kernels/selector.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace aft {
namespace {

constexpr float masked = -std::numeric_limits<float>::infinity();

/// SplitMix64, summed to bell-shaped numbers in integer arithmetic: no library function that may differ between
/// machines.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed) {}

    std::uint64_t bits() {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }

    /// The sum of four uniform numbers of 16 bits, scaled to deviation 1; within +-3.47.
    float normal() {
        const std::uint64_t z = bits();
        const auto sum = static_cast<int>((z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) + (z >> 48));
        return static_cast<float>(sum - 2 * 0xffff) * (1.7320508f / 65536);
    }

    bool one_in(std::uint64_t n) {
        return bits() % n == 0;
    }

    std::vector<float> normals(std::int64_t count, float scale) {
        std::vector<float> values(count);
        for (float &value : values) {
            value = scale * normal();
        }
        return values;
    }

private:
    std::uint64_t state_;
};

const std::array<const char *, 13> data_names = {"normal",          "outliers",       "mismatched_maxima",
                                                 "cancelling_band", "unbounded_bias", "unbounded_offsets",
                                                 "huge_queries",    "huge_keys",      "offset_keys",
                                                 "offset_biases",   "huge_values",    "largest_values",
                                                 "denormal_values"};

bool selects(Data data) {
    return data != Data::normal && data != Data::outliers;
}

/// [P, 3P], the identity in its block: picks query (0), key (1) or value (2) out of [query | key | value].
std::vector<float> selection(std::int64_t P, int block) {
    std::vector<float> weight(P * 3 * P, 0.0f);
    for (std::int64_t c = 0; c < P; ++c) {
        weight[c * 3 * P + block * P + c] = 1;
    }
    return weight;
}

/// The source that stands out in the mismatched and cancelling problems: every target sees it, through a band if need
/// be, at least from itself.
std::int64_t spike(const Problem &problem) {
    return problem.shape.seq / 3;
}

/// 2^k, from where float32 has steps of 2^-10 to where it has steps of 2^103.
float offset(std::int64_t i) {
    constexpr std::array<int, 6> exponents = {13, 23, 30, 60, 100, 126};
    return std::ldexp(1.0f, exponents[i % exponents.size()]);
}

/// A few steps of 1/8, or of float32's above the offset where those are longer: exact.
float above_offset(std::int64_t i, float normal) {
    const float from = offset(i), step = std::max(0.125f, from * std::numeric_limits<float>::epsilon());
    return from + step * std::round(2 * std::abs(normal));
}

std::vector<float> make_position_bias(const Problem &problem, Random &random) {
    const std::int64_t S = problem.config.max_seq_len;
    std::vector<float> w = random.normals(S * S, 1);
    for (std::int64_t t = 0; t < S; ++t) {
        float *row = &w[t * S];
        switch (problem.data) {
            case Data::outliers:
                for (std::int64_t s = 0; s < S; ++s) {
                    if (random.one_in(16)) {
                        row[s] = std::clamp(8 * row[s], -20.0f, 20.0f);
                    }
                }
                break;
            case Data::mismatched_maxima:
                std::fill(row, row + S, 0.0f);
                row[spike(problem)] = t % 2 ? -max_bias_range : 0.0f;
                break;
            case Data::cancelling_band:
                std::fill(row, row + S, 0.0f);
                row[spike(problem)] = -20;
                break;
            case Data::unbounded_bias:
                row[spike(problem)] = -220;
                if (t % 3 == 1) {
                    row[t] = masked;
                }
                if (t == problem.shape.seq / 2) {
                    std::fill(row, row + S, masked);
                }
                break;
            case Data::unbounded_offsets:
                for (std::int64_t s = 0; s < S; ++s) {
                    row[s] = t % 2 ? above_offset(t / 2, row[s]) : row[s];
                }
                row[spike(problem)] = t % 3 == 1 ? masked : -std::numeric_limits<float>::max();
                break;
            case Data::offset_biases:
                for (std::int64_t s = 0; s < S; ++s) {
                    row[s] = above_offset(t % 2, row[s]);  // beyond, a step is more than the fast kernels' range
                }
                break;
            default: break;
        }
    }
    return w;
}

}  // namespace

std::string describe(const Problem &problem) {
    const LayerConfig &c = problem.config;
    std::string text(name(c.form));
    text += " B" + std::to_string(problem.shape.batch) + " T" + std::to_string(problem.shape.seq) + " H" +
            std::to_string(c.hidden) + " P" + std::to_string(c.projected) + " S" + std::to_string(c.max_seq_len);
    if (c.form.has_window()) {
        text += " s" + std::to_string(c.window);
    }
    return text + " " + data_names[static_cast<std::size_t>(problem.data)] + " seed " + std::to_string(problem.seed);
}

Weights make_weights(const Problem &problem) {
    const std::int64_t H = problem.config.hidden, P = problem.config.projected;
    // Deviation 1 / sqrt(inputs) keeps query, key, value and output of order 1.
    const float by_hidden = 1 / std::sqrt(static_cast<float>(H)), by_projected = 1 / std::sqrt(static_cast<float>(P));
    Random random(problem.seed);
    Weights weights;
    if (selects(problem.data)) {
        weights.query_weight = selection(P, 0);
        weights.key_weight = selection(P, 1);
        weights.value_weight = selection(P, 2);
    } else {
        weights.query_weight = random.normals(P * H, by_hidden);
        weights.query_bias = random.normals(P, 0.5f);
        weights.key_weight = random.normals(P * H, by_hidden);
        weights.key_bias = random.normals(P, 0.5f);
        weights.value_weight = random.normals(P * H, by_hidden);
        weights.value_bias = random.normals(P, 0.5f);
    }
    if (problem.data == Data::largest_values) {  // a second sum over channels would overflow
        weights.project_weight.assign(H * P, 0.0f);
        for (std::int64_t c = 0; c < P; ++c) {
            weights.project_weight[c * P + c] = 1;
        }
    } else {
        weights.project_weight = random.normals(H * P, by_projected);
        if (problem.data != Data::denormal_values) {
            weights.project_bias = random.normals(H, 0.5f);
        }
    }
    if (problem.config.form.has_bias()) {
        weights.position_bias = make_position_bias(problem, random);
    }
    return weights;
}

std::vector<float> make_input(const Problem &problem) {
    const std::int64_t B = problem.shape.batch, T = problem.shape.seq, H = problem.config.hidden;
    const std::int64_t P = problem.config.projected;
    Random random(~problem.seed);
    std::vector<float> x = random.normals(B * T * H, 1);
    if (problem.data == Data::outliers) {
        for (float &value : x) {
            if (random.one_in(64)) {
                value *= 20;
            }
        }
    }
    if (!selects(problem.data)) {
        return x;
    }

    for (std::int64_t row = 0; row < B * T; ++row) {
        float *query = &x[row * H], *key = query + P, *value = key + P;
        const bool stands_out = row % T == spike(problem);
        for (std::int64_t c = 0; c < P; ++c) {
            switch (problem.data) {
                case Data::mismatched_maxima:
                case Data::unbounded_bias: key[c] = stands_out ? 110.0f : key[c] / 64; break;
                case Data::cancelling_band:
                    key[c] = stands_out ? 30.0f : 0.0f;
                    value[c] *= stands_out ? 1 : 1000;
                    break;
                case Data::unbounded_offsets:
                    key[c] = stands_out ? 0.0f : above_offset(c, key[c]) - 2 * offset(c);
                    break;
                case Data::huge_queries: query[c] *= std::ldexp(1.0f, static_cast<int>((row + c) % 127)); break;
                case Data::huge_keys: key[c] *= std::ldexp(1.0f, static_cast<int>((row + c) % 127)); break;
                case Data::offset_keys: key[c] = above_offset(c, key[c]); break;
                case Data::huge_values: value[c] *= 1e30f; break;
                case Data::largest_values:
                    value[c] *= 0.25f * std::numeric_limits<float>::max() / static_cast<float>(T);
                    break;
                case Data::denormal_values: value[c] *= 1024 * std::numeric_limits<float>::min(); break;
                default: break;
            }
        }
    }
    return x;
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
    for (const NamedForm &named : named_forms) {
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
    for (const NamedForm &named : named_forms) {
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
