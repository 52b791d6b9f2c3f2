#pragma once

#include <aft/call.h>
#include <aft/config.h>
#include <aft/weights.h>

#include <cstdint>
#include <string>
#include <vector>

namespace aft {

/// Steps of the largest magnitude: of the weights of an output channel, and of a row of inputs.
inline constexpr int units_of_weights = 127, units_of_inputs = 32767;

/// Rows of `length` values, each rounded to whole `units` of its row's largest magnitude, to even where two are as
/// near. A row that isn't finite becomes NaNs.
std::vector<float> quantised(std::vector<float> rows, std::int64_t length, int units);

/// The weights of a layer as kernels in int8 have them.
Weights quantised(Weights weights, const LayerConfig &config);

/// The inputs of a call as these kernels multiply them.
struct QuantisedCall {
    LayerCall call;

    explicit QuantisedCall(const LayerCall &call);
    QuantisedCall(const QuantisedCall &) = delete;
    QuantisedCall &operator=(const QuantisedCall &) = delete;

private:
    std::vector<float> query_, key_, value_;
};

}  // namespace aft
