#include "layer_generator.h"

namespace aft {

class AftSimpleForward : public ForwardGenerator<AftSimpleForward> {
public:
    void configure_core() {}
    void generate() {
        define_in_form<AftSimple>();
    }
    void set_core_estimates() {}
};

class AftSimplePrepare : public PrepareGenerator<AftSimplePrepare> {
public:
    void configure_core() {}
    void generate_core() {}
};

}  // namespace aft

HALIDE_REGISTER_GENERATOR(aft::AftSimpleForward, aft_simple_forward)
HALIDE_REGISTER_GENERATOR(aft::AftSimplePrepare, aft_simple_prepare)
