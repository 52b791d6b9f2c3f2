#include "kernel_generator.h"

namespace aft {

enum class CoreAlgorithm { certified, joint, softmax };

/// The gated mean of sources without projections: q, k, v and what a target sees of the sources -> y. See CoreCall of
/// include/aft/call.h. Per target and source, the inputs are the same for all that a stride of 0 passes over.
class CoreKernel : public KernelGenerator<CoreKernel> {
public:
    Param<CoreAlgorithm> algorithm{"algorithm",
                                   CoreAlgorithm::joint,
                                   {{"certified", CoreAlgorithm::certified},
                                    {"joint", CoreAlgorithm::joint},
                                    {"softmax", CoreAlgorithm::softmax}}};

    Input<Buffer<float, 3>> q{"q"}, k{"k"}, v{"v"};
    Input<int32_t> gate{"gate"};
    Output<Buffer<float, 3>> y{"y"};

    // Autoscheduled kernels are made for these extents, and take no smaller ones.
    Param<int> estimated_batch{"estimated_batch", 4};
    Param<int> estimated_seq{"estimated_seq", 1024};  // targets and sources
    Param<int> estimated_projected{"estimated_projected", 512};

    void configure() {
        if (has_pairs()) {
            bias = add_input<Buffer<float, 3>>("bias");
            bias_scale = add_input<Buffer<float, 1>>("bias_scale");
            offset = add_input<Buffer<int32_t, 1>>("offset");
        }
        mask = add_input<Buffer<uint8_t>>("mask", has_pairs() ? 3 : 2);
        sources = add_input<Buffer<int32_t, 1>>("sources");
    }

    void generate() {
        if (is_flat()) {
            Flat form(rows_at_once_for(device, tile_rows), whole_window);
            define_and_schedule(form);
        } else {
            Panels form(tiles_for(device, get_target(), tile_request()), bfloat16, whole_window);
            if (algorithm == CoreAlgorithm::certified) {
                define_and_schedule<Certified>(form);
            } else {
                define_and_schedule(form);
            }
        }
    }

private:
    /// Whether a target's sources depend on the target.
    bool has_pairs() const {
        return algorithm != CoreAlgorithm::softmax;
    }

    template<typename Form>
    void define_and_schedule(Form &form) {
        switch (algorithm) {
            case CoreAlgorithm::joint: return define_and_schedule<Joint>(form);
            case CoreAlgorithm::softmax: return define_and_schedule<Pooled>(form);
            case CoreAlgorithm::certified: break;
        }
        _halide_user_error << "certified is computed in panels only\n";
    }
    template<template<typename> class Mean, typename Form>
    void define_and_schedule(Form &form) {
        const CoreInputs in = inputs();
        Core<Form, Mean> core(form, in);
        y(channel, row, batch) = core.gated(form.at(channel, row, batch));

        constrain();
        if (using_autoscheduler()) {
            permit_failed_unroll();
            set_estimates();
        } else {
            Scheduler{schedule_name, device, get_target(), tile_request(), short_sequences, own}.apply(form, core, y,
                                                                                                       in);
        }
    }

    CoreInputs inputs() {
        CoreInputs in;
        in.batch = y.dim(2).extent();
        in.targets = y.dim(1).extent();
        in.sources = k.dim(1).extent();
        in.projected = y.dim(0).extent();
        in.q = q, in.k = k, in.v = v;
        in.mask = *mask, in.lengths = *sources;
        if (has_pairs()) {
            in.bias = *bias, in.bias_scale = *bias_scale, in.offset = *offset;
        }
        in.gate = gate;
        in.rounded = rounding(k.dim(1).stride());
        return in;
    }
    void constrain() {
        for (auto *tensor : {&q, &k, &v}) {
            for (int i = 0; i < 3; ++i) {
                tensor->dim(i).set_min(0);
            }
        }
        for (int i = 0; i < 3; ++i) {
            y.dim(i).set_min(0);
        }
        for (int i = 0; i < mask->dimensions(); ++i) {
            mask->dim(i).set_min(0);
        }
        sources->dim(0).set_min(0).set_stride(Expr());
        if (has_pairs()) {
            for (int i = 0; i < 3; ++i) {
                bias->dim(i).set_min(0);
            }
            bias_scale->dim(0).set_min(0).set_stride(Expr());
            offset->dim(0).set_min(0).set_stride(Expr());
        }
    }
    void set_estimates() {
        const int B = estimated_batch, T = estimated_seq, P = estimated_projected;
        for (auto *tensor : {&q, &k, &v}) {
            tensor->set_estimates({{0, P}, {0, T}, {0, B}});
        }
        y.set_estimates({{0, P}, {0, T}, {0, B}});
        gate.set_estimate(0);
        sources->set_estimates({{0, B}});
        if (has_pairs()) {
            bias->set_estimates({{0, T}, {0, T}, {0, B}});
            mask->set_estimates({{0, T}, {0, T}, {0, B}});
            bias_scale->set_estimates({{0, B}});
            offset->set_estimates({{0, B}});
        } else {
            mask->set_estimates({{0, T}, {0, B}});
        }
    }

    Input<Buffer<float, 3>> *bias = nullptr;        // (source, target, batch)
    Input<Buffer<float, 1>> *bias_scale = nullptr;  // (batch)
    Input<Buffer<uint8_t>> *mask = nullptr;         // (source, target, batch), or (source, batch)
    Input<Buffer<int32_t, 1>> *sources = nullptr;   // (batch): how many a sample has
    Input<Buffer<int32_t, 1>> *offset = nullptr;    // (batch): target i sees the sources j <= i + offset
    Halide::Var channel{"channel"}, row{"row"}, batch{"batch"};
};

}  // namespace aft

HALIDE_REGISTER_GENERATOR(aft::CoreKernel, aft_core)
