#pragma once

/// @file
/// Schedules of a program's own, for aft_add_kernels().

#include "../algorithms/means/means.h"
#include "../forms/flat.h"
#include "../forms/panels.h"
#include "tiles.h"

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
    /// schedules/tiles.h the tiles. tiles: as the PARAMS of the kernels ask for them.
    template<typename LayerInPanels>
    using InPanels = std::function<void(Panels &form, LayerInPanels &layer, Halide::Func y, const LayerInputs &inputs,
                                        const TileRequest &tiles)>;

    /// Those there are. Each layer that kernels are made of needs one, where there is no flat one.
    std::tuple<InPanels<AftFull<Panels>>, InPanels<AftSimple<Panels>>, InPanels<AftLocal<Panels>>> panels;

    /// That of a layer: own.in_panels<AftFull>() = [](Panels &form, ...) { ... };
    template<template<typename> class Layer>
    InPanels<Layer<Panels>> &in_panels() {
        return std::get<InPanels<Layer<Panels>>>(panels);
    }

    /// That of a layer, null where there is none.
    template<typename LayerInPanels>
    const InPanels<LayerInPanels> *find() const {
        const InPanels<LayerInPanels> *found = nullptr;
        const auto look_at = [&](const auto &schedule) {
            if constexpr (std::is_same_v<decltype(schedule), const InPanels<LayerInPanels> &>) {
                found = schedule ? &schedule : nullptr;
            }
        };
        std::apply([&](const auto &...each) { (look_at(each), ...); }, panels);
        return found;
    }
};

/// Defined by the program; called when a kernel is generated.
OwnSchedule own_schedule();

}  // namespace aft
