#include "kernel_generator.h"

namespace aft {

/// x [hidden, seq, batch] and the prepared parameters -> y.
class Forward : public LayerGenerator<Forward> {
public:
    Input<Buffer<float, 3>> x{"x"};
    Output<Buffer<float, 3>> y{"y"};

    // Autoscheduled kernels are made for these extents, and take no smaller ones.
    Param<int> estimated_batch{"estimated_batch", 4};
    Param<int> estimated_seq{"estimated_seq", 1024};
    Param<int> estimated_hidden{"estimated_hidden", 512};
    Param<int> estimated_projected{"estimated_projected", 512};
    Param<int> estimated_window{"estimated_window", 32};

    // ---- the other inputs
    void configure() {
        for (Weight *w : {&wq, &wk, &wv, &wo}) {
            w->input = add_input<Buffer<>>(w->name, weight_type(), weight_dimensions());
            if (has_largest()) {
                w->largest = add_input<Buffer<float, 2>>(w->name + std::string("_largest"));
            }
        }
        for (Bias *b : {&bq, &bv, &bo}) {
            b->input = add_input<Buffer<float, 1>>(b->name);
        }
        if (layer_bias == PositionBias::banded) {
            window = add_input<int32_t>("window");
            max_seq_len = add_input<int32_t>("max_seq_len");
        }
        for (const PreparedParameter &p : prepared_list()) {
            prepared.push_back({p, add_input<Buffer<>>(p.name, type(p.layout), dimensions(p.layout))});
        }
    }

    // ---- the algorithm, then the schedule
    void generate() {
        with_form(
            [&](auto &form) { with_mean(algorithm, [&](auto mean) { define_and_schedule<decltype(mean)>(form); }); });
    }

private:
    struct Weight {
        const char *name;
        Input<Buffer<>> *input = nullptr;
        Input<Buffer<float, 2>> *largest = nullptr;  // magnitude of each channel of weights in int8
    };
    struct Bias {
        const char *name;
        Input<Buffer<float, 1>> *input = nullptr;
    };
    struct Prepared {
        PreparedParameter parameter;
        Input<Buffer<>> *input;
    };

    template<typename Mean, typename Form>
    void define_and_schedule(Form &form) {
        const LayerInputs in = inputs();
        typename Mean::template LayerIn<Form> layer(form, in, prepared_funcs(), channel, row, batch);
        y(channel, row, batch) = layer.y;

        constrain(in);
        constrain_operands(form);
        if (using_autoscheduler()) {
            permit_failed_unroll();
            set_estimates();
        } else {
            scheduler().apply(form, layer, y, in);
        }
    }

    LayerInputs inputs() {
        LayerInputs in;
        in.batch = y.dim(2).extent();
        in.hidden = x.dim(0).extent();
        in.seq = x.dim(1).extent();
        in.projected = bq.input->dim(0).extent();
        if (layer_bias == PositionBias::banded) {
            in.window = *window;
            in.max_seq_len = *max_seq_len;
        }
        in.x = x;
        in.wq = *wq.input, in.wk = *wk.input, in.wv = *wv.input, in.wo = *wo.input;
        for (const auto &[largest, weight] : {std::pair(&in.wq_largest, &wq), std::pair(&in.wk_largest, &wk),
                                              std::pair(&in.wv_largest, &wv), std::pair(&in.wo_largest, &wo)}) {
            if (weight->largest) {
                *largest = *weight->largest;
            }
        }
        in.bq = *bq.input, in.bv = *bv.input, in.bo = *bo.input;
        in.rounded = rounding(x.dim(1).stride());
        return in;
    }
    PreparedFuncs prepared_funcs() const {
        PreparedFuncs funcs;
        for (const Prepared &p : prepared) {
            funcs[p.parameter.name] = *p.input;
        }
        return funcs;
    }

    /// A constraint is a requirement that schedules may count on.
    void constrain(const LayerInputs &in) {
        if (layer_bias == PositionBias::banded) {
            add_requirement(in.window >= 0, "window is", in.window, "but must be at least 0");
            add_requirement(in.seq <= in.max_seq_len, "seq is", in.seq, "but max_seq_len is", in.max_seq_len);
        }
        for (int i = 0; i < 3; ++i) {
            x.dim(i).set_min(0);
            y.dim(i).set_min(0).set_extent(x.dim(i).extent());
        }
        bq.input->dim(0).set_min(0);
        for (const auto &[bias, extent] : {std::pair(bv, in.projected), std::pair(bo, in.hidden)}) {
            bias.input->dim(0).set_min(0);
            add_requirement(bias.input->dim(0).extent() == extent, bias.name, "has", bias.input->dim(0).extent(),
                            "channels where the layer has", extent);
        }
    }
    void constrain_operands(const Flat &) {}
    void constrain_operands(const Panels &form) {
        const Tiles &tiles = form.tiles;
        for (const auto &[w, lanes] : {std::pair(wq, tiles.width), std::pair(wk, tiles.vector),
                                       std::pair(wv, tiles.vector), std::pair(wo, tiles.width)}) {
            constrain_weight(*w.input, lanes);
            if (w.largest) {
                constrain_largest(*w.largest, lanes);
            }
        }
        const int inner = tiles.rows_first ? tiles.rows : tiles.steps();
        const int outer = tiles.rows_first ? tiles.steps() : tiles.rows;
        for (const Prepared &p : prepared) {
            if (p.parameter.layout == PreparedLayout::left_matrix) {
                p.input->dim(0).set_bounds(0, inner);
                p.input->dim(1).set_bounds(0, outer).set_stride(inner);
                p.input->dim(2).set_stride(inner * outer);
                p.input->dim(3).set_stride(p.input->dim(2).extent() * inner * outer);
            }
        }
    }

    void set_estimates() {
        const int B = estimated_batch, T = estimated_seq, H = estimated_hidden, P = estimated_projected;
        x.set_estimates({{0, H}, {0, T}, {0, B}});
        y.set_estimates({{0, H}, {0, T}, {0, B}});
        for (Weight *w : {&wq, &wk, &wv}) {
            w->input->set_estimates({{0, P}, {0, H}});
        }
        wo.input->set_estimates({{0, H}, {0, P}});
        bq.input->set_estimates({{0, P}});
        bv.input->set_estimates({{0, P}});
        bo.input->set_estimates({{0, H}});
        int steps = T;
        if (layer_bias == PositionBias::banded) {
            window->set_estimate(estimated_window);
            max_seq_len->set_estimate(T);
            steps = 2 * estimated_window - 1;
        }
        for (const Prepared &p : prepared) {
            if (p.parameter.layout == PreparedLayout::per_row) {
                p.input->set_estimates({{0, T}});
            } else {
                p.input->set_estimates({{0, steps}, {0, T}});
            }
        }
    }

    Weight wq{"wq"}, wk{"wk"}, wv{"wv"}, wo{"wo"};
    Bias bq{"bq"}, bv{"bv"}, bo{"bo"};
    Input<int32_t> *window = nullptr;       // s: the bias holds where |t - t'| < s
    Input<int32_t> *max_seq_len = nullptr;  // S
    std::vector<Prepared> prepared;         // of the mean
    Halide::Var channel{"channel"}, row{"row"}, batch{"batch"};
};

}  // namespace aft

HALIDE_REGISTER_GENERATOR(aft::Forward, aft_forward)
