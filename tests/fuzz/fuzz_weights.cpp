// Any bytes as a checkpoint: the first chooses the layer and its window, the rest is the file.
#include "memory_file.h"

#include "weights/bias_range.h"
#include "weights/parameters.h"

#include <aft/error.h>
#include <aft/weights.h>

#include <algorithm>
#include <cmath>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    static const MemoryFile memory;
    if (size == 0) {
        return 0;
    }
    const auto &forms = aft::named_forms;
    aft::LayerConfig config;
    config.form = forms[data[0] % std::size(forms)].form;
    config.window = config.form.has_window() ? static_cast<std::int64_t>(data[0] / std::size(forms)) : 0;
    config.window = std::max<std::int64_t>(config.window, config.form.bias == aft::PositionBias::convolution);
    config.max_seq_len = 4;
    const std::string &path = memory.with(data + 1, size - 1);
    try {
        aft::load_weights(path, {config.form, 3, 2, 4, config.window});
    } catch (const aft::WeightsError &) {}
    try {
        config = aft::config_from_weights(path, config);
        const aft::Weights weights = aft::load_weights(path, config);
        for (const aft::Parameter &parameter : aft::parameters(config)) {
            const std::vector<float> &values = weights.*parameter.values;
            const bool may_be_empty = parameter.optional || parameter.values == &aft::Weights::project_weight;
            require(values.size() == static_cast<std::size_t>(parameter.size()) || (may_be_empty && values.empty()));
            for (const float value : values) {
                require(std::isfinite(value) || (value < 0 && parameter.domain == aft::Domain::finite_or_masked));
                require(value >= 0 || parameter.domain != aft::Domain::at_least_0);
            }
        }
        aft::check_weights(weights, config);
        const aft::BiasRange widest = aft::widest_bias_range(weights, config);
        require(widest.range >= 0 && widest.row >= 0 && widest.row < config.max_seq_len);
    } catch (const aft::Error &) {  // WeightsError; ShapeError for parameters that no kernel counts
    }
    return 0;
}
