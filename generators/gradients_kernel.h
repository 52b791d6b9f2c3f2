#pragma once

#include "algorithms/gradients/targets.h"
#include "core_kernel.h"

namespace aft {

/// The inputs of the gradients of a mean of sources: its inputs, the gradient dy of its result, and what core_training
/// saves.
template<typename Derived>
class GradientOperands : public CoreOperands<Derived> {
public:
    using Base = CoreOperands<Derived>;
    typename Base::template Input<Buffer<float, 3>> dy{"dy"};
    typename Base::template Input<Buffer<int32_t, 1>> targets{
        "targets"};  // (batch): how many of a sample have a result

protected:
    void add_gradient_inputs() {
        this->add_inputs(false);
        if (this->layer_bias != PositionBias::none) {
            saved = this->template add_input<Buffer<float, 4>>("saved");
        }
    }
    GradientInputs gradient_inputs() {
        GradientInputs in;
        static_cast<CoreInputs &>(in) = this->inputs(dy);
        in.dy = dy;
        in.with_result = targets;
        if (saved) {
            in.saved = *saved;
        }
        return in;
    }
    void constrain_gradient_inputs() {
        this->constrain();
        targets.dim(0).set_min(0).set_stride(Expr());
        for (int i = 0; i < 3; ++i) {
            dy.dim(i).set_min(0);
        }
        if (saved) {
            for (int i = 0; i < 4; ++i) {
                saved->dim(i).set_min(0);
            }
        }
    }
    /// (channel, target, batch)
    Halide::Region estimated_region() const {
        return {{0, this->estimated_projected}, {0, this->estimated_seq}, {0, this->estimated_batch}};
    }
    void set_gradient_estimates() {
        this->set_estimates();
        dy.set_estimates(estimated_region());
        targets.set_estimates({{0, this->estimated_batch}});
        if (saved) {
            Halide::Region region = estimated_region();
            region.emplace_back(0, 4);
            saved->set_estimates(region);
        }
    }

private:
    typename Base::template Input<Buffer<float, 4>> *saved = nullptr;
};

}  // namespace aft
