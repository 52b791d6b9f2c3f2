#pragma once

#include "layer.h"

namespace aft {

/// The sum over a sequence of softmax(key) * value, in one pass over chunks of rows: each chunk keeps its maximum m,
/// n = sum exp(key - m) value and d = sum exp(key - m) per channel, and the chunks are merged in order. The chunks
/// depend on the length of the sequence alone, and so do the bits of the result.
template<typename Form>
struct SoftmaxSum {
    Halide::Func chunk_maximum, chunk_sums, chunk_state, maximum, sums, mean;
    Halide::RDom row;  // of a chunk

    SoftmaxSum(Form &form, const Values &key, const Values &value, const Halide::Expr &seq)
        : chunk_maximum(form.stage("chunk_maximum")), chunk_sums(form.stage("chunk_sums")),
          chunk_state(form.stage("chunk_state")), maximum(form.stage("maximum")), sums(form.stage("softmax_sums")),
          mean(form.stage("mean")) {
        using namespace Halide;
        const Element e = form.variable();
        const auto chunks = form.chunks(seq);
        row = chunks.row;
        Var chunk("chunk");
        auto of_chunk = [&](const Expr &c) {
            std::vector<Expr> at = as_exprs(form.channel_vars());
            at.push_back(c);
            return at;
        };
        std::vector<Var> vars = form.channel_vars();
        vars.push_back(chunk);
        const Element at_row = chunks.at(form, e, chunk);
        const Expr inside = chunks.inside(chunk);

        chunk_maximum(vars) = lowest();
        chunk_maximum(vars) = max(chunk_maximum(vars), select(inside, key(at_row), lowest()));
        const Expr weight = select(inside, exp_nonpositive(key(at_row) - chunk_maximum(vars)), 0.0f);
        chunk_sums(vars) = Tuple(0.0f, 0.0f);
        chunk_sums(vars) = Tuple(chunk_sums(vars)[0] + weight * value(at_row), chunk_sums(vars)[1] + weight);
        chunk_state(vars) = Tuple(chunk_maximum(vars), chunk_sums(vars)[0], chunk_sums(vars)[1]);

        const RDom c(0, chunks.count, "merged_chunk");
        const Tuple state = chunk_state(of_chunk(c));
        const auto at = form.channel_vars();
        maximum(at) = lowest();
        maximum(at) = max(maximum(at), state[0]);
        const Expr rescale = exp_nonpositive(state[0] - maximum(at));
        sums(at) = Tuple(0.0f, 0.0f);
        sums(at) = Tuple(sums(at)[0] + rescale * state[1], sums(at)[1] + rescale * state[2]);
        mean(at) = sums(at)[0] / sums(at)[1];
    }
};

/// AFTSimple, box by box:
///     query, key, value = Linear(x)      y = Linear(sigmoid(query) * sum(softmax(key, 1) * value, 1))
/// The sum is one row per sample, broadcast over the sequence.
template<typename Form>
struct AftSimple {
    typename Form::Product query, key_value, output;
    SoftmaxSum<Form> softmax_sum;
    Halide::Expr y;

    /// y at the element `at`.
    AftSimple(Form &form, const LayerInputs &in, const Element &at)
        : AftSimple(form, in, at, form.input(in.x, in.hidden, in.seq)) {}

private:
    AftSimple(Form &form, const LayerInputs &in, const Element &at, const typename Form::Left &x)
        : query(form.product("query", x, {form.weights(in.wq)}, in.hidden)),
          key_value(form.product("key_value", x, {form.weights(in.wk), form.weights(in.wv)}, in.hidden)),
          softmax_sum(
              form, [this](const Element &e) { return key_value(e, 0); },
              [this](const Element &e) { return key_value(e, 1); }, in.seq) {
        auto gated = form.rows("gated", [&](const Element &e) {
            const Halide::Expr mean = softmax_sum.mean(form.at_channel(e)) + bias_at(in.bv, in.projected, e);
            return sigmoid(query(e) + bias_at(in.bq, in.projected, e)) * mean;
        });
        output = form.product("output", gated, {form.weights(in.wo)}, in.projected);
        y = output(at) + in.bo(at.channel);
    }
};

}  // namespace aft
