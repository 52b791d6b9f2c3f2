#include "activation.h"

#include <linear_kernel.h>

namespace networks {

/// y = activation(x W^T + b), or x W^T + b + residual: the library's projection, in its panels and by its schedule,
/// with what follows it. x (inputs, rows, batch), w of aft_prepare_linear, b (outputs), residual and y (outputs, rows,
/// batch).
class LinearBlock : public aft::LinearOperands<LinearBlock> {
public:
    Param<Activation> activation{"activation",
                                 Activation::none,
                                 {{"none", Activation::none},
                                  {"relu", Activation::relu},
                                  {"gelu", Activation::gelu},
                                  {"tanh", Activation::tanh}}};
    Param<bool> adds_residual{"adds_residual", false};

    Input<Buffer<float, 3>> x{"x"};
    Input<Buffer<float, 1>> b{"b"};
    Output<Buffer<float, 3>> y{"y"};

    void configure() {
        w = add_input<Buffer<>>("w", kept_type(), weight_dimensions());
        if (adds_residual) {
            residual = add_input<Buffer<float, 3>>("residual");
        }
    }

    void generate() {
        with_panels([&](auto &form) {
            const aft::LinearInputs in{
                y.dim(2).extent(), x.dim(1).extent(), x.dim(0).extent(), y.dim(0).extent(), x, *w, b};
            aft::Linear<aft::Panels> linear(form, in, channel, row, batch);
            Halide::Expr value = activate(activation, linear.y);
            if (residual) {
                value += (*residual)(channel, row, batch);
            }
            y(channel, row, batch) = value;

            b.dim(0).set_min(0);
            for (int i = 0; i < 3; ++i) {
                x.dim(i).set_min(0);
                y.dim(i).set_min(0);
            }
            y.dim(1).set_extent(x.dim(1).extent());
            y.dim(2).set_extent(x.dim(2).extent());
            constrain_weight(*w, form.tiles.width);
            scheduler().apply(form, linear, y, in);
        });
    }

private:
    Input<Buffer<>> *w = nullptr;
    Input<Buffer<float, 3>> *residual = nullptr;
    Halide::Var channel{"channel"}, row{"row"}, batch{"batch"};
};

}  // namespace networks

HALIDE_REGISTER_GENERATOR(networks::LinearBlock, linear_block)
