#pragma once

/// @file
/// Schedules of a program's own, for aft_add_kernels().

#include "../algorithms/aft_full.h"
#include "../algorithms/aft_local.h"
#include "../algorithms/aft_simple.h"
#include "../algorithms/flat.h"
#include "../algorithms/panels.h"

#include <tuple>

namespace aft {

/// A program's own schedule of our algorithms: the SCHEDULE_SOURCE of aft_add_kernels() defines own_schedule().
/// Whatever it does, the kernel computes what the algorithm says, or isn't built: a schedule has no say in the values,
/// but for the order of sums.
struct OwnSchedule {
    /// In the flat form: form.stages has every Func but the last in order of definition (query, key_value_0, ...), and
    /// y is the last. One function for all layers. When it is there, the form is flat.
    std::function<void(const Flat &form, Halide::Func y, const Halide::Target &target)> flat;

    /// In panels, a function for one layer; schedules/cpu_packed.h shows what there is to schedule, and
    /// schedules/tiles.h the tiles.
    template<template<typename> class Layer>
    using InPanels = std::function<void(Panels &form, Layer<Panels> &layer, Halide::Func y, const LayerInputs &inputs)>;

    /// Those there are. Each layer that kernels are made of needs one, where there is no flat one.
    std::tuple<InPanels<AftFull>, InPanels<AftSimple>, InPanels<AftLocal>> panels;

    /// That of a layer: own.in_panels<AftFull>() = [](Panels &form, ...) { ... };
    template<template<typename> class Layer>
    InPanels<Layer> &in_panels() {
        return std::get<InPanels<Layer>>(panels);
    }
};

/// Defined by the program; called when a kernel is generated.
OwnSchedule own_schedule();

}  // namespace aft
