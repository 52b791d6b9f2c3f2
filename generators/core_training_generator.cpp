#include "core_kernel.h"

namespace aft {

enum class TrainingAlgorithm { certified, certified_band, joint };

/// The gated mean, and all that its gradients need of it: y.0 is the gated mean, y.1 the mean, y.2 to y.4 the sum of
/// the weights (WeightSum): the two values of its reference, and the sum relative to it.
class CoreTrainingGenerator : public CoreOperands<CoreTrainingGenerator> {
public:
    Param<TrainingAlgorithm> algorithm{"algorithm",
                                       TrainingAlgorithm::joint,
                                       {{"certified", TrainingAlgorithm::certified},
                                        {"certified_band", TrainingAlgorithm::certified_band},
                                        {"joint", TrainingAlgorithm::joint}}};
    Halide::GeneratorOutput<Func> y{"y", std::vector<Halide::Type>(5, Halide::Float(32)), 3};

    void configure() {
        add_inputs(false);
    }
    void generate() {
        if (algorithm == TrainingAlgorithm::certified) {
            with_panels([&](auto &form) { define_and_schedule<Certified>(form); });
        } else if (algorithm == TrainingAlgorithm::certified_band) {
            with_panels([&](auto &form) { define_and_schedule<CertifiedBand>(form); });
        } else {
            with_form([&](auto &form) { define_and_schedule<Joint>(form); });
        }
    }

private:
    template<template<typename> class Mean, typename Form>
    void define_and_schedule(Form &form) {
        const Func outputs = y;
        const std::vector<Halide::OutputImageParam> tensors = outputs.output_buffers();
        CoreInputs in = inputs(tensors[0]);
        in.has_weight_sums = true;
        if (!short_sequences) {
            in.shares_weights = shares_weights(in.batch);
        }
        Core<Form, Mean> core(form, in, [](const Mean<Form> &mean, const typename Form::Element &target) {
            const WeightSum weights = mean.weight_sum(target);
            return std::vector<Expr>{mean(target), weights.reference.high, weights.reference.low, weights.sum};
        });
        y(channel, row, batch) = core.gated.all(form.at(channel, row, batch));

        constrain();
        for (int i = 0; i < 3; ++i) {
            Halide::OutputImageParam(tensors[0]).dim(i).set_min(0);
        }
        if (using_autoscheduler()) {
            permit_failed_unroll();
            set_estimates();
            y.set_estimates({{0, estimated_projected}, {0, estimated_seq}, {0, estimated_batch}});
        } else {
            scheduler().apply(form, core, y, in);
        }
    }

    Halide::Var channel{"channel"}, row{"row"}, batch{"batch"};
};

}  // namespace aft

HALIDE_REGISTER_GENERATOR(aft::CoreTrainingGenerator, aft_core_training)
