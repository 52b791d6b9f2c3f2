#pragma once

#include "../joint_sums.h"
#include "../layer.h"
#include "../prefix_scan.h"
#include "../prepared.h"

#include <memory>

namespace aft {

/// The sources of a target whose bias isn't 0: all of them (AFTFull), or those with |t - t'| < s (AFTLocal, where the
/// window is defined).
struct BiasedSources {
    Halide::Expr length, before;  // how many; how many of them stand before the target
    bool all;

    BiasedSources(const Halide::Expr &seq, const Halide::Expr &window, const Halide::Expr &max_seq_len)
        : length(seq), before(0), all(!window.defined()) {
        if (!all) {
            const Halide::Expr band = clamp(window, 0, max_seq_len);
            length = max(2 * band - 1, 0);
            before = band - 1;
        }
    }
    Halide::Expr first(const Halide::Expr &target) const {
        return all ? Halide::Expr(0) : target - before;
    }
};

/// The mean of AFTFull and AFTLocal for any position bias, -inf (masked) included: that of every target and channel is
/// taken relative to the maximum of K + w over its own sources, so that the largest term is 1 whatever the others are.
///     A[t, c] = sum exp(K[t', c] + w[t, t'] - M) V[t', c] / sum exp(K[t', c] + w[t, t'] - M) + bv
/// It costs T exponentials per output (AFTLocal: 2 s). Where all sources are masked, A = 0. AFTLocal's sources outside
/// the band, w = 0, come from running sums of the same kind.
template<typename Form>
struct Exact {
    using Element = typename Form::Element;

    typename Form::Columns rows;  // K, V of every source
    std::unique_ptr<PrefixScan<Form>> rows_from_first, rows_from_last;
    BiasedSources biased;
    JointSums<Form> joint;  // over the biased sources
    Halide::Func mean;

    static PreparedList prepared() {
        return {{"bias", PreparedLayout::plain}};
    }

    Exact(Form &form, const LayerInputs &in, const KeyValue<Form> &key_value, const PreparedFuncs &prepared)
        : rows(form.columns("rows",
                            [&](const Element &e) {
                                return std::vector<Halide::Expr>{key_value.key(e) * Score::scale, key_value.value(e)};
                            })),
          biased(in.seq, in.window, in.max_seq_len), joint(form, in.rounded, terms(form, in, prepared)),
          mean(form.stage("mean")), form(form) {
        using namespace Halide;
        const Element target = form.variable();
        const std::vector<Var> vars = form.source_vars();
        const auto merge = [&in](const Tuple &a, const Tuple &b) { return ScoredSums::merge(in.rounded, a, b); };
        Tuple all = joint.sums(vars);
        if (!biased.all) {
            auto one = [&](const Expr &r) {
                const Tuple kv = rows(form.at_source(form.row_of(form.variable(), clamp(r, 0, in.seq - 1))));
                return ScoredSums::tuple({kv[0], 0.0f}, kv[1], 1.0f);
            };
            rows_from_first =
                std::make_unique<PrefixScan<Form>>(form, "before", one, in.seq, ScoredSums::none(), merge);
            rows_from_last = std::make_unique<PrefixScan<Form>>(
                form, "after", [&](const Expr &i) { return one(in.seq - 1 - i); }, in.seq, ScoredSums::none(), merge);
            const std::vector<Expr> channel = form.at_channel(target);
            const Expr first = target.row - biased.before, last = first + biased.length;
            all = merge(all, merge(rows_from_first->of_first(clamp(first, 0, in.seq), channel),
                                   rows_from_last->of_first(clamp(in.seq - last, 0, in.seq), channel)));
        }
        const ScoredSums result(all);
        mean(vars) =
            select(result.m.is_visible(), result.n / result.d + bias_at(in.bv, in.projected, target.channel), 0.0f);
    }

    typename Form::Product *target_sums() {
        return nullptr;
    }

    Halide::Expr operator()(const Element &target) const {
        return mean(form.at_source(target));
    }

    /// The bias of the biased sources as (step, target) and as Score has it: masked where there is no source, or by
    /// -inf.
    static std::vector<Halide::Func> prepare(Form & /*form*/, const PreparedFuncs &to, const BiasInputs &in) {
        using namespace Halide;
        const BiasedSources biased(in.seq, in.window, in.seq);
        const Var step("step"), target("target");
        const Expr t = clamp(target, 0, in.seq - 1), source = biased.first(t) + step;
        const Expr w = in.w(clamp(source, 0, in.seq - 1), t);
        // By its bits: generated code may assume that no value is infinite.
        const Expr is_masked = reinterpret<uint32_t>(w) == Expr(0xff800000u);
        Func bias = to.at("bias");
        bias(step, target) =
            select(source >= 0 && source < in.seq && !is_masked, w * Score::scale, Score::of_masked_bias);
        return {};
    }

private:
    typename JointSums<Form>::Terms terms(const Form &form, const LayerInputs &in,
                                          const PreparedFuncs &prepared) const {
        using namespace Halide;
        const Element target = form.variable();
        const auto row_of = [=, &form](const Expr &step) {
            const Expr s = clamp(biased.first(target.row) + step, 0, in.seq - 1);
            return rows(form.at_source(form.row_of(target, s)));
        };
        const Func bias = prepared.at("bias");
        const auto score = [=](const Expr &step) {
            const Expr s = biased.first(target.row) + step;
            const Expr w =
                select(step < biased.length && s >= 0 && s < in.seq,
                       bias(min(step, biased.length - 1), min(target.row, in.seq - 1)), Score::of_masked_bias);
            return Score::sum(in.rounded, row_of(step)[0], w);
        };
        return {biased.length, score, [=](const Expr &step) { return row_of(step)[1]; }};
    }

    const Form &form;
};

}  // namespace aft
