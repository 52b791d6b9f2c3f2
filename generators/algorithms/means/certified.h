#pragma once

#include "../exp_sources.h"
#include "joint.h"

namespace aft {

/// The mean over the sources that a target sees as one product for numerator and denominator, with a proof for each
/// result that it is right:
///     [N | D][i] = sum over chunks k of f_k(i) (E(i, k) @ [EK V | EK](k))     A = N / D
///     E(i, j) = exp(w(i, j) - the largest w of target i), 0 for a source that it doesn't see
///     EK(j) = exp(K(j) - the largest K of its chunk)
///     f_k(i) = exp(the largest K of chunk k - the largest of the chunks up to the one in which target i ends)
/// All terms of D are positive and at most 1. If D >= 2^-24, a term that was flushed to zero, below 2^-126, is less
/// than 2^-102 of it, and the exponents of the terms that count are at least -17 - ln m, so that their roundings are
/// small. Where D is smaller, or N isn't finite, the sums relative to the joint maximum are taken instead,
/// for a tile of targets and a block of channels at a time: the decision depends on the sample alone.
/// In panels only.
template<typename Form>
struct Certified {
    using Element = typename Form::Element;
    static constexpr float smallest_denominator = 0x1p-24f;

    ExpSources<Form> sources;
    Halide::Func maximum_so_far;  // of the keys, per channel and chunk
    Halide::Func bias_maximum;    // half of it, per target; lowest() where the target sees no source
    typename Form::Left weights;  // E
    typename Form::Product sums;
    Joint<Form> exact;
    Halide::Func doubtful;  // per block of channels and tile of targets
    Halide::RDom any;       // of all sources
    Halide::RDom of_tile;

    Certified(Form &form, const CoreInputs &in)
        : sources(form, in), maximum_so_far(form.stage("maximum_so_far")), bias_maximum(form.stage("bias_maximum")),
          exact(form, in), doubtful(form.stage("doubtful")), any(0, in.sources, "any_source"),
          of_tile(form.elements_of_tile()), form(form) {
        using namespace Halide;
        const auto of_chunk = [&](const Element &e, const Expr &number) {
            std::vector<Expr> at = form.at_channel(e);
            at.push_back(number);
            return at;
        };
        const Element source = form.variable();
        const Var c("chunk");
        const RDom later(1, max(SourceChunk::count(in.sources) - 1, 0), "later_chunk");
        maximum_so_far(of_chunk(source, c)) = sources.key_maximum(of_chunk(source, c));
        maximum_so_far(of_chunk(source, later)) =
            max(maximum_so_far(of_chunk(source, later)), maximum_so_far(of_chunk(source, later - 1)));

        const Var target("target"), batch("batch");
        bias_maximum(target, batch) = lowest();
        bias_maximum(target, batch) =
            max(bias_maximum(target, batch), select(any < in.end(target, batch) && in.sees(target, any, batch),
                                                    in.half_bias(target, any, batch), lowest()));
        weights = form.rows("weights", [&](const Element &e) {
            const Expr t = min(e.row, in.targets - 1), s = min(likely(e.channel), in.sources - 1);
            const Expr half = in.half_bias(t, s, e.batch) - bias_maximum(t, e.batch);
            return kept_if(e.channel < in.end(t, e.batch) && in.sees(t, s, e.batch),
                           SourceChunk::exponential(in.rounded, half, 2));
        });
        sums = form.product_of_chunks(
            "sums", weights, form.from(sources.columns, [](const Expr &) { return Expr(0); }), in.sources,
            SourceChunk::rows,
            [&in, &form](const Expr &tile, const Expr &b) {
                return in.end(min(tile * form.tile_rows + form.tile_rows - 1, in.targets - 1), b);
            },
            [&](const Expr &number, const Expr &end, const Element &e) {
                return SourceChunk::exponential(in.rounded,
                                                sources.key_maximum(of_chunk(e, number)) -
                                                    maximum_so_far(of_chunk(e, max(end - 1, 0) / SourceChunk::rows)));
            });

        const auto is_certain = [&](const Element &e) {
            const Expr sees_none = bias_maximum(min(e.row, in.targets - 1), e.batch) == lowest();
            return sees_none || (sums(e, 1) >= smallest_denominator && has_finite_bits(sums(e, 0)));
        };
        doubtful(form.tile_vars()) = 0;
        doubtful(form.tile_vars()) =
            max(doubtful(form.tile_vars()), select(is_certain(form.element_of_tile(of_tile)), 0, 1));
        sees_none_of = [&in, this](const Element &e) {
            return bias_maximum(min(e.row, in.targets - 1), e.batch) == lowest();
        };
    }

    Halide::Expr operator()(const Element &target) const {
        const Halide::Expr mean = select(sees_none_of(target), 0.0f, sums(target, 0) / sums(target, 1));
        return select(doubtful(form.at_tile(target)) != 0, exact(target), mean);
    }

private:
    const Form &form;
    std::function<Halide::Expr(const Element &)> sees_none_of;
};

}  // namespace aft
