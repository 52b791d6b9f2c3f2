#pragma once

#include "../certified_factors.h"
#include "proven.h"

namespace aft {

/// The mean over the sources that a target sees as one product for numerator and denominator (Proven):
///     [N | D][i] = sum over chunks k of f_k(i) (E(i, k) @ [EK V | EK](k))     A = N / D
/// with the factors of CertifiedFactors; f_k(i) is f_k of the chunk in which the tile of target i ends.
template<typename Form>
struct Certified : Proven<Form> {
    using Element = typename Form::Element;
    using Expr = Halide::Expr;

    CertifiedFactors<Form> factors;
    Halide::Func chunk_factors;   // f_k(l), per channel: a table, as most tiles end in the same chunk
    typename Form::Left weights;  // E
    typename Form::Product sums;

    Certified(Form &form, const CoreInputs &in)
        : Proven<Form>(form, in), factors(form, in), chunk_factors(form.stage("chunk_factors")) {
        const Halide::Var chunk("chunk"), last("last_chunk");
        const Element each = form.variable();
        chunk_factors(of_chunks(each, chunk, last)) = factors.factor(each, chunk, last);
        weights = form.rows("weights", [&](const Element &e) {
            return factors.weight(min(e.row, in.targets - 1), e.channel, e.batch);
        });
        sums = form.product_of_chunks(
            "sums", weights, form.from(factors.sources.columns, [](const Expr &) { return Expr(0); }), in.sources,
            SourceChunk::rows,
            [this](const Expr &tile, const Expr & /*panel*/, const Expr &b) { return end_of_tile(tile, b); },
            [&](const Expr &chunk, const Expr &end, const Element &e) {
                return chunk_factors(of_chunks(e, chunk, factors.last_chunk(end)));
            });
        this->prove({[this](const Element &e) { return sums(e, 0); }, [this](const Element &e) { return sums(e, 1); },
                     [this](const Element &e) { return reference(e); },
                     [this](const Element &e) { return sees_none(e); }});
    }

private:
    std::vector<Expr> of_chunks(const Element &e, const Expr &chunk, const Expr &last) const {
        std::vector<Expr> at = factors.of_chunk(e, chunk);
        at.push_back(last);
        return at;
    }
    /// Every source that a target of the tile sees stands before this one.
    Expr end_of_tile(const Expr &tile, const Expr &batch) const {
        const Expr last = tile * this->form.tile_rows + this->form.tile_rows - 1;
        return this->in.end(min(last, this->in.targets - 1), batch);
    }
    Expr sees_none(const Element &e) const {
        return factors.sees_none(min(e.row, this->in.targets - 1), e.batch);
    }
    Score reference(const Element &e) const {
        const Score known = factors.reference(e, factors.last_chunk(end_of_tile(e.tile, e.batch)));
        return {select(sees_none(e), Score::masked().high, known.high), known.low};
    }
};

}  // namespace aft
