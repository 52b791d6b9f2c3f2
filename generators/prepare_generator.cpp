#include "kernel_generator.h"

namespace aft {

/// The parameters as a checkpoint has them -> those of Forward, in the layout of its form. Runs once per layer, on the
/// CPU.
class Prepare : public LayerGenerator<Prepare> {
public:
    // The matrices of y = x W^T, inputs innermost: (hidden, projected), and (projected, hidden) for the last.
    Input<Buffer<float, 2>> query_weight{"query_weight"}, key_weight{"key_weight"}, value_weight{"value_weight"},
        project_weight{"project_weight"};

    void configure() {
        if (layer_bias != PositionBias::none) {
            position_bias = add_input<Buffer<float, 2>>("position_bias");
        }
        if (layer_bias == PositionBias::banded) {
            window = add_input<int32_t>("window");
        }
        for (const char *name : {"wq", "wk", "wv", "wo"}) {
            packed.push_back(add_output<Buffer<>>(name, weight_type(), weight_dimensions()));
            largest.push_back(has_largest() ? add_output<Buffer<>>(name + std::string("_largest"), Float(32), 2)
                                            : nullptr);
        }
        for (const PreparedParameter &p : prepared_list()) {
            prepared[p.name] = add_output<Buffer<>>(p.name, type(p.layout), dimensions(p.layout));
        }
    }

    void generate() {
        const Expr hidden = query_weight.dim(0).extent(), projected = query_weight.dim(1).extent();
        require_extents("key_weight", key_weight, hidden, projected);
        require_extents("value_weight", value_weight, hidden, projected);
        require_extents("project_weight", project_weight, projected, hidden);
        with_form([&](auto &form) {
            // K and V are the two right operands of one product.
            pack_weight(form, *packed[0], largest[0], query_weight, 1);
            pack_weight(form, *packed[1], largest[1], key_weight, 2);
            pack_weight(form, *packed[2], largest[2], value_weight, 2);
            pack_weight(form, *packed[3], largest[3], project_weight, 1);
            prepare_mean(form);
        });
        for (Func f : whole) {
            f.compute_root();
        }
        for (Output<Buffer<>> *output : packed) {
            by_outermost(*output);
        }
        for (const auto &[name, output] : prepared) {
            by_outermost(*output);
        }
    }

private:
    using Matrix = Input<Buffer<float, 2>>;

    template<typename Form>
    void prepare_mean(Form &form) {
        BiasInputs in;
        if (position_bias) {
            in.w = *position_bias;
            in.seq = position_bias->dim(1).extent();
            require_extents("position_bias", *position_bias, in.seq, in.seq);
        }
        if (window) {
            in.window = *window;
        }
        PreparedFuncs to;
        for (const auto &[name, output] : prepared) {
            to[name] = *output;
        }
        whole =
            with_mean(algorithm, [&](auto mean) { return decltype(mean)::template In<Form>::prepare(form, to, in); });
    }
    /// Panels are padded with zeros: a matrix that is too small would pass for one of zeros.
    void require_extents(const std::string &name, const Matrix &m, const Expr &inner, const Expr &outer) {
        add_requirement(m.dim(0).extent() == inner && m.dim(1).extent() == outer, name, "is", m.dim(1).extent(), "x",
                        m.dim(0).extent(), "but must be", outer, "x", inner);
    }
    static void by_outermost(Func f) {
        f.parallel(f.args().back());
    }

    Matrix *position_bias = nullptr;  // (source, target); AFTLocal reads only its band
    Input<int32_t> *window = nullptr;
    std::vector<Output<Buffer<>> *> packed;
    std::vector<Output<Buffer<>> *> largest;  // magnitudes of each channel of weights in int8; null of others
    std::map<std::string, Output<Buffer<>> *> prepared;
    std::vector<Func> whole;  // intermediates
};

}  // namespace aft

HALIDE_REGISTER_GENERATOR(aft::Prepare, aft_prepare)
