#include "layer_generator.h"

namespace aft {

class AftLocalForward : public ForwardGenerator<AftLocalForward> {
public:
    void configure_core() {
        window = add_input<int32_t>("window");
        max_seq_len = add_input<int32_t>("max_seq_len");
        if (exact()) {
            band = add_parameter("bias", 2);
        } else {
            band = add_left_matrix("band");
            outside = add_parameter("outside", per_row_dimensions());
        }
    }

    void generate() {
        add_requirement(*window >= 0, "window is", *window, "but must be at least 0");
        add_requirement(inputs().seq <= *max_seq_len, "seq is", inputs().seq, "but max_seq_len is", *max_seq_len);
        if (exact()) {
            define<AftExact>(*band, BiasedSources::local(*window, *max_seq_len));
        } else {
            with_form([&](auto &form) {
                define_in_form<AftLocal>(*band, *outside, BandWindow(form, *window, inputs().seq, *max_seq_len));
            });
        }
    }

    void set_core_estimates() {
        window->set_estimate(estimated_window);
        max_seq_len->set_estimate(estimated_seq);
        band->set_estimates({{0, 2 * estimated_window - 1}, {0, estimated_seq}});
        outside->set_estimates({{0, estimated_seq}});
    }

private:
    Input<int32_t> *window = nullptr;       // s: the bias holds where |t - t'| < s
    Input<int32_t> *max_seq_len = nullptr;  // S
    Parameter band = nullptr, outside = nullptr;
};

class AftLocalPrepare : public PrepareGenerator<AftLocalPrepare> {
public:
    Input<Buffer<float, 2>> position_bias{"position_bias"};  // (source, target); only the band is read
    Input<int32_t> window{"window"};

    void configure_core() {
        if (exact()) {
            band = add_prepared("bias", 2);
        } else {
            band = add_prepared("band", left_matrix_dimensions(), kept_type());
            outside = add_prepared("outside", per_row_dimensions());
        }
    }

    void generate_core() {
        const Expr seq = position_bias.dim(1).extent();
        require_extents("position_bias", position_bias, seq, seq);
        if (exact()) {
            prepare_exact_bias(*band, position_bias, BiasedSources::local(window, seq), seq);
        } else {
            with_form([&](auto &form) {
                const BandWindow band_window(form, window, seq, seq);
                in_full(prepare_band(form, *band, *outside, position_bias, band_window, seq));
            });
        }
    }

private:
    Prepared band = nullptr, outside = nullptr;
};

}  // namespace aft

HALIDE_REGISTER_GENERATOR(aft::AftLocalForward, aft_local_forward)
HALIDE_REGISTER_GENERATOR(aft::AftLocalPrepare, aft_local_prepare)
