#pragma once

#include "layer.h"
#include "prefix_scan.h"
#include "score.h"

#include <memory>

namespace aft {

/// Sums over a set of sources relative to its largest score: {m, n = sum exp(score - m) v, d = sum exp(score - m)}, m
/// as two values.
struct ScoredSums {
    Score m;
    Halide::Expr n, d;

    explicit ScoredSums(const Halide::Tuple &t) : m{t[0], t[1]}, n(t[2]), d(t[3]) {}
    static Halide::Tuple tuple(const Score &m, const Halide::Expr &n, const Halide::Expr &d) {
        return {m.high, m.low, n, d};
    }
    /// A set with nothing but masked sources has whatever sums: merged with any other, they count for nothing.
    static Halide::Tuple none() {
        return tuple(Score::masked(), 0.0f, 0.0f);
    }
    template<typename Form>
    static Halide::Tuple merge(const Form &form, const Halide::Tuple &first, const Halide::Tuple &second) {
        const ScoredSums a(first), b(second);
        const Score m = Score::max(a.m, b.m);
        const Halide::Expr scale_a = a.m.weight(form, m), scale_b = b.m.weight(form, m);
        return tuple(m, scale_a * a.n + scale_b * b.n, scale_a * a.d + scale_b * b.d);
    }
};

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
/// Sources are taken in chunks, whose sums are merged in order. AFTLocal's sources outside the band, w = 0, come from
/// running sums of the same kind.
template<typename Form>
struct AftExact {
    static constexpr int longest_chunk = 16;

    typename Form::Product query, key_value, output;
    typename Form::Columns rows;  // K, V of every source
    std::unique_ptr<PrefixScan<Form>> before, after;
    Halide::Func scores, chunk_maximum, chunk_sums, sums, mean;
    Halide::Expr chunks, chunk_length;  // equal, so that few steps are beyond the last source
    Halide::RDom source, chunk;         // of a chunk; of the biased sources
    Halide::Expr y;

    /// y at the element `at`. bias: (step, target) of the biased sources, as Score has it.
    AftExact(Form &form, const LayerInputs &in, const Halide::Func &bias, const BiasedSources &biased,
             const Element &at)
        : scores(form.stage("scores")), chunk_maximum(form.stage("chunk_maximum")),
          chunk_sums(form.stage("chunk_sums")), sums(form.stage("sums")), mean(form.stage("mean")),
          chunks(ceil_div(biased.length, longest_chunk)), chunk_length(ceil_div(biased.length, max(chunks, 1))),
          source(0, chunk_length, "source"), chunk(0, chunks, "chunk") {
        using namespace Halide;
        const auto x = form.input(in.x, in.hidden, in.seq);
        query = form.product("query", x, {form.weights(in.wq)}, in.hidden);
        key_value = form.product("key_value", x, {form.weights(in.wk), form.weights(in.wv)}, in.hidden);
        rows = form.columns("rows", [&](const Element &e) {
            return std::vector<Expr>{key_value(e, 0) * Score::scale, key_value(e, 1)};
        });

        const Element target = form.variable();
        const std::vector<Var> vars = form.source_vars();
        const Var step("step"), c("c");
        const auto with = [&vars](const Expr &last) {
            std::vector<Expr> all = as_exprs(vars);
            all.push_back(last);
            return all;
        };
        const auto row_of = [&](const Expr &step) {
            const Expr s = clamp(biased.first(target.row) + step, 0, in.seq - 1);
            return rows(form.at_source(form.source(target, s)));
        };
        const Expr s = biased.first(target.row) + step;
        const Expr w = select(step < biased.length && s >= 0 && s < in.seq,
                              bias(min(step, biased.length - 1), min(target.row, in.seq - 1)), Score::of_masked_bias);
        const Score score = Score::sum(form, row_of(step)[0], w);
        scores(with(step)) = Tuple(score.high, score.low);

        const auto score_of = [](const Tuple &t) { return Score{t[0], t[1]}; };
        const Expr in_chunk = c * chunk_length + source;
        const Score each = score_of(scores(with(in_chunk)));
        chunk_maximum(with(c)) = Tuple(Score::masked().high, Score::masked().low);
        const Score maximum = score_of(chunk_maximum(with(c)));
        const Score larger = Score::max(each, maximum);
        chunk_maximum(with(c)) = Tuple(larger.high, larger.low);
        const Expr weight = each.weight(form, maximum);
        chunk_sums(with(c)) = Tuple(0.0f, 0.0f);
        chunk_sums(with(c)) =
            Tuple(chunk_sums(with(c))[0] + weight * row_of(in_chunk)[1], chunk_sums(with(c))[1] + weight);

        const auto merge = [&form](const Tuple &a, const Tuple &b) { return ScoredSums::merge(form, a, b); };
        sums(vars) = ScoredSums::none();
        const Tuple of_chunk = chunk_sums(with(chunk));
        sums(vars) =
            merge(sums(vars), ScoredSums::tuple(score_of(chunk_maximum(with(chunk))), of_chunk[0], of_chunk[1]));

        Tuple all = sums(vars);
        if (!biased.all) {
            auto one = [&](const Expr &r) {
                const Tuple kv = rows(form.at_source(form.source(form.variable(), clamp(r, 0, in.seq - 1))));
                return ScoredSums::tuple({kv[0], 0.0f}, kv[1], 1.0f);
            };
            before = std::make_unique<PrefixScan<Form>>(form, "before", one, in.seq, ScoredSums::none(), merge);
            after = std::make_unique<PrefixScan<Form>>(
                form, "after", [&](const Expr &i) { return one(in.seq - 1 - i); }, in.seq, ScoredSums::none(), merge);
            const std::vector<Expr> channel = form.at_channel(target);
            const Expr first = target.row - biased.before, last = first + biased.length;
            all = merge(all, merge(before->before(channel, clamp(first, 0, in.seq)),
                                   after->before(channel, clamp(in.seq - last, 0, in.seq))));
        }
        const ScoredSums result(all);
        mean(vars) = select(result.m.is_visible(), result.n / result.d + bias_at(in.bv, in.projected, target), 0.0f);

        auto gated = form.rows("gated", [&](const Element &e) {
            return sigmoid(query(e) + bias_at(in.bq, in.projected, e)) * mean(form.at_source(e));
        });
        output = form.product("output", gated, {form.weights(in.wo)}, in.projected);
        y = output(at) + in.bo(at.channel);
    }
};

}  // namespace aft
