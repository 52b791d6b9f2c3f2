#pragma once

#include "sgemm.h"

#include <aft/weights.h>

#include <vector>

namespace aft::bench {

/// The mean with a bias of each call, [B, N, M], by hand with a BLAS: for each sample, exp(bias) less the largest of
/// its row, and a product of it with exp(key) value and exp(key), keys less their largest. Loops run in parallel,
/// samples one after the other.
class GemmMean {
public:
    /// With `weights`, forward() is a layer of H = P that projects queries and outputs.
    GemmMean(Sgemm sgemm, int batch, int targets, int sources, int channels, const Weights &weights = {});

    /// key, value: [B, M, P]; `weigh_inputs` projects them first.
    void weigh(const float *key, const float *value);
    void weigh_inputs(const float *key, const float *value);
    /// x: the query, [B, N, P]; of a layer, its input. y: [B, N, P].
    void forward(const float *x, const float *bias, float *y);

private:
    void project(const float *x, int rows, const std::vector<float> &weight, const std::vector<float> &bias, float *y);
    void mean(const float *query, const float *bias, float *y);

    Sgemm sgemm_;
    int B, N, M, P;
    std::vector<float> query_weight_, key_weight_, value_weight_, output_weight_;  // [P, P], inputs by outputs
    std::vector<float> query_bias_, key_bias_, value_bias_, output_bias_;
    std::vector<float> terms_;    // [B, M, 2P]
    std::vector<float> weights_;  // of the targets of a sample: [N, M]
    std::vector<float> sums_;     // [N, 2P]
    std::vector<float> query_, gated_;
};

}  // namespace aft::bench
