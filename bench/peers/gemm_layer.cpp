#include "gemm_layer.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <type_traits>
#include <utility>

namespace aft::bench {

namespace {

constexpr int channels_per_task = 64;      // of loops that run down the sequence: a few vectors
constexpr int min_parallel = 1 << 13;      // elements below which waking threads costs more than the loop
constexpr int min_block = 64;              // targets for which a product is still efficient
constexpr float lowest_exponent = -1e38f;  // of no source: its exponential is 0

// [outputs, inputs] -> columns from `column` of a matrix with `row` columns.
template<typename Operand>
void transpose(const std::vector<float> &weight, int outputs, int inputs, int row, int column,
               std::vector<Operand> &result) {
    for (int o = 0; o < outputs; ++o) {
        for (int i = 0; i < inputs; ++i) {
            result[static_cast<std::size_t>(i) * row + column + o] = weight[static_cast<std::size_t>(o) * inputs + i];
        }
    }
}

}  // namespace

template<typename Operand>
GemmLayer<Operand>::GemmLayer(const ProductMaker<Operand> &product_of, const LayerConfig &config,
                              const Weights &weights, const Shape &shape, bool in_blocks)
    : banded_(in_blocks && config.form.has_window()), causal_(config.form.is_causal()),
      B(static_cast<int>(shape.batch)), T(static_cast<int>(shape.seq)), H(static_cast<int>(config.hidden)),
      P(static_cast<int>(config.projected)), query_bias_(weights.query_bias), value_bias_(weights.value_bias),
      output_bias_(weights.project_bias), decay_(weights.decay), bonus_(weights.bonus) {
    const std::size_t rows = static_cast<std::size_t>(B) * T;
    input_weight_.resize(static_cast<std::size_t>(H) * 3 * P);
    output_weight_.resize(static_cast<std::size_t>(P) * H);
    transpose(weights.query_weight, P, H, 3 * P, 0, input_weight_);
    transpose(weights.key_weight, P, H, 3 * P, P, input_weight_);
    transpose(weights.value_weight, P, H, 3 * P, 2 * P, input_weight_);
    transpose(weights.project_weight, H, P, H, 0, output_weight_);
    input_product_ = product_of({B * T, 3 * P, H, false, input_weight_.data(), nullptr});
    output_product_ = product_of({B * T, H, P, false, output_weight_.data(), output_bias_.data()});
    if constexpr (!std::is_same_v<Operand, float>) {
        input_.resize(rows * H);
    }
    qkv_.resize(rows * 3 * P);
    terms_.resize(rows * 2 * P);
    totals_.resize(static_cast<std::size_t>(B) * 2 * P);
    gated_.resize(rows * P);
    if (causal_ || config.form.has_bias()) {
        sums_.resize(rows * 2 * P);
    }
    if (config.form.has_heads()) {
        heads_ = static_cast<int>(config.heads);
        for (const float w : weights.position_bias) {
            filter_.push_back(std::expm1(w));
        }
    } else if (config.form.has_bias()) {
        add_blocks(product_of, config, weights, in_blocks);
    }
}

template<typename Operand>
void GemmLayer<Operand>::add_blocks(const ProductMaker<Operand> &product_of, const LayerConfig &config,
                                    const Weights &weights, bool in_blocks) {
    const int window = config.form.has_window() ? static_cast<int>(config.window) : T;
    const int targets = in_blocks ? std::max(banded_ ? window : 0, min_block) : T;
    for (int first = 0; first < T; first += targets) {
        const int end = std::min(first + targets, T);
        const int first_source = banded_ ? std::max(first - window + 1, 0) : 0;
        const int end_source = in_blocks ? std::min(causal_ ? end : end + window - 1, T) : T;
        Block block{first, end - first, first_source, end_source - first_source, {}, {}};
        block.product = product_of({block.targets, B * 2 * P, block.sources, banded_, nullptr, nullptr});
        for (int t = first; t < end; ++t) {
            for (int s = first_source; s < end_source; ++s) {
                const float w =
                    std::abs(t - s) < window ? weights.position_bias[static_cast<std::size_t>(t) * T + s] : 0;
                block.weights.push_back(causal_ && s > t ? 0.0f : banded_ ? std::expm1(w) : std::exp(w));
            }
        }
        blocks_.push_back(std::move(block));
    }
}

// terms_ from the keys and values of qkv_, and in sums_ the sums of a causal form so far, where no product replaces
// them. The bias of the keys is the same at all sources and cancels.
template<typename Operand>
void GemmLayer<Operand>::weigh() {
    const bool keeps_sums = causal_ && (banded_ || blocks_.empty());
    const int tasks_per_sample = (P + channels_per_task - 1) / channels_per_task;
#pragma omp parallel for if (B * T * P > min_parallel)
    for (int task = 0; task < B * tasks_per_sample; ++task) {
        const int b = task / tasks_per_sample, first = task % tasks_per_sample * channels_per_task;
        const int channels = std::min(channels_per_task, P - first);
        const float *const key = &qkv_[static_cast<std::size_t>(b) * T * 3 * P + P + first];
        float maximum[channels_per_task], weighted[channels_per_task] = {}, weight[channels_per_task] = {};
        std::copy(key, key + channels, maximum);
        for (int t = 1; t < T; ++t) {
            for (int c = 0; c < channels; ++c) {
                maximum[c] = std::max(maximum[c], key[static_cast<std::size_t>(t) * 3 * P + c]);
            }
        }
        for (int t = 0; t < T; ++t) {
            const float *const k = key + static_cast<std::size_t>(t) * 3 * P, *const v = k + P;
            Operand *const term = &terms_[(static_cast<std::size_t>(t) * B + b) * 2 * P + first];
            for (int c = 0; c < channels; ++c) {
                const float e = std::exp(k[c] - maximum[c]), ev = e * (v[c] + value_bias_[first + c]);
                term[c] = ev;
                term[P + c] = e;
                weighted[c] += ev;
                weight[c] += e;
            }
            if (keeps_sums) {
                float *const sum = &sums_[(static_cast<std::size_t>(t) * B + b) * 2 * P + first];
                std::copy(weighted, weighted + channels, sum);
                std::copy(weight, weight + channels, sum + P);
            }
        }
        std::copy(weighted, weighted + channels, &totals_[static_cast<std::size_t>(b) * 2 * P + first]);
        std::copy(weight, weight + channels, &totals_[static_cast<std::size_t>(b) * 2 * P + P + first]);
    }
}

// sums_ of wkv from the keys and values of qkv_, relative to the largest exponent of each target.
template<typename Operand>
void GemmLayer<Operand>::recur() {
    const int tasks_per_sample = (P + channels_per_task - 1) / channels_per_task;
#pragma omp parallel for if (B * T * P > min_parallel)
    for (int task = 0; task < B * tasks_per_sample; ++task) {
        const int b = task / tasks_per_sample, first = task % tasks_per_sample * channels_per_task;
        const int channels = std::min(channels_per_task, P - first);
        float exponent[channels_per_task], weighted[channels_per_task] = {}, weight[channels_per_task] = {};
        std::fill(exponent, exponent + channels, lowest_exponent);
        for (int t = 0; t < T; ++t) {
            const float *const k = &qkv_[(static_cast<std::size_t>(b) * T + t) * 3 * P + P + first], *const v = k + P;
            float *const sum = &sums_[(static_cast<std::size_t>(t) * B + b) * 2 * P + first];
            for (int c = 0; c < channels; ++c) {
                const float value = v[c] + value_bias_[first + c], current = k[c] + bonus_[first + c];
                const float top = std::max(exponent[c], current);
                const float before = std::exp(exponent[c] - top), now = std::exp(current - top);
                sum[c] = before * weighted[c] + now * value;
                sum[P + c] = before * weight[c] + now;
                const float decayed = exponent[c] - decay_[first + c], next = std::max(decayed, k[c]);
                const float kept = std::exp(decayed - next), added = std::exp(k[c] - next);
                weighted[c] = kept * weighted[c] + added * value;
                weight[c] = kept * weight[c] + added;
                exponent[c] = next;
            }
        }
    }
}

// sums_ from terms_: one product for each block, of all samples.
template<typename Operand>
void GemmLayer<Operand>::sum() {
    const int columns = B * 2 * P;
    if (banded_ && !causal_) {
#pragma omp parallel for if (B * T * P > min_parallel)
        for (int t = 0; t < T; ++t) {
            std::copy(totals_.begin(), totals_.end(), &sums_[static_cast<std::size_t>(t) * columns]);
        }
    }
    for (const Block &block : blocks_) {
        block.product(block.weights.data(), &terms_[static_cast<std::size_t>(block.first_source) * columns],
                      &sums_[static_cast<std::size_t>(block.first) * columns]);
    }
}

// Adds to sums_ what the filter of AFT-conv adds to the last few sources of each target.
template<typename Operand>
void GemmLayer<Operand>::convolve() {
    const int window = static_cast<int>(filter_.size()) / heads_, channels = P / heads_;
#pragma omp parallel for if (B * T * P > min_parallel)
    for (int row = 0; row < T * B; ++row) {
        float *const sum = &sums_[static_cast<std::size_t>(row) * 2 * P];
        for (int distance = 0; distance < std::min(window, row / B + 1); ++distance) {
            const Operand *const term = &terms_[static_cast<std::size_t>(row - distance * B) * 2 * P];
            for (int part = 0; part < 2 * heads_; ++part) {  // numerators of each head, then denominators
                const float weight = filter_[part % heads_ * window + distance];
                for (int c = part * channels; c < (part + 1) * channels; ++c) {
                    sum[c] += weight * term[c];
                }
            }
        }
    }
}

// gated_ = sigmoid(query) numerator / denominator
template<typename Operand>
void GemmLayer<Operand>::gate() {
#pragma omp parallel for if (B * T * P > min_parallel)
    for (int row = 0; row < B * T; ++row) {
        const int b = row / T, t = row % T;
        const float *const q = &qkv_[static_cast<std::size_t>(row) * 3 * P];
        const float *const numerator = sums_.empty() ? &totals_[static_cast<std::size_t>(b) * 2 * P]
                                                     : &sums_[(static_cast<std::size_t>(t) * B + b) * 2 * P];
        Operand *const result = &gated_[static_cast<std::size_t>(row) * P];
        for (int c = 0; c < P; ++c) {
            result[c] = numerator[c] / (numerator[P + c] * (1 + std::exp(-(q[c] + query_bias_[c]))));
        }
    }
}

// The input as the products take it.
template<typename Operand>
const Operand *GemmLayer<Operand>::operand(const float *x) {
    if constexpr (std::is_same_v<Operand, float>) {
        return x;
    } else {
#pragma omp parallel for if (B * T * H > min_parallel)
        for (int row = 0; row < B * T; ++row) {
            const std::size_t first = static_cast<std::size_t>(row) * H;
            std::copy_n(x + first, H, &input_[first]);
        }
        return input_.data();
    }
}

template<typename Operand>
void GemmLayer<Operand>::forward(const float *x, float *y) {
    input_product_(operand(x), input_weight_.data(), qkv_.data());
    if (decay_.empty()) {
        weigh();
        sum();
    } else {
        recur();
    }
    if (!filter_.empty()) {
        convolve();
    }
    gate();
    output_product_(gated_.data(), output_weight_.data(), y);
}

template class GemmLayer<float>;
template class GemmLayer<BFloat16>;

}  // namespace aft::bench
