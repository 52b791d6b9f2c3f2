#pragma once

#include "../certified_factors.h"
#include "joint.h"

namespace aft {

/// The mean over the sources that a target sees as one product for numerator and denominator, with a proof for each
/// result that it is right:
///     [N | D][i] = sum over chunks k of f_k(i) (E(i, k) @ [EK V | EK](k))     A = N / D
/// with the factors of CertifiedFactors; f_k(i) is f_k of the chunk in which the tile of target i ends.
/// All terms of D are positive and at most 1. If D >= 2^-24, a term that was flushed to zero, below 2^-126, is less
/// than 2^-102 of it, and the exponents of the terms that count are at least -17 - ln m, so that their roundings are
/// small. Where D is smaller, or N isn't finite, the sums relative to the joint maximum are taken instead,
/// for a tile of targets and a block of channels at a time: the decision depends on the sample alone.
/// In panels only.
template<typename Form>
struct Certified {
    using Element = typename Form::Element;
    static constexpr float smallest_denominator = 0x1p-24f;

    CertifiedFactors<Form> factors;
    typename Form::Left weights;  // E
    typename Form::Product sums;
    Joint<Form> exact;
    Halide::Func doubtful;  // per block of channels and tile of targets
    Halide::RDom of_tile;

    Certified(Form &form, const CoreInputs &in)
        : factors(form, in), exact(form, in), doubtful(form.stage("doubtful")), of_tile(form.elements_of_tile()),
          form(form), in(in) {
        using namespace Halide;
        weights = form.rows("weights", [&](const Element &e) {
            return factors.weight(min(e.row, in.targets - 1), e.channel, e.batch);
        });
        sums = form.product_of_chunks(
            "sums", weights, form.from(factors.sources.columns, [](const Expr &) { return Expr(0); }), in.sources,
            SourceChunk::rows,
            [this](const Expr &tile, const Expr & /*panel*/, const Expr &b) { return end_of_tile(tile, b); },
            [&](const Expr &chunk, const Expr &end, const Element &e) {
                return factors.factor(e, chunk, factors.last_chunk(end));
            });

        const auto is_certain = [&](const Element &e) {
            return sees_none(e) || (sums(e, 1) >= smallest_denominator && has_finite_bits(sums(e, 0)));
        };
        doubtful(form.tile_vars()) = 0;
        doubtful(form.tile_vars()) =
            max(doubtful(form.tile_vars()), select(is_certain(form.element_of_tile(of_tile)), 0, 1));
    }

    Halide::Expr operator()(const Element &target) const {
        const Halide::Expr mean = select(sees_none(target), 0.0f, sums(target, 0) / sums(target, 1));
        return select(is_doubtful(target), exact(target), mean);
    }

    WeightSum weight_sum(const Element &target) const {
        using namespace Halide;
        const Score reference = factors.reference(target, factors.last_chunk(end_of_tile(target.tile, target.batch)));
        const WeightSum of_exact = exact.weight_sum(target);
        const auto chosen = [&](const Expr &exact, const Expr &certain) {
            return select(is_doubtful(target), exact, certain);
        };
        return {{chosen(of_exact.reference.high, reference.high), chosen(of_exact.reference.low, reference.low)},
                chosen(of_exact.sum, sums(target, 1))};
    }

private:
    /// Every source that a target of the tile sees stands before this one.
    Halide::Expr end_of_tile(const Halide::Expr &tile, const Halide::Expr &batch) const {
        const Halide::Expr last = tile * form.tile_rows + form.tile_rows - 1;
        return in.end(min(last, in.targets - 1), batch);
    }
    Halide::Expr sees_none(const Element &e) const {
        return factors.sees_none(min(e.row, in.targets - 1), e.batch);
    }
    Halide::Expr is_doubtful(const Element &e) const {
        return doubtful(form.at_tile(e)) != 0;
    }

    const Form &form;
    const CoreInputs in;
};

}  // namespace aft
