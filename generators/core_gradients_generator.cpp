#include "algorithms/gradients/certified.h"
#include "algorithms/gradients/pooled.h"
#include "core_kernel.h"

namespace aft {

enum class GradientAlgorithm { certified, joint, softmax };

/// The gradients of a mean of sources: its inputs, the gradient dy of its result, and what core_training saves -> dq,
/// and d.0 and d.1, the gradients of k and v.
class CoreGradientsGenerator : public CoreOperands<CoreGradientsGenerator> {
public:
    Param<GradientAlgorithm> algorithm{"algorithm",
                                       GradientAlgorithm::joint,
                                       {{"certified", GradientAlgorithm::certified},
                                        {"joint", GradientAlgorithm::joint},
                                        {"softmax", GradientAlgorithm::softmax}}};
    Input<Buffer<float, 3>> dy{"dy"};
    Input<Buffer<int32_t, 1>> targets{"targets"};  // (batch): how many of a sample have a result
    Output<Buffer<float, 3>> dq{"dq"};
    Halide::GeneratorOutput<Func> d{"d", std::vector<Halide::Type>(2, Halide::Float(32)), 3};

    void configure() {
        // Sources of a tile are read side by side, in whole vectors.
        const bool is_wide = get_target().natural_vector_size<float>() == 16;
        if (tile_rows == 0 && schedule_name == Schedule::packed) {
            tile_rows.set(is_wide ? 8 : 4);
            block_rows.set(is_wide ? 18 : 36);
        }
        const bool has_pairs = algorithm != GradientAlgorithm::softmax;
        add_inputs(has_pairs, false);
        if (has_pairs) {
            saved = add_input<Buffer<float, 4>>("saved");
        }
    }
    void generate() {
        if (algorithm == GradientAlgorithm::certified) {
            with_panels([&](auto &form) { define_and_schedule<CertifiedGradients>(form); });
        } else if (algorithm == GradientAlgorithm::joint) {
            with_form([&](auto &form) { define_and_schedule<JointGradients>(form); });
        } else {
            with_form([&](auto &form) { define_and_schedule<PooledGradients>(form); });
        }
    }

private:
    template<template<typename> class Gradients, typename Form>
    void define_and_schedule(Form &form) {
        GradientInputs in;
        static_cast<CoreInputs &>(in) = inputs(dq);
        in.dy = dy;
        in.with_result = targets;
        if (saved) {
            in.saved = *saved;
        }
        Gradients<Form> gradients(form, in);
        dq(channel, row, batch) = gradients.dq(form.at(channel, row, batch));
        d(channel, row, batch) = gradients(form.at(channel, row, batch));

        constrain();
        targets.dim(0).set_min(0).set_stride(Expr());
        const Func of_sources = d;
        for (int i = 0; i < 3; ++i) {
            dy.dim(i).set_min(0);
            dq.dim(i).set_min(0);
            of_sources.output_buffers()[0].dim(i).set_min(0);
        }
        if (saved) {
            for (int i = 0; i < 4; ++i) {
                saved->dim(i).set_min(0);
            }
        }
        if (using_autoscheduler()) {
            permit_failed_unroll();
            set_gradient_estimates();
        } else {
            scheduler().apply(form, gradients, dq, d, in);
        }
    }

    void set_gradient_estimates() {
        set_estimates();
        const Halide::Region region = {{0, estimated_projected}, {0, estimated_seq}, {0, estimated_batch}};
        dy.set_estimates(region);
        dq.set_estimates(region);
        d.set_estimates(region);
        targets.set_estimates({{0, estimated_batch}});
        if (saved) {
            saved->set_estimates({{0, estimated_projected}, {0, estimated_seq}, {0, estimated_batch}, {0, 4}});
        }
    }

    Input<Buffer<float, 4>> *saved = nullptr;
    Halide::Var channel{"channel"}, row{"row"}, batch{"batch"};
};

}  // namespace aft

HALIDE_REGISTER_GENERATOR(aft::CoreGradientsGenerator, aft_core_gradients)
