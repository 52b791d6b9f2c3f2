#pragma once

#include "../workarounds/rounding.h"
#include "functions.h"
#include "gate.h"

namespace aft {

/// The inputs of a weighted mean without projections: n targets, m sources.
struct CoreInputs {
    Halide::Expr batch, targets, sources, projected;  // B, n, m, P
    Halide::Func q, k, v;                             // (channel, row, batch)
    Halide::Func bias, mask;                          // (source, target, batch); a mask of sources: (source, batch)
    Halide::Func bias_scale, lengths, offset;         // (batch)
    Halide::Expr gate;
    Rounding rounded;

    Halide::Expr channel_of(const Halide::Expr &channel) const {
        return min(channel, projected - 1);  // channels past the last one are padding
    }

    /// Every source that the target sees stands before this one.
    Halide::Expr end(const Halide::Expr &target, const Halide::Expr &batch) const {
        return clamp(min(lengths(batch), target + offset(batch) + 1), 0, sources);
    }
    /// The source at a step of a reduction, which may lie past the last one.
    Halide::Expr source_at(const Halide::Expr &step) const {
        return min(step, sources - 1);
    }
    Halide::Expr sees(const Halide::Expr &target, const Halide::Expr &source, const Halide::Expr &batch) const {
        return mask(source, target, batch) != 0 && !is_minus_infinity(bias(source, target, batch));
    }
    Halide::Expr pair_bias(const Halide::Expr &target, const Halide::Expr &source, const Halide::Expr &batch) const {
        return bias_scale(batch) * bias(source, target, batch);
    }
};

/// The weighted mean of the values, gated: y = gate(q) * mean.
template<typename Form, template<typename> class Mean>
struct Core {
    Mean<Form> mean;
    typename Form::Targets gated;

    Core(Form &form, const CoreInputs &in)
        : mean(form, in), gated(form.targets("gated", [&](const typename Form::Element &target) {
              const Halide::Expr row = min(target.row, in.targets - 1);
              const Halide::Expr q = in.q(in.channel_of(target.channel), row, target.batch);
              return gate(in.gate, q) * mean(target);
          })) {}
};

}  // namespace aft
