#include "quantised.h"

#include "reference/problem.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace aft {
namespace {

/// Without gaps; nothing of a tensor that isn't given.
std::vector<float> quantised_rows(const TensorView<const float, 3> &tensor) {
    const auto [B, rows, channels] = tensor.extents;
    std::vector<float> values;
    for (std::int64_t b = 0; tensor.data && b < B; ++b) {
        for (std::int64_t row = 0; row < rows; ++row) {
            const float *from = tensor.data + b * tensor.strides[0] + row * tensor.strides[1];
            values.insert(values.end(), from, from + channels);
        }
    }
    return quantised(std::move(values), channels, units_of_inputs);
}

}  // namespace

std::vector<float> quantised(std::vector<float> rows, std::int64_t length, int units) {
    for (auto row = rows.begin(); row != rows.end(); row += length) {
        float largest = 0;
        bool is_finite = true;
        for (auto value = row; value != row + length; ++value) {
            largest = std::max(largest, std::abs(*value));
            is_finite = is_finite && std::isfinite(*value);
        }
        for (auto value = row; value != row + length; ++value) {
            const float share = largest == 0 ? 0 : *value / largest;
            const float in_units = std::nearbyint(share * static_cast<float>(units));
            *value = is_finite ? static_cast<float>(static_cast<double>(in_units) * largest / units)
                               : std::numeric_limits<float>::quiet_NaN();
        }
    }
    return rows;
}

Weights quantised(Weights weights, const LayerConfig &config) {
    const std::int64_t H = config.hidden;
    for (const auto &[weight, inputs] :
         {std::pair(&weights.query_weight, H), std::pair(&weights.key_weight, key_channels(config)),
          std::pair(&weights.value_weight, value_channels(config)),
          std::pair(&weights.project_weight, config.projected)}) {
        *weight = quantised(std::move(*weight), inputs, units_of_weights);
    }
    return weights;
}

QuantisedCall::QuantisedCall(const LayerCall &call)
    : call(call), query_(quantised_rows(call.query)), key_(quantised_rows(call.key)),
      value_(quantised_rows(call.value)) {
    for (const auto &[tensor, values] : {std::pair(&this->call.query, &query_), std::pair(&this->call.key, &key_),
                                         std::pair(&this->call.value, &value_)}) {
        if (tensor->data) {
            *tensor = {values->data(), tensor->extents};
        }
    }
}

}  // namespace aft
