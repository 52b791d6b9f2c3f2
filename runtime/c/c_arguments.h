#pragma once

#include "c/c_status.h"

#include <aft/aft_c.h>
#include <aft/call.h>
#include <aft/config.h>
#include <aft/training_c.h>
#include <aft/weights.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

namespace aft {

/// Throws ArgumentError for a null pointer.
template<typename T>
T &given(const char *what, T *pointer) {
    if (!pointer) {
        throw ArgumentError(std::string(what) + " is null");
    }
    return *pointer;
}

/// A caller's struct, which may be older or newer than this library. Members that it lacks are 0. Members that the
/// library lacks must be 0.
template<typename Struct>
Struct read_struct(const char *what, const Struct *pointer) {
    constexpr std::uint64_t smallest = sizeof(Struct::struct_size), largest = 4096;  // else it was never set
    const std::uint64_t size = given(what, pointer).struct_size;
    if (size < smallest || size > largest) {
        throw ArgumentError(std::string(what) + ": struct_size is " + std::to_string(size) + ", must be " +
                            std::to_string(sizeof(Struct)));
    }
    const auto *bytes = reinterpret_cast<const unsigned char *>(pointer);
    const std::uint64_t known = std::min<std::uint64_t>(size, sizeof(Struct));
    const auto *unknown = std::find_if(bytes + known, bytes + size, [](unsigned char byte) { return byte != 0; });
    if (unknown != bytes + size) {
        throw ArgumentError(std::string(what) + " has a value at byte " + std::to_string(unknown - bytes) +
                            ", aft " AFT_VERSION " knows its first " + std::to_string(sizeof(Struct)) + " bytes");
    }
    Struct result = {};
    std::memcpy(&result, bytes, known);
    return result;
}

/// The code of a form, whatever its gate.
aft_layer_kind kind_of(const LayerForm &form);

/// Throws ConfigError for a kind or a gate that doesn't exist.
LayerConfig read_config(const aft_config *pointer);
/// Writes no more than the size of the caller's struct, which was read before.
void write_config(const LayerConfig &config, aft_config *pointer);

/// Null pointers give the defaults.
LayerOptions read_options(const aft_layer_options *pointer);
LoadOptions read_options(const aft_load_options *pointer);
Sight read_sight(const aft_sight *pointer, const std::int64_t *extents);
CoreCall read_inputs(const aft_core_inputs *pointer, const std::int64_t *extents);
LayerCall read_inputs(const aft_layer_inputs *pointer, const std::int64_t *extents);

TensorView<const float, 3> read_tensor(const aft_tensor &tensor);
TensorView<float, 3> read_gradient(const aft_gradient &gradient);
/// [batch], without gaps; nothing if it is null.
TensorView<const std::int64_t, 1> read_lengths(const std::int64_t *lengths, std::int64_t batch);

/// A tensor whose extents stand beside it. It needs data unless it is empty.
template<typename T>
TensorView<T, 3> view(const char *what, T *data, const std::int64_t *extents, const std::int64_t *strides) {
    given("extents", extents);
    const bool is_empty = extents[0] == 0 || extents[1] == 0;
    TensorView<T, 3> result(is_empty ? data : &given(what, data), {extents[0], extents[1], extents[2]});
    if (strides) {
        std::copy_n(strides, 3, result.strides.begin());
    }
    return result;
}

}  // namespace aft
