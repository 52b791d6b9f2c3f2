#pragma once

#include "../core.h"
#include "../joint_sums.h"

namespace aft {

/// The mean over the sources that a target sees, for every finite input: relative to the largest K + w of each target
/// and channel.
template<typename Form>
struct Joint {
    using Element = typename Form::Element;

    JointSums<Form> joint;
    Halide::Func mean;

    Joint(Form &form, const CoreInputs &in)
        : joint(form, in.rounded, terms(form, in)), mean(form.stage("mean")), form(form) {
        const ScoredSums all(joint.sums(form.source_vars()));
        mean(form.source_vars()) = select(all.m.is_visible(), all.n / all.d, 0.0f);
    }

    Halide::Expr operator()(const Element &target) const {
        return mean(form.at_source(target));
    }

    /// A key that is a NaN makes its value one, which survives every weight. One of -inf hides the source.
    static typename JointSums<Form>::Terms terms(const Form &form, const CoreInputs &in) {
        using namespace Halide;
        const Element e = form.variable();
        const Expr target = min(e.row, in.targets - 1), channel = in.channel_of(e.channel), batch = e.batch;
        const auto counts = [=](const Expr &step) {
            return step < in.end(target, batch) && in.sees(target, in.source_at(step), batch);
        };
        const auto score = [=](const Expr &step) {
            const Expr k = in.k(channel, in.source_at(step), batch);
            const Expr finite_key =
                select(is_minus_infinity(k), Score::of_masked_bias, is_nan_bits(k), 0.0f, k * Score::scale);
            const Expr w = in.pair_bias(target, in.source_at(step), batch) * Score::scale;
            return Score::sum(in.rounded, finite_key, select(counts(step), w, Score::of_masked_bias));
        };
        const auto value = [=](const Expr &step) {
            const Expr k = in.k(channel, in.source_at(step), batch), v = in.v(channel, in.source_at(step), batch);
            return select(counts(step) && !is_minus_infinity(k), select(is_nan_bits(k), k, v), 0.0f);
        };
        return {in.sources, score, value, in.end(target, batch)};
    }

private:
    const Form &form;
};

}  // namespace aft
