#include "kernels/kernel_parameters.h"

#include "weights/parameters.h"

#include <algorithm>

namespace aft {

KernelParameters forward_parameters(const Weights &weights, const LayerConfig &config, std::vector<float> &identity) {
    KernelParameters result;
    for (const Parameter &parameter : parameters(config)) {
        const std::vector<float> &values = weights.*parameter.values;
        result.tensors.push_back({parameter.argument, values.empty() ? nullptr : values.data(), parameter.extents});
        if (parameter.values == &Weights::project_weight && values.empty()) {
            identity.assign(parameter.size(), 0.0f);
            for (std::int64_t i = 0; i < config.hidden; ++i) {
                identity[i * config.projected + i] = 1;
            }
            result.tensors.back().values = identity.data();
        }
    }
    result.scalars = {{"window", static_cast<std::int32_t>(std::min(config.window, config.max_seq_len))},
                      {"max_seq_len", static_cast<std::int32_t>(config.max_seq_len)}};
    return result;
}

}  // namespace aft
