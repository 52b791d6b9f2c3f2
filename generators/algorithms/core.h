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
    Halide::Func bias;                                // (source, target, batch), where there is one
    Halide::Func mask;                                // (source, target, batch); without a bias (source, batch)
    Halide::Func bias_scale, lengths, offset;         // (batch)
    Halide::Expr gate;
    KeptExponentials kept;         // where the call has them
    bool has_weight_sums = false;  // whether the sums of the weights are results, too
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
    /// Every source that the target sees stands before this one.
    Halide::Expr end(const Halide::Expr &target, const Halide::Expr &batch) const {
        return clamp(min(lengths(batch), target + offset(batch) + 1), 0, sources);
    }
    /// A bias of -inf hides the source, and so does an infinite distance.
    Halide::Expr sees(const Halide::Expr &target, const Halide::Expr &source, const Halide::Expr &batch) const {
        return mask(source, target, batch) != 0 && !is_infinite(bias(source, target, batch));
    }
    /// Half of w, so that lowest() is below every one. A product beyond float32's range stops at its end.
    Halide::Expr half_bias(const Halide::Expr &target, const Halide::Expr &source, const Halide::Expr &batch) const {
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
