#pragma once

#include "matrix_product.h"

#include <aft/config.h>
#include <aft/weights.h>

#include <vector>

namespace aft::bench {

/// A layer the way one writes it by hand with a BLAS: products of matrices, and loops in parallel between them.
/// Query, key and value are one product. Numerators and denominators of all samples are products of exp(w), one of all
/// pairs, or one for each block of targets: with the sources up to the last of them in causal AFTFull (blocked), with
/// the band of AFTLocal (banded). The rest of AFTLocal's mean is a sum over all sources, or over all past ones.
///
/// The means of causal AFTSimple, AFT-conv and wkv are no products, but loops down the sequence.
///
/// Keys are taken less their largest of the sequence, as all ordinary implementations take them. A causal mean whose
/// first sources are more than 87 below a later one underflows; the keys of the comparison are of order 1. wkv keeps a
/// maximum of its own for each target.
///
/// Of BFloat16, the operands of all products are rounded to it: the weights and exp(w) once, in each call the input,
/// the exponentials and the gated values. All else is float32.
template<typename Operand>
class GemmLayer {
public:
    /// `in_blocks`: blocked or banded, where the form has blocks.
    GemmLayer(const ProductMaker<Operand> &product_of, const LayerConfig &config, const Weights &weights,
              const Shape &shape, bool in_blocks);

    /// x, y: [batch, seq, hidden]
    void forward(const float *x, float *y);

private:
    /// Targets from `first`, the sources in their windows, and the weights of these: exp(w), or exp(w) - 1 in a band.
    struct Block {
        int first, targets, first_source, sources;
        std::vector<Operand> weights;  // [targets, sources]
        Product<Operand> product;      // with terms_ from the first source
    };

    void add_blocks(const ProductMaker<Operand> &product_of, const LayerConfig &config, const Weights &weights,
                    bool in_blocks);
    const Operand *operand(const float *x);
    void weigh();
    void recur();
    void sum();
    void convolve();
    void gate();

    bool banded_;  // sums_ begin with the sums over all sources that the form reaches
    bool causal_;
    int B, T, H, P, heads_ = 0;
    std::vector<Operand> input_weight_, output_weight_;  // [H, 3P] for query, key and value; [P, H]
    std::vector<float> query_bias_, value_bias_, output_bias_;
    Product<Operand> input_product_, output_product_;
    std::vector<float> decay_, bonus_;  // of wkv
    std::vector<Block> blocks_;         // none of forms without products
    std::vector<float> filter_;         // [heads, s], exp(w) - 1, of AFT-conv
    std::vector<Operand> input_;        // [B, T, H], if it has to be rounded
    std::vector<float> qkv_;            // [B, T, 3P]
    std::vector<Operand> terms_;        // [T, B, 2P]: exp(key - maximum) value, and without the value
    std::vector<float> sums_;           // [T, B, 2P]: numerator and denominator; of AFTSimple unused
    std::vector<float> totals_;         // [B, 2P]: sums of what terms_ are rounded from, over T
    std::vector<Operand> gated_;        // [B, T, P]
};

}  // namespace aft::bench
