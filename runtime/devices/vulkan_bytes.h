#pragma once

#include <string>

namespace aft {

/// Why a physical device can't run kernels with 8-bit integers; empty when it can.
std::string missing_byte_feature(void *instance, void *device);

/// From now on, the devices that Halide's runtime makes have the features of 8-bit integers. It declares the extension
/// for buffers of them, but doesn't enable the feature. Only for devices that lack nothing.
void enable_byte_features();

}  // namespace aft
