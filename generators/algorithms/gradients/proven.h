#pragma once

#include "joint.h"
#include "scaled_targets.h"

namespace aft {

/// The gradients of keys and values from sums over the targets, of a and of a A' (ScaledTargets):
///     dV[j] = EK[j] S[j]     dK[j] = EK[j] (V'[j] S[j] - R[j])
/// and by the definition from the targets that are left out of the sums. In panels only.
template<typename Form>
class ProvenGradients {
public:
    using Element = typename Form::Element;
    using Expr = Halide::Expr;

    ScaledTargets<Form> targets;
    Halide::RDom any;             // all lanes and targets of a block of channels
    Halide::Func doubtful;        // where the doubtful targets of a block of channels of a sample end
    JointGradients<Form> exact;   // of the doubtful targets
    typename Form::Targets both;  // {dK, dV}

    Halide::Tuple operator()(const Element &source) const {
        return both.all(source);
    }
    Expr dq(const Element &target) const {
        return targets.targets.dq(target);
    }

protected:
    ProvenGradients(Form &form, const GradientInputs &in, const typename ScaledTargets<Form>::Reference &reference)
        : targets(form, in, reference), any({{0, form.tiles.vector}, {0, in.targets}}, "of_block"),
          doubtful(end_of_doubtful(form)),
          exact(
              form, in, targets.targets, [this](const Element &target) { return targets.is_doubtful(target); },
              doubtful(form.block, form.batch)),
          form(form), in(in) {}

    std::vector<Expr> scaled(const Element &target) const {
        return {targets(target), targets(target) * targets.mean(target)};
    }
    /// sum: S and R of a source; exp_key: EK of one that is there.
    void define(Form &form, const std::function<Expr(const Element &, int)> &sum,
                const std::function<Expr(const Element &)> &exp_key) {
        both = form.targets("both", typename Form::SeveralValues([&](const Element &e) {
                                const Element source = form.row_of(e, min(e.row, in.sources - 1));
                                return values(e, source, sum(e, 0), sum(e, 1), exp_key(source));
                            }));
    }

    const Form &form;
    const GradientInputs in;

private:
    /// The first targets of a causal sample are doubtful most often.
    Halide::Func end_of_doubtful(const Form &form) const {
        using namespace Halide;
        const Expr channel = form.block * form.tiles.vector + any.x;
        const Element of_block = form.row_of({any.x, form.block, form.batch, {}, {}, channel, {}}, any.y);
        Func end = form.stage("doubtful");
        end(form.block, form.batch) = 0;
        end(form.block, form.batch) =
            max(end(form.block, form.batch), select(targets.is_doubtful(of_block), any.y + 1, 0));
        return end;
    }
    std::vector<Expr> values(const Element &e, const Element &source, const Expr &s, const Expr &r,
                             const Expr &exp_k) const {
        using namespace Halide;
        // A source that no target sees may hold anything.
        const Expr is_seen = in.counts(source.channel, source.row, source.batch) &&
                             ((reinterpret<uint32_t>(s) | reinterpret<uint32_t>(r)) & 0x7fffffff) != 0;
        const Tuple of_doubtful = exact(e);
        const auto with_doubtful = [&](const Expr &certain, const Expr &others) {
            return kept_if(is_seen, certain) + select(doubtful(source.block, source.batch) != 0, others, 0.0f);
        };
        return {with_doubtful(exp_k * (targets.value(source) * s - r), of_doubtful[0]),
                with_doubtful(exp_k * s, of_doubtful[1])};
    }
};

}  // namespace aft
