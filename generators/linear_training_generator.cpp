#include "algorithms/linear.h"
#include "linear_kernel.h"

namespace aft {

/// A projection by a weight that changes from call to call: x (inputs, rows, batch), w (inputs, outputs), of any
/// strides, and b (outputs) -> y (outputs, rows, batch).
class LinearTrainingGenerator : public LinearOperands<LinearTrainingGenerator> {
public:
    Input<Buffer<float, 3>> x{"x"};
    Input<Buffer<float, 2>> w{"w"};
    Input<Buffer<float, 1>> b{"b"};
    Output<Buffer<float, 3>> y{"y"};

    void generate() {
        with_form([&](auto &form) { define_and_schedule(form); });
    }

private:
    template<typename Form>
    void define_and_schedule(Form &form) {
        const Func packed = form.stage("packed_weight");
        pack_weight(form, packed, nullptr, w, 1);
        const LinearInputs in{y.dim(2).extent(), x.dim(1).extent(), x.dim(0).extent(), y.dim(0).extent(), x, packed, b};
        Linear<Form> linear(form, in, channel, row, batch);
        y(channel, row, batch) = linear.y;

        w.dim(0).set_min(0).set_stride(Expr());
        w.dim(1).set_min(0);
        b.dim(0).set_min(0).set_stride(Expr());
        for (int i = 0; i < 3; ++i) {
            x.dim(i).set_min(0);
            y.dim(i).set_min(0);
        }
        if (using_autoscheduler()) {
            permit_failed_unroll();
            const int B = estimated_batch, T = estimated_seq, H = estimated_hidden, P = estimated_projected;
            x.set_estimates({{0, H}, {0, T}, {0, B}});
            w.set_estimates({{0, H}, {0, P}});
            b.set_estimates({{0, P}});
            y.set_estimates({{0, P}, {0, T}, {0, B}});
        } else {
            scheduler().apply(form, linear, packed, y, in);
        }
    }

    Halide::Var channel{"channel"}, row{"row"}, batch{"batch"};
};

}  // namespace aft

HALIDE_REGISTER_GENERATOR(aft::LinearTrainingGenerator, aft_linear_training)
