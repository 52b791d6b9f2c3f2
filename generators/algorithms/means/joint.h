#pragma once

#include "../core.h"
#include "../joint_sums.h"

namespace aft {

/// The mean over the sources that a target sees, relative to the largest K + w of each target and channel.
template<typename Form>
struct Joint {
    using Element = typename Form::Element;

    JointSums<Form> joint;
    Halide::Func mean;  // where weight sums are wanted, a Tuple of the mean and of them

    Joint(Form &form, const CoreInputs &in)
        : joint(form, in.rounded, terms(form, in)), mean(form.stage("mean")), form(form) {
        const ScoredSums all(joint.sums(form.source_vars()));
        std::vector<Halide::Expr> values = {select(all.m.is_visible(), all.n / all.d, 0.0f)};
        if (in.has_weight_sums) {
            values.insert(values.end(), {all.m.high, all.m.low, all.d});
        }
        mean(form.source_vars()) = Halide::Tuple(values);
    }

    Halide::Expr operator()(const Element &target) const {
        return values_of(mean, form.at_source(target))[0];
    }

    WeightSum weight_sum(const Element &target) const {
        const Halide::Tuple all = mean(form.at_source(target));
        return {{all[1], all[2]}, all[3]};
    }

private:
    /// A key of -inf hides its source. One that is a NaN makes the value one, which survives every weight.
    static typename JointSums<Form>::Terms terms(const Form &form, const CoreInputs &in) {
        using namespace Halide;
        const Element e = form.variable();
        const Expr target = min(e.row, in.targets - 1), batch = e.batch;
        const auto sees = [=](const Expr &step) {
            return step < in.end(target, batch) && in.sees(target, min(step, in.sources - 1), batch);
        };
        const auto score = [=](const Expr &step) {
            const Expr k = in.key_at(e.channel, step, batch);
            const Expr finite_key =
                select(is_minus_infinity(k), Score::of_masked_bias, is_nan_bits(k), 0.0f, k * Score::scale);
            const Expr w = in.half_bias(target, min(step, in.sources - 1), batch) * (2 * Score::scale);
            return Score::sum(in.rounded, finite_key, select(sees(step), w, Score::of_masked_bias));
        };
        const auto value = [=](const Expr &step) {
            const Expr k = in.key_at(e.channel, step, batch), v = in.value_at(e.channel, step, batch);
            return kept_if(sees(step) && !is_minus_infinity(k), select(is_nan_bits(k), k, v));
        };
        return {in.sources, score, value, in.end(target, batch)};
    }

    const Form &form;
};

}  // namespace aft
