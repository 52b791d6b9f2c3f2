#pragma once

#include "joint.h"

namespace aft {

/// A mean as the quotient of two sums, A = N / D, with a proof for each result that it is right. All terms of D are
/// positive and at most 1. If D >= 2^-24, a term that was flushed to zero, below 2^-126, is less than 2^-102 of it, and
/// the exponents of the terms that count are at least -17 - ln m, so that their roundings are small. Where D is
/// smaller, or N isn't finite, the sums relative to the joint maximum are taken instead, for a tile of targets and a
/// block of channels at a time: the decision depends on the sample alone. In panels only.
template<typename Form>
class Proven {
public:
    using Element = typename Form::Element;
    static constexpr float smallest_denominator = 0x1p-24f;

    Joint<Form> exact;
    Halide::Func doubtful;  // per block of channels and tile of targets
    Halide::RDom of_tile;

    Halide::Expr operator()(const Element &target) const {
        return select(is_doubtful(target), exact(target), mean(target));
    }
    WeightSum weight_sum(const Element &target) const {
        using namespace Halide;
        const WeightSum of_exact = exact.weight_sum(target);
        const Score reference = sums.reference(target);
        const auto chosen = [&](const Expr &exact, const Expr &certain) {
            return select(is_doubtful(target), exact, certain);
        };
        return {{chosen(of_exact.reference.high, reference.high), chosen(of_exact.reference.low, reference.low)},
                chosen(of_exact.sum, sums.denominator(target))};
    }

protected:
    /// Per target and channel.
    struct Sums {
        std::function<Halide::Expr(const Element &)> numerator, denominator;
        std::function<Score(const Element &)> reference;  // of the denominator, masked where there is no source
        std::function<Halide::Expr(const Element &)> sees_none;
    };

    Proven(Form &form, const CoreInputs &in)
        : exact(form, in), doubtful(form.stage("doubtful")), of_tile(form.elements_of_tile()), form(form), in(in) {}

    void prove(const Sums &of_targets) {
        using namespace Halide;
        sums = of_targets;
        const Element e = form.element_of_tile(of_tile);
        const Expr is_large = sums.denominator(e) >= smallest_denominator && has_finite_bits(sums.numerator(e));
        const Expr is_certain = sums.sees_none(e) || is_large;
        doubtful(form.tile_vars()) = 0;
        doubtful(form.tile_vars()) = max(doubtful(form.tile_vars()), select(is_certain, 0, 1));
    }

    const Form &form;
    const CoreInputs in;

private:
    Halide::Expr mean(const Element &target) const {
        return select(sums.sees_none(target), 0.0f, sums.numerator(target) / sums.denominator(target));
    }
    Halide::Expr is_doubtful(const Element &e) const {
        return doubtful(form.at_tile(e)) != 0;
    }

    Sums sums;
};

}  // namespace aft
