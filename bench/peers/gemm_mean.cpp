#include "gemm_mean.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>

namespace aft::bench {

namespace {

constexpr int channels_per_task = 64;  // of loops that run down the sources: a few vectors
constexpr int min_parallel = 1 << 13;  // elements below which waking threads costs more than the loop

}  // namespace

template<typename Operand>
typename GemmMean<Operand>::Projection GemmMean<Operand>::projection(const ProductMaker<Operand> &product_of, int rows,
                                                                     const std::vector<float> &weight,
                                                                     const std::vector<float> &bias) const {
    Projection made{rows, std::vector<Operand>(weight.size()), bias, {}};
    for (std::size_t i = 0; i < weight.size(); ++i) {
        made.weight[i % P * P + i / P] = weight[i];
    }
    if (!weight.empty()) {
        made.product = product_of({rows, P, P, false, made.weight.data(), made.bias.data()});
    }
    return made;
}

template<typename Operand>
GemmMean<Operand>::GemmMean(const ProductMaker<Operand> &product_of, int batch, int targets, int sources, int channels,
                            const Weights &weights)
    : B(batch), N(targets), M(sources), P(channels),
      of_query_(projection(product_of, B * N, weights.query_weight, weights.query_bias)),
      of_key_(projection(product_of, B * M, weights.key_weight, weights.key_bias)),
      of_value_(projection(product_of, B * M, weights.value_weight, weights.value_bias)),
      of_output_(projection(product_of, B * N, weights.project_weight, weights.project_bias)),
      mean_product_(product_of({N, 2 * P, M})), terms_(static_cast<std::size_t>(B) * M * 2 * P),
      weights_(static_cast<std::size_t>(N) * M), sums_(static_cast<std::size_t>(N) * 2 * P) {
    if (of_query_.product) {
        query_.resize(static_cast<std::size_t>(B) * N * P);
        gated_.resize(query_.size());
    }
}

template<typename Operand>
void GemmMean<Operand>::weigh(const float *key, const float *value) {
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
            Operand *const term = &terms_[(static_cast<std::size_t>(b) * M + j) * 2 * P + first];
            for (int c = 0; c < channels; ++c) {
                const float e = std::exp(key[at + c] - maximum[c]);
                term[c] = e * value[at + c];
                term[P + c] = e;
            }
        }
    }
}

template<typename Operand>
void GemmMean<Operand>::weigh_inputs(const float *key, const float *value) {
    const std::size_t size = static_cast<std::size_t>(B) * M * P;
    std::vector<float> k(size), v(size);
    project(of_key_, key, k.data());
    project(of_value_, value, v.data());
    weigh(k.data(), v.data());
}

template<typename Operand>
void GemmMean<Operand>::project(const Projection &projection, const float *x, float *y) {
    if constexpr (std::is_same_v<Operand, float>) {
        projection.product(x, projection.weight.data(), y);
    } else {
        input_.resize(static_cast<std::size_t>(projection.rows) * P);
#pragma omp parallel for if (projection.rows * P > min_parallel)
        for (int row = 0; row < projection.rows; ++row) {
            std::copy_n(x + static_cast<std::size_t>(row) * P, P, &input_[static_cast<std::size_t>(row) * P]);
        }
        projection.product(input_.data(), projection.weight.data(), y);
    }
}

// y = sigmoid(query) numerator / denominator
template<typename Operand>
template<typename Result>
void GemmMean<Operand>::mean(const float *query, const float *bias, Result *y) {
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
        mean_product_(weights_.data(), &terms_[static_cast<std::size_t>(b) * M * 2 * P], sums_.data());
#pragma omp parallel for if (N * P > min_parallel)
        for (int i = 0; i < N; ++i) {
            const float *const q = query + (target + i) * P, *const sum = &sums_[static_cast<std::size_t>(i) * 2 * P];
            for (int c = 0; c < P; ++c) {
                y[(target + i) * P + c] = sum[c] / (sum[P + c] * (1 + std::exp(-q[c])));
            }
        }
    }
}

template<typename Operand>
void GemmMean<Operand>::forward(const float *x, const float *bias, float *y) {
    if (!of_query_.product) {
        mean(x, bias, y);
        return;
    }
    project(of_query_, x, query_.data());
    mean(query_.data(), bias, gated_.data());
    of_output_.product(gated_.data(), of_output_.weight.data(), y);
}

template class GemmMean<float>;
template class GemmMean<BFloat16>;

}  // namespace aft::bench
