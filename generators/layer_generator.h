#pragma once

#include "algorithms/flat.h"
#include "algorithms/panels.h"
#include "algorithms/prepare.h"
#include "schedules/cpu_packed.h"
#include "schedules/gpu_tiled.h"
#include "schedules/naive.h"
#include "schedules/own.h"
#include "schedules/tiles.h"
#include "schedules/vector_conditions.h"

#include <cstdlib>
#include <memory>
#include <vector>

namespace aft {

using Halide::Buffer;
using Halide::Expr;
using Halide::Func;
using Halide::Var;

/// The schedule that a kernel is built with; an autoscheduler replaces `naive`.
enum class Schedule { naive, packed, tiled, exact, own };

/// What the generators of a kernel's two halves share: the parameters that choose the schedule and its tiles.
template<typename Derived>
class LayerGenerator : public Halide::Generator<Derived> {
public:
    template<typename T>
    using Input = Halide::GeneratorInput<T>;

    Halide::GeneratorParam<Schedule> schedule_name{"schedule",
                                                   Schedule::naive,
                                                   {{"naive", Schedule::naive},
                                                    {"packed", Schedule::packed},
                                                    {"tiled", Schedule::tiled},
                                                    {"exact", Schedule::exact},
                                                    {"own", Schedule::own}}};
    /// Where the forward kernel runs. Its parameters are prepared on the CPU, in the layout of this device's tiles.
    Halide::GeneratorParam<Device> device{
        "device",
        Device::cpu,
        {{"cpu", Device::cpu}, {"cuda", Device::cuda}, {"opencl", Device::opencl}, {"vulkan", Device::vulkan}}};
    // 0: what schedules/tiles.h has for the device. Of the flat form, tile_rows is the rows of a Tuple.
    Halide::GeneratorParam<int> tile_rows{"tile_rows", 0};
    Halide::GeneratorParam<int> depth{"depth", 0};
    Halide::GeneratorParam<int> block_rows{"block_rows", 0};
    Halide::GeneratorParam<int> panel_vectors{"panel_vectors", 0};
    Halide::GeneratorParam<int> unrolled_steps{"unrolled_steps", 0};
    Halide::GeneratorParam<int> key_value_group{"key_value_group", 0};
    Halide::GeneratorParam<int> target_group{"target_group", 0};
    Halide::GeneratorParam<int> jobs{"jobs", 0};
    /// Of the forms in panels; see Panels::bfloat16.
    Halide::GeneratorParam<bool> bfloat16{"bfloat16", false};
    /// Of `packed`: made for sequences of some rows.
    Halide::GeneratorParam<bool> short_sequences{"short_sequences", false};

protected:
    bool in_panels() const {
        return schedule_name == Schedule::own ? !own.flat : schedule_name != Schedule::naive;
    }
    bool exact() const {
        return schedule_name == Schedule::exact;
    }
    void make_form() {
        if (in_panels()) {
            const TileRequest request{tile_rows,      depth,           block_rows,   panel_vectors,
                                      unrolled_steps, key_value_group, target_group, jobs};
            panels = std::make_unique<Panels>(tiles_for(device, this->get_target(), request), bfloat16);
        } else if (device == Device::cpu) {
            // 8 sums cover the latency x throughput of the multiply-adds (4 cycles x 2). On GPUs other threads do.
            flat.rows_at_once = tile_rows > 0 ? tile_rows : 8;
        }
    }
    /// Calls f with the form that the schedule works on.
    template<typename F>
    void with_form(const F &f) {
        in_panels() ? f(*panels) : f(flat);
    }
    Halide::Type kept_type() const {
        return bfloat16 ? Halide::UInt(16) : Halide::Float(32);
    }
    int weight_dimensions() const {
        return in_panels() ? Panels::weight_dimensions : Flat::weight_dimensions;
    }
    int left_matrix_dimensions() const {
        return in_panels() ? Panels::left_matrix_dimensions : Flat::left_matrix_dimensions;
    }
    int per_row_dimensions() const {
        return in_panels() ? Panels::per_row_dimensions : Flat::per_row_dimensions;
    }
    Halide::Pipeline build_pipeline() override {
        Halide::Pipeline pipeline = Halide::Generator<Derived>::build_pipeline();
        if (this->get_target().arch == Halide::Target::RISCV) {
            pipeline.add_custom_lowering_pass(new VectorConditions);
        }
        return pipeline;
    }

    OwnSchedule own = own_schedule();
    Flat flat;
    std::unique_ptr<Panels> panels;
};

/// x [hidden, seq, batch] and the prepared parameters -> y. A derived class adds the parameters of its core, defines
/// the layer, and gives estimates for its own parameters.
template<typename Derived>
class ForwardGenerator : public LayerGenerator<Derived> {
public:
    Halide::GeneratorInput<Buffer<float, 3>> x{"x"};
    Halide::GeneratorOutput<Buffer<float, 3>> y{"y"};
    // Autoscheduled kernels are made for these extents, and take no smaller ones.
    Halide::GeneratorParam<int> estimated_batch{"estimated_batch", 4};
    Halide::GeneratorParam<int> estimated_seq{"estimated_seq", 1024};
    Halide::GeneratorParam<int> estimated_hidden{"estimated_hidden", 512};
    Halide::GeneratorParam<int> estimated_projected{"estimated_projected", 512};
    Halide::GeneratorParam<int> estimated_window{"estimated_window", 32};

    void configure() {
        wq = add_parameter("wq", this->weight_dimensions(), this->kept_type());
        wk = add_parameter("wk", this->weight_dimensions(), this->kept_type());
        wv = add_parameter("wv", this->weight_dimensions(), this->kept_type());
        wo = add_parameter("wo", this->weight_dimensions(), this->kept_type());
        bq = add_parameter("bq", 1);
        bv = add_parameter("bv", 1);
        bo = add_parameter("bo", 1);
        this->make_form();
        self().configure_core();
    }

    void schedule() {
        constrain();
        if (this->using_autoscheduler()) {
            // Adams2019 unrolls whole loops that are short at the estimates though their extents are run-time values;
            // this makes them plain loops where lowering would stop.
            setenv("HL_PERMIT_FAILED_UNROLL", "1", 1);
            set_estimates();
        } else {
            apply_schedule();
        }
    }

protected:
    using Parameter = Halide::GeneratorInput<Buffer<>> *;

    Parameter add_parameter(const std::string &name, int dimensions, const Halide::Type &type = Halide::Float(32)) {
        return this->template add_input<Buffer<>>(name, type, dimensions);
    }
    /// A left operand of a product.
    Parameter add_left_matrix(const std::string &name) {
        left_matrix = add_parameter(name, this->left_matrix_dimensions(), this->kept_type());
        return left_matrix;
    }

    LayerInputs inputs() {
        return {y.dim(2).extent(),
                x.dim(0).extent(),
                x.dim(1).extent(),
                bq->dim(0).extent(),
                x,
                *wq,
                *wk,
                *wv,
                *wo,
                *bq,
                *bv,
                *bo};
    }

    /// Defines y by a layer in panels, and its hand schedule.
    template<template<typename> class Layer, typename... Core>
    void define(const Core &...core) {
        if (this->device == Device::vulkan) {
            // Strides aren't negative, which neither Halide nor the driver knows.
            this->panels->unknown_zero = x.dim(1).stride() >> 31;
        }
        auto layer = std::make_shared<Layer<Panels>>(*this->panels, inputs(), core..., at());
        y(channel, row, batch) = layer->y;
        apply_schedule = [this, layer] {
            if (this->schedule_name == Schedule::own) {
                apply_own<Layer>(*layer);
            } else if (this->device == Device::cpu) {
                CpuPacked(*this->panels, this->short_sequences).schedule(*layer, y, inputs());
            } else {
                // OpenCL has vectors of at most 16 floats; of more steps Halide makes longer ones.
                GpuTiled(*this->panels, this->device == Device::cuda ? 8 : 4).schedule(*layer, y);
            }
        };
    }
    /// Defines y by a layer in the form that the schedule works on.
    template<template<typename> class Layer, typename... Core>
    void define_in_form(const Core &...core) {
        if (this->in_panels()) {
            define<Layer>(core...);
            return;
        }
        y(channel, row, batch) = Layer<Flat>(this->flat, inputs(), core..., at()).y;
        apply_schedule = [this] {
            if (this->schedule_name == Schedule::own) {
                this->own.flat(this->flat, y, this->get_target());
            } else if (this->device == Device::cpu) {
                schedule_naive(this->flat, y, this->get_target().template natural_vector_size<float>());
            } else {
                schedule_naive_on_gpu(this->flat, y);
            }
        };
    }

private:
    Derived &self() {
        return static_cast<Derived &>(*this);
    }
    Element at() const {
        return {channel, row, batch, {}, {}, {}, {}};
    }
    template<template<typename> class Layer>
    void apply_own(Layer<Panels> &layer) {
        if constexpr (std::is_same_v<Layer<Panels>, AftExact<Panels>>) {
            return;  // has a schedule of its own
        } else {
            const auto &schedule = this->own.template in_panels<Layer>();
            _halide_user_assert(schedule) << "own_schedule() has no schedule for this layer, in panels or flat\n";
            schedule(*this->panels, layer, y, inputs());
        }
    }

    void constrain() {
        // A constraint is a requirement that schedules may count on.
        for (int i = 0; i < 3; i++) {
            x.dim(i).set_min(0);
            y.dim(i).set_min(0).set_extent(x.dim(i).extent());
        }
        const LayerInputs in = inputs();
        bq->dim(0).set_min(0);
        for (const auto &[bias, name, extent] : {std::tuple(bv, "bv", in.projected), std::tuple(bo, "bo", in.hidden)}) {
            bias->dim(0).set_min(0);
            this->add_requirement(bias->dim(0).extent() == extent, name, "has", bias->dim(0).extent(),
                                  "channels where the layer has", extent);
        }
        if (this->in_panels()) {
            constrain_panels();
        }
    }
    /// Panels are dense: the register kernel relies on their strides.
    void constrain_panels() {
        const int vector = this->panels->tiles.vector, width = this->panels->tiles.width;
        for (const auto &[w, lanes] :
             {std::pair(wq, width), std::pair(wk, vector), std::pair(wv, vector), std::pair(wo, width)}) {
            w->dim(0).set_bounds(0, lanes);
            w->dim(1).set_min(0).set_stride(lanes);
            w->dim(2).set_min(0).set_stride(w->dim(1).extent() * lanes);
        }
        if (left_matrix) {
            const int inner = this->panels->tiles.rows_first ? this->panels->tiles.rows : vector;
            const int outer = this->panels->tiles.rows_first ? vector : this->panels->tiles.rows;
            left_matrix->dim(0).set_bounds(0, inner);
            left_matrix->dim(1).set_bounds(0, outer).set_stride(inner);
            left_matrix->dim(2).set_stride(inner * outer);
            left_matrix->dim(3).set_stride(left_matrix->dim(2).extent() * inner * outer);
        }
    }
    void set_estimates() {
        const int B = estimated_batch, T = estimated_seq, H = estimated_hidden, P = estimated_projected;
        x.set_estimates({{0, H}, {0, T}, {0, B}});
        y.set_estimates({{0, H}, {0, T}, {0, B}});
        for (Parameter w : {wq, wk, wv}) {
            w->set_estimates({{0, P}, {0, H}});
        }
        wo->set_estimates({{0, H}, {0, P}});
        bq->set_estimates({{0, P}});
        bv->set_estimates({{0, P}});
        bo->set_estimates({{0, H}});
        self().set_core_estimates();
    }

    Parameter wq = nullptr, wk = nullptr, wv = nullptr, wo = nullptr, bq = nullptr, bv = nullptr, bo = nullptr;
    Parameter left_matrix = nullptr;
    Var channel{"channel"}, row{"row"}, batch{"batch"};
    std::function<void()> apply_schedule;
};

/// The parameters as a checkpoint has them -> those of the forward kernel of the same schedule, in its own layout.
/// Runs once per layer. A derived class prepares the parameters of its core.
template<typename Derived>
class PrepareGenerator : public LayerGenerator<Derived> {
public:
    // The matrices of y = x W^T, inputs innermost: (hidden, projected), and (projected, hidden) for the last.
    Halide::GeneratorInput<Buffer<float, 2>> query_weight{"query_weight"}, key_weight{"key_weight"},
        value_weight{"value_weight"}, project_weight{"project_weight"};

    void configure() {
        for (const char *name : {"wq", "wk", "wv", "wo"}) {
            packed.push_back(add_prepared(name, this->weight_dimensions(), this->kept_type()));
        }
        this->make_form();
        static_cast<Derived &>(*this).configure_core();
    }

    void generate() {
        const Expr hidden = query_weight.dim(0).extent(), projected = query_weight.dim(1).extent();
        require_extents("key_weight", key_weight, hidden, projected);
        require_extents("value_weight", value_weight, hidden, projected);
        require_extents("project_weight", project_weight, projected, hidden);
        // K and V are the two right operands of one product.
        pack(packed[0], query_weight, 1);
        pack(packed[1], key_weight, 2);
        pack(packed[2], value_weight, 2);
        pack(packed[3], project_weight, 1);
        static_cast<Derived &>(*this).generate_core();
    }

    void schedule() {
        for (const Func &f : whole) {
            Func(f).compute_root();
        }
        for (Prepared p : prepared) {
            Func f = *p;
            f.parallel(f.args().back());
        }
    }

protected:
    using Matrix = Halide::GeneratorInput<Buffer<float, 2>>;
    using Prepared = Halide::GeneratorOutput<Buffer<>> *;

    Prepared add_prepared(const std::string &name, int dimensions, const Halide::Type &type = Halide::Float(32)) {
        prepared.push_back(this->template add_output<Buffer<>>(name, type, dimensions));
        return prepared.back();
    }
    /// Panels are padded with zeros: a matrix that is too small would pass for one of zeros.
    void require_extents(const std::string &name, const Matrix &m, const Expr &inner, const Expr &outer) {
        this->add_requirement(m.dim(0).extent() == inner && m.dim(1).extent() == outer, name, "is", m.dim(1).extent(),
                              "x", m.dim(0).extent(), "but must be", outer, "x", inner);
    }
    /// An intermediate that is needed as a whole.
    void in_full(const Func &f) {
        whole.push_back(f);
    }

private:
    void pack(Prepared to, const Matrix &w, int operands) {
        const Func source = Halide::BoundaryConditions::constant_exterior(w, 0.0f);
        this->with_form([&](auto &form) {
            form.pack_weight(
                *to, [&](const Expr &step, const Expr &channel) { return source(step, channel); }, operands);
        });
    }

    std::vector<Prepared> packed, prepared;
    std::vector<Func> whole;
};

}  // namespace aft
