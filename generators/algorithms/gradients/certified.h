#pragma once

#include "../certified_factors.h"
#include "joint.h"

namespace aft {

/// The gradients of keys and values as one product over the targets, with the factors of CertifiedFactors:
///     [S | R][j] = sum over chunks l of targets of f_k(l) (E(l, j)^T @ [a | a A'](l))
///     dV[j] = EK[j] S[j]     dK[j] = EK[j] (V'[j] S[j] - R[j])     a[i] = h[i] exp(r[i]) / W[i]
/// A chunk of targets has the r of its last one. V' and A' are V and A less the V nearest to 0 if all have one sign,
/// which cancels: so values that have much in common lose nothing by the difference. Targets are taken from the last
/// one to the first, so that a causal sum over the targets from j on begins with the first chunk and ends early. All
/// factors but exp(r) / W are at most 1. Where that is at most 2^24, what is flushed to zero is less than 2^-102 of h.
/// Targets where it is larger, or where products could leave float32's range, are left out of the products, channel by
/// channel, and summed as JointGradients does. In panels only.
template<typename Form>
struct CertifiedGradients {
    using Element = typename Form::Element;
    using Expr = Halide::Expr;
    static constexpr float largest_exponent = 60, largest_scale = 0x1p24f, largest_product = 0x1p100f;

    const Form &form;
    const GradientInputs in;
    CertifiedFactors<Form> factors;
    Halide::Func value_range;  // the least and the largest V of a channel
    Halide::RDom of_values;
    TargetGradients<Form> targets;
    Halide::Func scaled;             // {a, or 0 for a doubtful target; whether it is one}, per target
    Halide::Func doubtful;           // whether a block of channels of a sample has a doubtful target
    Halide::RDom any;                // of all lanes and targets
    typename Form::Left weights;     // E^T
    typename Form::Columns columns;  // a and a A', from the last target to the first
    typename Form::Product sums;     // S and R
    JointGradients<Form> exact;      // of the doubtful targets
    typename Form::Targets both;     // {dK, dV}

    CertifiedGradients(Form &form, const GradientInputs &in)
        : form(form), in(in), factors(form, in), value_range(form.stage("value_range")),
          of_values(0, in.sources, "of_values"), targets(form, in), scaled(form.stage("scaled")),
          doubtful(form.stage("doubtful")), any({{0, form.tiles.vector}, {0, in.targets}}, "of_block"),
          exact(form, in, targets, define_scaled()) {
        using namespace Halide;
        const Expr channel = form.block * form.tiles.vector + any.x;
        const Element of_block = form.row_of({any.x, form.block, form.batch, {}, {}, channel, {}}, any.y);
        doubtful(form.block, form.batch) = cast<uint8_t>(0);
        doubtful(form.block, form.batch) = max(doubtful(form.block, form.batch), scaled(form.at_source(of_block))[1]);

        weights = form.rows("weights", [&](const Element &e) {
            return kept_if(e.row < in.sources && e.channel < in.targets,
                           factors.weight(target_at(e.channel), e.row, e.batch));
        });
        columns = form.columns("target_columns", [&](const Element &e) {
            const Element t = form.row_of(e, target_at(e.row));
            const Expr a = scaled(form.at_source(t))[0];
            return std::vector<Expr>{a, a * centred_mean(t)};
        });
        sums = form.product_of_chunks(
            "sums", weights, form.from(columns, [](const Expr &) { return Expr(0); }), in.targets, SourceChunk::rows,
            [&](const Expr &tile, const Expr &b) {
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
        return targets.dq(target);
    }

private:
    /// Defines `scaled`, and returns which targets are doubtful.
    std::function<Expr(const Element &)> define_scaled() {
        using namespace Halide;
        const Element source = form.variable();
        const Element each = form.row_of(source, of_values);
        const Expr v = in.value_at(each.channel, each.row, each.batch);
        const Expr counts = in.has_key(each.channel, each.row, each.batch) && has_finite_bits(v);
        value_range(form.channel_vars()) = Tuple(-lowest(), lowest());
        const Tuple range = value_range(form.channel_vars());
        value_range(form.channel_vars()) =
            Tuple(min(range[0], kept_if(counts, v, -lowest())), max(range[1], kept_if(counts, v, lowest())));

        // Rows past the last target stand for it.
        const Element target = form.row_of(source, min(source.row, in.targets - 1));
        const WeightSum all = in.weight_sum_at(target.channel, target.row, target.batch);
        const Expr exponent = exponent_of(target, all), sees = !factors.sees_none(target.row, target.batch);
        const Expr scale = exp2_bounded(in.rounded, clamp(exponent, -127.0f, largest_exponent)) / all.sum;
        const Expr a = targets.h(form.at_source(target)) * scale;
        // By its bits, as a product may be infinite or a NaN.
        const Expr size = abs(a) * max(largest_value(target), 1.0f);
        const Expr is_doubtful =
            sees && (exponent > largest_exponent || scale > largest_scale ||
                     (reinterpret<uint32_t>(size) & 0x7fffffff) > reinterpret<uint32_t>(Expr(largest_product)));
        scaled(form.source_vars()) = Tuple(kept_if(sees && !is_doubtful, a), cast<uint8_t>(is_doubtful));
        return [this](const Element &t) { return scaled(form.at_source(t))[1] != 0; };
    }

    std::vector<Expr> values(const Element &e) const {
        using namespace Halide;
        const Element source = form.row_of(e, min(e.row, in.sources - 1));
        const Expr k = in.key_at(source.channel, source.row, source.batch);
        const std::vector<Expr> own_chunk = factors.of_chunk(source, source.row / SourceChunk::rows);
        const Expr exp_k = SourceChunk::exponential(in.rounded, k - factors.sources.key_maximum(own_chunk));
        const Expr s = sums(e, 0), r = sums(e, 1);
        const Expr v = in.value_at(source.channel, source.row, source.batch) - centre(source);
        // A source that no target sees may hold anything.
        const Expr is_seen = in.has_key(source.channel, source.row, source.batch) &&
                             ((reinterpret<uint32_t>(s) | reinterpret<uint32_t>(r)) & 0x7fffffff) != 0;
        const Tuple of_doubtful = exact(e);
        const auto with_doubtful = [&](const Expr &certain, const Expr &others) {
            return kept_if(is_seen, certain) + select(doubtful(source.block, source.batch) != 0, others, 0.0f);
        };
        return {with_doubtful(exp_k * (v * s - r), of_doubtful[0]), with_doubtful(exp_k * s, of_doubtful[1])};
    }
    /// The target that a step of the products stands for.
    Expr target_at(const Expr &step) const {
        return Halide::max(in.targets - 1 - step, 0);
    }
    /// The last chunk of sources that is seen by the chunk of targets that begins with this step.
    Expr last_chunk_of(const Expr &first_step, const Expr &batch) const {
        return factors.last_chunk(in.end(target_at(first_step), batch));
    }
    /// The value of a channel that is nearest to 0, or 0 where they have both signs.
    Expr centre(const Element &e) const {
        const Halide::Tuple range = value_range(form.at_channel(e));
        return Halide::max(range[0], 0.0f) + Halide::min(range[1], 0.0f);
    }
    /// The largest |V'|.
    Expr largest_value(const Element &e) const {
        const Halide::Tuple range = value_range(form.at_channel(e));
        return Halide::max(range[1] - centre(e), centre(e) - range[0]);
    }
    Expr centred_mean(const Element &target) const {
        return in.mean_at(target.channel, target.row, target.batch) - centre(target);
    }
    /// The exponent of 2 of exp(r) relative to the reference of W.
    Expr exponent_of(const Element &target, const WeightSum &all) const {
        const Expr step = in.targets - 1 - target.row;
        const Expr last = last_chunk_of(step / SourceChunk::rows * SourceChunk::rows, target.batch);
        return factors.reference(target, last).minus(in.rounded, all.reference) * (1.44269504f / Score::scale);
    }
};

}  // namespace aft
