#pragma once

#include "../means/pooled.h"
#include "targets.h"

namespace aft {

/// The gradients of a mean that is the same for every target:
///     dV[j] = p[j] G     dK[j] = p[j] G (V[j] - A)     p = softmax of the keys, G = sum of h over the targets
/// Nothing is kept for them: the mean takes one pass over the sources.
template<typename Form>
struct PooledGradients {
    using Element = typename Form::Element;

    Pooled<Form> mean;
    TargetGradients<Form> targets;
    Halide::Func chunk_sum, sum;  // of h: of the targets of a chunk, of all
    Halide::Func of_weight;       // what a weight is multiplied by for dV: G over the sum of the weights
    Halide::RDom row;             // of a chunk

    PooledGradients(Form &form, const GradientInputs &in)
        : mean(form, in), targets(form, in, [this](const Element &e) { return mean(e); }),
          chunk_sum(form.stage("chunk_sum")), sum(form.stage("sum_of_h")), of_weight(form.stage("of_weight")),
          form(form), in(in) {
        using namespace Halide;
        const Element e = form.variable();
        const auto chunks = form.chunks(in.targets);
        row = chunks.row;
        const Var chunk("chunk");
        std::vector<Var> vars = form.channel_vars();
        vars.push_back(chunk);
        chunk_sum(vars) = 0.0f;
        chunk_sum(vars) += kept_if(chunks.inside(chunk), targets.h(form.at_source(chunks.at(form, e, chunk))));

        const RDom c(0, chunks.count, "summed_chunk");
        std::vector<Expr> at = as_exprs(form.channel_vars());
        at.emplace_back(c);
        sum(form.channel_vars()) = 0.0f;
        sum(form.channel_vars()) += chunk_sum(at);
        of_weight(form.channel_vars()) = sum(form.channel_vars()) / mean.sums(as_exprs(form.channel_vars()))[1];
    }

    /// dK and dV.
    Halide::Tuple operator()(const Element &source) const {
        using namespace Halide;
        const std::vector<Expr> channel = form.at_channel(source);
        const Expr k = in.key_at(source.channel, source.row, source.batch);
        const Expr of_value = exp_nonpositive(k - mean.maximum(channel)) * of_weight(channel);
        const Expr v = in.value_at(source.channel, source.row, source.batch);
        const Expr counts = in.counts(source.channel, source.row, source.batch);
        return {kept_if(counts, of_value * (v - mean(source))), kept_if(counts, of_value)};
    }
    Halide::Expr dq(const Element &target) const {
        return targets.dq(target);
    }

private:
    const Form &form;
    const GradientInputs in;
};

}  // namespace aft
