#pragma once

#include "../forms/form.h"

namespace aft {

/// The inputs of a projection: sizes, rows, prepared weights.
struct LinearInputs {
    Halide::Expr batch, rows, inputs, outputs;
    Halide::Func x;               // (inputs, rows, batch)
    Halide::Func w;               // in the layout of the form
    Halide::Func b;               // (outputs)
    Halide::Func w_largest = {};  // magnitude of each output's weights in int8
};

/// A projection: y = x W^T + b in every row of every sample.
template<typename Form>
struct Linear {
    typename Form::Input input;
    typename Form::Product product;
    Halide::Expr y;  // at (channel, row, batch)

    Linear(Form &form, const LinearInputs &in, const Halide::Expr &channel, const Halide::Expr &row,
           const Halide::Expr &batch)
        : input(form.input(in.x, in.inputs, in.rows)),
          product(form.product("product", input.left, {form.weights(in.w, in.w_largest)}, in.inputs)),
          y(product.at(channel, row, batch) + in.b(channel)) {}
};

}  // namespace aft
