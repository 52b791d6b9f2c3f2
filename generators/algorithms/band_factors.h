#pragma once

#include "band_window.h"
#include "exp_sources.h"

namespace aft {

/// The factors of CertifiedFactors for a bias of positions within a window, in which no sum over a window needs a
/// source outside of it:
///     exp(w(i, j) + K(j) - r(i)) = E(i, j) EK(j)
///     E(i, j) = exp(w(i, j) - m(i)) within the window, E0(i) = exp(-m(i)) outside of it, the same for all sources
///     EK(j) = exp(K(j) - the largest K of the sample)      0 for a source that the sample doesn't have
/// m(i) is the largest w in the window and, where the call has sources outside of it, 0; r(i) is m(i) and the largest
/// K. E is the same for all samples.
template<typename Form>
struct BandFactors {
    using Element = typename Form::Element;
    using Expr = Halide::Expr;

    Halide::Func maximum;       // of the keys, per channel
    Halide::Func bias_maximum;  // half of m, per target; lowest() where there is no source
    Halide::Func outside;       // E0, per target
    Halide::RDom source, any;   // of a sample; of a window, or of all where that is less

    BandFactors(Form &form, const CoreInputs &in)
        : maximum(form.stage("key_maximum")), bias_maximum(form.stage("bias_maximum")), outside(form.stage("outside")),
          source(0, in.sources, "source"), any(0, min(max(2 * nearest(in) - 1, 0), in.sources), "any_source"),
          form(form), in(in) {
        using namespace Halide;
        const Element each = form.row_of(form.variable(), source);
        const Expr key = in.key_at(each.channel, each.row, each.batch);
        // Without keys that are NaNs: the maximum with one may forget those before it.
        const Expr has_key = in.counts(each.channel, each.row, each.batch) && !is_nan_bits(key);
        maximum(form.channel_vars()) = lowest();
        maximum(form.channel_vars()) = max(maximum(form.channel_vars()), kept_if(has_key, key, lowest()));

        const Var target("target");
        const Expr near = select(2 * nearest(in) > in.sources, 0, target - nearest(in) + 1) + any,
                   s = clamp(likely(near), 0, in.sources - 1);
        const Expr has_others = !in.is_near(target, 0) || !in.is_near(target, in.sources - 1);
        bias_maximum(target) = select(has_others, 0.0f, lowest());
        bias_maximum(target) =
            max(bias_maximum(target), kept_if(near == s && in.is_near(target, s) && !in.is_hidden_by_bias(target, s),
                                              in.half_bias(target, s, 0), lowest()));
        outside(target) = SourceChunk::exponential(in.rounded, -bias_maximum(target), 2);
    }

    /// E of a target and a source, which may be before the first one or behind the last one.
    Expr weight(const Expr &target, const Expr &source, const Expr &batch) const {
        const Expr s = clamp(likely(source), 0, in.sources - 1);
        return kept_if(source == s && !in.is_hidden_by_bias(target, s),
                       SourceChunk::exponential(in.rounded, in.half_bias(target, s, batch) - bias_maximum(target), 2));
    }
    /// E as (number, target): number 0 is the first source of the target's window, or the first one of all, where the
    /// window spans all. The weights of a tile are copies of it, as an exponential takes longer.
    Halide::Func by_targets(Form &to, const BandWindow &window) const {
        const Halide::Var number("number"), target("target");
        Halide::Func f = to.stage("window_weights");
        f(number, target) =
            weight(min(target, in.targets - 1), number + select(window.spans_all, 0, target) - window.front, 0);
        return f;
    }
    Expr exp_key(const Element &e) const {
        return kept_if(in.counts(e.channel, e.row, e.batch),
                       SourceChunk::exponential(in.rounded, in.key_at(e.channel, e.row, e.batch) - largest_key(e)));
    }
    Expr largest_key(const Element &e) const {
        return maximum(form.at_channel(e));
    }
    /// r
    Score reference(const Element &target) const {
        return Score::sum(in.rounded, largest_key(target) * Score::scale,
                          bias_maximum(min(target.row, in.targets - 1)) * (2 * Score::scale));
    }

private:
    /// The window, no longer than any distance.
    static Expr nearest(const CoreInputs &in) {
        return clamp(in.window, 0, max(in.targets, in.sources));
    }

    const Form &form;
    const CoreInputs in;
};

}  // namespace aft
