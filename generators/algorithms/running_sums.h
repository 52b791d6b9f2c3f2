#pragma once

#include "functions.h"
#include "score.h"

namespace aft {

/// A source of a mean: its key as Score has it, and its value. A hidden one has a key that no bias lifts to a visible
/// score, and the value 0, whatever its row holds. A key that is a NaN makes the value one, which survives every
/// weight.
struct Source {
    Halide::Expr key, value;

    /// is_seen: whether the mask shows the row. A key of -inf hides the source as well.
    Source(const Halide::Expr &is_seen, const Halide::Expr &k, const Halide::Expr &v) {
        using namespace Halide;
        const Expr is_visible = is_seen && !is_minus_infinity(k), is_nan = is_nan_bits(k);
        key = select(is_visible, kept_if(is_visible && !is_nan, k) * Score::scale, Score::of_masked_bias);
        value = kept_if(is_visible, kept_if(is_nan, k, v));
    }
    explicit Source(const Halide::Tuple &t) : key(t[0]), value(t[1]) {}
    Halide::Tuple tuple() const {
        return {key, value};
    }
};

/// a b without a rounding: high is the float next to it, low the rest. Each factor is split into halves of 12 bits,
/// whose products are exact.
inline Score product_without_rounding(const Rounding &rounded, const Halide::Expr &a, const Halide::Expr &b) {
    const auto upper_half = [](const Halide::Expr &e) {
        return Halide::reinterpret<float>(Halide::reinterpret<uint32_t>(e) & Halide::Expr(0xfffff000u));
    };
    const Halide::Expr a1 = upper_half(a), b1 = upper_half(b), a0 = a - a1, b0 = b - b1, high = rounded(a * b);
    return {high, rounded(((rounded(a1 * b1 - high) + a1 * b0) + a0 * b1) + a0 * b0)};
}

/// Sums over the sources so far, relative to one score, which is at least the largest of theirs and close to it:
/// n = sum exp(score - it) v, d = sum exp(score - it). It is that of a source with `key`, `age` positions ago. Without
/// a source, d is 0 and the key is below every visible score.
struct RunningSums {
    static constexpr int values = 4;  // of the tuple, and of a stored state
    static constexpr float oldest = 1 << 24;
    Halide::Expr key, age, n, d;

    RunningSums(const Halide::Expr &key, const Halide::Expr &age, const Halide::Expr &n, const Halide::Expr &d)
        : key(key), age(age), n(n), d(d) {}
    explicit RunningSums(const Halide::Tuple &t) : RunningSums(t[0], t[1], t[2], t[3]) {}
    explicit RunningSums(const Source &source) : RunningSums(source.key, 0.0f, source.value, 1.0f) {}
    static RunningSums none() {
        return {Score::lowest_visible, 0.0f, 0.0f, 0.0f};
    }
    Halide::Tuple tuple() const {
        return {key, age, n, d};
    }
    /// A stored state, in which d = 0 alone says that there is no source.
    RunningSums or_none() const {
        return {select(d > 0.0f, key, Score::lowest_visible), age, n, d};
    }
    static RunningSums choose(const Halide::Expr &condition, const RunningSums &a, const RunningSums &b) {
        return {select(condition, a.key, b.key), select(condition, a.age, b.age), select(condition, a.n, b.n),
                select(condition, a.d, b.d)};
    }

    /// `positions` later.
    RunningSums aged(const Halide::Expr &positions) const {
        return {key, select(d > 0.0f, min(age + positions, oldest), 0.0f), n, d};
    }
    Score score() const {
        return {key, 0.0f};
    }
    /// key - age decay. It stops where it counts for nothing, or for all, against any source.
    Score score(const Rounding &rounded, const Halide::Expr &decay) const {
        // Without the ages, so that no product overflows.
        const float limit = 1.4e38f / oldest;
        const Score total = product_without_rounding(rounded, age, decay * (Score::scale / oldest));
        const Halide::Expr high = clamp(total.high, -limit, limit) * oldest;
        const Score sum = Score::sum(rounded, key, -high);
        return {sum.high, sum.low - total.low * oldest};
    }
    /// With the sources of others, where these sums have the score `m` and the others have `score`. The
    /// larger weight is 1, so that one exponential gives the other one.
    RunningSums with(const Rounding &rounded, const Score &m, const RunningSums &others, const Score &score) const {
        const Halide::Expr difference = score.minus(rounded, m);
        const Halide::Expr is_larger = score.is_visible() && difference > 0.0f;
        const Halide::Expr e = Score::exp_nonpositive(rounded, -abs(difference));
        const Halide::Expr of_these = select(is_larger, e, 1.0f);
        const Halide::Expr of_others = select(is_larger, 1.0f, select(score.is_visible(), e, 0.0f));
        return {select(is_larger, others.key, key), select(is_larger, others.age, age),
                of_these * n + of_others * others.n, of_these * d + of_others * others.d};
    }
    /// The weighted mean of the values, 0 without a source.
    static Halide::Expr mean(const Halide::Expr &n, const Halide::Expr &d) {
        return n / select(d > 0.0f, d, 1.0f);
    }
    Halide::Expr mean() const {
        return mean(n, d);
    }
};

}  // namespace aft
