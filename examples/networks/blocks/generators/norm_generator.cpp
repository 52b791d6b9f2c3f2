#include "norm_schedule.h"

namespace networks {

using Halide::Expr;
using Halide::Func;
using Halide::Var;

/// A norm of x or, with `adds`, of x + added, with the sum beside it: y.0 = x + added, y.1 = the norm. Activations are
/// (channels, rows, batch), weight and bias (channels).
class NormBlock : public Halide::Generator<NormBlock> {
public:
    GeneratorParam<Over> over{"over", Over::channels, {{"channels", Over::channels}, {"rows", Over::rows}}};
    GeneratorParam<bool> adds{"adds", false};

    Input<Buffer<float, 3>> x{"x"};
    Input<Buffer<float, 1>> weight{"weight"};
    Input<Buffer<float, 1>> bias{"bias"};
    Input<float> epsilon{"epsilon"};

    void configure() {
        if (adds) {
            added = add_input<Buffer<float, 3>>("added");
            y = add_output<Func>("y", {Halide::Float(32), Halide::Float(32)}, 3);
        } else {
            y = add_output<Func>("y", Halide::Float(32), 3);
        }
    }

    void generate() {
        const Expr count = x.dim(over == Over::channels ? 0 : 1).extent();
        Norm norm(over, x, added ? Func(*added) : Func(), weight, bias, epsilon, count, channel, row, batch);
        Func result("result");
        if (adds) {
            result(channel, row, batch) = Halide::Tuple(norm.v, norm.value);
        } else {
            result(channel, row, batch) = norm.value;
        }
        *y = result;
        NormSchedule(result, x.dim(0).extent(), get_target()).schedule(norm, adds);
    }

private:
    Input<Buffer<float, 3>> *added = nullptr;
    Output<Func> *y = nullptr;
    Var channel{"channel"}, row{"row"}, batch{"batch"};
};

/// Rows of length 1. x, y (channels, rows, batch).
class UnitBlock : public Halide::Generator<UnitBlock> {
public:
    Input<Buffer<float, 3>> x{"x"};
    Output<Buffer<float, 3>> y{"y"};

    void generate() {
        Unit unit(x, x.dim(0).extent(), channel, row, batch);
        y(channel, row, batch) = unit.value;
        NormSchedule(y, x.dim(0).extent(), get_target()).schedule(unit);
    }

private:
    Var channel{"channel"}, row{"row"}, batch{"batch"};
};

}  // namespace networks

HALIDE_REGISTER_GENERATOR(networks::NormBlock, norm_block)
HALIDE_REGISTER_GENERATOR(networks::UnitBlock, unit_block)
