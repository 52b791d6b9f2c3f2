#pragma once

#include "../forms/form.h"
#include "score.h"

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
        return tuple(m, rounded(scale_a * a.n + scale_b * b.n), rounded(scale_a * a.d + scale_b * b.d));
    }
};

/// The sum of all exp(K + w) that a target sees in a channel, exp(reference) times `sum`. Without a source, both are
/// whatever they are.
struct WeightSum {
    Score reference;
    Halide::Expr sum;
};

/// The sums over the sources of each target and channel, relative to the largest score among them, so that the largest
/// term is 1 whatever the others are. It costs an exponential per target, source and channel. Sources are taken in
/// chunks, whose sums are merged in order. Every operation is rounded: else LLVM makes fused operations of some, which
/// in another kernel would be others.
template<typename Form>
struct JointSums {
    static constexpr int longest_chunk = 16;

    /// The sources of the target form.variable(), as functions of their number.
    struct Terms {
        Halide::Expr length;                               // how many there are
        std::function<Score(const Halide::Expr &)> score;  // masked from length on
        std::function<Halide::Expr(const Halide::Expr &)> value;
        Halide::Expr end =
            {};  // where it is defined, chunks from this one on are left out: all their sources are masked
    };

    Halide::Func scores, chunk_maximum, chunk_sums, sums;
    Halide::Expr chunks, chunk_length;  // equal, so that few steps are beyond the last source
    Halide::RDom source, chunk;         // of a chunk; of the sources

    JointSums(Form &form, const Rounding &rounded, const Terms &terms)
        : scores(form.stage("scores")), chunk_maximum(form.stage("chunk_maximum")),
          chunk_sums(form.stage("chunk_sums")), sums(form.stage("sums")), chunks(ceil_div(terms.length, longest_chunk)),
          chunk_length(ceil_div(terms.length, max(chunks, 1))), source(0, chunk_length, "source"),
          chunk(0, chunks, "chunk") {
        using namespace Halide;
        const std::vector<Var> vars = form.source_vars();
        const Var step("step"), c("c");
        const auto with = [&vars](const Expr &last) {
            std::vector<Expr> all = as_exprs(vars);
            all.push_back(last);
            return all;
        };
        const Score score = terms.score(step);
        scores(with(step)) = Tuple(score.high, score.low);

        const auto score_of = [](const Tuple &t) { return Score{t[0], t[1]}; };
        const Expr in_chunk = c * chunk_length + source;
        const Score each = score_of(scores(with(in_chunk)));
        chunk_maximum(with(c)) = Tuple(Score::masked().high, Score::masked().low);
        const Score maximum = score_of(chunk_maximum(with(c)));
        const Score larger = Score::max(each, maximum);
        chunk_maximum(with(c)) = Tuple(larger.high, larger.low);
        const Expr weight = each.weight(rounded, maximum);
        chunk_sums(with(c)) = Tuple(0.0f, 0.0f);
        chunk_sums(with(c)) = Tuple(rounded(chunk_sums(with(c))[0] + weight * terms.value(in_chunk)),
                                    rounded(chunk_sums(with(c))[1] + weight));

        if (terms.end.defined()) {
            chunk.where(chunk * chunk_length < terms.end);
        }
        sums(vars) = ScoredSums::none();
        const Tuple of_chunk = chunk_sums(with(chunk));
        sums(vars) =
            ScoredSums::merge(rounded, sums(vars),
                              ScoredSums::tuple(score_of(chunk_maximum(with(chunk))), of_chunk[0], of_chunk[1]));
    }
};

}  // namespace aft
