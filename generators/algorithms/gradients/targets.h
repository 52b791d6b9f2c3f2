#pragma once

#include "../core.h"
#include "../joint_sums.h"

namespace aft {

/// The inputs of the gradients of a mean: those of the mean, the gradient of its result, and what core_training saves.
struct GradientInputs : CoreInputs {
    Halide::Func dy;           // (channel, target, batch)
    Halide::Func saved;        // (channel, target, batch, number): the mean, and the sum of the weights
    Halide::Func with_result;  // (batch): how many targets of a sample have a result

    Halide::Expr mean_at(const Halide::Expr &channel, const Halide::Expr &target, const Halide::Expr &batch) const {
        return saved_at(channel, target, batch, 0);
    }
    WeightSum weight_sum_at(const Halide::Expr &channel, const Halide::Expr &target, const Halide::Expr &batch) const {
        return {{saved_at(channel, target, batch, 1), saved_at(channel, target, batch, 2)},
                saved_at(channel, target, batch, 3)};
    }
    /// Whether there is a result, so that dy counts.
    Halide::Expr has_result(const Halide::Expr &target, const Halide::Expr &batch) const {
        return target < min(targets, with_result(batch));
    }
    Halide::Expr dy_at(const Halide::Expr &channel, const Halide::Expr &target, const Halide::Expr &batch) const {
        return kept_if(has_result(target, batch), dy(channel_at(channel), min(target, targets - 1), batch));
    }

private:
    Halide::Expr saved_at(const Halide::Expr &channel, const Halide::Expr &target, const Halide::Expr &batch,
                          int number) const {
        return saved(channel_at(channel), min(target, targets - 1), batch, number);
    }
};

/// The inputs of the gradient of a position bias.
struct BiasGradientInputs : GradientInputs {
    Halide::Func first;    // (batch): target i is at position first + i, source j at position j
    Halide::Expr samples;  // that share the parameters: as many as there are, or 1

    Halide::Expr in_window(const Halide::Expr &target, const Halide::Expr &source, const Halide::Expr &sample) const {
        return abs(first(sample) + target - source) < window;
    }
};

/// The gradients at the targets. y = gate(Q) A, so that
///     dQ = dy A gate'(Q)      h = dL/dA = dy gate(Q)
template<typename Form>
struct TargetGradients {
    using Element = typename Form::Element;
    using Expr = Halide::Expr;

    Halide::Func h;  // per target, in the coordinates of a source

    /// Takes A from `saved`.
    TargetGradients(Form &form, const GradientInputs &in)
        : TargetGradients(form, in, [in](const Element &e) { return in.mean_at(e.channel, e.row, e.batch); }) {}
    /// mean: A as a function of an Element.
    TargetGradients(Form &form, const GradientInputs &in, const typename Form::Values &mean)
        : h(form.stage("mean_gradient")), in(in), mean(mean) {
        const Element e = form.variable();
        const Expr factor = gate(in.rounded, in.gate, in.query_at(e.channel, e.row, e.batch));
        h(form.source_vars()) = kept_if(in.has_result(e.row, e.batch), in.dy_at(e.channel, e.row, e.batch) * factor);
    }

    Expr dq(const Element &e) const {
        const Expr dy = in.dy_at(e.channel, e.row, e.batch);
        const Expr slope = gate_slope(in.rounded, in.gate, in.query_at(e.channel, e.row, e.batch));
        // The slope is at most 1, so that dQ alone can leave float32's range.
        return select(dy == 0.0f, 0.0f, dy * in.rounded(mean(e) * slope));
    }

private:
    const GradientInputs in;
    const typename Form::Values mean;
};

}  // namespace aft
