#pragma once

#include "../workarounds/rounding.h"
#include "functions.h"
#include "prepared.h"

namespace aft {

/// The inputs of a layer: sizes, input, prepared projections.
struct LayerInputs {
    Halide::Expr batch, hidden, seq, projected;                   // B, H, T, P
    Halide::Expr window, max_seq_len;                             // s, S; of layers with a banded position bias
    Halide::Func x;                                               // (hidden, seq, batch)
    Halide::Func wq, wk, wv, wo;                                  // in the layout of the form
    Halide::Func wq_largest, wk_largest, wv_largest, wo_largest;  // magnitudes of each channel of weights in int8
    Halide::Func bq, bv, bo;  // (channel). bk is missing: exp(bk) cancels in every weighted mean
    Rounding rounded;
};

/// K and V of every source, without their biases, as one product with two right operands.
template<typename Form>
struct KeyValue {
    using Element = typename Form::Element;
    typename Form::Product product;

    Halide::Expr key(const Element &source) const {
        return product(source, 0);
    }
    Halide::Expr value(const Element &source) const {
        return product(source, 1);
    }
};

/// An AFT layer, box by box:
///     query, key, value = Linear(x)      y = Linear(sigmoid(query) * mean)
/// Mean is what the layers differ in: the mean of the values over the sources, weighted by exp(key + position bias).
/// means/means.h says which there are and what a Mean has to have.
template<typename Form, template<typename> class Mean>
struct Layer {
    typename Form::Input input;
    typename Form::Product query;
    KeyValue<Form> key_value;
    Mean<Form> mean;
    typename Form::Left gated;
    typename Form::Product output;
    Halide::Expr y;  // at (channel, row, batch)

    Layer(Form &form, const LayerInputs &in, const PreparedFuncs &prepared, const Halide::Expr &channel,
          const Halide::Expr &row, const Halide::Expr &batch)
        : input(form.input(in.x, in.hidden, in.seq)),
          query(form.product("query", input.left, {form.weights(in.wq, in.wq_largest)}, in.hidden)),
          key_value{form.product("key_value", input.left,
                                 {form.weights(in.wk, in.wk_largest), form.weights(in.wv, in.wv_largest)}, in.hidden)},
          mean(form, in, key_value, prepared),
          gated(form.projected_rows(
              "gated",
              [&](const typename Form::Element &target) {
                  const Halide::Expr q = query(target) + bias_at(in.bq, in.projected, target.channel);
                  return sigmoid(q) * mean(target);
              },
              in.projected, in.seq)),
          output(form.product("output", gated, {form.weights(in.wo, in.wo_largest)}, in.projected)),
          y(output.at(channel, row, batch) + in.bo(channel)) {}
};

}  // namespace aft
