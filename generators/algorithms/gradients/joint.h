#pragma once

#include "pairs.h"

namespace aft {

/// The gradients of keys and values by the definition: the sums of PairGradients over the targets.
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
    /// counts: which targets are summed; all of them stand before `end`, if there is one.
    template<typename Counts>
    JointGradients(Form &form, const GradientInputs &in, const TargetGradients<Form> &of_targets, const Counts &counts,
                   const Expr &end = {})
        : targets(of_targets), sums(form.stage("joint_gradients")), target(0, in.targets, "target"), form(form) {
        const Element source = form.variable(), t = form.row_of(source, target);
        const PairGradients<Form> pair(form, in, targets, counts(t), t, source);
        if (end.defined()) {
            target.where(target < end);
        }
        sums(form.source_vars()) = Halide::Tuple(0.0f, 0.0f);
        const Halide::Tuple so_far = sums(form.source_vars());
        sums(form.source_vars()) = Halide::Tuple(so_far[0] + pair.of_score, so_far[1] + pair.of_value);
    }

    Halide::Tuple operator()(const Element &source) const {
        return sums(form.at_source(source));
    }
    Expr dq(const Element &target) const {
        return targets.dq(target);
    }

private:
    const Form &form;
};

/// The gradient of the position bias by the definition: the sums of PairGradients over the channels, and over the
/// samples that share a parameter.
template<typename Form>
struct JointBiasGradients {
    using Element = typename Form::Element;
    using Expr = Halide::Expr;

    TargetGradients<Form> targets;
    Halide::Func sums;  // (source, target, parameters)
    Halide::RDom term;  // x: channel; y: sample

    JointBiasGradients(Form &form, const BiasGradientInputs &in)
        : JointBiasGradients(form, in, in.samples, TargetGradients<Form>(form, in),
                             [](const Element &) { return Halide::Internal::const_true(); }) {}
    /// samples: how many share a parameter. counts: which targets are summed, channel by channel.
    template<typename Counts>
    JointBiasGradients(Form &form, const BiasGradientInputs &in, const Expr &samples,
                       const TargetGradients<Form> &of_targets, const Counts &counts)
        : targets(of_targets), sums(form.stage("joint_bias_gradients")),
          term({{0, in.projected}, {0, samples}}, "term") {
        const Halide::Var source("source"), target("target"), parameters("parameters");
        const Expr sample = parameters * samples + term.y;
        const Element t = form.at(term.x, target, sample), s = form.at(term.x, source, sample);
        const PairGradients<Form> pair(form, in, targets, counts(t) && in.in_window(target, source, sample), t, s);
        sums(source, target, parameters) += in.scale(sample) * pair.of_score;
    }

    void define(Halide::Func bias) const {
        const Halide::Var source("source"), target("target"), parameters("parameters");
        bias(source, target, parameters) = sums(source, target, parameters);
    }
};

}  // namespace aft
