#pragma once

#include "joint.h"
#include "scaled_targets.h"

namespace aft {

/// The gradients of keys and values as one product over the targets (ScaledTargets):
///     [S | R][j] = sum over chunks l of targets of f_k(l) (E(l, j)^T @ [a | a A'](l))
///     dV[j] = EK[j] S[j]     dK[j] = EK[j] (V'[j] S[j] - R[j])
/// A chunk of targets has the r of its last one. Targets are taken from the last one to the first, so that a causal sum
/// over the targets from j on begins with the first chunk and ends early. In panels only.
template<typename Form>
struct CertifiedGradients {
    using Element = typename Form::Element;
    using Expr = Halide::Expr;

    const Form &form;
    const GradientInputs in;
    CertifiedFactors<Form> factors;
    ScaledTargets<Form> targets;
    Halide::Func doubtful;           // whether a block of channels of a sample has a doubtful target
    Halide::RDom any;                // of all lanes and targets
    typename Form::Left weights;     // E^T
    typename Form::Columns columns;  // a and a A', from the last target to the first
    typename Form::Product sums;     // S and R
    JointGradients<Form> exact;      // of the doubtful targets
    typename Form::Targets both;     // {dK, dV}

    CertifiedGradients(Form &form, const GradientInputs &in)
        : form(form), in(in), factors(form, in),
          targets(form, in, factors, [this](const Element &target) { return last_chunk_seen(target); }),
          doubtful(form.stage("doubtful")), any({{0, form.tiles.vector}, {0, in.targets}}, "of_block"),
          exact(form, in, targets.targets, [this](const Element &target) { return targets.is_doubtful(target); }) {
        using namespace Halide;
        const Expr channel = form.block * form.tiles.vector + any.x;
        const Element of_block = form.row_of({any.x, form.block, form.batch, {}, {}, channel, {}}, any.y);
        doubtful(form.block, form.batch) = cast<uint8_t>(0);
        doubtful(form.block, form.batch) =
            max(doubtful(form.block, form.batch), cast<uint8_t>(targets.is_doubtful(of_block)));

        weights = form.rows("weights", [&](const Element &e) {
            return kept_if(e.row < in.sources && e.channel < in.targets,
                           factors.weight(target_at(e.channel), e.row, e.batch));
        });
        columns = form.columns("target_columns", [&](const Element &e) {
            const Element t = form.row_of(e, target_at(e.row));
            return std::vector<Expr>{targets(t), targets(t) * targets.mean(t)};
        });
        sums = form.product_of_chunks(
            "sums", weights, form.from(columns, [](const Expr &) { return Expr(0); }), in.targets, SourceChunk::rows,
            [&](const Expr &tile, const Expr & /*panel*/, const Expr &b) {
                const Expr first = tile * form.tile_rows;  // of the sources of the tile, seen by the most targets
                return select(first < in.length(b), in.targets - clamp(first - in.offset(b), 0, in.targets), 0);
            },
            [&](const Expr &chunk, const Expr & /*end*/, const Element &e) {
                return factors.factor(e, min(e.row, in.sources - 1) / SourceChunk::rows,
                                      last_chunk_of(chunk * SourceChunk::rows, e.batch));
            });
        both = form.targets("both", typename Form::SeveralValues([this](const Element &e) { return values(e); }));
    }

    Halide::Tuple operator()(const Element &source) const {
        return both.all(source);
    }
    Expr dq(const Element &target) const {
        return targets.targets.dq(target);
    }

private:
    std::vector<Expr> values(const Element &e) const {
        using namespace Halide;
        const Element source = form.row_of(e, min(e.row, in.sources - 1));
        const Expr k = in.key_at(source.channel, source.row, source.batch);
        const std::vector<Expr> own_chunk = factors.of_chunk(source, source.row / SourceChunk::rows);
        const Expr exp_k = SourceChunk::exponential(in.rounded, k - factors.sources.key_maximum(own_chunk));
        const Expr s = sums(e, 0), r = sums(e, 1);
        // A source that no target sees may hold anything.
        const Expr is_seen = in.has_key(source.channel, source.row, source.batch) &&
                             ((reinterpret<uint32_t>(s) | reinterpret<uint32_t>(r)) & 0x7fffffff) != 0;
        const Tuple of_doubtful = exact(e);
        const auto with_doubtful = [&](const Expr &certain, const Expr &others) {
            return kept_if(is_seen, certain) + select(doubtful(source.block, source.batch) != 0, others, 0.0f);
        };
        return {with_doubtful(exp_k * (targets.value(source) * s - r), of_doubtful[0]),
                with_doubtful(exp_k * s, of_doubtful[1])};
    }
    /// The target that a step of the products stands for.
    Expr target_at(const Expr &step) const {
        return Halide::max(in.targets - 1 - step, 0);
    }
    /// The last chunk of sources that is seen by the chunk of targets that begins with this step.
    Expr last_chunk_of(const Expr &first_step, const Expr &batch) const {
        return factors.last_chunk(in.end(target_at(first_step), batch));
    }
    /// The last chunk of sources that is seen by the chunk of a target.
    Expr last_chunk_seen(const Element &target) const {
        const Expr step = in.targets - 1 - target.row;
        return last_chunk_of(step / SourceChunk::rows * SourceChunk::rows, target.batch);
    }
};

}  // namespace aft
