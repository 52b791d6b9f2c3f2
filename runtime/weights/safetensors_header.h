#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace aft {

inline constexpr std::uint64_t max_header_bytes = 100'000'000;  // as in every implementation of the format
inline constexpr std::string_view metadata_key = "__metadata__";

/// The tensors of a safetensors file. Their data lies end to end behind the header.
struct SafetensorsHeader {
    struct Tensor {
        std::string name, dtype;
        std::vector<std::int64_t> extents;
        std::size_t bytes;
        std::uint64_t begin = 0;  // its first byte in the data
    };
    std::vector<Tensor> tensors;  // in the order of their data
    std::map<std::string, std::string> metadata;
};

/// The message about a header of more than max_header_bytes.
std::string header_too_long(std::uint64_t bytes);

/// Parses the header's JSON and checks that its tensors cover `data_bytes` without holes or overlaps. Throws
/// WeightsError.
SafetensorsHeader parse_header(const std::string &text, std::uint64_t data_bytes);

/// The JSON for tensors in the order of their data. Throws WeightsError.
std::string header_text(const SafetensorsHeader &header);

/// Bytes of an element; 0 for an unknown dtype.
std::uint64_t element_bytes(std::string_view dtype);

/// Bytes of a tensor; nothing if they overflow 64 bits.
std::optional<std::uint64_t> tensor_bytes(const std::vector<std::int64_t> &extents, std::uint64_t element);

/// A name from a file, escaped to fit in one line of a message.
std::string in_quotes(std::string_view name);

}  // namespace aft
