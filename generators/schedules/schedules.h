#pragma once

#include "core_gradients_packed.h"
#include "core_packed.h"
#include "core_tiled.h"
#include "cpu_packed.h"
#include "gpu_tiled.h"
#include "linear_gradients_packed.h"
#include "naive.h"
#include "own.h"

namespace aft {

/// How a kernel is scheduled; an autoscheduler replaces `naive`.
enum class Schedule { naive, packed, tiled, own };

/// Applies a schedule to a layer, a projection or a mean in the schedule's form. table/schedules.cmake lists the
/// algorithms, devices and storage that each schedule serves, and refuses other rows of the table.
struct Scheduler {
    Schedule schedule;
    Device device;
    Halide::Target target;
    TileRequest tiles;
    bool short_sequences;
    const OwnSchedule &own;

    template<typename Algorithm, typename Inputs>
    void apply(Flat &form, Algorithm &, const Halide::Func &y, const Inputs &) const {
        if (schedule == Schedule::own) {
            own.flat(form, y, target);
        } else {
            schedule_naive_on(device, form, y, target);
        }
    }

    template<template<typename> class Mean>
    void apply(Panels &form, Layer<Panels, Mean> &layer, const Halide::Func &y, const LayerInputs &in) const {
        if (schedule == Schedule::own) {
            const auto *own_schedule = own.find<Layer<Panels, Mean>>();
            _halide_user_assert(own_schedule) << "own_schedule() has no schedule for this layer, in panels or flat\n";
            (*own_schedule)(form, layer, y, in, tiles);
        } else {
            apply_library_schedule(form, layer, y, in);
        }
    }
    void apply(Panels &form, Linear<Panels> &linear, const Halide::Func &y, const LinearInputs &in) const {
        apply_library_schedule(form, linear, y, in);
    }
    template<template<typename> class Mean>
    void apply(Panels &form, Core<Panels, Mean> &core, const Halide::Func &y, const CoreInputs &in) const {
        apply_library_schedule<CorePacked, CoreTiled>(form, core, y, in);
    }
    /// The gradients of a mean, in two outputs.
    template<typename Gradients>
    void apply(Flat &form, Gradients &gradients, const Halide::Func &dq, const Halide::Func &d,
               const GradientInputs &in) const {
        form.stages.push_back(dq);
        apply(form, gradients, d, in);
    }
    template<typename Gradients>
    void apply(Panels &form, Gradients &gradients, const Halide::Func &dq, const Halide::Func &d,
               const GradientInputs &in) const {
        gradients_packed(form).schedule(gradients, dq, d, in);
    }
    template<typename Gradients>
    void apply(Panels &form, Gradients &gradients, const Halide::Func &bias, const BiasGradientInputs &in) const {
        gradients_packed(form).schedule(gradients, bias, in);
    }

    /// A projection in training, and the gradients of its parameters.
    void apply(Flat &form, Linear<Flat> &linear, const Halide::Func & /*packed*/, const Halide::Func &y,
               const LinearInputs &in) const {
        apply(form, linear, y, in);
    }
    void apply(Panels &form, Linear<Panels> &linear, const Halide::Func &packed, const Halide::Func &y,
               const LinearInputs &in) const {
        assert_packed();
        LinearTrainingPacked(form, knobs_for(form.tiles, tiles), short_sequences).schedule(linear, packed, y, in);
    }
    void apply(Flat &form, LinearGradients<Flat> &gradients, const Halide::Func &dw, const Halide::Func &db,
               const LinearGradientInputs &in) const {
        form.stages.push_back(db);
        apply(form, gradients, dw, in);
    }
    void apply(Panels &form, LinearGradients<Panels> &gradients, const Halide::Func &dw, const Halide::Func &db,
               const LinearGradientInputs &in) const {
        assert_packed();
        LinearTrainingPacked(form, knobs_for(form.tiles, tiles), short_sequences).schedule(gradients, dw, db, in);
    }

private:
    void assert_packed() const {
        _halide_user_assert(schedule == Schedule::packed && device == Device::cpu)
            << "packed is the only schedule of training in panels\n";
    }
    CoreGradientsPacked gradients_packed(const Panels &form) const {
        assert_packed();
        return {form, knobs_for(form.tiles, tiles), short_sequences};
    }
    template<typename Packed = CpuPacked, typename Tiled = GpuTiled, typename Algorithm, typename Inputs>
    void apply_library_schedule(Panels &form, Algorithm &algorithm, const Halide::Func &y, const Inputs &in) const {
        if (schedule == Schedule::packed && device == Device::cpu) {
            Packed(form, knobs_for(form.tiles, tiles), short_sequences).schedule(algorithm, y, in);
        } else if (schedule == Schedule::tiled && device != Device::cpu) {
            // OpenCL has vectors of at most 16 floats; of more steps Halide makes longer ones.
            Tiled(form, device == Device::cuda ? 8 : 4).schedule(algorithm, y);
        } else {
            _halide_user_error << "packed is a schedule of the CPU, tiled one of GPUs\n";
        }
    }
};

}  // namespace aft
