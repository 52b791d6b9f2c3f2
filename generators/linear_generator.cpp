#include "linear_kernel.h"

namespace aft {

/// A projection: x (inputs, rows, batch), the prepared weights and b (outputs) -> y (outputs, rows, batch). The samples
/// of x may be one and the same.
class LinearKernel : public LinearOperands<LinearKernel> {
public:
    Input<Buffer<float, 3>> x{"x"};
    Input<Buffer<float, 1>> b{"b"};
    Output<Buffer<float, 3>> y{"y"};

    void configure() {
        w = add_input<Buffer<>>("w", weight_type(), weight_dimensions());
        if (has_largest()) {
            w_largest = add_input<Buffer<float, 2>>("w_largest");
        }
    }

    void generate() {
        with_form([&](auto &form) { define_and_schedule(form); });
    }

private:
    template<typename Form>
    void define_and_schedule(Form &form) {
        LinearInputs in{y.dim(2).extent(), x.dim(1).extent(), x.dim(0).extent(), y.dim(0).extent(), x, *w, b};
        if (w_largest) {
            in.w_largest = *w_largest;
        }
        Linear<Form> linear(form, in, channel, row, batch);
        y(channel, row, batch) = linear.y;

        constrain();
        constrain_weights(form);
        if (using_autoscheduler()) {
            permit_failed_unroll();
            set_estimates();
        } else {
            scheduler().apply(form, linear, y, in);
        }
    }

    void constrain() {
        b.dim(0).set_min(0);
        for (int i = 0; i < 3; ++i) {
            x.dim(i).set_min(0);
            y.dim(i).set_min(0);
        }
        y.dim(1).set_extent(x.dim(1).extent());
        y.dim(2).set_extent(x.dim(2).extent());
        add_requirement(b.dim(0).extent() == y.dim(0).extent(), "b has", b.dim(0).extent(), "channels where y has",
                        y.dim(0).extent());
    }
    void constrain_weights(const Flat &) {}
    void constrain_weights(const Panels &form) {
        constrain_weight(*w, form.tiles.width);
        if (w_largest) {
            constrain_largest(*w_largest, form.tiles.width);
        }
    }

    void set_estimates() {
        const int B = estimated_batch, T = estimated_seq, H = estimated_hidden, P = estimated_projected;
        x.set_estimates({{0, H}, {0, T}, {0, B}});
        w->set_estimates({{0, P}, {0, H}});
        b.set_estimates({{0, P}});
        y.set_estimates({{0, P}, {0, T}, {0, B}});
    }

    Input<Buffer<>> *w = nullptr;
    Input<Buffer<float, 2>> *w_largest = nullptr;  // of weights in int8
    Halide::Var channel{"channel"}, row{"row"}, batch{"batch"};
};

}  // namespace aft

HALIDE_REGISTER_GENERATOR(aft::LinearKernel, aft_linear)
