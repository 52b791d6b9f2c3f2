#include "algorithms/gradients/certified.h"
#include "algorithms/gradients/certified_band.h"
#include "algorithms/gradients/pooled.h"
#include "gradients_kernel.h"

namespace aft {

enum class GradientAlgorithm { certified, certified_band, joint, softmax };

/// dq, and d.0 and d.1, the gradients of k and v.
class CoreGradientsGenerator : public GradientOperands<CoreGradientsGenerator> {
public:
    Param<GradientAlgorithm> algorithm{"algorithm",
                                       GradientAlgorithm::joint,
                                       {{"certified", GradientAlgorithm::certified},
                                        {"certified_band", GradientAlgorithm::certified_band},
                                        {"joint", GradientAlgorithm::joint},
                                        {"softmax", GradientAlgorithm::softmax}}};
    Output<Buffer<float, 3>> dq{"dq"};
    Halide::GeneratorOutput<Func> d{"d", std::vector<Halide::Type>(2, Halide::Float(32)), 3};

    void configure() {
        set_rows_of_transposed();
        add_gradient_inputs();
    }
    void generate() {
        if (algorithm == GradientAlgorithm::certified) {
            with_panels([&](auto &form) { define_and_schedule<CertifiedGradients>(form); });
        } else if (algorithm == GradientAlgorithm::certified_band) {
            with_panels([&](auto &form) { define_and_schedule<CertifiedBandGradients>(form); });
        } else if (algorithm == GradientAlgorithm::joint) {
            with_form([&](auto &form) { define_and_schedule<JointGradients>(form); });
        } else {
            with_form([&](auto &form) { define_and_schedule<PooledGradients>(form); });
        }
    }

private:
    template<template<typename> class Gradients, typename Form>
    void define_and_schedule(Form &form) {
        GradientInputs in = gradient_inputs();
        in.shares_weights = shares_weights(in.batch);
        Gradients<Form> gradients(form, in);
        dq(channel, row, batch) = gradients.dq(form.at(channel, row, batch));
        d(channel, row, batch) = gradients(form.at(channel, row, batch));

        constrain_gradient_inputs();
        const Func of_sources = d;
        for (int i = 0; i < 3; ++i) {
            dq.dim(i).set_min(0);
            of_sources.output_buffers()[0].dim(i).set_min(0);
        }
        if (using_autoscheduler()) {
            permit_failed_unroll();
            set_gradient_estimates();
            dq.set_estimates(estimated_region());
            d.set_estimates(estimated_region());
        } else {
            scheduler().apply(form, gradients, dq, d, in);
        }
    }

    Halide::Var channel{"channel"}, row{"row"}, batch{"batch"};
};

}  // namespace aft

HALIDE_REGISTER_GENERATOR(aft::CoreGradientsGenerator, aft_core_gradients)
