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

    Halide::Expr window;         // s >= 1; the sources begin s - 1 rows before the targets
    Halide::Func bias;           // (distance, target) of BandedPast, (distance, head) of Convolution
    Halide::Func position;       // (batch): the first target's, of BandedPast
    Halide::Expr longest;        // S of BandedPast
    Halide::Expr head_channels;  // of Convolution

    /// (channel, row, batch): the Source of every row.
    Halide::Func sources(Flat &form) const {
        const Halide::Var channel("channel"), row("row"), b("batch");
        Halide::Func result = form.stage("sources");
        result(channel, row, b) = Source(mask(row, b) != 0, k(channel, row, b), v(channel, row, b)).tuple();
        return result;
    }
};

/// The sums before every position of a sequence: one chain from the stored state on, position after position, so that a
/// sequence in pieces has the bits of the whole. A first pass keeps the sums before every chunk of positions, a second
/// one begins at them: it can run chunk by chunk side by side, and the sums of a chunk stay in the nearest cache.
struct ScanSums {
    /// The sums after a position, of those before it.
    using Step = std::function<RunningSums(const RunningSums &before, const Halide::Expr &channel,
                                           const Halide::Expr &position, const Halide::Expr &batch)>;
    static constexpr int chunk_rows = 32;

    Halide::Func carried;  // (channel, slot, batch)
    Halide::Func within;   // (channel, position in the chunk, chunk, batch)
    Halide::RDom position, step;

    ScanSums(Flat &form, const ScanInputs &in, const Step &next)
        : carried(form.stage("carried")), within(form.stage("within")), position(1, in.seq, "position"),
          step(1, min(in.seq, chunk_rows) - 1, "step"), seq(in.seq) {
        using namespace Halide;
        const Var channel("channel"), slot("slot"), chunk("chunk"), batch("batch");
        const Tuple nothing{undef<float>(), undef<float>(), undef<float>(), undef<float>()};
        // Positions beyond the sequence of a sample leave its sums as they are.
        const auto after = [&](const RunningSums &before, const Expr &row) {
            return RunningSums::choose(row < in.rows(batch), next(before, channel, row, batch), before).tuple();
        };
        carried(channel, slot, batch) = nothing;
        carried(channel, 0, batch) = RunningSums(in.state(channel, 0, batch), in.state(channel, 1, batch),
                                                 in.state(channel, 2, batch), in.state(channel, 3, batch))
                                         .or_none()
                                         .tuple();
        carried(channel, slot_of(position), batch) =
            after(RunningSums(carried(channel, slot_of(position - 1), batch)), position - 1);

        within(channel, slot, chunk, batch) = nothing;
        within(channel, 0, chunk, batch) = Tuple(carried(channel, slot_of(chunk * chunk_rows), batch));
        within(channel, step, chunk, batch) =
            after(RunningSums(within(channel, step - 1, chunk, batch)), min(chunk * chunk_rows + step, seq) - 1);
    }

    RunningSums before(const Halide::Expr &channel, const Halide::Expr &row, const Halide::Expr &batch) const {
        return RunningSums(within(channel, row % chunk_rows, row / chunk_rows, batch));
    }
    RunningSums after_all(const Halide::Expr &channel, const Halide::Expr &batch) const {
        return RunningSums(carried(channel, slot_of(seq), batch));
    }

private:
    Halide::Expr seq;

    /// Where the sums before a position are kept: each chunk has two slots, taken in turn, as Halide 21 reads values of
    /// a Tuple that it has just replaced (score.h). The sums before a whole number of chunks stay.
    static Halide::Expr slot_of(const Halide::Expr &position) {
        return 2 * ceil_div(position, chunk_rows) + position % 2;
    }
};

/// What all scans end in: y at (channel, row, batch), 0 at positions that a sequence doesn't have, and the state.
inline Halide::Expr gated_mean(const ScanInputs &in, const Halide::Expr &mean, const Halide::Expr &channel,
                               const Halide::Expr &row, const Halide::Expr &batch) {
    using namespace Halide;
    const Expr value = gate(in.gate, in.q(channel, row, batch)) * mean;
    return reinterpret<float>(select(row < in.rows(batch), reinterpret<uint32_t>(value), Expr(0u)));
}
inline Halide::Expr stored_state(const ScanSums &sums, const Halide::Expr &channel, const Halide::Expr &value,
                                 const Halide::Expr &batch) {
    return mux(value, sums.after_all(channel, batch).tuple());
}

}  // namespace aft
