#pragma once

#include "../workarounds/rounding.h"
#include "functions.h"
#include "gate.h"

namespace aft {

/// The exponentials of sources that are kept for many calls (exp_sources.h).
struct KeptExponentials {
    static constexpr int lanes = 16;  // of a group of channels: a line of a cache, and whole vectors of every CPU
    Halide::Func exp_key, exp_value;  // (lane, row, group, batch)
    Halide::Func key_maximum;         // (channel, chunk, batch)
};

/// The inputs of a weighted mean without projections: n targets, m sources.
struct CoreInputs {
    Halide::Expr batch, targets, sources, projected;  // B, n, m, P
    Halide::Func q, k, v;                             // (channel, row, batch)
    Halide::Func bias;                                // (source, target, batch), where there is one of pairs
    Halide::Func mask;                                // (source, target, batch); without such a bias (source, batch)
    Halide::Func bias_scale, lengths, offset;         // (batch)
    Halide::Expr gate;
    Halide::Func band;    // (source, target), where the bias is one of positions within a window: 0 outside of it,
    Halide::Expr window;  // whatever `band` has there. Target i sees the sources j <= i + ahead of its sample then, but
    Halide::Expr ahead;   // for infinite biases: ahead is 0, or as large as any number of sources.
    KeptExponentials kept;         // where the call has them
    bool has_weight_sums = false;  // whether the sums of the weights are results, too
    Halide::Expr shares_weights;   // whether all samples have one bias and see the same sources, where that is asked
    Rounding rounded;

    // Channels past the last one, targets and steps of a reduction may be padding: they stand for the last ones. Most
    // vectors of channels have no padding.
    Halide::Expr channel_at(const Halide::Expr &channel) const {
        return min(likely(channel), projected - 1);
    }
    Halide::Expr query_at(const Halide::Expr &channel, const Halide::Expr &target, const Halide::Expr &batch) const {
        return q(channel_at(channel), min(target, targets - 1), batch);
    }
    Halide::Expr key_at(const Halide::Expr &channel, const Halide::Expr &source, const Halide::Expr &batch) const {
        return k(channel_at(channel), min(source, sources - 1), batch);
    }
    Halide::Expr value_at(const Halide::Expr &channel, const Halide::Expr &source, const Halide::Expr &batch) const {
        return v(channel_at(channel), min(source, sources - 1), batch);
    }

    /// Every source of the sample stands before this one.
    Halide::Expr length(const Halide::Expr &batch) const {
        return clamp(lengths(batch), 0, sources);
    }
    /// Whether any target can see a source. A key of -inf hides its source.
    Halide::Expr counts(const Halide::Expr &channel, const Halide::Expr &source, const Halide::Expr &batch) const {
        const Halide::Expr has_key = source < length(batch) && !is_minus_infinity(key_at(channel, source, batch));
        return mask.dimensions() == 2 ? has_key && mask(min(source, sources - 1), batch) != 0 : has_key;
    }
    Halide::Expr is_near(const Halide::Expr &target, const Halide::Expr &source) const {
        return abs(source - target) < window;
    }
    /// Whether targets see sources behind them, where there is a window.
    Halide::Expr sees_later() const {
        return ahead > 0;
    }
    /// The source that is nearest to this position, of those that a target may see as far as positions say.
    Halide::Expr nearest_reached(const Halide::Expr &target, const Halide::Expr &position) const {
        return clamp(likely(position), 0, min(sources - 1, target + ahead));
    }
    Halide::Expr is_hidden_by_bias(const Halide::Expr &target, const Halide::Expr &source) const {
        return is_near(target, source) && is_infinite(band(source, target));
    }
    /// Every source that the target sees stands before this one.
    Halide::Expr end(const Halide::Expr &target, const Halide::Expr &batch) const {
        if (band.defined()) {
            return min(length(batch), target + ahead + 1);
        }
        return clamp(min(lengths(batch), target + offset(batch) + 1), 0, sources);
    }
    /// A bias of -inf hides the source, and so does an infinite distance.
    Halide::Expr sees(const Halide::Expr &target, const Halide::Expr &source, const Halide::Expr &batch) const {
        if (band.defined()) {
            return mask(source, batch) != 0 && !is_hidden_by_bias(target, source);
        }
        return mask(source, target, batch) != 0 && !is_infinite(bias(source, target, batch));
    }
    /// The factor of the bias that the call gives.
    Halide::Expr scale(const Halide::Expr &batch) const {
        return band.defined() ? Halide::Expr(1.0f) : bias_scale(batch);
    }
    /// Half of w, so that lowest() is below every one. A product beyond float32's range stops at its end.
    Halide::Expr half_bias(const Halide::Expr &target, const Halide::Expr &source, const Halide::Expr &batch) const {
        if (band.defined()) {
            return kept_if(is_near(target, source), clamp(0.5f * band(source, target), lowest() / 2, -lowest() / 2));
        }
        return clamp(bias_scale(batch) * 0.5f * bias(source, target, batch), lowest() / 2, -lowest() / 2);
    }
};

/// The weighted mean of the values, gated: y = gate(q) * mean.
template<typename Form, template<typename> class Mean>
struct Core {
    using Element = typename Form::Element;

    Mean<Form> mean;
    typename Form::Targets gated;

    Core(Form &form, const CoreInputs &in)
        : Core(form, in, [](const Mean<Form> &, const Element &) { return std::vector<Halide::Expr>(); }) {}
    /// others: values of a target after its gated mean.
    template<typename Others>
    Core(Form &form, const CoreInputs &in, const Others &others)
        : mean(form, in),
          gated(form.targets("gated", typename Form::SeveralValues([&](const Element &target) {
                                 std::vector<Halide::Expr> values = others(mean, target);
                                 const Halide::Expr factor =
                                     gate(in.rounded, in.gate, in.query_at(target.channel, target.row, target.batch));
                                 values.insert(values.begin(), factor * mean(target));
                                 return values;
                             }))) {}
};

}  // namespace aft
