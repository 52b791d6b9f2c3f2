#include "blocks/blocks.h"

namespace networks {

std::vector<float> tensor(const aft::SafetensorsFile &file, const std::string &name,
                          const std::vector<std::int64_t> &extents) {
    const auto found = file.tensors.find(name);
    if (found == file.tensors.end()) {
        throw aft::WeightsError(file.path + ": tensor \"" + name + "\" is missing");
    }
    if (found->second.extents != extents) {
        std::string text;
        for (const std::int64_t extent : extents) {
            text += (text.empty() ? "" : ", ") + std::to_string(extent);
        }
        throw aft::WeightsError(file.path + ": tensor \"" + name + "\" must be [" + text + "]");
    }
    return found->second.as_float();
}

void check_extents(const std::string &what, View view, const View::Extents &expected) {
    if (view.extents != expected || view.strides[2] != 1) {
        const auto text = [](const View::Extents &e) {
            return "[" + std::to_string(e[0]) + ", " + std::to_string(e[1]) + ", " + std::to_string(e[2]) + "]";
        };
        throw aft::ShapeError(what + " is " + text(view.extents) + ", must be " + text(expected) +
                              " with channels side by side");
    }
}

}  // namespace networks
