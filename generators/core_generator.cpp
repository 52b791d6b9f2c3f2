#include "core_kernel.h"

namespace aft {

enum class CoreAlgorithm { certified, certified_band, joint, softmax };

/// The mean over the sources of a call.
class CoreGenerator : public CoreKernel<CoreGenerator> {
public:
    Param<CoreAlgorithm> algorithm{"algorithm",
                                   CoreAlgorithm::joint,
                                   {{"certified", CoreAlgorithm::certified},
                                    {"certified_band", CoreAlgorithm::certified_band},
                                    {"joint", CoreAlgorithm::joint},
                                    {"softmax", CoreAlgorithm::softmax}}};

    void configure() {
        add_inputs(false);
    }

    void generate() {
        if (algorithm == CoreAlgorithm::certified) {
            with_panels([&](auto &form) { this->template define_and_schedule<Certified>(form); });
        } else if (algorithm == CoreAlgorithm::certified_band) {
            with_panels([&](auto &form) { this->template define_and_schedule<CertifiedBand>(form); });
        } else if (algorithm == CoreAlgorithm::joint) {
            with_form([&](auto &form) { this->template define_and_schedule<Joint>(form); });
        } else {
            with_form([&](auto &form) { this->template define_and_schedule<Pooled>(form); });
        }
    }
};

}  // namespace aft

HALIDE_REGISTER_GENERATOR(aft::CoreGenerator, aft_core)
