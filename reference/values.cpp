#include "reference/forms.h"
#include "reference/random.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace aft {
namespace {

/// The quarter of `count` that item i is in: 0 to 3.
std::int64_t quarter_of(std::int64_t i, std::int64_t count) {
    return 4 * i / count;
}

constexpr float masked = -std::numeric_limits<float>::infinity();
constexpr float not_read = std::numeric_limits<float>::quiet_NaN();

bool selects(Data data) {
    return data != Data::normal && data != Data::outliers;
}

/// [P, inputs], the identity in its block: picks query (0), key (1) or value (2) out of [query | key | value].
std::vector<float> selection(std::int64_t P, std::int64_t inputs, int block) {
    std::vector<float> weight(P * inputs, 0.0f);
    for (std::int64_t c = 0; c < P; ++c) {
        weight[c * inputs + block * P + c] = 1;
    }
    return weight;
}

/// The source that stands out in the mismatched and cancelling problems: every target of a layer that isn't causal sees
/// it, through a band if need be, at least from itself. With biases of their own, samples have spikes of their own.
std::int64_t spike(const Problem &problem, std::int64_t sample) {
    const std::int64_t m = std::max<std::int64_t>(source_count(problem), 1);
    return (m / 3 + (problem.bias_per_sample ? sample : 0)) % m;
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

/// A row of order 1 becomes the biases of target t of a sample.
void set_biases(const Problem &problem, std::int64_t sample, std::int64_t t, float *row, std::int64_t columns,
                Random &random) {
    const std::int64_t stands_out = std::min(spike(problem, sample), columns - 1);
    const bool is_empty = t == problem.shape.seq / 2;
    switch (problem.data) {
        case Data::outliers:
            for (std::int64_t s = 0; s < columns; ++s) {
                if (random.one_in(16)) {
                    row[s] = std::clamp(8 * row[s], -20.0f, 20.0f);
                }
            }
            break;
        case Data::mismatched_maxima:
            std::fill(row, row + columns, 0.0f);
            row[stands_out] = t % 2 ? -max_bias_range : 0.0f;
            break;
        case Data::cancelling_band:
            std::fill(row, row + columns, 0.0f);
            row[stands_out] = -20;
            break;
        case Data::unbounded_bias:
            row[stands_out] = -220;
            if (t % 3 == 1) {
                row[t % columns] = masked;
            }
            if (is_empty) {
                std::fill(row, row + columns, masked);
            }
            break;
        case Data::unbounded_offsets:
            for (std::int64_t s = 0; s < columns; ++s) {
                row[s] = t % 2 ? above_offset(t / 2, row[s]) : row[s];
            }
            row[stands_out] = t % 3 == 1 ? masked : -std::numeric_limits<float>::max();
            break;
        case Data::lowest_biases:
            for (std::int64_t s = 0; s < columns; ++s) {
                constexpr float lowest = std::numeric_limits<float>::lowest();
                const bool is_distance = problem.config.form.takes_bias() && t % 8 == 3;
                const std::array<float, 4> odd = {lowest, std::nextafter(lowest, 0.0f), -lowest,
                                                  is_distance ? -masked : masked};
                row[s] = s % 3 == 1 ? odd[t % 4] : lowest;
            }
            break;
        case Data::offset_biases:
            for (std::int64_t s = 0; s < columns; ++s) {
                row[s] = above_offset(t % 2, row[s]);  // beyond, a step is more than the fast kernels' range
            }
            break;
        case Data::wide_biases:
            for (std::int64_t s = 0; s < columns; ++s) {
                const bool is_hidden = random.one_in(8) || is_empty;
                row[s] = is_hidden ? masked : static_cast<float>(static_cast<int>(random.bits() % 16001) - 8000) / 8;
            }
            break;
        default: break;
    }
}

std::vector<float> make_biases(const Problem &problem, std::int64_t sample, std::int64_t rows, std::int64_t columns,
                               Random &random) {
    std::vector<float> w = random.normals(rows * columns, 1);
    for (std::int64_t t = 0; t < rows; ++t) {
        set_biases(problem, sample, t, &w[t * columns], columns, random);
    }
    return w;
}

/// A quarter of the channels each: no decay, one that takes a thousand steps to count, one of order 1, one that leaves
/// the last few sources. Wide ones are up to 1000 and 1e37, in few bits.
void make_decay(const Problem &problem, Random &random, Weights &weights) {
    const std::int64_t P = problem.config.projected;
    weights.decay = random.normals(P, 1);
    weights.bonus = random.normals(P, 1);
    const bool is_wide = problem.data == Data::wide_biases || problem.data == Data::unbounded_bias;
    for (std::int64_t c = 0; c < P; ++c) {
        const float size = std::abs(weights.decay[c]);
        const std::array<float, 4> usual = {0, size / 1024, size, 8 * size};
        const std::array<float, 4> wide = {0.125f, std::round(1 + 300 * size), std::ldexp(1.0f, 40),
                                           std::ldexp(1.0f, 123)};
        weights.decay[c] = is_wide ? wide[c % 4] : usual[c % 4];
        switch (problem.data) {
            case Data::unbounded_bias: weights.bonus[c] = c % 2 ? -220.0f : 220.0f; break;
            case Data::wide_biases: weights.bonus[c] = c % 3 ? -1000.0f : 1000.0f; break;
            case Data::unbounded_offsets: weights.bonus[c] = (c % 2 ? -0.25f : 0.25f) * offset(c); break;
            case Data::offset_biases: weights.bonus[c] = above_offset(c % 2, weights.bonus[c]); break;
            case Data::mismatched_maxima: weights.bonus[c] = -max_bias_range; break;
            default: break;
        }
    }
}

/// A source's key and value of order 1 become those of the problem. A null pointer is skipped.
void set_source(const Problem &problem, std::int64_t sample, std::int64_t j, float *key, float *value) {
    const std::int64_t P = problem.config.projected, m = source_count(problem);
    const bool stands_out = j == spike(problem, sample);
    for (std::int64_t c = 0; c < P; ++c) {
        switch (problem.data) {
            case Data::mismatched_maxima:
            case Data::unbounded_bias: key[c] = stands_out ? 110.0f : key[c] / 64; break;
            case Data::cancelling_band:
                key[c] = stands_out ? 30.0f : 0.0f;
                value[c] *= stands_out ? 1 : 1000;
                break;
            case Data::unbounded_offsets: key[c] = stands_out ? 0.0f : above_offset(c, key[c]) - 2 * offset(c); break;
            case Data::huge_keys: key[c] *= std::ldexp(1.0f, static_cast<int>((sample * m + j + c) % 127)); break;
            case Data::offset_keys: key[c] = above_offset(c, key[c]); break;
            case Data::huge_values: value[c] *= 1e30f; break;
            case Data::largest_values:
                value[c] *= 0.25f * std::numeric_limits<float>::max() / static_cast<float>(m);
                break;
            case Data::denormal_values: value[c] *= 1024 * std::numeric_limits<float>::min(); break;
            case Data::rising_keys: key[c] += (c % 2 ? -120.0f : 120.0f) * static_cast<float>(quarter_of(j, m)); break;
            case Data::hidden_keys:
                if (c % 4 == 3 || (j + c) % 5 == 0) {
                    key[c] = masked;
                    value[c] = not_read;
                }
                break;
            default: break;
        }
    }
}

void set_query(const Problem &problem, std::int64_t row, float *query) {
    if (problem.data == Data::huge_queries) {
        for (std::int64_t c = 0; c < problem.config.projected; ++c) {
            query[c] *= std::ldexp(1.0f, static_cast<int>((row + c) % 127));
        }
    }
}

/// [rows, channels] of an input of a layer, or of a mean.
std::vector<float> make_rows(const Problem &problem, std::int64_t rows, std::int64_t channels, Random &random) {
    std::vector<float> x = random.normals(rows * channels, 1);
    if (problem.data == Data::outliers) {
        for (float &value : x) {
            if (random.one_in(64)) {
                value *= 20;
            }
        }
    }
    return x;
}

/// Sets the rows that hold a sample's source.
void set_rows(std::vector<float> &rows, std::int64_t channels, std::int64_t row, float value) {
    if (!rows.empty()) {
        std::fill_n(rows.begin() + row * channels, channels, value);
    }
}

/// The sight of the call, and NaN in the sources that no target sees. `is_self`: those are rows of the query.
void set_sight(const Problem &problem, Random &random, bool is_self, std::int64_t query_channels,
               std::int64_t key_channels, std::int64_t value_channels, CallTensors &tensors, Sight &sight) {
    const std::int64_t B = problem.shape.batch, n = problem.shape.seq, m = source_count(problem);
    const auto hide = [&](std::int64_t b, std::int64_t j) {
        set_rows(tensors.key, key_channels, b * m + j, not_read);
        set_rows(tensors.value, value_channels, b * m + j, not_read);
        if (is_self) {
            set_rows(tensors.query, query_channels, b * m + j, not_read);
        }
    };
    if (problem.config.form.takes_bias()) {
        const std::int64_t samples = problem.bias_per_sample ? B : 1;
        for (std::int64_t b = 0; b < samples; ++b) {
            const std::vector<float> w = make_biases(problem, b, n, m, random);
            tensors.position_bias.insert(tensors.position_bias.end(), w.begin(), w.end());
        }
        sight.position_bias = {tensors.position_bias.data(), {B, n, m}, {problem.bias_per_sample ? n * m : 0, m, 1}};
        sight.bias_scale = problem.bias_scale;
    }
    if (problem.has_lengths) {
        const std::array<std::int64_t, 4> lengths = {m - m / 3, m, 0, 1};
        for (std::int64_t b = 0; b < B; ++b) {
            tensors.lengths.push_back(std::min(lengths[b % 4], m));
            for (std::int64_t j = tensors.lengths.back(); j < m; ++j) {
                hide(b, j);
            }
        }
        sight.lengths = {tensors.lengths.data(), {B}};
    }
    if (problem.mask != Mask::none) {
        const std::int64_t samples = problem.mask == Mask::pairs ? 1 : B, rows = problem.mask == Mask::sources ? 1 : n;
        const bool has_pairs = problem.mask != Mask::sources;
        tensors.mask = std::make_unique<bool[]>(samples * rows * m);
        for (std::int64_t i = 0; i < samples * rows * m; ++i) {
            const std::int64_t b = i / (rows * m), t = i / m % rows, j = i % m;
            const bool is_empty = has_pairs ? t == n / 2 : B > 1 && b == B - 1;
            tensors.mask[i] = !(random.one_in(3) || is_empty || (has_pairs && j == m / 2));
        }
        for (std::int64_t b = 0; b < B && !is_self; ++b) {
            for (std::int64_t j = 0; j < m; ++j) {
                if (has_pairs ? j == m / 2 : !tensors.mask[b * m + j]) {
                    hide(b, j);
                }
            }
        }
        sight.mask = {tensors.mask.get(),
                      {B, n, m},
                      {problem.mask == Mask::pairs ? 0 : rows * m, has_pairs ? m : 0, 1}};
    }
}

}  // namespace

std::int64_t source_count(const Problem &problem) {
    return problem.sources ? problem.sources : problem.shape.seq;
}

std::int64_t key_channels(const LayerConfig &config) {
    return config.key_hidden ? config.key_hidden : config.hidden;
}

std::int64_t value_channels(const LayerConfig &config) {
    return config.value_hidden ? config.value_hidden : key_channels(config);
}

bool is_plain(const Problem &problem) {
    return problem.config.hidden != 0 && problem.sources == 0 && !problem.has_lengths && problem.mask == Mask::none &&
           problem.piece == 0 && !problem.config.form.takes_bias();
}

Weights make_weights(const Problem &problem) {
    const LayerConfig &config = problem.config;
    const std::int64_t H = config.hidden, P = config.projected, key = key_channels(config);
    const std::int64_t value = value_channels(config);
    Random random(problem.seed);
    // Deviation 1 / sqrt(inputs) keeps query, key, value and output of order 1.
    const auto projection = [&](std::int64_t outputs, std::int64_t inputs) {
        return random.normals(outputs * inputs, 1 / std::sqrt(static_cast<float>(inputs)));
    };
    Weights weights;
    if (H != 0 && selects(problem.data)) {
        weights.query_weight = selection(P, H, 0);
        weights.key_weight = selection(P, key, 1);
        weights.value_weight = selection(P, value, 2);
    } else if (H != 0) {
        weights.query_weight = projection(P, H);
        weights.query_bias = random.normals(P, 0.5f);
        weights.key_weight = projection(P, key);
        weights.key_bias = random.normals(P, 0.5f);
        weights.value_weight = projection(P, value);
        weights.value_bias = random.normals(P, 0.5f);
    }
    if (problem.data == Data::largest_values) {  // a second sum over channels would overflow
        weights.project_weight.assign(H * P, 0.0f);
        for (std::int64_t c = 0; c < P && c < H; ++c) {
            weights.project_weight[c * P + c] = 1;
        }
    } else if (H != 0) {
        weights.project_weight = projection(H, P);
        if (problem.data != Data::denormal_values) {
            weights.project_bias = random.normals(H, 0.5f);
        }
    }
    if (!problem.projects_output) {
        weights.project_weight.clear();
        weights.project_bias.clear();
    }
    if (!config.form.has_query()) {
        weights.query_weight.clear();
        weights.query_bias.clear();
    }
    if (config.form.has_decay()) {
        make_decay(problem, random, weights);
    } else if (config.form.has_bias()) {
        const std::int64_t S = config.max_seq_len;
        weights.position_bias = config.form.has_heads() ? make_biases(problem, 0, config.heads, config.window, random)
                                                        : make_biases(problem, 0, S, S, random);
    }
    return weights;
}

std::vector<float> make_input(const Problem &problem) {
    const std::int64_t B = problem.shape.batch, T = problem.shape.seq, H = problem.config.hidden;
    const std::int64_t P = problem.config.projected;
    Random random(~problem.seed);
    std::vector<float> x = make_rows(problem, B * T, H, random);
    for (std::int64_t row = 0; row < B * T && selects(problem.data); ++row) {
        set_query(problem, row, &x[row * H]);
        if (!problem.sources) {
            set_source(problem, row / T, row % T, &x[row * H + P], &x[row * H + 2 * P]);
        }
    }
    return x;
}

CallTensors make_call(const Problem &problem) {
    const LayerConfig &config = problem.config;
    const std::int64_t B = problem.shape.batch, n = problem.shape.seq, m = source_count(problem);
    const std::int64_t P = config.projected;
    Random random(problem.seed ^ 0x5555555555555555u);
    CallTensors tensors;
    if (config.hidden == 0) {
        tensors.query = make_rows(problem, B * n, P, random);
        tensors.key = make_rows(problem, B * m, P, random);
        tensors.value = make_rows(problem, B * m, P, random);
        for (std::int64_t row = 0; row < B * n; ++row) {
            set_query(problem, row, &tensors.query[row * P]);
        }
        for (std::int64_t row = 0; row < B * m; ++row) {
            set_source(problem, row / m, row % m, &tensors.key[row * P], &tensors.value[row * P]);
        }
        set_sight(problem, random, false, P, P, P, tensors, tensors.core.sight);
        tensors.core.query = {config.form.has_query() ? tensors.query.data() : nullptr, {B, n, P}};
        tensors.core.key = {tensors.key.data(), {B, m, P}};
        tensors.core.value = {tensors.value.data(), {B, m, P}};
        return tensors;
    }

    tensors.query = make_input(problem);
    const std::int64_t key_inputs = key_channels(config), value_inputs = value_channels(config);
    if (problem.sources) {
        tensors.key = make_rows(problem, B * m, key_inputs, random);
        tensors.value = make_rows(problem, B * m, value_inputs, random);
        for (std::int64_t row = 0; row < B * m && selects(problem.data); ++row) {
            set_source(problem, row / m, row % m, &tensors.key[row * key_inputs + P],
                       &tensors.value[row * value_inputs + 2 * P]);
        }
        tensors.layer.key = {tensors.key.data(), {B, m, key_inputs}};
        tensors.layer.value = {tensors.value.data(), {B, m, value_inputs}};
    }
    set_sight(problem, random, !problem.sources, config.hidden, key_inputs, value_inputs, tensors, tensors.layer.sight);
    tensors.layer.query = {tensors.query.data(), {B, n, config.hidden}};
    return tensors;
}

}  // namespace aft
