#pragma once

#include "../layer.h"
#include "../prepared.h"

namespace aft {

/// The softmax of the keys of a sample, times the values, per channel: n / d of
///     m = max key      n = sum exp(key - m) value      d = sum exp(key - m)
/// In one pass over chunks of rows: each chunk keeps its own m, n and d, and the chunks are merged in order. The chunks
/// depend on the length of the sequence alone, and so do the bits of the result.
template<typename Form>
struct SoftmaxSums {
    using Element = typename Form::Element;
    using OfSource = std::function<Halide::Expr(const Element &)>;

    Halide::Func chunk_maximum, chunk_sums, chunk_state, maximum, sums, mean;
    Halide::RDom row;  // of a chunk

    /// counts: which sources there are besides those past the end; null: all.
    SoftmaxSums(Form &form, const Halide::Expr &seq, const OfSource &key, const OfSource &value, const OfSource &counts)
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
        const Element source = chunks.at(form, e, chunk);
        const Expr inside = counts ? chunks.inside(chunk) && counts(source) : chunks.inside(chunk);

        const auto if_inside = [&](const Expr &value, const Expr &other) {
            return counts ? kept_if(inside, value, other) : select(inside, value, other);
        };
        chunk_maximum(vars) = lowest();
        chunk_maximum(vars) = max(chunk_maximum(vars), if_inside(key(source), lowest()));
        const Expr weight = if_inside(exp_nonpositive(key(source) - chunk_maximum(vars)), 0.0f);
        chunk_sums(vars) = Tuple(0.0f, 0.0f);
        chunk_sums(vars) = Tuple(chunk_sums(vars)[0] + weight * value(source), chunk_sums(vars)[1] + weight);
        chunk_state(vars) = Tuple(chunk_maximum(vars), chunk_sums(vars)[0], chunk_sums(vars)[1]);

        const RDom c(0, chunks.count, "merged_chunk");
        const Tuple state = chunk_state(of_chunk(c));
        const auto at = form.channel_vars();
        maximum(at) = lowest();
        maximum(at) = max(maximum(at), state[0]);
        const Expr rescale = exp_nonpositive(state[0] - maximum(at));
        sums(at) = Tuple(0.0f, 0.0f);
        sums(at) = Tuple(sums(at)[0] + rescale * state[1], sums(at)[1] + rescale * state[2]);
        const Expr quotient = sums(at)[0] / sums(at)[1];
        mean(at) = counts ? select(sums(at)[1] > 0.0f, quotient, 0.0f) : quotient;
    }
};

/// AFTSimple's mean of the values, one row per sample, which every target gets:
///     A = sum(softmax(key, 1) * value, 1) + bv
template<typename Form>
struct Softmax : SoftmaxSums<Form> {
    using Element = typename Form::Element;

    static PreparedList prepared() {
        return {};
    }

    Softmax(Form &form, const LayerInputs &in, const KeyValue<Form> &key_value, const PreparedFuncs & /*prepared*/)
        : SoftmaxSums<Form>(
              form, in.seq, [&](const Element &source) { return key_value.key(source); },
              [&](const Element &source) { return key_value.value(source); }, nullptr),
          form(form), bv(in.bv), projected(in.projected) {}

    typename Form::Product *target_sums() {
        return nullptr;
    }

    Halide::Expr operator()(const Element &target) const {
        return this->mean(form.at_channel(target)) + bias_at(bv, projected, target.channel);
    }

    /// There is no position bias.
    static std::vector<Halide::Func> prepare(Form & /*form*/, const PreparedFuncs & /*to*/, const BiasInputs & /*in*/) {
        return {};
    }

private:
    const Form &form;
    Halide::Func bv;
    Halide::Expr projected;
};

}  // namespace aft
