#include "layer_generator.h"

namespace aft {

class AftFullForward : public ForwardGenerator<AftFullForward> {
public:
    void configure_core() {
        bias = exact() ? add_parameter("bias", 2) : add_left_matrix("exp_bias");
    }

    void generate() {
        if (exact()) {
            define<AftExact>(*bias, BiasedSources::full(inputs().seq));
        } else {
            define_in_form<AftFull>(*bias);
        }
    }

    void set_core_estimates() {
        bias->set_estimates({{0, estimated_seq}, {0, estimated_seq}});
    }

private:
    Parameter bias = nullptr;
};

class AftFullPrepare : public PrepareGenerator<AftFullPrepare> {
public:
    Input<Buffer<float, 2>> position_bias{"position_bias"};  // (source, target)

    void configure_core() {
        bias = exact() ? add_prepared("bias", 2) : add_prepared("exp_bias", left_matrix_dimensions(), kept_type());
    }

    void generate_core() {
        const Expr seq = position_bias.dim(1).extent();
        require_extents("position_bias", position_bias, seq, seq);
        if (exact()) {
            prepare_exact_bias(*bias, position_bias, BiasedSources::full(seq), seq);
        } else {
            with_form([&](auto &form) { in_full(prepare_exp_bias(form, *bias, position_bias, seq)); });
        }
    }

private:
    Prepared bias = nullptr;
};

}  // namespace aft

HALIDE_REGISTER_GENERATOR(aft::AftFullForward, aft_full_forward)
HALIDE_REGISTER_GENERATOR(aft::AftFullPrepare, aft_full_prepare)
