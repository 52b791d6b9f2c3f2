#pragma once

#include "targets.h"

namespace aft {

/// The gradients of keys and values by the definition, with an exponential per target, source and channel:
///     dV[j] = sum_i p[i, j] h[i]     dK[j] = sum_i p[i, j] h[i] (V[j] - A[i])     p[i, j] = exp(K[j] + w[i, j]) / W[i]
/// where W[i] is the sum of all exp(K + w) that target i sees.
template<typename Form>
struct JointGradients {
    using Element = typename Form::Element;
    using Expr = Halide::Expr;

    TargetGradients<Form> targets;
    Halide::Func sums;  // {dK, dV} per source
    Halide::RDom target;

    JointGradients(Form &form, const GradientInputs &in)
        : JointGradients(form, in, TargetGradients<Form>(form, in),
                         [](const Element &) { return Halide::Internal::const_true(); }) {}
    /// counts: which targets are summed.
    template<typename Counts>
    JointGradients(Form &form, const GradientInputs &in, const TargetGradients<Form> &of_targets, const Counts &counts)
        : targets(of_targets), sums(form.stage("joint_gradients")), target(0, in.targets, "target"), form(form) {
        const Element source = form.variable(), t = form.row_of(source, target);
        sums(form.source_vars()) = Halide::Tuple(0.0f, 0.0f);
        const Expr sees = counts(t) && this->sees(in, t, source);
        const Expr mean = in.mean_at(t.channel, t.row, t.batch);
        const Expr of_value = weight(in, t, source) * targets.h(form.at_source(t));
        const Expr of_key = of_value * (in.value_at(source.channel, source.row, source.batch) - mean);
        const Halide::Tuple so_far = sums(form.source_vars());
        sums(form.source_vars()) =
            Halide::Tuple(so_far[0] + kept_if(sees, of_key), so_far[1] + kept_if(sees, of_value));
    }

    Halide::Tuple operator()(const Element &source) const {
        return sums(form.at_source(source));
    }
    Expr dq(const Element &target) const {
        return targets.dq(target);
    }

private:
    static Expr sees(const GradientInputs &in, const Element &target, const Element &source) {
        return source.row < in.end(target.row, target.batch) &&
               in.sees(target.row, min(source.row, in.sources - 1), target.batch) &&
               in.has_key(source.channel, source.row, source.batch);
    }
    /// p
    static Expr weight(const GradientInputs &in, const Element &target, const Element &source) {
        const Expr bias = in.half_bias(target.row, min(source.row, in.sources - 1), target.batch);
        const Score score = Score::sum(in.rounded, in.key_at(source.channel, source.row, source.batch) * Score::scale,
                                       bias * (2 * Score::scale));
        const WeightSum all = in.weight_sum_at(target.channel, target.row, target.batch);
        return score.weight(in.rounded, all.reference) / all.sum;
    }

    const Form &form;
};

}  // namespace aft
