#pragma once

#include "weights/naming.h"
#include "weights/parameters.h"

#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

namespace aft {

/// Every value of the layer is different: 1, 2, 3, ...
inline void add_layer(SafetensorsFile &file, const std::string &prefix, const LayerConfig &config,
                      const Naming &naming) {
    float next = 1;
    for (const Parameter &parameter : parameters(config, naming)) {
        if (parameter.tensor.empty()) {
            continue;
        }
        std::vector<float> values(parameter.size());
        std::iota(values.begin(), values.end(), next);
        next += static_cast<float>(values.size());
        file.tensors[prefix + parameter.tensor] = stored_tensor(parameter.extents, values);
    }
}

/// BOOL [size, size]
inline StoredTensor mask(std::int64_t size, bool (*is_visible)(std::int64_t target, std::int64_t source)) {
    StoredTensor tensor{"BOOL", {size, size}, {}};
    for (std::int64_t t = 0; t < size; ++t) {
        for (std::int64_t s = 0; s < size; ++s) {
            tensor.bytes.push_back(static_cast<std::byte>(is_visible(t, s)));
        }
    }
    return tensor;
}

inline void check_same(const Weights &a, const Weights &b, const LayerConfig &config) {
    for (const Parameter &parameter : parameters(config)) {
        INFO(parameter.tensor);
        CHECK((a.*parameter.values).size() == static_cast<std::size_t>(parameter.size()));
        CHECK(a.*parameter.values == b.*parameter.values);
    }
}

inline const LayerConfig simple{aft_simple, /*hidden=*/3, /*projected=*/2, /*max_seq_len=*/4, 0};
inline const LayerConfig local{aft_local, /*hidden=*/3, /*projected=*/2, /*max_seq_len=*/4, /*window=*/2};

}  // namespace aft
