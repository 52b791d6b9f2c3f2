#pragma once

#include "scan.h"

namespace aft {

/// The mean over a window of the last s sources with a position bias, and over all older ones with the bias 0:
///     y[i] = gate(q) (e^m n + sum over d of e^(k[i-d] + w(d)) v[i-d]) / (e^m d + sum over d of e^(k[i-d] + w(d)))
/// relative to the largest exponent, for any bias, -inf (masked) included. The source that leaves the window joins the
/// sums m, n, d. Row s - 1 + i of the sources is position i.
struct Windowed {
    static constexpr int longest_chunk = 32;

    Halide::Func sources, maximum, chunk_sums, window_sums;
    Halide::Expr chunks, chunk_length;       // equal, so that few steps are beyond the window
    Halide::RDom distance, in_chunk, chunk;  // of the window; of a chunk of it; the chunks
    ScanSums sums;

    template<typename... Total>
    Windowed(Flat &form, const ScanInputs &in, const Halide::Func &sources, const WindowBias &bias,
             const Total &...total)
        : sources(sources), maximum(form.stage("maximum")), chunk_sums(form.stage("chunk_sums")),
          window_sums(form.stage("window_sums")), chunks(ceil_div(in.window, longest_chunk)),
          chunk_length(ceil_div(in.window, chunks)), distance(0, in.window, "distance"),
          in_chunk(0, chunk_length, "in_chunk"), chunk(0, chunks, "chunk"), sums(form, in, sources, total...) {
        using namespace Halide;
        const Var channel("channel"), row("row"), batch("batch"), j("j");
        const auto source_at = [&](const Expr &d) {
            return Source(Tuple(sources(channel, row + in.window - 1 - min(d, in.window - 1), batch)));
        };
        const auto score_at = [&](const Expr &d) {
            const Expr w = bias.at(min(d, in.window - 1), channel, row, batch);
            const Expr is_masked = d >= in.window || reinterpret<uint32_t>(w) == Expr(0xff800000u);
            return Score::sum(in.rounded, source_at(d).key, select(is_masked, Score::of_masked_bias, w * Score::scale));
        };
        const RunningSums older = sums.before(channel, row, batch);
        maximum(channel, row, batch) = Tuple(older.key, 0.0f);
        const Score larger = Score::max(score_at(distance), largest(channel, row, batch));
        maximum(channel, row, batch) = Tuple(larger.high, larger.low);

        const Expr d = j * chunk_length + in_chunk;
        const Score m = largest(channel, row, batch);
        const Expr weight = score_at(d).weight(in.rounded, m);
        chunk_sums(channel, row, j, batch) = Tuple(0.0f, 0.0f);
        chunk_sums(channel, row, j, batch) = Tuple(chunk_sums(channel, row, j, batch)[0] + weight * source_at(d).value,
                                                   chunk_sums(channel, row, j, batch)[1] + weight);
        const Expr of_older = older.score().weight(in.rounded, m);
        window_sums(channel, row, batch) = Tuple(of_older * older.n, of_older * older.d);
        const Tuple of_chunk = chunk_sums(channel, row, chunk, batch);
        window_sums(channel, row, batch) =
            Tuple(window_sums(channel, row, batch)[0] + of_chunk[0], window_sums(channel, row, batch)[1] + of_chunk[1]);
    }

    Halide::Expr mean(const ScanInputs & /*in*/, const Halide::Expr &channel, const Halide::Expr &row,
                      const Halide::Expr &batch) const {
        return RunningSums::mean(window_sums(channel, row, batch)[0], window_sums(channel, row, batch)[1]);
    }

private:
    Score largest(const Halide::Expr &channel, const Halide::Expr &row, const Halide::Expr &batch) const {
        const Halide::Tuple t = maximum(channel, row, batch);
        return {t[0], t[1]};
    }
};

/// Causal AFTLocal: the bias of target t and of the source d positions before it is bias(d, t).
struct BandedPast : Windowed {
    template<typename... Total>
    BandedPast(Flat &form, const ScanInputs &in, const Halide::Func &sources, const Total &...total)
        : Windowed(form, in, sources, bias(in), total...) {}

    static WindowBias bias(const ScanInputs &in) {
        using Expr = Halide::Expr;
        return {false, [&in](const Expr &distance, const Expr & /*channel*/, const Expr &row, const Expr &batch) {
                    return in.bias(distance, clamp(in.position(batch) + row, 0, in.longest - 1));
                }};
    }
};

/// Causal AFT-conv: the bias of a head and a distance.
struct Convolution : Windowed {
    template<typename... Total>
    Convolution(Flat &form, const ScanInputs &in, const Halide::Func &sources, const Total &...total)
        : Windowed(form, in, sources, bias(in), total...) {}

    static WindowBias bias(const ScanInputs &in) {
        using Expr = Halide::Expr;
        return {true, [&in](const Expr &distance, const Expr &channel, const Expr & /*row*/, const Expr & /*batch*/) {
                    return in.bias(distance, min(channel, in.channels - 1) / in.head_channels);
                }};
    }
};

}  // namespace aft
