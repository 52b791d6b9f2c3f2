#pragma once

#include "../forms/form.h"
#include "core.h"

namespace aft {

/// The sources of a certified mean, in chunks of a fixed length: EK = exp(K - the largest K of the chunk), and EK V.
struct SourceChunk {
    static constexpr int rows = 256;

    static Halide::Expr count(const Halide::Expr &sources) {
        return ceil_div(sources, rows);
    }
    /// exp(factor v) for v <= 0, which is 0 from 2^-127 on; 1 for other values.
    static Halide::Expr exponential(const Rounding &rounded, const Halide::Expr &v, float factor = 1) {
        return exponential_of_nonpositive(rounded, Halide::min(v, 0.0f), factor);
    }
    /// The same without a promise for other values.
    static Halide::Expr exponential_of_nonpositive(const Rounding &rounded, const Halide::Expr &v, float factor = 1) {
        return exp2_bounded(rounded, Halide::max(v * (factor * 1.44269504f), -127.0f));
    }
};

/// Made of the keys and values of a call, or, where the call has kept ones, those.
template<typename Form>
struct ExpSources {
    using Element = typename Form::Element;

    bool are_kept;
    Halide::Func key_maximum;        // per channel and chunk
    Halide::Func exp_key;            // EK
    typename Form::Columns columns;  // EK V and EK of every source
    Halide::RDom row;                // of a chunk

    ExpSources(Form &form, const CoreInputs &in)
        : are_kept(in.kept.exp_key.defined()), key_maximum(form.stage("key_maximum")), exp_key(form.stage("exp_key")),
          row(0, SourceChunk::rows, "row") {
        using namespace Halide;
        const Element source = form.variable();
        const Var c("chunk");
        std::vector<Expr> of_chunk = form.at_channel(source);
        of_chunk.emplace_back(c);
        if (are_kept) {
            key_maximum(of_chunk) = in.kept.key_maximum(in.channel_at(source.channel), c, source.batch);
            columns = form.columns("source_columns", [&](const Element &e) {
                constexpr int lanes = KeptExponentials::lanes;
                const std::vector<Expr> at = {e.channel % lanes, min(likely(e.row), in.sources - 1), e.channel / lanes,
                                              e.batch};
                return std::vector<Expr>{in.kept.exp_value(at), in.kept.exp_key(at)};
            });
            return;
        }
        // A key of -inf hides its source; the length of the sample hides the sources behind it.
        const auto key = [&in](const Element &e) { return in.key_at(e.channel, e.row, e.batch); };
        const auto counts = [&](const Element &e) { return e.row < in.length(e.batch) && !is_minus_infinity(key(e)); };
        const Element in_chunk = form.row_of(source, c * SourceChunk::rows + row);
        row.where(in_chunk.row < in.length(in_chunk.batch));
        // Without keys that are NaNs: the maximum with one may forget those before it.
        const Expr has_key = !is_minus_infinity(key(in_chunk)) && !is_nan_bits(key(in_chunk));
        key_maximum(of_chunk) = lowest();
        key_maximum(of_chunk) = max(key_maximum(of_chunk), kept_if(has_key, key(in_chunk), lowest()));

        std::vector<Expr> own_chunk = form.at_channel(source);
        own_chunk.push_back(source.row / SourceChunk::rows);
        exp_key(form.source_vars()) =
            kept_if(counts(source), SourceChunk::exponential(in.rounded, key(source) - key_maximum(own_chunk)));
        // A key that is a NaN makes the numerator one, as every such source does: the exact sums then tell who sees it.
        columns = form.stored_columns("source_columns", [&](const Element &e) {
            const Expr exp_k = exp_key(form.at_source(e)), v = in.value_at(e.channel, e.row, e.batch);
            const Expr value = select(is_nan_bits(key(e)), key(e), exp_k * v);
            return std::vector<Expr>{kept_if(counts(e), value), exp_k};
        });
    }
};

}  // namespace aft
