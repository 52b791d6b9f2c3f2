#include "algorithms/gradients/linear.h"
#include "linear_kernel.h"

namespace aft {

/// The gradients of the parameters of a projection: x (inputs, rows, batch), dy (outputs, rows, batch) -> dw (inputs,
/// outputs, parameters) and db (outputs, parameters), for each sample or, where they have one, for all.
class LinearGradientsGenerator : public LinearOperands<LinearGradientsGenerator> {
public:
    Input<Buffer<float, 3>> x{"x"}, dy{"dy"};
    Output<Buffer<float, 3>> dw{"dw"};
    Output<Buffer<float, 2>> db{"db"};

    void configure() {
        set_rows_of_transposed();
    }
    void generate() {
        with_form([&](auto &form) { define_and_schedule(form); });
    }

private:
    template<typename Form>
    void define_and_schedule(Form &form) {
        LinearGradientInputs in;
        in.samples = x.dim(2).extent() / max(dw.dim(2).extent(), 1);
        in.rows = x.dim(1).extent();
        in.inputs = x.dim(0).extent();
        in.outputs = dy.dim(0).extent();
        in.x = x;
        in.dy = dy;
        LinearGradients<Form> gradients(form, in);
        dw(input, output, parameters) = gradients.weight(input, output, parameters);
        db(output, parameters) += gradients.bias_term(output, parameters);

        for (int i = 0; i < 3; ++i) {
            x.dim(i).set_min(0);
            dy.dim(i).set_min(0);
            dw.dim(i).set_min(0);
        }
        db.dim(0).set_min(0);
        db.dim(1).set_min(0);
        if (using_autoscheduler()) {
            permit_failed_unroll();
            const int B = estimated_batch, T = estimated_seq, H = estimated_hidden, P = estimated_projected;
            x.set_estimates({{0, H}, {0, T}, {0, B}});
            dy.set_estimates({{0, P}, {0, T}, {0, B}});
            dw.set_estimates({{0, H}, {0, P}, {0, 1}});
            db.set_estimates({{0, P}, {0, 1}});
        } else {
            scheduler().apply(form, gradients, dw, db, in);
        }
    }

    Halide::Var input{"input"}, output{"output"}, parameters{"parameters"};
};

}  // namespace aft

HALIDE_REGISTER_GENERATOR(aft::LinearGradientsGenerator, aft_linear_gradients)
