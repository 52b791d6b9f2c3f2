#pragma once

#include "targets.h"

namespace aft {

/// The gradients of one target and one source in a channel, by the definition:
///     of V: p h     of the score K + w: p h (V - A)     p = exp(K + w) / W
/// where W is the sum of all exp(K + w) that the target sees. It costs an exponential.
template<typename Form>
struct PairGradients {
    using Element = typename Form::Element;
    using Expr = Halide::Expr;

    Expr of_score, of_value;

    /// 0 where the pair doesn't count, and where the target doesn't see the source.
    PairGradients(const Form &form, const GradientInputs &in, const TargetGradients<Form> &targets, const Expr &counts,
                  const Element &target, const Element &source) {
        // Rows past the last one stand for it.
        const Expr i = min(target.row, in.targets - 1), j = min(source.row, in.sources - 1);
        const Expr sees = counts && source.row < in.end(i, target.batch) && in.sees(i, j, target.batch) &&
                          in.counts(source.channel, source.row, source.batch);
        const Expr key = in.key_at(source.channel, source.row, source.batch);
        const Expr bias = in.half_bias(i, j, target.batch);
        const Score score = Score::sum(in.rounded, key * Score::scale, bias * (2 * Score::scale));
        const WeightSum all = in.weight_sum_at(target.channel, target.row, target.batch);
        const Expr weight = score.weight(in.rounded, all.reference) / all.sum;
        const Expr value = in.value_at(source.channel, source.row, source.batch),
                   mean = in.mean_at(target.channel, target.row, target.batch);
        const Expr product = weight * targets.h(form.at_source(target));
        of_score = kept_if(sees, product * (value - mean));
        of_value = kept_if(sees, product);
    }
};

}  // namespace aft
