#pragma once

#include "matrix_product.h"

#include <aft/weights.h>

#include <vector>

namespace aft::bench {

/// The mean with a bias of each call, [B, N, M], by hand with a BLAS: for each sample, exp(bias) less the largest of
/// its row, and a product of it with exp(key) value and exp(key), keys less their largest. Loops run in parallel,
/// samples one after the other. Of BFloat16, the operands of all products are rounded to it in each call, the weights
/// of the projections once. All else is float32.
template<typename Operand>
class GemmMean {
public:
    /// With `weights`, forward() is a layer of H = P that projects queries and outputs.
    GemmMean(const ProductMaker<Operand> &product_of, int batch, int targets, int sources, int channels,
             const Weights &weights = {});

    /// key, value: [B, M, P]; `weigh_inputs` projects them first.
    void weigh(const float *key, const float *value);
    void weigh_inputs(const float *key, const float *value);
    /// x: the query, [B, N, P]; of a layer, its input. y: [B, N, P].
    void forward(const float *x, const float *bias, float *y);

private:
    /// x weight + bias
    struct Projection {
        int rows;
        std::vector<Operand> weight;  // [P, P], inputs by outputs
        std::vector<float> bias;
        Product<Operand> product;
    };

    Projection projection(const ProductMaker<Operand> &product_of, int rows, const std::vector<float> &weight,
                          const std::vector<float> &bias) const;
    void project(const Projection &projection, const float *x, float *y);
    template<typename Result>
    void mean(const float *query, const float *bias, Result *y);

    int B, N, M, P;
    Projection of_query_, of_key_, of_value_, of_output_;  // without weights of the mean alone
    Product<Operand> mean_product_;                        // of a sample
    std::vector<Operand> input_;                           // of a projection, if it has to be rounded
    std::vector<Operand> terms_;                           // [B, M, 2P]
    std::vector<Operand> weights_;                         // of the targets of a sample: [N, M]
    std::vector<float> sums_;                              // [N, 2P]
    std::vector<float> query_;                             // [B, N, P]
    std::vector<Operand> gated_;                           // [B, N, P]
};

}  // namespace aft::bench
