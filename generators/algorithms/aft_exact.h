#pragma once

#include "layer.h"
#include "prefix_scan.h"

#include <memory>

namespace aft {

/// Sums over a set of sources relative to the set's own maximum: {m, sum exp(score - m) v, sum exp(score - m)}.
inline Halide::Tuple no_sources() {
    return {lowest(), 0.0f, 0.0f};
}
inline Halide::Tuple merge(const Halide::Tuple &a, const Halide::Tuple &b) {
    const Halide::Expr m = max(a[0], b[0]), scale_a = exp(a[0] - m), scale_b = exp(b[0] - m);
    return {m, scale_a * a[1] + scale_b * b[1], scale_a * a[2] + scale_b * b[2]};
}

/// The sources of a target whose bias isn't 0: all of them (AFTFull), or those with |t - t'| < s (AFTLocal).
struct BiasedSources {
    Halide::Expr length, before;  // how many; how many of them stand before the target
    bool all;

    static BiasedSources full(const Halide::Expr &seq) {
        return {seq, 0, true};
    }
    static BiasedSources local(const Halide::Expr &window, const Halide::Expr &max_seq_len) {
        const Halide::Expr band = clamp(window, 0, max_seq_len);
        return {max(2 * band - 1, 0), band - 1, false};
    }
    Halide::Expr first(const Halide::Expr &target) const {
        return all ? Halide::Expr(0) : target - before;
    }
};

/// AFTFull and AFTLocal for any position bias, -inf (masked) included: the mean of every target and channel is taken
/// relative to the maximum of K + w over its own sources, so that the largest term is 1 whatever the others are.
///     A[t, c] = sum exp(K[t', c] + w[t, t'] - M) V[t', c] / sum exp(K[t', c] + w[t, t'] - M)
/// It costs T exponentials per output (AFTLocal: 2 s). Where all sources are masked, A = 0.
/// AFTLocal's sources outside the band, w = 0, come from running sums of the same kind.
template<typename Form>
struct AftExact {
    typename Form::Product query, key_value, output;
    typename Form::Columns rows;  // K, V of every source
    std::unique_ptr<PrefixScan<Form>> before, after;
    Halide::Func maximum, sums, mean;
    Halide::RDom source;
    Halide::Expr y;

    /// y at the element `at`. bias: (step, target) of the biased sources, lowest() for a masked one.
    AftExact(Form &form, const LayerInputs &in, const Halide::Func &bias, const BiasedSources &biased,
             const Element &at)
        : maximum(form.stage("maximum")), sums(form.stage("sums")), mean(form.stage("mean")),
          source(0, biased.length, "source") {
        using namespace Halide;
        const auto x = form.input(in.x, in.hidden, in.seq);
        query = form.product("query", x, {form.weights(in.wq)}, in.hidden);
        key_value = form.product("key_value", x, {form.weights(in.wk), form.weights(in.wv)}, in.hidden);
        rows =
            form.columns("rows", [&](const Element &e) { return std::vector<Expr>{key_value(e, 0), key_value(e, 1)}; });

        const Element target = form.variable();
        const std::vector<Var> vars = form.source_vars();
        const Expr s = biased.first(target.row) + source;
        const Tuple row = rows(form.at_source(form.source(target, clamp(s, 0, in.seq - 1))));
        const Expr w = bias(source, min(target.row, in.seq - 1));
        const Expr visible = s >= 0 && s < in.seq && w > lowest();
        const Expr score = max(row[0] + w, lowest());
        maximum(vars) = lowest();
        maximum(vars) = max(maximum(vars), select(visible, score, lowest()));
        const Expr weight = select(visible, exp(score - maximum(vars)), 0.0f);
        sums(vars) = Tuple(0.0f, 0.0f);
        sums(vars) = Tuple(sums(vars)[0] + weight * row[1], sums(vars)[1] + weight);

        Tuple all{maximum(vars), sums(vars)[0], sums(vars)[1]};
        if (!biased.all) {
            auto one = [&](const Expr &r) {
                const Tuple kv = rows(form.at_source(form.source(form.variable(), clamp(r, 0, in.seq - 1))));
                return Tuple(kv[0], kv[1], 1.0f);
            };
            before = std::make_unique<PrefixScan<Form>>(form, "before", one, in.seq, no_sources(), merge);
            after = std::make_unique<PrefixScan<Form>>(
                form, "after", [&](const Expr &i) { return one(in.seq - 1 - i); }, in.seq, no_sources(), merge);
            const std::vector<Expr> channel = form.at_channel(target);
            const Expr first = target.row - biased.before, last = first + biased.length;
            all = merge(all, merge(before->before(channel, clamp(first, 0, in.seq)),
                                   after->before(channel, clamp(in.seq - last, 0, in.seq))));
        }
        mean(vars) = select(all[2] == 0.0f, 0.0f, all[1] / all[2] + bias_at(in.bv, in.projected, target));

        auto gated = form.rows("gated", [&](const Element &e) {
            return sigmoid(query(e) + bias_at(in.bq, in.projected, e)) * mean(form.at_source(e));
        });
        output = form.product("output", gated, {form.weights(in.wo)}, in.projected);
        y = output(at) + in.bo(at.channel);
    }
};

}  // namespace aft
