#pragma once

#include "scan.h"

namespace aft {

/// The time mixing of RWKV-4: the sums decay from position to position, and the current source has a bonus.
///     y[i] = gate(q) (e^m n + e^(k[i] + bonus) v[i]) / (e^m d + e^(k[i] + bonus))
/// with the exponent m of the sums. Then m becomes m - decay, and source i joins the sums at k[i].
struct Recurrent {
    Halide::Func sources;
    ScanSums sums;

    template<typename... Total>
    Recurrent(Flat &form, const ScanInputs &in, const Halide::Func &sources, const Total &...total)
        : sources(sources), sums(form, in, sources, total...) {}

    static WindowBias bias(const ScanInputs &in) {
        using Expr = Halide::Expr;
        return {true, [&in](const Expr & /*distance*/, const Expr &channel, const Expr & /*row*/,
                            const Expr & /*batch*/) { return in.bonus(channel); }};
    }

    Halide::Expr mean(const ScanInputs &in, const Halide::Expr &channel, const Halide::Expr &row,
                      const Halide::Expr &batch) const {
        const Source source{Halide::Tuple(sources(channel, row, batch))};
        const Score score = Score::sum(in.rounded, source.key, in.bonus(channel) * Score::scale);
        const RunningSums before = sums.before(channel, row, batch);
        return before.with(in.rounded, sums.score(before, channel), RunningSums(source), score).mean();
    }
};

}  // namespace aft
