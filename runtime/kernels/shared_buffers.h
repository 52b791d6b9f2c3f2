#pragma once

#include "halide/buffer.h"

#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace aft {

/// The parameters of kernels in the host's memory. Kernels that keep a parameter in the same layout share its buffer.
class SharedBuffers {
public:
    /// The buffer that a kernel before has of a parameter, or null. `like` has the type and the extents.
    std::shared_ptr<Buffer> find(std::string_view parameter, std::string_view layout, const Buffer &like) const {
        const auto found = buffers_.find(key(parameter, layout, like));
        return found == buffers_.end() ? nullptr : found->second;
    }
    void add(std::string_view parameter, std::string_view layout, const std::shared_ptr<Buffer> &buffer) {
        buffers_.emplace(key(parameter, layout, *buffer), buffer);
    }

private:
    static std::string key(std::string_view parameter, std::string_view layout, const Buffer &buffer) {
        std::string result = std::string(parameter) + "|" + std::string(layout) + "|" +
                             std::to_string(buffer.header.type.code) + " " + std::to_string(buffer.header.type.bits);
        for (const halide_dimension_t &dimension : buffer.dimensions) {
            for (const std::int32_t each : {dimension.min, dimension.extent, dimension.stride}) {
                result += " " + std::to_string(each);
            }
        }
        return result;
    }

    std::map<std::string, std::shared_ptr<Buffer>> buffers_;
};

}  // namespace aft
