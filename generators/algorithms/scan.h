#pragma once

#include "../forms/flat.h"
#include "gate.h"
#include "running_sums.h"

namespace aft {

/// The inputs of a scan: the next n positions of causal sequences, and what they keep of the positions before.
struct ScanInputs {
    Halide::Expr batch, seq, channels;  // B, n, P
    Halide::Func q, k, v;               // (channel, row, batch)
    Halide::Func mask;                  // (row, batch): 0 hides the source
    Halide::Func rows;                  // (batch): how many of the n positions there are
    Halide::Func state;                 // (channel, value, batch): RunningSums
    Halide::Expr gate;                  // its kind
    Rounding rounded;

    Halide::Func decay, bonus;  // (channel), of Recurrent

    Halide::Expr window = 1;     // s >= 1; the sources begin s - 1 rows before the targets
    Halide::Func bias;           // (distance, target) of BandedPast, (distance, head) of Convolution
    Halide::Func position;       // (batch): the first target's, of BandedPast
    Halide::Expr longest;        // S of BandedPast
    Halide::Expr head_channels;  // of Convolution

    /// (channel, row, batch): the Source of every row, which is hidden where the sample doesn't have its position.
    Halide::Func sources(Flat &form) const {
        using namespace Halide;
        const Var channel("channel"), row("row"), b("batch");
        const Expr there = clamp(row, 0, window + seq - 2);
        Func result = form.stage("sources");
        result(channel, row, b) =
            Source(mask(there, b) != 0 && row - (window - 1) < rows(b), k(channel, there, b), v(channel, there, b))
                .tuple();
        return result;
    }
};

/// The sums before every position of a sequence: those that the chunks before its own carry over from the stored state,
/// joined by those of its chunk. Chunks can run side by side.
struct ScanSums {
    static constexpr int chunk_rows = 32;
    /// The sums over a whole chunk at (channel, chunk, batch), where the exact ones are `local` behind its last
    /// position.
    using Total = std::function<RunningSums(const Halide::Func &local, const std::vector<Halide::Expr> &at)>;

    Halide::Func local;    // (channel, position in the chunk, chunk, batch): before the position, in its chunk
    Halide::Func carried;  // (channel, chunk, batch): before the chunk; behind the last one, the next state
    Halide::RDom step, later_chunk;

    ScanSums(Flat &form, const ScanInputs &in, const Halide::Func &sources, const Total &total = {})
        : local(form.stage("local")), carried(form.stage("carried")), step(1, min(in.seq, chunk_rows), "step"),
          later_chunk(1, ceil_div(in.seq, chunk_rows), "later_chunk"), seq(in.seq), decay(in.decay),
          rounded(in.rounded) {
        using namespace Halide;
        const Var channel("channel"), position("position"), chunk("chunk"), batch("batch");
        const Tuple nothing{undef<float>(), undef<float>(), undef<float>(), undef<float>()};
        const auto last_position = [&](const Expr &number) {
            return clamp(in.rows(batch) - number * chunk_rows, 0, chunk_rows);
        };
        local(channel, position, chunk, batch) = nothing;
        local(channel, 0, chunk, batch) = RunningSums::none().tuple();
        const Source source{Tuple(sources(channel, chunk * chunk_rows + step - 1, batch))};
        const RunningSums before(local(channel, step - 1, chunk, batch)), aged = later(before, 1);
        local(channel, step, chunk, batch) =
            RunningSums::choose(step <= last_position(chunk),
                                aged.with(rounded, score(aged, channel), RunningSums(source), {source.key, 0.0f}),
                                before)
                .tuple();
        carried(channel, chunk, batch) = nothing;
        carried(channel, 0, batch) = RunningSums(in.state(channel, 0, batch), in.state(channel, 1, batch),
                                                 in.state(channel, 2, batch), in.state(channel, 3, batch))
                                         .or_none()
                                         .tuple();
        const Expr previous = later_chunk - 1;
        carried(channel, later_chunk, batch) =
            joined(later(RunningSums(carried(channel, previous, batch)), last_position(previous)),
                   total ? total(local, {channel, previous, batch})
                         : RunningSums(local(channel, min(seq, chunk_rows), previous, batch)),
                   channel)
                .tuple();
    }

    /// Before the first position of a chunk.
    RunningSums before_chunk(const Halide::Expr &channel, const Halide::Expr &number, const Halide::Expr &batch) const {
        return RunningSums(carried(channel, number, batch));
    }
    RunningSums before(const Halide::Expr &channel, const Halide::Expr &row, const Halide::Expr &batch) const {
        const Halide::Expr number = row / chunk_rows, position = row % chunk_rows;
        return joined(later(before_chunk(channel, number, batch), position),
                      RunningSums(local(channel, position, number, batch)), channel);
    }
    RunningSums after_all(const Halide::Expr &channel, const Halide::Expr &batch) const {
        return before_chunk(channel, ceil_div(seq, chunk_rows), batch);
    }
    Score score(const RunningSums &sums, const Halide::Expr &channel) const {
        return decay.defined() ? sums.score(rounded, decay(channel)) : sums.score();
    }

private:
    Halide::Expr seq;
    Halide::Func decay;
    Rounding rounded;

    /// Without a decay, it doesn't matter when a source was.
    RunningSums later(const RunningSums &sums, const Halide::Expr &positions) const {
        return decay.defined() ? sums.aged(Halide::cast<float>(positions)) : sums;
    }
    RunningSums joined(const RunningSums &earlier, const RunningSums &others, const Halide::Expr &channel) const {
        return earlier.with(rounded, score(earlier, channel), others, score(others, channel));
    }
};

/// The position bias of the last s sources of a target. It is one for all channels, or one for all targets.
struct WindowBias {
    bool is_per_channel;
    std::function<Halide::Expr(const Halide::Expr &distance, const Halide::Expr &channel, const Halide::Expr &row,
                               const Halide::Expr &batch)>
        at;
};

inline Halide::Expr gated_mean(const ScanInputs &in, const Halide::Expr &mean, const Halide::Expr &channel,
                               const Halide::Expr &row, const Halide::Expr &batch) {
    return gate(in.rounded, in.gate, in.q(channel, row, batch)) * mean;
}
inline Halide::Expr stored_state(const ScanSums &sums, const Halide::Expr &channel, const Halide::Expr &value,
                                 const Halide::Expr &batch) {
    return mux(value, sums.after_all(channel, batch).tuple());
}

}  // namespace aft
