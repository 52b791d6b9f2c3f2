#pragma once

#include "scan.h"

namespace aft {

/// The time mixing of RWKV-4: the sums decay from position to position, and the current source has a bonus.
///     y[i] = gate(q) (e^m n + e^(k[i] + bonus) v[i]) / (e^m d + e^(k[i] + bonus))
/// with the exponent m of the sums. Then m becomes m - decay, and source i joins the sums at k[i].
struct Recurrent {
    Halide::Func sources;
    ScanSums sums;

    Recurrent(Flat &form, const ScanInputs &in)
        : sources(in.sources(form)),
          sums(form, in,
               [&](const RunningSums &before, const Halide::Expr &c, const Halide::Expr &i, const Halide::Expr &b) {
                   const Source source{Halide::Tuple(sources(c, i, b))};
                   const RunningSums aged = before.aged();
                   return aged.plus(in.rounded, aged.score(in.rounded, in.decay(c)), {source.key, 0.0f}, source);
               }) {}

    Halide::Expr mean(const ScanInputs &in, const Halide::Expr &channel, const Halide::Expr &row,
                      const Halide::Expr &batch) const {
        const Source source{Halide::Tuple(sources(channel, row, batch))};
        const Score score = Score::sum(in.rounded, source.key, in.bonus(channel) * Score::scale);
        const RunningSums before = sums.before(channel, row, batch);
        return before.plus(in.rounded, before.score(in.rounded, in.decay(channel)), score, source).mean();
    }
};

}  // namespace aft
