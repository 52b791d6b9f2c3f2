#pragma once

#include "../certified_factors.h"
#include "proven.h"

namespace aft {

/// The gradients of keys and values as one product over the targets (ProvenGradients):
///     [S | R][j] = sum over chunks l of targets of f_k(l) (E(l, j)^T @ [a | a A'](l))
/// A chunk of targets has the r of its last one. Targets are taken from the last one to the first, so that a causal sum
/// over the targets from j on begins with the first chunk and ends early.
template<typename Form>
struct CertifiedGradients : ProvenGradients<Form> {
    using Element = typename Form::Element;
    using Expr = Halide::Expr;

    CertifiedFactors<Form> factors;
    typename Form::Left weights;     // E^T
    typename Form::Columns columns;  // a and a A', from the last target to the first
    typename Form::Product sums;     // S and R

    CertifiedGradients(Form &form, const GradientInputs &in)
        : CertifiedGradients(form, in, CertifiedFactors<Form>(form, in)) {}

private:
    CertifiedGradients(Form &form, const GradientInputs &in, const CertifiedFactors<Form> &of_call)
        : ProvenGradients<Form>(form, in,
                                [&](const Element &target) {
                                    const Expr step = in.targets - 1 - target.row;
                                    return of_call.reference(target,
                                                             last_chunk_of(of_call, in,
                                                                           step / SourceChunk::rows * SourceChunk::rows,
                                                                           target.batch));
                                }),
          factors(of_call) {
        weights = form.transposed_rows("weights", [&](const Element &e) {
            return kept_if(e.row < in.sources && e.channel < in.targets,
                           factors.weight(target_at(in, e.channel), e.row, e.batch));
        });
        columns = form.stored_columns("target_columns", [&](const Element &e) {
            return this->scaled(form.row_of(e, target_at(in, e.row)));
        });
        sums = form.product_of_chunks(
            "sums", weights, form.from(columns, [](const Expr &) { return Expr(0); }), in.targets, SourceChunk::rows,
            [&](const Expr &tile, const Expr & /*panel*/, const Expr &b) {
                const Expr first = tile * form.tile_rows;  // of the sources of the tile, seen by the most targets
                return select(first < in.length(b), in.targets - clamp(first - in.offset(b), 0, in.targets), 0);
            },
            [&](const Expr &chunk, const Expr & /*end*/, const Element &e) {
                return factors.factor(e, min(e.row, in.sources - 1) / SourceChunk::rows,
                                      last_chunk_of(factors, in, chunk * SourceChunk::rows, e.batch));
            });
        this->define(
            form, [&](const Element &e, int i) { return sums(e, i); },
            [&](const Element &source) {
                const std::vector<Expr> own_chunk = factors.of_chunk(source, source.row / SourceChunk::rows);
                return SourceChunk::exponential(in.rounded, in.key_at(source.channel, source.row, source.batch) -
                                                                factors.sources.key_maximum(own_chunk));
            });
    }

    /// The target that a step of the products stands for.
    static Expr target_at(const GradientInputs &in, const Expr &step) {
        return Halide::max(in.targets - 1 - step, 0);
    }
    /// The last chunk of sources that is seen by the chunk of targets that begins with this step.
    static Expr last_chunk_of(const CertifiedFactors<Form> &factors, const GradientInputs &in, const Expr &first_step,
                              const Expr &batch) {
        return factors.last_chunk(in.end(target_at(in, first_step), batch));
    }
};

}  // namespace aft
