#include "kernel_generator.h"
#include "schedules/cpu_scan.h"

namespace aft {

/// A scan: the next n positions of causal sequences, each with the state of the positions before -> their gated means
/// and the next state. Extents innermost first, P channels, B samples:
///     q (P, n, B)     k, v (P, rows, B)     mask (rows, B) of uint8     rows (B) of int32     gate, 0 to 2
///     state (P, 4, B): RunningSums  ->  y (P, n, B), next_state (P, 4, B)
/// recurrent has n rows of sources, and decay >= 0, bonus (P). The others have s - 1 + n, and a position bias:
/// banded_past band (s, S) and position (B) of int32, convolution filter (s, heads). A sample has only `rows` of the n
/// positions; its y is 0 in the others. All strides but the innermost of the channels are free.
class Scan : public KernelGenerator<Scan> {
public:
    enum class Kind { recurrent, banded_past, convolution, certified_recurrent, certified_past, certified_convolution };
    Param<Kind> algorithm{"algorithm",
                          Kind::recurrent,
                          {{"recurrent", Kind::recurrent},
                           {"banded_past", Kind::banded_past},
                           {"convolution", Kind::convolution},
                           {"certified_recurrent", Kind::certified_recurrent},
                           {"certified_past", Kind::certified_past},
                           {"certified_convolution", Kind::certified_convolution}}};

    Input<Buffer<float, 3>> q{"q"}, k{"k"}, v{"v"};
    Input<Buffer<uint8_t, 2>> mask{"mask"};
    Input<Buffer<int32_t, 1>> rows{"rows"};
    Input<Buffer<float, 3>> state{"state"};
    Input<int32_t> gate{"gate"};
    Output<Buffer<float, 3>> y{"y"}, next_state{"next_state"};

    // Autoscheduled kernels are made for these extents, and take no smaller ones.
    Param<int> estimated_batch{"estimated_batch", 4};
    Param<int> estimated_seq{"estimated_seq", 1024};
    Param<int> estimated_projected{"estimated_projected", 512};
    Param<int> estimated_window{"estimated_window", 32};

    void configure() {
        if (is(Kind::recurrent, Kind::certified_recurrent)) {
            decay = add_input<Buffer<float, 1>>("decay");
            bonus = add_input<Buffer<float, 1>>("bonus");
        } else {
            bias = add_input<Buffer<float, 2>>(is_banded() ? "band" : "filter");
        }
        if (is_banded()) {
            position = add_input<Buffer<int32_t, 1>>("position");
        }
    }

    void generate() {
        switch (static_cast<Kind>(algorithm)) {
            case Kind::recurrent: return flat<Recurrent>();
            case Kind::banded_past: return flat<BandedPast>();
            case Kind::convolution: return flat<Convolution>();
            case Kind::certified_recurrent: return packed<Recurrent>();
            case Kind::certified_past: return packed<BandedPast>();
            case Kind::certified_convolution: break;
        }
        packed<Convolution>();
    }

private:
    bool is(Kind exact, Kind certified) const {
        return algorithm == exact || algorithm == certified;
    }
    bool is_banded() const {
        return is(Kind::banded_past, Kind::certified_past);
    }

    template<typename Exact>
    void flat() {
        Flat form(1, whole_window);
        const ScanInputs in = inputs();
        const Exact scan(form, in, in.sources(form));
        define(in, gated_mean(in, scan.mean(in, channel, row, batch), channel, row, batch), scan.sums);
        if (using_autoscheduler()) {
            permit_failed_unroll();
            set_estimates();
        } else if (schedule_name == Schedule::naive) {
            form.stages.push_back(next_state);
            schedule_naive_on(device, form, y, get_target());
        } else {
            _halide_user_error << "an exact scan has no schedule by hand but naive\n";
        }
    }
    template<typename Exact>
    void packed() {
        if (schedule_name != Schedule::packed || device != Device::cpu) {
            _halide_user_error << "a certified scan has the schedule packed, on the CPU\n";
        }
        const int vector = get_target().natural_vector_size<float>();
        Flat form(1, whole_window);
        const ScanInputs in = inputs();
        CertifiedScan<Exact> scan(form, in, vector);
        define(in, scan.gated_mean_of(channel, row, batch), scan.exact.sums);
        CpuScan(in, vector, TileRequest::or_default(tile_rows, 4)).schedule(scan, y, next_state);
    }
    /// y is 0 at positions that a sequence doesn't have.
    void define(const ScanInputs &in, const Expr &gated_mean, const ScanSums &sums) {
        y(channel, row, batch) = kept_if(row < in.rows(batch), gated_mean);
        next_state(channel, row, batch) = stored_state(sums, channel, row, batch);
        constrain();
    }

    ScanInputs inputs() {
        ScanInputs in;
        in.batch = y.dim(2).extent();
        in.seq = y.dim(1).extent();
        in.channels = y.dim(0).extent();
        in.q = q, in.k = k, in.v = v;
        in.mask = mask;
        in.rows = rows;
        in.state = state;
        in.gate = gate;
        if (decay) {
            in.decay = *decay;
            in.bonus = *bonus;
        }
        if (bias) {
            in.bias = *bias;
            in.window = bias->dim(0).extent();
            in.longest = bias->dim(1).extent();
        }
        if (position) {
            in.position = *position;
        }
        if (is(Kind::convolution, Kind::certified_convolution)) {
            in.head_channels = in.channels / bias->dim(1).extent();
        }
        if (schedule_name == Schedule::packed) {
            // Whole vectors of channels, of which only the results are guarded: the last channel stands for those that
            // aren't there.
            for (Func *f : {&in.q, &in.k, &in.v, &in.state, &in.decay, &in.bonus}) {
                if (f->defined()) {
                    std::vector<Halide::Var> vars(f->dimensions());
                    std::vector<Expr> at(vars.begin(), vars.end());
                    at[0] = min(likely(at[0]), in.channels - 1);
                    Func padded;
                    padded(vars) = (*f)(at);
                    *f = padded;
                }
            }
        }
        in.rounded = rounding(k.dim(1).stride());
        return in;
    }

    void constrain() {
        for (int i = 0; i < 3; ++i) {
            for (auto *input : {&q, &k, &v, &state}) {
                input->dim(i).set_min(0);
            }
            y.dim(i).set_min(0);
            next_state.dim(i).set_min(0);
        }
        const Expr channels = y.dim(0).extent(), batch = y.dim(2).extent();
        next_state.dim(0).set_extent(channels);
        next_state.dim(1).set_bounds(0, RunningSums::values);
        next_state.dim(2).set_extent(batch);
        mask.dim(0).set_min(0);
        mask.dim(1).set_min(0);
        rows.dim(0).set_min(0).set_stride(Expr());
        if (position) {
            position->dim(0).set_min(0).set_stride(Expr());
        }
        if (bias) {
            bias->dim(0).set_min(0);
            bias->dim(1).set_min(0);
            const Expr window = bias->dim(0).extent();
            add_requirement(window >= 1, "the window is", window, "but must be at least 1");
            add_requirement(k.dim(1).extent() == window - 1 + y.dim(1).extent(), "k has", k.dim(1).extent(),
                            "rows where the window is", window, "and y has", y.dim(1).extent());
        }
        if (is(Kind::convolution, Kind::certified_convolution)) {
            const Expr heads = bias->dim(1).extent();
            add_requirement(heads >= 1 && channels % max(heads, 1) == 0, "filter has", heads, "heads where y has",
                            channels, "channels");
        }
    }

    void set_estimates() {
        const int B = estimated_batch, n = estimated_seq, P = estimated_projected, s = estimated_window;
        const int sources = bias ? s - 1 + n : n;
        q.set_estimates({{0, P}, {0, n}, {0, B}});
        k.set_estimates({{0, P}, {0, sources}, {0, B}});
        v.set_estimates({{0, P}, {0, sources}, {0, B}});
        mask.set_estimates({{0, sources}, {0, B}});
        rows.set_estimates({{0, B}});
        state.set_estimates({{0, P}, {0, RunningSums::values}, {0, B}});
        gate.set_estimate(0);
        if (decay) {
            decay->set_estimates({{0, P}});
            bonus->set_estimates({{0, P}});
        }
        if (bias) {
            bias->set_estimates({{0, s}, {0, is_banded() ? n : 1}});
        }
        if (position) {
            position->set_estimates({{0, B}});
        }
        y.set_estimates({{0, P}, {0, n}, {0, B}});
        next_state.set_estimates({{0, P}, {0, RunningSums::values}, {0, B}});
    }

    Input<Buffer<float, 1>> *decay = nullptr, *bonus = nullptr;
    Input<Buffer<float, 2>> *bias = nullptr;
    Input<Buffer<int32_t, 1>> *position = nullptr;
    Halide::Var channel{"channel"}, row{"row"}, batch{"batch"};
};

}  // namespace aft

HALIDE_REGISTER_GENERATOR(aft::Scan, aft_scan)
