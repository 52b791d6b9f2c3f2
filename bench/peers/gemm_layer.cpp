#include "gemm_layer.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

namespace aft::bench {

namespace {

constexpr int channels_per_task = 64;  // of loops that run down the sequence: a few vectors
constexpr int min_parallel = 1 << 13;  // elements below which waking threads costs more than the loop
constexpr int min_block = 64;          // targets for which a product is still efficient

// [outputs, inputs] -> columns from `column` of a matrix with `row` columns.
void transpose(const std::vector<float> &weight, int outputs, int inputs, int row, int column,
               std::vector<float> &result) {
    for (int o = 0; o < outputs; ++o) {
        for (int i = 0; i < inputs; ++i) {
            result[static_cast<std::size_t>(i) * row + column + o] = weight[static_cast<std::size_t>(o) * inputs + i];
        }
    }
}

}  // namespace

GemmLayer::GemmLayer(Sgemm sgemm, const LayerConfig &config, const Weights &weights, const Shape &shape, bool banded)
    : sgemm_(std::move(sgemm)), banded_(banded), B(static_cast<int>(shape.batch)), T(static_cast<int>(shape.seq)),
      H(static_cast<int>(config.hidden)), P(static_cast<int>(config.projected)), query_bias_(weights.query_bias),
      value_bias_(weights.value_bias), output_bias_(weights.project_bias) {
    const std::size_t rows = static_cast<std::size_t>(B) * T;
    input_weight_.resize(static_cast<std::size_t>(H) * 3 * P);
    output_weight_.resize(static_cast<std::size_t>(P) * H);
    transpose(weights.query_weight, P, H, 3 * P, 0, input_weight_);
    transpose(weights.key_weight, P, H, 3 * P, P, input_weight_);
    transpose(weights.value_weight, P, H, 3 * P, 2 * P, input_weight_);
    transpose(weights.project_weight, H, P, H, 0, output_weight_);
    qkv_.resize(rows * 3 * P);
    terms_.resize(rows * 2 * P);
    totals_.resize(static_cast<std::size_t>(B) * 2 * P);
    gated_.resize(rows * P);
    if (!config.form.has_bias()) {
        return;
    }
    sums_.resize(rows * 2 * P);
    const int window = config.form.has_window() ? static_cast<int>(config.window) : T;
    const int targets = banded ? std::max(window, min_block) : T;
    for (int first = 0; first < T; first += targets) {
        const int end = std::min(first + targets, T);
        const int first_source = banded ? std::max(first - window + 1, 0) : 0;
        const int end_source = banded ? std::min(end + window - 1, T) : T;
        Block block{first, end - first, first_source, end_source - first_source, {}};
        for (int t = first; t < end; ++t) {
            for (int s = first_source; s < end_source; ++s) {
                const float w =
                    std::abs(t - s) < window ? weights.position_bias[static_cast<std::size_t>(t) * T + s] : 0;
                block.weights.push_back(banded ? std::expm1(w) : std::exp(w));
            }
        }
        blocks_.push_back(std::move(block));
    }
}

// terms_ from the keys and values of qkv_. The bias of the keys is the same at all sources and cancels.
void GemmLayer::weigh() {
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
            float *const term = &terms_[(static_cast<std::size_t>(t) * B + b) * 2 * P + first];
            for (int c = 0; c < channels; ++c) {
                const float e = std::exp(k[c] - maximum[c]), ev = e * (v[c] + value_bias_[first + c]);
                term[c] = ev;
                term[P + c] = e;
                weighted[c] += ev;
                weight[c] += e;
            }
        }
        std::copy(weighted, weighted + channels, &totals_[static_cast<std::size_t>(b) * 2 * P + first]);
        std::copy(weight, weight + channels, &totals_[static_cast<std::size_t>(b) * 2 * P + P + first]);
    }
}

// sums_ from terms_: one product for each block, of all samples.
void GemmLayer::sum() {
    const int columns = B * 2 * P;
    if (banded_) {
#pragma omp parallel for if (B * T * P > min_parallel)
        for (int t = 0; t < T; ++t) {
            std::copy(totals_.begin(), totals_.end(), &sums_[static_cast<std::size_t>(t) * columns]);
        }
    }
    for (const Block &block : blocks_) {
        sgemm_(block.targets, columns, block.sources, block.weights.data(), block.sources,
               &terms_[static_cast<std::size_t>(block.first_source) * columns], columns, banded_ ? 1.0f : 0.0f,
               &sums_[static_cast<std::size_t>(block.first) * columns], columns);
    }
}

// gated_ = sigmoid(query) numerator / denominator
void GemmLayer::gate() {
#pragma omp parallel for if (B * T * P > min_parallel)
    for (int row = 0; row < B * T; ++row) {
        const int b = row / T, t = row % T;
        const float *const q = &qkv_[static_cast<std::size_t>(row) * 3 * P];
        const float *const numerator = blocks_.empty() ? &totals_[static_cast<std::size_t>(b) * 2 * P]
                                                       : &sums_[(static_cast<std::size_t>(t) * B + b) * 2 * P];
        float *const result = &gated_[static_cast<std::size_t>(row) * P];
        for (int c = 0; c < P; ++c) {
            result[c] = numerator[c] / (numerator[P + c] * (1 + std::exp(-(q[c] + query_bias_[c]))));
        }
    }
}

void GemmLayer::forward(const float *x, float *y) {
    sgemm_(B * T, 3 * P, H, x, H, input_weight_.data(), 3 * P, 0.0f, qkv_.data(), 3 * P);
    weigh();
    sum();
    gate();
#pragma omp parallel for if (B * T * H > min_parallel)
    for (int row = 0; row < B * T; ++row) {
        std::copy(output_bias_.begin(), output_bias_.end(), y + static_cast<std::size_t>(row) * H);
    }
    sgemm_(B * T, H, P, gated_.data(), P, output_weight_.data(), H, 1.0f, y, H);
}

}  // namespace aft::bench
