#pragma once

#include "../exp_sources.h"
#include "targets.h"

namespace aft {

/// The targets as factors of a product of CertifiedFactors, or of BandFactors:
///     p h = E EK f a     p h (V - A) = E EK f (V' a - A' a)     a = h exp(r) / W
/// V' and A' are V and A less the V nearest to 0 if all have one sign, which cancels: so values that have much in
/// common lose nothing by the difference. All factors but exp(r) / W are at most 1. Where that is at most 2^24, what is
/// flushed to zero is less than 2^-102 of h. Targets where it is larger, or where products could leave float32's range,
/// are doubtful, channel by channel: they are left out of the products, and summed by the definition.
template<typename Form>
struct ScaledTargets {
    using Element = typename Form::Element;
    using Expr = Halide::Expr;
    /// r of a target.
    using Reference = std::function<Score(const Element &)>;
    static constexpr float largest_exponent = 60, largest_scale = 0x1p24f, largest_product = 0x1p100f;

    TargetGradients<Form> targets;
    Halide::Func value_range;  // the least and the largest V of a channel
    Halide::RDom of_values;
    Halide::Func scaled;  // a, or an infinity for a doubtful target

    ScaledTargets(Form &form, const GradientInputs &in, const Reference &reference)
        : targets(form, in), value_range(form.stage("value_range")), of_values(0, in.sources, "of_values"),
          scaled(form.stage("scaled")), form(form), in(in) {
        using namespace Halide;
        const Element source = form.variable();
        const Element each = form.row_of(source, of_values);
        const Expr v = in.value_at(each.channel, each.row, each.batch);
        const Expr counts = in.counts(each.channel, each.row, each.batch) && has_finite_bits(v);
        value_range(form.channel_vars()) = Tuple(-lowest(), lowest());
        const Tuple range = value_range(form.channel_vars());
        value_range(form.channel_vars()) =
            Tuple(min(range[0], kept_if(counts, v, -lowest())), max(range[1], kept_if(counts, v, lowest())));

        // Rows past the last target stand for it.
        const Element target = form.row_of(source, min(source.row, in.targets - 1));
        const WeightSum all = in.weight_sum_at(target.channel, target.row, target.batch);
        const Expr exponent =
            reference(target).minus(in.rounded, all.reference) * (1.44269504f / Score::scale);  // of 2
        const Expr scale = exp2_bounded(in.rounded, clamp(exponent, -127.0f, largest_exponent)) / all.sum;
        const Expr a = targets.h(form.at_source(target)) * scale;
        // By its bits, as a product may be infinite or a NaN.
        const Expr size = abs(a) * max(largest_value(target), 1.0f);
        const Expr is_doubtful =
            exponent > largest_exponent || scale > largest_scale ||
            (reinterpret<uint32_t>(size) & 0x7fffffff) > reinterpret<uint32_t>(Expr(largest_product));
        scaled(form.source_vars()) = kept_if(all.reference.is_visible(), kept_if(!is_doubtful, a, infinity()));
    }

    /// a, or 0 for a doubtful target.
    Expr operator()(const Element &target) const {
        const Expr a = scaled(form.at_source(target));
        return kept_if(has_finite_bits(a), a);
    }
    Expr is_doubtful(const Element &target) const {
        return !has_finite_bits(scaled(form.at_source(target)));
    }
    /// A'
    Expr mean(const Element &target) const {
        return in.mean_at(target.channel, target.row, target.batch) - centre(target);
    }
    /// V'
    Expr value(const Element &source) const {
        return in.value_at(source.channel, source.row, source.batch) - centre(source);
    }

private:
    static Expr infinity() {
        return Halide::reinterpret<float>(Expr(0x7f800000u));
    }
    /// The value of a channel that is nearest to 0, or 0 where they have both signs.
    Expr centre(const Element &e) const {
        const Halide::Tuple range = value_range(form.at_channel(e));
        return Halide::max(range[0], 0.0f) + Halide::min(range[1], 0.0f);
    }
    /// The largest |V'|.
    Expr largest_value(const Element &e) const {
        const Halide::Tuple range = value_range(form.at_channel(e));
        return Halide::max(range[1] - centre(e), centre(e) - range[0]);
    }

    const Form &form;
    const GradientInputs in;
};

}  // namespace aft
