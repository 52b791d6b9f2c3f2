#pragma once

#include "../prepared.h"
#include "../sources.h"

namespace aft {

/// AFTFull's mean of the values:
///     A = (exp(W) @ (exp(K) * V)) / (exp(W) @ exp(K)) + bv
/// exp_bias is exp(w - maximum of its row), and keys are relative to the maximum of their channel: both maxima cancel
/// in the quotient. Numerator and denominator are one product with two right operands. The bias of the values is added
/// to the mean, as its weights sum to 1.
template<typename Form>
struct Dense {
    using Element = typename Form::Element;

    Sources<Form> sources;
    typename Form::Product sums;
    typename Form::Targets value;

    static PreparedList prepared() {
        return {{"exp_bias", PreparedLayout::left_matrix}};
    }

    Dense(Form &form, const LayerInputs &in, const KeyValue<Form> &key_value, const PreparedFuncs &prepared)
        : sources(form, key_value, in.seq, 0),
          sums(form.product("sums", form.shared_rows(prepared.at("exp_bias"), in.seq),
                            form.from(sources.columns, [](const Halide::Expr &) { return Halide::Expr(0); }), in.seq)),
          value(form.targets("mean_value", [this, &in](const Element &target) {
              return sums(target, 0) / sums(target, 1) + bias_at(in.bv, in.projected, target.channel);
          })) {}

    typename Form::Product *target_sums() {
        return &sums;
    }

    Halide::Expr operator()(const Element &target) const {
        return value(target);
    }

    /// exp(w - maximum of its row), [step, row] as a left operand. Rows past the last target repeat it, so that padding
    /// never divides 0 by 0; steps past the last source are 0.
    static std::vector<Halide::Func> prepare(Form &form, const PreparedFuncs &to, const BiasInputs &in) {
        using namespace Halide;
        const RDom source(0, in.seq, "source");
        const Var target("target");
        Func row_maximum("row_maximum");
        row_maximum(target) = lowest();
        row_maximum(target) = max(row_maximum(target), in.w(source, target));
        form.pack_left_matrix(to.at("exp_bias"), [&](const Expr &step, const Expr &row) {
            const Expr t = clamp(row, 0, in.seq - 1);
            const Expr w = in.w(clamp(step, 0, in.seq - 1), t);
            return select(step >= 0 && step < in.seq, exp_nonpositive(w - row_maximum(t)), 0.0f);
        });
        return {row_maximum};
    }
};

}  // namespace aft
