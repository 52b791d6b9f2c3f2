#include "algorithms/gradients/certified_bias.h"
#include "gradients_kernel.h"

namespace aft {

enum class BiasGradientAlgorithm { certified, certified_band, joint };

/// dw, the gradient of the position bias of a mean of sources: of each sample, or where it has one sample, of all.
class BiasGradientsGenerator : public GradientOperands<BiasGradientsGenerator> {
public:
    Param<BiasGradientAlgorithm> algorithm{"algorithm",
                                           BiasGradientAlgorithm::joint,
                                           {{"certified", BiasGradientAlgorithm::certified},
                                            {"certified_band", BiasGradientAlgorithm::certified_band},
                                            {"joint", BiasGradientAlgorithm::joint}}};
    Input<Buffer<int32_t, 1>> first{"first"};  // (batch): the position of the first target
    Output<Buffer<float, 3>> dw{"dw"};         // (source, target, batch)

    void configure() {
        add_gradient_inputs();
        add_window();
    }
    void generate() {
        if (algorithm == BiasGradientAlgorithm::certified) {
            with_panels([&](auto &form) { define_and_schedule<CertifiedBiasGradients>(form); });
        } else if (algorithm == BiasGradientAlgorithm::certified_band) {
            with_panels([&](auto &form) { define_and_schedule<CertifiedBandBiasGradients>(form); });
        } else {
            with_form([&](auto &form) { define_and_schedule<JointBiasGradients>(form); });
        }
    }

private:
    template<template<typename> class Gradients, typename Form>
    void define_and_schedule(Form &form) {
        BiasGradientInputs in;
        static_cast<GradientInputs &>(in) = gradient_inputs();
        in.first = first;
        in.samples = in.batch / max(dw.dim(2).extent(), 1);
        Gradients<Form> gradients(form, in);
        gradients.define(dw);

        constrain_gradient_inputs();
        first.dim(0).set_min(0).set_stride(Expr());
        for (int i = 0; i < 3; ++i) {
            dw.dim(i).set_min(0);
        }
        if (using_autoscheduler()) {
            permit_failed_unroll();
            set_gradient_estimates();
            first.set_estimates({{0, estimated_batch}});
            dw.set_estimates({{0, estimated_seq}, {0, estimated_seq}, {0, 1}});
        } else {
            scheduler().apply(form, gradients, dw, in);
        }
    }
};

}  // namespace aft

HALIDE_REGISTER_GENERATOR(aft::BiasGradientsGenerator, aft_bias_gradients)
