#pragma once

#include "algorithms/means/means.h"
#include "forms/flat.h"
#include "forms/panels.h"
#include "schedules/schedules.h"
#include "workarounds/vector_conditions.h"

#include <cstdlib>

namespace aft {

using Halide::Buffer;
using Halide::Expr;
using Halide::Func;

/// The base of all generators: the schedule, and the form that it works on. Both halves of a kernel, the one
/// that is called and the one that prepares its parameters, are made with the same parameters of the table
/// (kernels.cmake).
template<typename Derived>
class KernelGenerator : public Halide::Generator<Derived> {
public:
    template<typename T>
    using Param = Halide::GeneratorParam<T>;

    Param<Schedule> schedule_name{
        "schedule",
        Schedule::naive,
        {{"naive", Schedule::naive}, {"packed", Schedule::packed}, {"tiled", Schedule::tiled}, {"own", Schedule::own}}};
    /// Where the kernel runs. Its parameters are prepared on the CPU, in the layout of this device's tiles.
    Param<Device> device{
        "device",
        Device::cpu,
        {{"cpu", Device::cpu}, {"cuda", Device::cuda}, {"opencl", Device::opencl}, {"vulkan", Device::vulkan}}};
    /// In what operands are kept; bfloat16 and int8 in panels only.
    Param<Storage> storage{"storage",
                           Storage::float32,
                           {{"float32", Storage::float32}, {"bfloat16", Storage::bfloat16}, {"int8", Storage::int8}}};

    // 0: what schedules/tiles.h has for the device. In the flat form, tile_rows is the rows of a Tuple.
    Param<int> tile_rows{"tile_rows", 0};
    Param<int> depth{"depth", 0};
    Param<int> block_rows{"block_rows", 0};
    Param<int> panel_vectors{"panel_vectors", 0};
    Param<int> unrolled_steps{"unrolled_steps", 0};
    Param<int> key_value_group{"key_value_group", 0};
    Param<int> target_group{"target_group", 0};
    Param<int> jobs{"jobs", 0};
    /// Whether the kernel is made for sequences of some rows; `packed` only.
    Param<bool> short_sequences{"short_sequences", false};

protected:
    bool is_flat() const {
        return schedule_name == Schedule::own ? bool(own.flat) : schedule_name == Schedule::naive;
    }
    TileRequest tile_request() const {
        return {tile_rows, depth, block_rows, panel_vectors, unrolled_steps, key_value_group, target_group, jobs};
    }
    Scheduler scheduler() const {
        return {schedule_name, device, this->get_target(), tile_request(), short_sequences, own};
    }
    /// Calls f with the form that the schedule works on.
    template<typename F>
    void with_form(const F &f) {
        if (is_flat()) {
            Flat form(rows_at_once_for(device, tile_rows), whole_window);
            f(form);
        } else {
            with_panels(f);
        }
    }
    /// The same for an algorithm that needs panels.
    template<typename F>
    void with_panels(const F &f) {
        _halide_user_assert(!is_flat()) << "the algorithm is computed in panels only\n";
        Panels form(tiles_for(device, this->get_target(), kept(), tile_request()), kept(), whole_window);
        f(form);
    }
    Kept kept() const {
        return kept_as(storage, this->get_target());
    }
    bool has_matrix_unit() const {
        return uses_matrix_unit(device, this->get_target(), kept());
    }
    bool has_largest() const {
        return storage == Storage::int8;
    }

    /// Rows of a tile of a transposed left operand are read side by side, in whole vectors. A block is as long as one
    /// of others.
    void set_rows_of_transposed() {
        if (tile_rows == 0 && schedule_name == Schedule::packed && !has_matrix_unit()) {
            const bool is_wide = this->get_target().template natural_vector_size<float>() == 16;
            tile_rows.set(is_wide ? 8 : 4);
            block_rows.set(is_wide ? 18 : 36);
        }
    }

    Halide::Type kept_type() const {
        return storage == Storage::bfloat16 ? Halide::UInt(16) : Halide::Float(32);
    }
    Halide::Type weight_type() const {
        return storage == Storage::int8 ? Halide::Int(8) : kept_type();
    }
    int weight_dimensions() const {
        return is_flat() ? Flat::weight_dimensions : Panels::weight_dimensions(kept());
    }
    /// largest: of weights in int8, the largest magnitude of each channel; null of others.
    using Largest = Halide::GeneratorOutput<Buffer<>>;
    template<typename Matrix>
    static void pack_weight(const Flat &form, const Func &to, Largest * /*largest*/, const Matrix &w, int operands) {
        form.pack_weight(to, padded(w), operands);
    }
    template<typename Matrix>
    static void pack_weight(const Panels &form, const Func &to, Largest *largest, const Matrix &w, int operands) {
        if (largest) {
            Func bits = form.pack_weight(to, *largest, padded(w), w.dim(0).extent(), operands);
            bits.compute_root().parallel(form.block).update().parallel(form.block);
        } else {
            form.pack_weight(to, padded(w), operands);
        }
    }
    template<typename Matrix>
    static Panels::Matrix padded(const Matrix &w) {
        const Func source = Halide::BoundaryConditions::constant_exterior(w, 0.0f);
        return [source](const Expr &step, const Expr &channel) { return source(step, channel); };
    }
    /// Panels are dense: the register kernel relies on their strides.
    template<typename Input>
    void constrain_weight(Input &w, int lanes) const {
        const int pairs = Panels::has_pairs(kept());
        if (pairs) {
            w.dim(0).set_bounds(0, 2);
            w.dim(1).set_stride(2);
        }
        const int values = lanes << pairs;
        w.dim(pairs).set_bounds(0, lanes);
        w.dim(pairs + 1).set_min(0).set_stride(values);
        w.dim(pairs + 2).set_min(0).set_stride(w.dim(pairs + 1).extent() * values);
    }

    template<typename Input>
    static void constrain_largest(Input &largest, int lanes) {
        largest.dim(0).set_bounds(0, lanes);
        largest.dim(1).set_min(0).set_stride(lanes);
    }

    /// stride: of a tensor's rows. Strides aren't negative, which neither Halide nor the driver of Vulkan knows.
    Rounding rounding(const Expr &stride) const {
        return device == Device::vulkan ? Rounding(stride >> 31) : Rounding();
    }

    /// Adams2019 unrolls whole loops that are short at the estimates though their extents are run-time values; this
    /// makes them plain loops where lowering would stop.
    static void permit_failed_unroll() {
        setenv("HL_PERMIT_FAILED_UNROLL", "1", 1);
    }

    Halide::Pipeline build_pipeline() override {
        Halide::Pipeline pipeline = Halide::Generator<Derived>::build_pipeline();
        if (this->get_target().arch == Halide::Target::RISCV) {
            pipeline.add_custom_lowering_pass(new VectorConditions);
        }
        if (has_matrix_unit()) {
            pipeline.add_custom_lowering_pass(new MatrixUnit);
        }
        return pipeline;
    }

    const OwnSchedule own = own_schedule();
};

/// The position bias of a layer: none, between any two positions, within a window, one of the call.
enum class PositionBias { none, dense, banded, given };

/// The base of Forward, x -> y, and of Prepare, the parameters as a checkpoint has them -> those of Forward.
template<typename Derived>
class LayerGenerator : public KernelGenerator<Derived> {
public:
    template<typename T>
    using Param = Halide::GeneratorParam<T>;

    Param<PositionBias> layer_bias{"layer_bias",
                                   PositionBias::dense,
                                   {{"none", PositionBias::none},
                                    {"dense", PositionBias::dense},
                                    {"banded", PositionBias::banded}}};
    Param<Algorithm> algorithm{"algorithm", Algorithm{}, algorithm_names()};

protected:
    PreparedList prepared_list() const {
        return with_mean(algorithm, [](auto mean) { return decltype(mean)::template In<Flat>::prepared(); });
    }
    int dimensions(PreparedLayout layout) const {
        switch (layout) {
            case PreparedLayout::left_matrix:
                return this->is_flat() ? Flat::left_matrix_dimensions : Panels::left_matrix_dimensions;
            case PreparedLayout::per_row:
                return this->is_flat() ? Flat::per_row_dimensions : Panels::per_row_dimensions;
            case PreparedLayout::plain: break;
        }
        return 2;
    }
    /// exp(-m) of a row stays float32, as it is a factor of whole sums.
    Halide::Type type(PreparedLayout layout) const {
        return layout == PreparedLayout::left_matrix ? this->kept_type() : Halide::Float(32);
    }
};

}  // namespace aft
