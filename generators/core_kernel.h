#pragma once

#include "kernel_generator.h"

namespace aft {

/// The inputs of a mean of sources without projections: q, k, v and what a target sees of the sources. See CoreCall of
/// include/aft/call.h. Per target and source, the inputs are the same for all that a stride of 0 passes over.
template<typename Derived>
class CoreOperands : public KernelGenerator<Derived> {
public:
    template<typename T>
    using Param = Halide::GeneratorParam<T>;
    template<typename T>
    using Input = Halide::GeneratorInput<T>;
    template<typename T>
    using Output = Halide::GeneratorOutput<T>;

    Input<Buffer<float, 3>> q{"q"}, k{"k"}, v{"v"};
    Input<int32_t> gate{"gate"};

    Param<PositionBias> layer_bias{"layer_bias",
                                   PositionBias::given,
                                   {{"none", PositionBias::none},
                                    {"banded", PositionBias::banded},
                                    {"given", PositionBias::given}}};

    // Autoscheduled kernels are made for these extents, and take no smaller ones.
    Param<int> estimated_batch{"estimated_batch", 4};
    Param<int> estimated_seq{"estimated_seq", 1024};  // targets and sources
    Param<int> estimated_projected{"estimated_projected", 512};
    Param<int> estimated_window{"estimated_window", 32};

protected:
    /// are_kept: whether the exponentials of the sources are inputs.
    void add_inputs(bool are_kept) {
        const bool has_pairs = layer_bias == PositionBias::given;
        if (layer_bias != PositionBias::none) {
            bias = this->template add_input<Buffer<float>>("bias", has_pairs ? 3 : 2);
        }
        if (has_pairs) {
            bias_scale = this->template add_input<Buffer<float, 1>>("bias_scale");
            offset = this->template add_input<Buffer<int32_t, 1>>("offset");
        }
        if (layer_bias == PositionBias::banded) {
            add_window();
            ahead = this->template add_input<int32_t>("ahead");
        }
        mask = this->template add_input<Buffer<uint8_t>>("mask", has_pairs ? 3 : 2);
        sources = this->template add_input<Buffer<int32_t, 1>>("sources");
        if (are_kept) {
            exp_key = this->template add_input<Buffer<float, 4>>("exp_key");
            exp_value = this->template add_input<Buffer<float, 4>>("exp_value");
            key_maximum = this->template add_input<Buffer<float, 3>>("key_maximum");
        }
    }

    /// Positions at this distance or more have no parameter.
    void add_window() {
        if (!window) {
            window = this->template add_input<int32_t>("window");
        }
    }

    /// of_targets: a tensor (channel, target, batch).
    template<typename Tensor>
    CoreInputs inputs(const Tensor &of_targets) {
        CoreInputs in;
        in.batch = of_targets.dim(2).extent();
        in.targets = of_targets.dim(1).extent();
        in.sources = k.dim(1).extent();
        in.projected = of_targets.dim(0).extent();
        in.q = q, in.k = k, in.v = v;
        in.mask = *mask, in.lengths = *sources;
        if (bias_scale) {
            in.bias = *bias, in.bias_scale = *bias_scale, in.offset = *offset;
        } else if (bias) {
            in.band = *bias;
        }
        if (window) {
            in.window = *window;
        }
        if (ahead) {
            in.ahead = *ahead;
        }
        in.gate = gate;
        if (exp_key) {
            in.kept = {*exp_key, *exp_value, *key_maximum};
        }
        in.rounded = this->rounding(k.dim(1).stride());
        return in;
    }
    /// Whether one exp of the bias is worth making for all samples, as it's the same.
    Expr shares_weights(const Expr &batch) const {
        if (!bias_scale) {
            return {};
        }
        const Expr is_one = bias->dim(2).stride() == 0 && mask->dim(2).stride() == 0 &&
                            bias_scale->dim(0).stride() == 0 && offset->dim(0).stride() == 0 &&
                            sources->dim(0).stride() == 0;
        return is_one && batch >= samples_worth_sharing;
    }
    static constexpr int samples_worth_sharing = 3;
    void constrain() {
        for (auto *tensor : {&q, &k, &v}) {
            for (int i = 0; i < 3; ++i) {
                tensor->dim(i).set_min(0);
            }
        }
        for (int i = 0; i < mask->dimensions(); ++i) {
            mask->dim(i).set_min(0);
        }
        sources->dim(0).set_min(0).set_stride(Expr());
        if (exp_key) {
            constexpr int lanes = KeptExponentials::lanes;
            for (auto *tensor : {exp_key, exp_value}) {
                tensor->dim(0).set_bounds(0, lanes);
                tensor->dim(1).set_min(0).set_stride(lanes);
                tensor->dim(2).set_min(0).set_stride(tensor->dim(1).extent() * lanes);
                tensor->dim(3).set_min(0).set_stride(tensor->dim(2).extent() * tensor->dim(2).stride());
            }
            for (int i = 0; i < 3; ++i) {
                key_maximum->dim(i).set_min(0);
            }
        }
        for (int i = 0; bias && i < bias->dimensions(); ++i) {
            bias->dim(i).set_min(0);
        }
        if (bias_scale) {
            bias_scale->dim(0).set_min(0).set_stride(Expr());
            offset->dim(0).set_min(0).set_stride(Expr());
        }
    }
    void set_estimates() {
        const int B = estimated_batch, T = estimated_seq, P = estimated_projected;
        for (auto *tensor : {&q, &k, &v}) {
            tensor->set_estimates({{0, P}, {0, T}, {0, B}});
        }
        gate.set_estimate(0);
        sources->set_estimates({{0, B}});
        if (bias_scale) {
            bias->set_estimates({{0, T}, {0, T}, {0, B}});
            mask->set_estimates({{0, T}, {0, T}, {0, B}});
            bias_scale->set_estimates({{0, B}});
            offset->set_estimates({{0, B}});
        } else {
            mask->set_estimates({{0, T}, {0, B}});
        }
        if (bias && !bias_scale) {
            bias->set_estimates({{0, T}, {0, T}});
        }
        if (window) {
            window->set_estimate(bias_scale ? T : estimated_window);
        }
        if (ahead) {
            ahead->set_estimate(T);
        }
    }

private:
    Input<Buffer<float>> *bias = nullptr;  // (source, target, batch), or (source, target)
    Input<int32_t> *window = nullptr;
    Input<int32_t> *ahead = nullptr;                // with such a bias: target i sees the sources j <= i + ahead
    Input<Buffer<float, 1>> *bias_scale = nullptr;  // (batch)
    Input<Buffer<uint8_t>> *mask = nullptr;         // (source, target, batch), or (source, batch)
    Input<Buffer<int32_t, 1>> *sources = nullptr;   // (batch): how many a sample has
    Input<Buffer<int32_t, 1>> *offset = nullptr;    // (batch): target i sees the sources j <= i + offset
    // The exponentials of kept sources: (lane, row, group of channels, batch), and (channel, chunk, batch).
    Input<Buffer<float, 4>> *exp_key = nullptr, *exp_value = nullptr;
    Input<Buffer<float, 3>> *key_maximum = nullptr;
};

/// The gated mean -> y.
template<typename Derived>
class CoreKernel : public CoreOperands<Derived> {
public:
    Halide::GeneratorOutput<Buffer<float, 3>> y{"y"};

protected:
    template<template<typename> class Mean, typename Form>
    void define_and_schedule(Form &form) {
        const CoreInputs in = this->inputs(y);
        Core<Form, Mean> core(form, in);
        y(channel, row, batch) = core.gated(form.at(channel, row, batch));

        this->constrain();
        for (int i = 0; i < 3; ++i) {
            y.dim(i).set_min(0);
        }
        if (this->using_autoscheduler()) {
            this->permit_failed_unroll();
            this->set_estimates();
            y.set_estimates({{0, this->estimated_projected}, {0, this->estimated_seq}, {0, this->estimated_batch}});
        } else {
            this->scheduler().apply(form, core, y, in);
        }
    }

private:
    Halide::Var channel{"channel"}, row{"row"}, batch{"batch"};
};

}  // namespace aft
