#pragma once

#include "layer.h"

namespace aft {

/// AFTFull, box by box:
///     query, key, value = Linear(x)
///     y = Linear(sigmoid(query) * (exp(W) @ (exp(key) * value)) / (exp(W) @ exp(key)))
/// exp_bias is exp(w - maximum of its row), and keys are relative to the maximum of their channel: both maxima cancel
/// in the quotient. Numerator and denominator are one product with two right operands. The bias of the values is added
/// to the mean, as its weights sum to 1.
template<typename Form>
struct AftFull {
    typename Form::Product query, key_value, sums, output;
    Sources<Form> sources;
    Halide::Expr y;

    /// y at the element `at`.
    AftFull(Form &form, const LayerInputs &in, const Halide::Func &exp_bias, const Element &at)
        : AftFull(form, in, exp_bias, at, form.input(in.x, in.hidden, in.seq)) {}

private:
    AftFull(Form &form, const LayerInputs &in, const Halide::Func &exp_bias, const Element &at,
            const typename Form::Left &x)
        : query(form.product("query", x, {form.weights(in.wq)}, in.hidden)),
          key_value(form.product("key_value", x, {form.weights(in.wk), form.weights(in.wv)}, in.hidden)),
          sources(
              form, [this](const Element &e) { return key_value(e, 0); },
              [this](const Element &e) { return key_value(e, 1); }, in.seq, 0) {
        sums = form.product("sums", form.shared_rows(exp_bias, in.seq),
                            form.from(sources.columns, [](const Halide::Expr &) { return Halide::Expr(0); }), in.seq);
        const Values mean = form.targets("mean_value", [&](const Element &e) {
            return sums(e, 0) / sums(e, 1) + bias_at(in.bv, in.projected, e);
        });
        auto gated = form.rows("gated", [&](const Element &e) {
            return sigmoid(query(e) + bias_at(in.bq, in.projected, e)) * mean(e);
        });
        output = form.product("output", gated, {form.weights(in.wo)}, in.projected);
        y = output(at) + in.bo(at.channel);
    }
};

}  // namespace aft
