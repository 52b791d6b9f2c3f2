#pragma once

#include "golden.h"

#include <aft/call.h>
#include <aft/weights.h>

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

namespace aft {

/// A case of tests/data as a call, of a layer or of the mean alone. Tensors of time-major cases have their strides.
struct GoldenCall {
    std::string name;  ///< "adv_kgap110 as full": the case and the form that computes it
    LayerConfig config;
    Weights weights;
    bool is_layer = false;
    CoreCall core;
    LayerCall layer;

    std::array<std::int64_t, 3> extents{};  ///< of y
    std::vector<double> output, allowed;    ///< [B, n, channels]: y, and what its error may be
    bool has_rounded_parameters = false;    ///< some parameters of the case are made of others

    std::list<std::vector<float>> tensors;  ///< what the call's views see
    std::unique_ptr<bool[]> mask;
};

/// The calls that compute a case: of its own form, with its bias as a parameter and given, by a mask and by the form.
std::vector<GoldenCall> calls_of(const Golden &golden);

/// Largest error of y in what it may be; NaN counts as right only where the case has it. Right when <= 1.
double error_in_allowed(const GoldenCall &call, const std::vector<float> &y);

}  // namespace aft
