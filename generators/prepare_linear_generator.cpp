#include "kernel_generator.h"

namespace aft {

/// The weight of a projection y = x W^T + b as a checkpoint has it, (inputs, outputs) innermost first -> w, in the
/// layout of the form. Runs once per layer, on the CPU.
class PrepareLinear : public KernelGenerator<PrepareLinear> {
public:
    Input<Buffer<float, 2>> weight{"weight"};

    void configure() {
        w = add_output<Buffer<>>("w", weight_type(), weight_dimensions());
        if (has_largest()) {
            largest = add_output<Buffer<>>("w_largest", Float(32), 2);
        }
    }

    void generate() {
        with_form([&](auto &form) { pack_weight(form, *w, largest, weight, 1); });
        const Func packed = *w;
        Func(packed).parallel(packed.args().back());
    }

private:
    Output<Buffer<>> *w = nullptr;
    Output<Buffer<>> *largest = nullptr;  // magnitude of each output's weights in int8
};

}  // namespace aft

HALIDE_REGISTER_GENERATOR(aft::PrepareLinear, aft_prepare_linear)
