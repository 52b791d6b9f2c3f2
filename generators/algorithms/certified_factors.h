#pragma once

#include "exp_sources.h"

namespace aft {

/// exp(w(i, j) + K(j) - r(i)) per channel as a product of factors that are at most 1, so that a sum of them over
/// sources or over targets is a product of matrices:
///     E(i, j) EK(j) f_k(l)
///     E(i, j) = exp(w(i, j) - the largest w of target i), 0 for a source that it doesn't see
///     EK(j) = exp(K(j) - the largest K of its chunk k)
///     f_k(l) = exp(the largest K of chunk k - the largest of the chunks up to l)
/// for any target that sees no source behind chunk l: r(i) is its largest w and the largest K of the chunks up to l.
template<typename Form>
struct CertifiedFactors {
    using Element = typename Form::Element;
    using Expr = Halide::Expr;

    ExpSources<Form> sources;
    Halide::Func maximum_so_far;  // of the keys, per channel and chunk
    Halide::Func bias_maximum;    // half of it, per target; lowest() where the target sees no source
    Halide::RDom any;             // of all sources
    Halide::Func shared;          // E (source, target), where all samples have the same: made once in a call

    CertifiedFactors(Form &form, const CoreInputs &in)
        : sources(form, in), maximum_so_far(form.stage("maximum_so_far")), bias_maximum(form.stage("bias_maximum")),
          any(0, in.sources, "any_source"), form(form), in(in) {
        using namespace Halide;
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
        if (in.shares_weights.defined()) {
            const Var s("source");
            shared = form.stage("shared_weights");
            shared(s, target) = own_weight(target, s, 0);
        }
    }

    std::vector<Expr> of_chunk(const Element &e, const Expr &number) const {
        std::vector<Expr> at = form.at_channel(e);
        at.push_back(number);
        return at;
    }
    /// The last chunk with sources before `end`.
    static Expr last_chunk(const Expr &end) {
        return max(end - 1, 0) / SourceChunk::rows;
    }
    /// E of a target and a source, which may be behind the last one.
    Expr weight(const Expr &target, const Expr &source, const Expr &batch) const {
        if (!in.shares_weights.defined()) {
            return own_weight(target, source, batch);
        }
        const Expr own = own_weight(target, source, batch);
        // It has one element where it isn't used.
        const auto last = [&](const Expr &count) { return select(in.shares_weights, count - 1, 0); };
        const Expr of_all = shared(min(likely(source), last(in.sources)), min(target, last(in.targets)));
        return select(in.shares_weights, kept_if(source < in.sources, of_all), own);
    }
    /// f of the channel of an element.
    Expr factor(const Element &e, const Expr &chunk, const Expr &last) const {
        return SourceChunk::exponential(in.rounded,
                                        sources.key_maximum(of_chunk(e, chunk)) - maximum_so_far(of_chunk(e, last)));
    }
    /// The largest K of a sample.
    Expr largest_key(const Element &e) const {
        return maximum_so_far(of_chunk(e, last_chunk(in.length(e.batch))));
    }
    /// r of any target.
    Score reference(const Element &target) const {
        return reference(target, last_chunk(in.length(target.batch)));
    }
    /// r of a target that sees no source behind a chunk.
    Score reference(const Element &target, const Expr &last) const {
        const Expr t = min(target.row, in.targets - 1);
        return Score::sum(in.rounded, maximum_so_far(of_chunk(target, last)) * Score::scale,
                          maximum_of(t, target.batch) * (2 * Score::scale));
    }
    Expr sees_none(const Expr &target, const Expr &batch) const {
        return maximum_of(target, batch) == lowest();
    }

private:
    Expr own_weight(const Expr &target, const Expr &source, const Expr &batch) const {
        const Expr s = min(likely(source), in.sources - 1);
        // Not above 0 where the target sees the source; elsewhere the exponential may be anything.
        const Expr half = in.half_bias(target, s, batch) - maximum_of(target, batch);
        return kept_if(source < in.end(target, batch) && in.sees(target, s, batch),
                       SourceChunk::exponential_of_nonpositive(in.rounded, half, 2));
    }
    Expr maximum_of(const Expr &target, const Expr &batch) const {
        return bias_maximum(target, in.shares_weights.defined() ? min(batch, select(in.shares_weights, 0, in.batch - 1))
                                                                : batch);
    }

    const Form &form;
    const CoreInputs in;
};

}  // namespace aft
