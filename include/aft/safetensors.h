#pragma once

/// @file
/// Files of tensors.

#include <aft/export.h>
#include <aft/standard_library.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace aft {

/// A tensor of a safetensors file.
struct StoredTensor {
    std::string dtype;                  ///< "F32", "F64", "BOOL", ... as in the file
    std::vector<std::int64_t> extents;  ///< outermost first; empty for a scalar
    std::vector<std::byte> bytes;       ///< row-major, little-endian

    /// The values of an F32, F16, BF16 or F64 tensor. F16 and BF16 fit exactly; F64 is rounded to the nearest, to even
    /// between two, and becomes infinite beyond the range of float32. Throws WeightsError for another dtype.
    AFT_API std::vector<float> as_float() const;
    /// The values of an F64 tensor. Throws WeightsError for another dtype.
    AFT_API std::vector<double> as_double() const;
};

/// The tensors of a safetensors file, read whole. Strict: the header is at most 100,000,000 bytes of JSON that starts
/// with '{'; every tensor's size is shape times dtype without overflow; together they cover the data exactly, without
/// holes, overlaps or trailing bytes; no key comes twice.
struct SafetensorsFile {
    std::map<std::string, StoredTensor> tensors;  ///< by name
    std::map<std::string, std::string> metadata;  ///< `__metadata__` of the header
    std::string path = {};                        ///< where it was read from, for messages
};

/// Throws WeightsError that names the file and what is wrong with it.
AFT_API SafetensorsFile read_safetensors(const std::string &path);

/// Writes the file whole or not at all: to a temporary beside `path` that is then renamed. Throws WeightsError.
AFT_API void write_safetensors(const std::string &path, const SafetensorsFile &file);

/// [extents] of float32 values as a StoredTensor.
AFT_API StoredTensor stored_tensor(const std::vector<std::int64_t> &extents, const std::vector<float> &values);

}  // namespace aft
