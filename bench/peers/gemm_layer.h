#pragma once

#include "sgemm.h"

#include <aft/config.h>
#include <aft/weights.h>

#include <vector>

namespace aft::bench {

/// A layer the way one writes it by hand with a BLAS: products of matrices, and loops in parallel between them.
/// Query, key and value are one product; numerators and denominators of all samples are one, or one for each block of
/// targets where only the band of AFTLocal is multiplied. The rest of its weighted mean is a sum over all sources.
class GemmLayer {
public:
    GemmLayer(Sgemm sgemm, const LayerConfig &config, const Weights &weights, const Shape &shape, bool banded);

    /// x, y: [batch, seq, hidden]
    void forward(const float *x, float *y);

private:
    /// Targets from `first`, the sources in their windows, and the weights of these: exp(w), or exp(w) - 1 in a band.
    struct Block {
        int first, targets, first_source, sources;
        std::vector<float> weights;  // [targets, sources]
    };

    void add_block(const Weights &weights, int first, int targets, int first_source, int sources);
    void weigh();
    void sum();
    void gate();

    Sgemm sgemm_;
    bool banded_;
    int B, T, H, P;
    std::vector<float> input_weight_, output_weight_;  // [H, 3P] for query, key and value; [P, H]
    std::vector<float> query_bias_, value_bias_, output_bias_;
    std::vector<Block> blocks_;  // none for AFTSimple
    std::vector<float> qkv_;     // [B, T, 3P]
    std::vector<float> terms_;   // [T, B, 2P]: exp(key - maximum) value, and without the value
    std::vector<float> sums_;    // [T, B, 2P]: numerator and denominator; of AFTSimple unused
    std::vector<float> totals_;  // [B, 2P]: sums of terms_ over T
    std::vector<float> gated_;   // [B, T, P]
};

}  // namespace aft::bench
