#include "gemm_mean.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

namespace aft::bench {

namespace {

constexpr int channels_per_task = 64;  // of loops that run down the sources: a few vectors
constexpr int min_parallel = 1 << 13;  // elements below which waking threads costs more than the loop

// [P, P], outputs by inputs -> inputs by outputs; nothing of nothing.
std::vector<float> transposed(const std::vector<float> &weight, int P) {
    std::vector<float> result(weight.size());
    for (std::size_t i = 0; i < weight.size(); ++i) {
        result[i % P * P + i / P] = weight[i];
    }
    return result;
}

}  // namespace

GemmMean::GemmMean(Sgemm sgemm, int batch, int targets, int sources, int channels, const Weights &weights)
    : sgemm_(std::move(sgemm)), B(batch), N(targets), M(sources), P(channels),
      query_weight_(transposed(weights.query_weight, P)), key_weight_(transposed(weights.key_weight, P)),
      value_weight_(transposed(weights.value_weight, P)), output_weight_(transposed(weights.project_weight, P)),
      query_bias_(weights.query_bias), key_bias_(weights.key_bias), value_bias_(weights.value_bias),
      output_bias_(weights.project_bias), terms_(static_cast<std::size_t>(B) * M * 2 * P),
      weights_(static_cast<std::size_t>(N) * M), sums_(static_cast<std::size_t>(N) * 2 * P) {
    if (!query_weight_.empty()) {
        query_.resize(static_cast<std::size_t>(B) * N * P);
        gated_.resize(query_.size());
    }
}

void GemmMean::weigh(const float *key, const float *value) {
    const int tasks_per_sample = (P + channels_per_task - 1) / channels_per_task;
#pragma omp parallel for if (B * M * P > min_parallel)
    for (int task = 0; task < B * tasks_per_sample; ++task) {
        const int b = task / tasks_per_sample, first = task % tasks_per_sample * channels_per_task;
        const int channels = std::min(channels_per_task, P - first);
        const std::size_t start = static_cast<std::size_t>(b) * M * P + first;
        float maximum[channels_per_task];
        std::copy(key + start, key + start + channels, maximum);
        for (int j = 1; j < M; ++j) {
            for (int c = 0; c < channels; ++c) {
                maximum[c] = std::max(maximum[c], key[start + static_cast<std::size_t>(j) * P + c]);
            }
        }
        for (int j = 0; j < M; ++j) {
            const std::size_t at = start + static_cast<std::size_t>(j) * P;
            float *const term = &terms_[(static_cast<std::size_t>(b) * M + j) * 2 * P + first];
            for (int c = 0; c < channels; ++c) {
                const float e = std::exp(key[at + c] - maximum[c]);
                term[c] = e * value[at + c];
                term[P + c] = e;
            }
        }
    }
}

void GemmMean::weigh_inputs(const float *key, const float *value) {
    const std::size_t size = static_cast<std::size_t>(B) * M * P;
    std::vector<float> k(size), v(size);
    project(key, B * M, key_weight_, key_bias_, k.data());
    project(value, B * M, value_weight_, value_bias_, v.data());
    weigh(k.data(), v.data());
}

// y = x weight + bias
void GemmMean::project(const float *x, int rows, const std::vector<float> &weight, const std::vector<float> &bias,
                       float *y) {
#pragma omp parallel for if (rows * P > min_parallel)
    for (int row = 0; row < rows; ++row) {
        std::copy(bias.begin(), bias.end(), y + static_cast<std::size_t>(row) * P);
    }
    sgemm_(rows, P, P, x, P, weight.data(), P, 1.0f, y, P);
}

// y = sigmoid(query) numerator / denominator
void GemmMean::mean(const float *query, const float *bias, float *y) {
    for (int b = 0; b < B; ++b) {
        const std::size_t target = static_cast<std::size_t>(b) * N;
#pragma omp parallel for if (N * M > min_parallel)
        for (int i = 0; i < N; ++i) {
            const float *const row = bias + (target + i) * M;
            float maximum = row[0];
            for (int j = 1; j < M; ++j) {
                maximum = std::max(maximum, row[j]);
            }
            for (int j = 0; j < M; ++j) {
                weights_[static_cast<std::size_t>(i) * M + j] = std::exp(row[j] - maximum);
            }
        }
        sgemm_(N, 2 * P, M, weights_.data(), M, &terms_[static_cast<std::size_t>(b) * M * 2 * P], 2 * P, 0.0f,
               sums_.data(), 2 * P);
#pragma omp parallel for if (N * P > min_parallel)
        for (int i = 0; i < N; ++i) {
            const float *const q = query + (target + i) * P, *const sum = &sums_[static_cast<std::size_t>(i) * 2 * P];
            for (int c = 0; c < P; ++c) {
                y[(target + i) * P + c] = sum[c] / (sum[P + c] * (1 + std::exp(-q[c])));
            }
        }
    }
}

void GemmMean::forward(const float *x, const float *bias, float *y) {
    if (query_weight_.empty()) {
        mean(x, bias, y);
        return;
    }
    project(x, B * N, query_weight_, query_bias_, query_.data());
    mean(query_.data(), bias, gated_.data());
    project(gated_.data(), B * N, output_weight_, output_bias_, y);
}

}  // namespace aft::bench
