#pragma once

#include "../../forms/form.h"
#include "../functions.h"

namespace aft {

/// The inputs of the gradients of a projection: sizes, rows, and the gradient of its result.
struct LinearGradientInputs {
    Halide::Expr samples, rows, inputs, outputs;  // samples: that share the parameters
    Halide::Func x;                               // (inputs, rows, batch)
    Halide::Func dy;                              // (outputs, rows, batch)

    // A step of the sums is a row of a sample.
    Halide::Expr steps() const {
        return samples * rows;
    }
    /// A row that touches nothing, whose dy is 0, may hold anything.
    Halide::Expr x_at(const Halide::Expr &input, const Halide::Expr &step, const Halide::Expr &parameters) const {
        const Halide::Expr value = at(x, min(input, inputs - 1), step, parameters);
        return kept_if(step < steps() && has_finite_bits(value), value);
    }
    Halide::Expr dy_at(const Halide::Expr &output, const Halide::Expr &step, const Halide::Expr &parameters) const {
        return kept_if(step < steps(), at(dy, min(output, outputs - 1), step, parameters));
    }

private:
    Halide::Expr at(const Halide::Func &f, const Halide::Expr &channel, const Halide::Expr &step,
                    const Halide::Expr &parameters) const {
        const Halide::Expr s = clamp(step, 0, steps() - 1);
        return f(channel, s % rows, parameters * samples + s / rows);
    }
};

/// The gradients of y = x W^T + b: dW = dy^T x and db, sums over the rows of the samples that share the parameters.
template<typename Form>
struct LinearGradients {
    using Element = typename Form::Element;
    using Expr = Halide::Expr;
    static constexpr int chunk = 256;  // of rows, whose sums of dy are added apart: they bound the rounding error

    typename Form::Left left;    // dy^T
    typename Form::Right right;  // x
    typename Form::Product product;
    Halide::Func chunk_sum;
    Halide::RDom row, chunks;

    LinearGradients(Form &form, const LinearGradientInputs &in)
        : chunk_sum(form.stage("chunk_sum")), row(0, chunk, "row"), chunks(0, ceil_div(in.steps(), chunk), "chunks") {
        left =
            form.transposed_rows("transposed", [&](const Element &e) { return in.dy_at(e.row, e.channel, e.batch); });
        right = form.by_rows("packed_rows", [&](const Expr &channel, const Expr &step, const Expr &batch) {
            return in.x_at(channel, step, batch);
        });
        product = form.product("product", left, {right}, in.steps());

        const Halide::Var output("output"), c("chunk"), parameters("parameters");
        chunk_sum(output, c, parameters) = 0.0f;
        chunk_sum(output, c, parameters) += in.dy_at(output, c * chunk + row, parameters);
    }

    /// dW at (input, output, parameters).
    Expr weight(const Expr &input, const Expr &output, const Expr &parameters) const {
        return product.at(input, output, parameters);
    }
    /// The share of a chunk of rows in db at (output, parameters).
    Expr bias_term(const Expr &output, const Expr &parameters) const {
        return chunk_sum(output, chunks, parameters);
    }
};

}  // namespace aft
