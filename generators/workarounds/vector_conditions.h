#pragma once

#include <Halide.h>

namespace aft {

/// Makes vectors of the conditions of selects between vectors, where one condition is for all lanes: on RISC-V, Halide
/// 21 gives a `vp.select` a scalar condition, which LLVM refuses. To be deleted when `make test-riscv64` passes without
/// it.
class VectorConditions : public Halide::Internal::IRMutator {
    using Expr = Halide::Expr;
    using Halide::Internal::IRMutator::visit;

    Expr visit(const Halide::Internal::Select *select) override {
        Expr value = IRMutator::visit(select);
        const auto *op = value.as<Halide::Internal::Select>();
        const auto *one = op ? op->condition.as<Halide::Internal::Broadcast>() : nullptr;
        if (!one) {
            return value;
        }
        const Expr numbers = Halide::Internal::Broadcast::make(Halide::cast<std::uint8_t>(one->value), one->lanes);
        const Expr condition = Halide::Internal::NE::make(numbers, Halide::Internal::make_zero(numbers.type()));
        return Halide::Internal::Select::make(condition, op->true_value, op->false_value);
    }
    /// A chain of selects by one index, that only code generation makes of it.
    Expr visit(const Halide::Internal::Call *call) override {
        return call->is_intrinsic(Halide::Internal::Call::mux) ? mutate(Halide::Internal::lower_mux(call))
                                                               : IRMutator::visit(call);
    }
};

}  // namespace aft
