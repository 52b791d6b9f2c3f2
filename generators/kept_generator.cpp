#include "core_kernel.h"

namespace aft {

/// The mean over sources whose exponentials are kept (sources_generator.cpp).
class KeptGenerator : public CoreKernel<KeptGenerator> {
public:
    void configure() {
        add_inputs(true);
    }
    void generate() {
        with_panels([&](auto &form) { this->template define_and_schedule<Certified>(form); });
    }
};

}  // namespace aft

HALIDE_REGISTER_GENERATOR(aft::KeptGenerator, aft_kept)
