#pragma once

#include "../layer.h"
#include "../prefix_scan.h"
#include "../prepared.h"
#include "../score.h"

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
    static Halide::Tuple merge(const Rounding &rounded, const Halide::Tuple &first, const Halide::Tuple &second) {
        const ScoredSums a(first), b(second);
        const Score m = Score::max(a.m, b.m);
        const Halide::Expr scale_a = a.m.weight(rounded, m), scale_b = b.m.weight(rounded, m);
        return tuple(m, scale_a * a.n + scale_b * b.n, scale_a * a.d + scale_b * b.d);
    }
};

/// The sources of a target whose bias isn't 0: all of them (AFTFull), or those with |t - t'| < s (AFTLocal, where the
/// window is defined).
struct BiasedSources {
    Halide::Expr length, before;  // how many; how many of them stand before the target
    bool all;

    BiasedSources(const Halide::Expr &seq, const Halide::Expr &window, const Halide::Expr &max_seq_len)
        : length(seq), before(0), all(!window.defined()) {
        if (!all) {
            const Halide::Expr band = clamp(window, 0, max_seq_len);
            length = max(2 * band - 1, 0);
            before = band - 1;
        }
    }
    Halide::Expr first(const Halide::Expr &target) const {
        return all ? Halide::Expr(0) : target - before;
    }
};

/// The mean of AFTFull and AFTLocal for any position bias, -inf (masked) included: that of every target and channel is
/// taken relative to the maximum of K + w over its own sources, so that the largest term is 1 whatever the others are.
///     A[t, c] = sum exp(K[t', c] + w[t, t'] - M) V[t', c] / sum exp(K[t', c] + w[t, t'] - M) + bv
/// It costs T exponentials per output (AFTLocal: 2 s). Where all sources are masked, A = 0.
/// Sources are taken in chunks, whose sums are merged in order. AFTLocal's sources outside the band, w = 0, come from
/// running sums of the same kind.
template<typename Form>
struct Exact {
    using Element = typename Form::Element;
    static constexpr int longest_chunk = 16;

    typename Form::Columns rows;  // K, V of every source
    std::unique_ptr<PrefixScan<Form>> rows_from_first, rows_from_last;
    Halide::Func scores, chunk_maximum, chunk_sums, sums, mean;
    BiasedSources biased;
    Halide::Expr chunks, chunk_length;  // equal, so that few steps are beyond the last source
    Halide::RDom source, chunk;         // of a chunk; of the biased sources

    static PreparedList prepared() {
        return {{"bias", PreparedLayout::plain}};
    }

    Exact(Form &form, const LayerInputs &in, const KeyValue<Form> &key_value, const PreparedFuncs &prepared)
        : rows(form.columns("rows",
                            [&](const Element &e) {
                                return std::vector<Halide::Expr>{key_value.key(e) * Score::scale, key_value.value(e)};
                            })),
          scores(form.stage("scores")), chunk_maximum(form.stage("chunk_maximum")),
          chunk_sums(form.stage("chunk_sums")), sums(form.stage("sums")), mean(form.stage("mean")),
          biased(in.seq, in.window, in.max_seq_len), chunks(ceil_div(biased.length, longest_chunk)),
          chunk_length(ceil_div(biased.length, max(chunks, 1))), source(0, chunk_length, "source"),
          chunk(0, chunks, "chunk"), form(form) {
        using namespace Halide;
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
            return rows(form.at_source(form.row_of(target, s)));
        };
        const Expr s = biased.first(target.row) + step;
        const Expr w = select(step < biased.length && s >= 0 && s < in.seq,
                              prepared.at("bias")(min(step, biased.length - 1), min(target.row, in.seq - 1)),
                              Score::of_masked_bias);
        const Score score = Score::sum(in.rounded, row_of(step)[0], w);
        scores(with(step)) = Tuple(score.high, score.low);

        const auto score_of = [](const Tuple &t) { return Score{t[0], t[1]}; };
        const Expr in_chunk = c * chunk_length + source;
        const Score each = score_of(scores(with(in_chunk)));
        chunk_maximum(with(c)) = Tuple(Score::masked().high, Score::masked().low);
        const Score maximum = score_of(chunk_maximum(with(c)));
        const Score larger = Score::max(each, maximum);
        chunk_maximum(with(c)) = Tuple(larger.high, larger.low);
        const Expr weight = each.weight(in.rounded, maximum);
        chunk_sums(with(c)) = Tuple(0.0f, 0.0f);
        chunk_sums(with(c)) =
            Tuple(chunk_sums(with(c))[0] + weight * row_of(in_chunk)[1], chunk_sums(with(c))[1] + weight);

        const auto merge = [&in](const Tuple &a, const Tuple &b) { return ScoredSums::merge(in.rounded, a, b); };
        sums(vars) = ScoredSums::none();
        const Tuple of_chunk = chunk_sums(with(chunk));
        sums(vars) =
            merge(sums(vars), ScoredSums::tuple(score_of(chunk_maximum(with(chunk))), of_chunk[0], of_chunk[1]));

        Tuple all = sums(vars);
        if (!biased.all) {
            auto one = [&](const Expr &r) {
                const Tuple kv = rows(form.at_source(form.row_of(form.variable(), clamp(r, 0, in.seq - 1))));
                return ScoredSums::tuple({kv[0], 0.0f}, kv[1], 1.0f);
            };
            rows_from_first =
                std::make_unique<PrefixScan<Form>>(form, "before", one, in.seq, ScoredSums::none(), merge);
            rows_from_last = std::make_unique<PrefixScan<Form>>(
                form, "after", [&](const Expr &i) { return one(in.seq - 1 - i); }, in.seq, ScoredSums::none(), merge);
            const std::vector<Expr> channel = form.at_channel(target);
            const Expr first = target.row - biased.before, last = first + biased.length;
            all = merge(all, merge(rows_from_first->of_first(clamp(first, 0, in.seq), channel),
                                   rows_from_last->of_first(clamp(in.seq - last, 0, in.seq), channel)));
        }
        const ScoredSums result(all);
        mean(vars) =
            select(result.m.is_visible(), result.n / result.d + bias_at(in.bv, in.projected, target.channel), 0.0f);
    }

    typename Form::Product *target_sums() {
        return nullptr;
    }

    Halide::Expr operator()(const Element &target) const {
        return mean(form.at_source(target));
    }

    /// The bias of the biased sources as (step, target) and as Score has it: masked where there is no source, or by
    /// -inf.
    static std::vector<Halide::Func> prepare(Form & /*form*/, const PreparedFuncs &to, const BiasInputs &in) {
        using namespace Halide;
        const BiasedSources biased(in.seq, in.window, in.seq);
        const Var step("step"), target("target");
        const Expr t = clamp(target, 0, in.seq - 1), source = biased.first(t) + step;
        const Expr w = in.w(clamp(source, 0, in.seq - 1), t);
        // By its bits: generated code may assume that no value is infinite.
        const Expr is_masked = reinterpret<uint32_t>(w) == Expr(0xff800000u);
        Func bias = to.at("bias");
        bias(step, target) =
            select(source >= 0 && source < in.seq && !is_masked, w * Score::scale, Score::of_masked_bias);
        return {};
    }

private:
    const Form &form;
};

}  // namespace aft
