#pragma once

#include "recurrent.h"
#include "windowed.h"

namespace aft {

/// A scan with an exponential per source, not one per source and target, and with a proof for each result that it is
/// right. Relative to the largest score R of all that a chunk of targets sees,
///     [N | D](i) = e^-m(i) [n | d](i) + sum over d of e^(w(i, d) - m(i)) [EK v | EK](i - d)     A = N / D
///     EK(j) = e^(k(j) - R)     m(i) = the largest of 0 and w(i, d)
///     [n | d](i + 1) = e^-decay [n | d](i) + [EK v | EK](j), where source j leaves the window of target i
/// The score of the sources of a target is at most R + m(i). If D >= 2^-24, a term that was flushed to zero, below
/// 2^-126, is less than 2^-102 of it, and the exponents that count have small roundings. Where D is smaller, or N isn't
/// finite, the Exact scan takes its place, for a tile of targets and a group of channels at a time: the decision
/// depends on the sample alone.
template<typename Exact>
struct CertifiedScan {
    static constexpr int chunk_rows = ScanSums::chunk_rows, tile_rows = 16, longest_run = 32, steps_at_once = 4;

    const Halide::Var channel{"channel"}, row{"row"}, chunk{"chunk"}, batch{"batch"}, number{"number"}, step{"step"},
        in_group{"in_group"}, tile{"tile"};
    const int group;
    const WindowBias bias;
    Halide::Func sources;
    Halide::Func factor;  // (channel): e^-decay

    // The sums over a whole chunk, relative to its largest key.
    Halide::Func total_key, total_sums;  // (channel, chunk, batch)
    Halide::Func is_total_doubtful;      // (group, chunk, batch)
    Halide::Func exact_total;            // (channel, chunk, batch)
    Halide::Func total;                  // (lane, group, chunk, batch)
    Halide::RDom of_chunk, lane;

    Exact exact;

    Halide::Func largest_key, reference;  // (channel, chunk, batch): R
    Halide::Func columns;                 // (channel, row, chunk, batch): EK v and EK
    Halide::Func older;                   // (channel, position in the chunk, chunk, batch): n and d
    // m, and e^-m followed by the weights of the window: of a channel, (lane, group) and (lane, step, group), or of a
    // target, (row, batch) and (step, row, batch).
    Halide::Func bias_maximum, weights;
    Halide::Func run_sums, sums;  // over a run of the window, (channel, row, run, batch); (channel, row, batch)
    Halide::Func is_doubtful;     // (group, tile, batch)
    Halide::Func exact_mean;      // (channel, row, batch)
    Halide::Func gated;           // (lane, row, group, tile, batch)
    Halide::Expr runs, run_length;
    Halide::RDom of_window, distance, later, in_run, run, of_tile;

    CertifiedScan(Flat &form, const ScanInputs &in, int group)
        : group(group), bias(Exact::bias(in)), sources(in.sources(form)), factor(form.stage("factor")),
          total_key(form.stage("total_key")), total_sums(form.stage("total_sums")),
          is_total_doubtful(form.stage("is_total_doubtful")), exact_total(form.stage("exact_total")),
          total(form.stage("total")), of_chunk(0, Halide::min(in.seq, chunk_rows), "of_chunk"), lane(0, group, "lane"),
          exact(form, in, sources, total_of(in)), largest_key(form.stage("largest_key")),
          reference(form.stage("reference")), columns(form.stage("columns")), older(form.stage("older")),
          bias_maximum(form.stage("bias_maximum")), weights(form.stage("weights")), run_sums(form.stage("run_sums")),
          sums(form.stage("sums")), is_doubtful(form.stage("is_doubtful")), exact_mean(form.stage("exact_mean")),
          gated(form.stage("gated")), runs(ceil_div(in.window, longest_run)),
          run_length(ceil_div(ceil_div(in.window, runs), steps_at_once) * steps_at_once),
          of_window(0, min(in.seq, chunk_rows) + in.window - 1, "of_window"), distance(0, in.window, "distance"),
          later(1, min(in.seq, chunk_rows) - 1, "later"), in_run(0, run_length, "in_run"), run(0, runs, "run"),
          of_tile(0, group, 0, min(in.seq, tile_rows), "of_tile") {
        using namespace Halide;
        const Expr first = chunk * chunk_rows;
        largest_key(channel, chunk, batch) = Score::lowest_visible;
        largest_key(channel, chunk, batch) =
            max(largest_key(channel, chunk, batch), source(channel, first + of_window, batch).key);
        const RunningSums carried = exact.sums.before_chunk(channel, chunk, batch);
        const Score carried_score = exact.sums.score(carried, channel);
        const Score largest = Score::max({largest_key(channel, chunk, batch), 0.0f}, carried_score);
        reference(channel, chunk, batch) = Tuple(largest.high, largest.low);

        const Tuple stored = reference(channel, chunk, batch);
        const Score R{stored[0], stored[1]};
        const Source of_row = source(channel, row, batch);
        const Expr exp_key = Score{of_row.key, 0.0f}.weight(in.rounded, R);
        columns(channel, row, chunk, batch) = Tuple(exp_key * of_row.value, exp_key);

        const Expr of_carried = carried_score.weight(in.rounded, R);
        older(channel, row, chunk, batch) = Tuple(undef<float>(), undef<float>());
        older(channel, 0, chunk, batch) = Tuple(of_carried * carried.n, of_carried * carried.d);
        const Tuple before = older(channel, later - 1, chunk, batch),
                    leaving = columns(channel, first + later - 1, chunk, batch);
        older(channel, later, chunk, batch) = Tuple(decayed(before[0]) + leaving[0], decayed(before[1]) + leaving[1]);

        define_weights(in);
        const Var number_of_run("number_of_run");
        const Expr d = number_of_run * run_length + in_run, w = weight(d + 1);
        const Tuple column = columns(channel, row + in.window - 1 - d, row / chunk_rows, batch);
        run_sums(channel, row, number_of_run, batch) = Tuple(0.0f, 0.0f);
        const Tuple so_far = run_sums(channel, row, number_of_run, batch);
        run_sums(channel, row, number_of_run, batch) = Tuple(so_far[0] + w * column[0], so_far[1] + w * column[1]);
        const Tuple of_older = older(channel, row % chunk_rows, row / chunk_rows, batch);
        sums(channel, row, batch) = Tuple(weight(0) * of_older[0], weight(0) * of_older[1]);
        const Tuple all = sums(channel, row, batch), of_run = run_sums(channel, row, run, batch);
        sums(channel, row, batch) = Tuple(all[0] + of_run[0], all[1] + of_run[1]);

        const Expr c = number * group + of_tile.x, i = min(tile * tile_rows + of_tile.y, in.seq - 1);
        const Expr sees_none = reference(c, i / chunk_rows, batch)[0] <= Score::lowest_visible &&
                               exact.sums.before_chunk(c, i / chunk_rows, batch).d == 0.0f;
        const Expr is_right = is_certain(sums(c, i, batch)) || sees_none || i >= in.rows(batch);
        is_doubtful(number, tile, batch) = 0;
        is_doubtful(number, tile, batch) = max(is_doubtful(number, tile, batch), select(is_right, 0, 1));

        exact_mean(channel, row, batch) = exact.mean(in, channel, row, batch);
        const Expr of_lane = number * group + in_group;
        const Tuple fast = sums(of_lane, row, batch);
        const Expr mean = select(is_doubtful(number, tile, batch) != 0, exact_mean(of_lane, row, batch),
                                 RunningSums::mean(fast[0], fast[1]));
        gated(in_group, row, number, tile, batch) = gated_mean(in, mean, of_lane, row, batch);
    }

    Halide::Expr gated_mean_of(const Halide::Expr &c, const Halide::Expr &i, const Halide::Expr &b) const {
        return gated(c % group, i, c / group, i / tile_rows, b);
    }

private:
    Source source(const Halide::Expr &c, const Halide::Expr &i, const Halide::Expr &b) const {
        return Source(Halide::Tuple(sources(c, i, b)));
    }
    /// By their bits, as they may be infinite or NaN.
    static Halide::Expr is_certain(const Halide::Tuple &n_and_d) {
        using namespace Halide;
        const Expr d = reinterpret<uint32_t>(n_and_d[1]);
        return d >= reinterpret<uint32_t>(Expr(0x1p-24f)) && d < Expr(0x7f800000u) && has_finite_bits(n_and_d[0]);
    }
    /// A sum one position later.
    Halide::Expr decayed(const Halide::Expr &sum) const {
        return factor.defined() ? factor(channel) * sum : sum;
    }

    /// Without a decay the largest key has the weight 1, so that there is no doubt.
    ScanSums::Total total_of(const ScanInputs &in) {
        using namespace Halide;
        if (in.decay.defined()) {
            factor(channel) = Score::exp_nonpositive(in.rounded, in.decay(channel) * -Score::scale);
        }
        // The source that leaves the window of a target, if the sample has the target.
        const Expr target = chunk * chunk_rows + of_chunk, is_there = target < in.rows(batch);
        const Source leaving = source(channel, target, batch);
        const Expr key = kept_if(is_there, leaving.key, Score::of_masked_bias),
                   value = kept_if(is_there, leaving.value);
        total_key(channel, chunk, batch) = Score::lowest_visible;
        total_key(channel, chunk, batch) = max(total_key(channel, chunk, batch), key);
        const Expr exp_key = Score{key, 0.0f}.weight(in.rounded, {total_key(channel, chunk, batch), 0.0f});
        total_sums(channel, chunk, batch) = Tuple(0.0f, 0.0f);
        const Tuple n_and_d = total_sums(channel, chunk, batch);
        total_sums(channel, chunk, batch) = Tuple(select(is_there, decayed(n_and_d[0]), n_and_d[0]) + exp_key * value,
                                                  select(is_there, decayed(n_and_d[1]), n_and_d[1]) + exp_key);

        const Expr c = number * group + lane;
        const Expr is_right =
            is_certain(total_sums(c, chunk, batch)) || total_key(c, chunk, batch) <= Score::lowest_visible;
        is_total_doubtful(number, chunk, batch) = 0;
        is_total_doubtful(number, chunk, batch) = max(is_total_doubtful(number, chunk, batch), select(is_right, 0, 1));
        return [this, last = min(in.seq, chunk_rows)](const Func &local, const std::vector<Expr> &at) {
            const Expr of_lane = number * group + in_group;
            const Tuple n_d = total_sums(of_lane, chunk, batch);
            const RunningSums fast(total_key(of_lane, chunk, batch), 0.0f, n_d[0], n_d[1]);
            exact_total(channel, chunk, batch) = Tuple(local(channel, last, chunk, batch));
            const Expr is_exact = is_total_doubtful(number, chunk, batch) != 0;
            total(in_group, number, chunk, batch) =
                (factor.defined() ? RunningSums::choose(is_exact, RunningSums(exact_total(of_lane, chunk, batch)), fast)
                                  : fast)
                    .tuple();
            return RunningSums(total(at[0] % group, at[0] / group, at[1], at[2]));
        };
    }

    /// Steps beyond the window have the weight 0.
    void define_weights(const ScanInputs &in) {
        using namespace Halide;
        const auto score_at = [&](const Expr &d) {
            const Expr w = bias.at(clamp(d, 0, in.window - 1), number * group + in_group, row, batch);
            const Expr is_masked = d >= in.window || is_minus_infinity(w);
            return select(is_masked, Score::of_masked_bias, kept_if(!is_masked, w) * Score::scale);
        };
        const std::vector<Var> target =
            bias.is_per_channel ? std::vector<Var>{in_group, number} : std::vector<Var>{row, batch};
        const std::vector<Expr> at(target.begin(), target.end());
        bias_maximum(target) = 0.0f;
        bias_maximum(target) = max(bias_maximum(at), score_at(distance));
        const Expr score = select(step == 0, 0.0f, score_at(step - 1));
        const Expr value = Score{score, 0.0f}.weight(in.rounded, {bias_maximum(at), 0.0f});
        if (bias.is_per_channel) {
            weights(in_group, step, number) = value;
        } else {
            weights(step, row, batch) = value;
        }
    }
    Halide::Expr weight(const Halide::Expr &of_step) const {
        return bias.is_per_channel ? weights(channel % group, of_step, channel / group) : weights(of_step, row, batch);
    }
};

}  // namespace aft
