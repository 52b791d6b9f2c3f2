#pragma once

#include "../band_factors.h"
#include "../certified_factors.h"
#include "joint.h"
#include "scaled_targets.h"

namespace aft {

/// The gradient of the position bias as one product over the channels per sample (ScaledTargets):
///     dw[i, j] = sum over samples of scale E(i, j) sum over channels of (a V' - a A')[i] EK[j]
/// with EK = exp(K - the largest K of the sample), and the E and r of the Factors, which are CertifiedFactors or
/// BandFactors. Every sample adds its part in turn, so that no sum depends on how many threads there are. In panels
/// only: tiles of targets by panels of sources.
template<typename Form, template<typename> class Factors>
struct BiasGradientsOf {
    using Element = typename Form::Element;
    using Expr = Halide::Expr;

    const Form &form;
    const BiasGradientInputs in;
    Factors<Form> factors;
    ScaledTargets<Form> targets;
    typename Form::Left rows;        // a and a A', blocks of channels in turn
    typename Form::Columns columns;  // EK V' and -EK
    typename Form::Right sources;    // the same, sources side by side, blocks of channels in turn
    Halide::Func steps;              // of the product for a tile of targets and a panel of sources
    typename Form::Product sums;
    Halide::Func doubtful;           // whether a tile of targets of a sample has a doubtful one
    Halide::RDom any;                // of all its rows and channels
    JointBiasGradients<Form> exact;  // of the doubtful targets of one sample
    Halide::Func weights;            // E, a row for each target
    Halide::Func of_sample, total;   // what a sample adds, and what all add, tiles by panels
    Halide::RDom sample;             // that share a parameter

    BiasGradientsOf(Form &form, const BiasGradientInputs &in)
        : form(form), in(in), factors(form, in),
          targets(form, in, [this](const Element &target) { return factors.reference(target); }),
          steps(form.stage("steps")), doubtful(form.stage("doubtful")),
          any({{0, form.tiles.vector}, {0, ceil_div(in.projected, form.tiles.vector)}, {0, form.tile_rows}},
              "of_targets"),
          exact(form, in, 1, targets.targets, [this](const Element &target) { return targets.is_doubtful(target); }),
          weights(form.stage("weights")), of_sample(form.stage("of_sample")), total(form.stage("total")),
          sample(0, in.samples, "sample") {
        using namespace Halide;
        rows = form.rows("target_rows", [&](const Element &e) {
            const Element t = channel_of(e.lane, e.block, e.row, e.batch);
            const Expr factor = select(is_second(e.block), targets.mean(t), 1.0f);
            return kept_if(t.channel < in.projected && t.row < in.targets, targets(t) * factor);
        });
        columns = form.columns("source_columns", [&](const Element &e) {
            const Expr exp_k =
                SourceChunk::exponential(in.rounded, in.key_at(e.channel, e.row, e.batch) - factors.largest_key(e));
            const Expr counts = in.counts(e.channel, e.row, e.batch);
            return std::vector<Expr>{kept_if(counts, exp_k * targets.value(e)), kept_if(counts, -exp_k)};
        });
        sources = form.by_rows("sources_by_step", [&](const Expr &source, const Expr &step, const Expr &batch) {
            const Expr lane = step % form.tiles.vector, block = step / form.tiles.vector;
            const Tuple both = columns(form.at_source(channel_of(lane, block, source, batch)));
            return select(is_second(block), both[1], both[0]);
        });
        // Halide makes bounds of loops of it, but not of the condition.
        steps(form.tile, form.block, form.batch) = select(any_pair(), all_steps(), 0);
        sums = form.product_of_chunks(
            "sums", rows, {sources}, all_steps(), SourceChunk::rows,
            [&](const Expr &tile, const Expr &panel, const Expr &b) { return steps(tile, panel, b); }, nullptr);

        const Element each = form.at(any.y * form.tiles.vector + any.x, form.tile * form.tile_rows + any.z, form.batch);
        doubtful(form.tile, form.batch) = cast<uint8_t>(0);
        const Expr doubtful_tile = doubtful(form.tile, form.batch);
        doubtful(form.tile, form.batch) = max(doubtful_tile, cast<uint8_t>(targets.is_doubtful(each)));

        const Var s("source"), t("target");
        weights(s, t, form.batch) = factors.weight(min(t, in.targets - 1), s, form.batch);
        const std::vector<Expr> at = {form.lane, form.row_in_tile, form.tile, form.block, form.batch};
        const Expr target = form.tile * form.tile_rows + form.row_in_tile;
        const Expr source = form.block * form.tiles.width + form.lane;
        const Expr weight = weights(source, target, form.batch);
        const Expr certain = in.scale(form.batch) * weight * sums.sums(at);
        of_sample(at) = kept_if(weight != 0.0f && in.in_window(target, source, form.batch), certain) +
                        select(doubtful_tile != 0, exact.sums(source, target, form.batch), 0.0f);

        const Expr of_parameters = form.batch * in.samples + sample;
        sample.where(steps(form.tile, form.block, of_parameters) > 0);
        total(at) = 0.0f;
        total(at) += of_sample(form.lane, form.row_in_tile, form.tile, form.block, of_parameters);
    }

    void define(Halide::Func bias) const {
        const Halide::Var source("source"), target("target"), parameters("parameters");
        bias(source, target, parameters) = total(source % form.tiles.width, target % form.tile_rows,
                                                 target / form.tile_rows, source / form.tiles.width, parameters);
    }

private:
    /// The steps of the products: a block of channels for a V', the same for a A', and so on.
    Expr all_steps() const {
        return ceil_div(in.projected, form.tiles.vector) * (2 * form.tiles.vector);
    }
    static Expr is_second(const Expr &block) {
        return block % 2 == 1;
    }
    Element channel_of(const Expr &lane, const Expr &block, const Expr &row, const Expr &batch) const {
        const Expr of_channels = block / 2;
        return form.row_of({lane, of_channels, batch, {}, {}, of_channels * form.tiles.vector + lane, {}}, row);
    }
    /// Whether a target of a tile sees a source of a panel, as far as their positions say.
    Expr any_pair() const {
        using namespace Halide;
        const Expr first = form.tile * form.tile_rows, last = min(first + form.tile_rows, in.targets) - 1;
        const Expr first_source = form.block * form.tiles.width, last_source = first_source + form.tiles.width - 1;
        const Expr position = in.first(form.batch);
        return first_source < in.end(last, form.batch) && last_source > position + first - in.window &&
               first_source < position + last + in.window;
    }
};

template<typename Form>
using CertifiedBiasGradients = BiasGradientsOf<Form, CertifiedFactors>;
template<typename Form>
using CertifiedBandBiasGradients = BiasGradientsOf<Form, BandFactors>;

}  // namespace aft
