#pragma once

#include <aft/kernels.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace aft {

/// K + w as a number and what its rounding left (Knuth's TwoSum): a key of 1e10 and a bias of 0.3 lose nothing. Both
/// are kept at an eighth, so that no sum overflows.
template<typename Real>
struct Score {
    Real high = -std::numeric_limits<Real>::infinity(), low = 0;

    Score() = default;
    Score(Real key, double bias) {
        const Real a = key / 8, b = static_cast<Real>(std::max(bias / 8, -static_cast<double>(largest())));
        high = a + b;
        const Real of_b = high - a;
        low = std::isfinite(high) ? (a - (high - of_b)) + (b - of_b) : 0;
        if (high < -largest() && !std::isinf(key)) {  // beyond any score of another source
            high = -largest();
        }
    }
    bool operator<(const Score &other) const {
        return high < other.high || (high == other.high && low < other.low);
    }
    Real operator-(const Score &other) const {
        return 8 * ((high - other.high) + (low - other.low));
    }

private:
    static constexpr Real largest() {
        return std::numeric_limits<Real>::max();
    }
};

/// The biases of one target, [sources], or [sources, channels] where they vary. -inf: it doesn't see the source.
struct BiasRow {
    std::vector<double> values;
    std::int64_t width = 1;  ///< 1, or the channels

    double at(std::int64_t source, std::int64_t channel) const {
        return values[source * width + (width == 1 ? 0 : channel)];
    }
    bool hides(std::int64_t source, std::int64_t channel) const {
        return at(source, channel) == -std::numeric_limits<double>::infinity();
    }
    std::int64_t sources() const {
        return static_cast<std::int64_t>(values.size()) / width;
    }
};

/// The sources of a sample, [sources, channels], and what the roundings of keys and values are relative to.
template<typename Real>
struct MeanInput {
    std::vector<Real> key, value, key_size, value_size;
    bool exact_keys = false;  ///< keys are what the caller gave: no projection rounded them
};

/// How uncertain the exponents of a target's terms are, in epsilons: as much as the largest key and bias, or for keys
/// that are exact only as much as the differences that exponents are, with the key's from its channel's maximum and the
/// bias's from its row's. Those are within twice max_bias_range of the score's from its maximum, or the term is far
/// below the others. A bias that float32 can't hold, such as a product with a factor, is rounded itself. Where biases
/// vary by channel, those of far sources grow without limit, and each counts for its own term only.
template<typename Real>
class ExponentSize {
public:
    ExponentSize(const MeanInput<Real> &input, const BiasRow &bias, std::int64_t channels)
        : exact_keys_(input.exact_keys), own_bias_(bias.width > 1) {
        for (std::int64_t s = 0; s < bias.sources(); ++s) {
            for (std::int64_t c = 0; c < channels; ++c) {
                if (bias.hides(s, c)) {
                    continue;
                }
                if (const Real size = input.key_size[s * channels + c]; std::isfinite(size)) {
                    key_ = std::max(key_, size);
                }
                bias_ = std::max(bias_, std::abs(bias.at(s, c)));
            }
        }
    }

    Real of(Real difference, double bias) const {
        const Real any = key_ + static_cast<Real>(own_bias_ ? std::abs(bias) : bias_);
        if (!exact_keys_) {
            return any;
        }
        const bool is_rounded = static_cast<double>(static_cast<float>(bias)) != bias;
        return std::min(any, std::abs(difference) + 2 * Real(max_bias_range)) +
               (is_rounded ? static_cast<Real>(std::abs(bias)) : 0);
    }

private:
    bool exact_keys_, own_bias_;
    Real key_ = 0;
    double bias_ = 0;
};

/// The sums of one target, per channel: mean = sum p V, magnitude = sum p |V|, and where they aren't null, the
/// roundings size = sum p (size(V) + |V| size(exponent)), and log W of the sum W of the weights. All are 0 where no
/// source is visible, but for log W, which is -inf. Hidden sources aren't read.
template<typename Real>
void mean_of_target(const MeanInput<Real> &input, const BiasRow &bias, std::int64_t channels, Real *mean,
                    Real *magnitude, Real *size, Real *log_weight = nullptr) {
    const auto is_visible = [&](std::int64_t s, std::int64_t c) {
        return !bias.hides(s, c) && !(input.key[s * channels + c] == -std::numeric_limits<Real>::infinity());
    };
    std::vector<Score<Real>> maximum(channels);
    std::vector<Real> denominator(channels, 0);
    for (std::int64_t s = 0; s < bias.sources(); ++s) {
        for (std::int64_t c = 0; c < channels; ++c) {
            if (is_visible(s, c)) {
                maximum[c] = std::max(maximum[c], {input.key[s * channels + c], bias.at(s, c)});
            }
        }
    }

    std::fill_n(mean, channels, Real(0));
    std::fill_n(magnitude, channels, Real(0));
    std::vector<Real> sizes(channels, 0);
    const ExponentSize<Real> exponent_size(input, bias, channels);
    for (std::int64_t s = 0; s < bias.sources(); ++s) {
        for (std::int64_t c = 0; c < channels; ++c) {
            const std::int64_t at = s * channels + c;
            if (!is_visible(s, c)) {
                continue;
            }
            const Real difference = Score<Real>(input.key[at], bias.at(s, c)) - maximum[c];
            const Real p = std::exp(difference), v = input.value[at];
            denominator[c] += p;
            mean[c] += p * v;
            magnitude[c] += p * std::abs(v);
            sizes[c] += p * (input.value_size[at] + std::abs(v) * exponent_size.of(difference, bias.at(s, c)));
        }
    }
    for (std::int64_t c = 0; c < channels; ++c) {
        if (denominator[c] != 0) {  // 0: no source is visible
            mean[c] /= denominator[c];
            magnitude[c] /= denominator[c];
            sizes[c] /= denominator[c];
        }
        if (size) {
            size[c] = sizes[c];
        }
        if (log_weight) {
            log_weight[c] = 8 * maximum[c].high + (8 * maximum[c].low + std::log(denominator[c]));
        }
    }
}

}  // namespace aft
