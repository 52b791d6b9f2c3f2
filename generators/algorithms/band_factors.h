#pragma once

#include "band_window.h"
#include "exp_sources.h"

namespace aft {

/// The factors of CertifiedFactors for a bias of positions within a window, in which no sum over a window needs a
/// source outside of it:
///     exp(w(i, j) + K(j) - r(i)) = E(i, j) EK(j)
///     E(i, j) = exp(w(i, j) - m(i)) within the window, E0(i) = exp(-m(i)) outside of it, the same for all sources
///     E(i, j) = 0                   for a source behind those that the target sees
///     EK(j) = exp(K(j) - the largest K of the sample)      0 for a source that the sample hides
/// m(i) is the largest w of what the target sees in the window and, where it sees sources outside of it, 0; r(i) is
/// m(i) and the largest K. E of a source that the sample hides is whatever it is, but at most 1.
template<typename Form>
struct BandFactors {
    using Element = typename Form::Element;
    using Expr = Halide::Expr;

    Halide::Func maximum;       // of the keys, per channel
    Halide::Func seen;          // the first and the last source that a sample doesn't hide
    Halide::Func bias_maximum;  // half of m, per target; lowest() where it sees no source
    Halide::Func outside;       // E0, per target
    Halide::RDom source, any;   // of a sample; of a window, or of all where most are in it

    BandFactors(Form &form, const CoreInputs &in)
        : maximum(form.stage("key_maximum")), seen(form.stage("seen")), bias_maximum(form.stage("bias_maximum")),
          outside(form.stage("outside")), source(0, in.sources, "source"),
          any(0, select(takes_all(in), in.sources, max(nearest(in) + min(nearest(in) - 1, in.ahead), 0)), "any_source"),
          form(form), in(in) {
        using namespace Halide;
        const Element each = form.row_of(form.variable(), source);
        const Expr key = in.key_at(each.channel, each.row, each.batch);
        // Without keys that are NaNs: the maximum with one may forget those before it.
        const Expr has_key = in.counts(each.channel, each.row, each.batch) && !is_nan_bits(key);
        maximum(form.channel_vars()) = lowest();
        maximum(form.channel_vars()) = max(maximum(form.channel_vars()), kept_if(has_key, key, lowest()));

        const Var target("target"), batch("batch");
        seen(batch) = Tuple(in.sources, -1);
        seen(batch) = Tuple(min(seen(batch)[0], select(is_there(source, batch), source, in.sources)),
                            max(seen(batch)[1], select(is_there(source, batch), source, -1)));
        const Expr sees_others =
            seen(batch)[0] <= target - nearest(in) || (in.sees_later() && seen(batch)[1] >= target + nearest(in));
        const Expr near = select(takes_all(in), 0, target - nearest(in) + 1) + any,
                   s = in.nearest_reached(target, near);
        const Expr sees = near == s && in.is_near(target, s) && is_there(s, batch) && !in.is_hidden_by_bias(target, s);
        bias_maximum(target, batch) = select(sees_others && seen(batch)[1] >= 0, 0.0f, lowest());
        bias_maximum(target, batch) =
            max(bias_maximum(target, batch), kept_if(sees, in.half_bias(target, s, batch), lowest()));
        outside(target, batch) = SourceChunk::exponential(in.rounded, -bias_maximum(target, batch), 2);
    }

    /// E of a target and a source, which may be before the first one or behind the last one.
    Expr weight(const Expr &target, const Expr &source, const Expr &batch) const {
        const Expr s = in.nearest_reached(target, source);
        const Expr half = in.half_bias(target, s, batch) - bias_maximum(target, batch);
        return kept_if(source == s && !in.is_hidden_by_bias(target, s), SourceChunk::exponential(in.rounded, half, 2));
    }
    /// E as (number, target, batch), of which the weights of tiles are copies: an exponential takes longer. Where the
    /// window spans all, sources have their own numbers. Otherwise the first source of a target's window has this one.
    Halide::Func by_targets(Form &to, const BandWindow &window, const Expr &first) const {
        const Halide::Var number("number"), target("target"), batch("batch");
        Halide::Func f = to.stage("window_weights");
        f(number, target, batch) = weight(min(target, in.targets - 1),
                                          number + select(window.spans_all, 0, target - window.front - first), batch);
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
                          bias_maximum(min(target.row, in.targets - 1), target.batch) * (2 * Score::scale));
    }
    Expr sees_none(const Expr &target, const Expr &batch) const {
        return bias_maximum(target, batch) == lowest();
    }

private:
    Expr is_there(const Expr &source, const Expr &batch) const {
        return source < in.length(batch) && in.mask(source, batch) != 0;
    }
    /// Whether the largest bias of a target is looked for among all sources, as most of them are in its window.
    static Expr takes_all(const CoreInputs &in) {
        return 8 * nearest(in) >= 3 * in.sources;
    }
    /// The window, no longer than any distance.
    static Expr nearest(const CoreInputs &in) {
        return clamp(in.window, 0, max(in.targets, in.sources));
    }

    const Form &form;
    const CoreInputs in;
};

}  // namespace aft
