#pragma once

/// @file
/// The exceptions of the library.

#include <aft/export.h>
#include <aft/standard_library.h>

#include <stdexcept>

namespace aft {

/// The base of the library's exceptions. what() is one line that names the value and the limit.
class AFT_API Error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// A call doesn't accept a shape, a stride or an overlap. Thrown before anything is written.
class AFT_API ShapeError : public Error {
public:
    using Error::Error;
};

/// A LayerConfig or LayerOptions makes no sense, the named kernel doesn't exist or can't serve the layer, or kernels
/// can't be loaded.
class AFT_API ConfigError : public Error {
public:
    using Error::Error;
};

/// Weights don't fit the config, or a file doesn't hold them.
class AFT_API WeightsError : public Error {
public:
    using Error::Error;
};

/// The named device doesn't exist or can't be used, or a device in use failed: out of memory, or its driver was lost.
class AFT_API DeviceError : public Error {
public:
    using Error::Error;
};

/// A generated kernel failed. what() has the kernel's id and Halide's message. The output is undefined.
class AFT_API KernelError : public Error {
public:
    using Error::Error;
};

}  // namespace aft
