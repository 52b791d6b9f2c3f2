#pragma once

/// @file
/// The exceptions of the library.

#include <aft/export.h>
#include <aft/standard_library.h>

#include <stdexcept>

namespace aft {

/// What every exception of the library derives from. what() is one line that names the value and the limit.
class AFT_API Error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// A shape, a stride or an overlap that a call can't take. Thrown before anything is written.
class AFT_API ShapeError : public Error {
public:
    using Error::Error;
};

/// A LayerConfig or LayerOptions that makes no sense, or a kernel that is unknown or can't serve the layer.
class AFT_API ConfigError : public Error {
public:
    using Error::Error;
};

/// Weights that don't fit the config, or a file that doesn't hold them.
class AFT_API WeightsError : public Error {
public:
    using Error::Error;
};

/// A device that was asked for isn't there or can't be used, or one in use failed: no memory, a lost driver.
class AFT_API DeviceError : public Error {
public:
    using Error::Error;
};

/// A generated kernel failed; what() has the kernel's id and Halide's message. The output is undefined.
class AFT_API KernelError : public Error {
public:
    using Error::Error;
};

}  // namespace aft
