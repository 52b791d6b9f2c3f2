#include "layer/layer_call.h"

#include "weights/parameters.h"

#include <aft/error.h>

#include <string>

namespace aft {

bool is_given(const TensorView<const float, 3> &view) {
    return view.data || view.extents != TensorView<const float, 3>::Extents{};
}

bool is_of_one_input(const LayerCall &call) {
    return !call.sources && !is_given(call.key) && !is_given(call.value);
}

void check_sources(const TensorView<const float, 3> &key, const TensorView<const float, 3> &value,
                   const LayerConfig &config) {
    const std::int64_t longest = longest_of(config);
    check_tensor("key", key, {"key_hidden", key_hidden(config), longest, true});
    check_tensor("value", value, {"value_hidden", value_hidden(config), longest, true});
    if (value.extents[0] != key.extents[0] || value.extents[1] != key.extents[1]) {
        throw ShapeError("value has batch " + std::to_string(value.extents[0]) + " and seq " +
                         std::to_string(value.extents[1]) + ", must be " + std::to_string(key.extents[0]) + " and " +
                         std::to_string(key.extents[1]) + " like key");
    }
}

Composed::Call check_call(const LayerCall &call, const KeptSources *kept, const char *y_name,
                          const TensorView<float, 3> &y, const LayerConfig &config, const char *query_name,
                          const TensorRule &queries, const Device &device) {
    const TensorView<const float, 3> &query = call.query;
    check_tensor(query_name, query, queries);
    check_tensor(y_name, y, {"hidden", config.hidden, queries.longest});
    check_batch(query_name, query.extents[0], device);
    check_same_extents(y_name, y, query, query_name);

    const TensorView<const float, 3> key = is_given(call.key) ? call.key : query,
                                     value = is_given(call.value) ? call.value : key;
    Composed::Call result{
        {query.extents[0], query.extents[1], kept ? kept->count : key.extents[1]}, query, key, value, kept};
    if (kept) {
        if (is_given(call.key) || is_given(call.value)) {
            throw ShapeError("key or value is given, and sources are too");
        }
        if (kept->batch != result.shape.batch) {
            throw ShapeError("sources: batch is " + std::to_string(kept->batch) + ", must be " +
                             std::to_string(result.shape.batch) + " like " + query_name);
        }
    } else if (!is_of_one_input(call) || key_hidden(config) != config.hidden || value_hidden(config) != config.hidden) {
        check_sources(key, value, config);
        if (key.extents[0] != result.shape.batch) {
            throw ShapeError("key: batch is " + std::to_string(key.extents[0]) + ", must be " +
                             std::to_string(result.shape.batch) + " like " + query_name);
        }
    }
    check_targets(config, result.shape);
    check_sight(call.sight, config.form, result.shape);
    return result;
}

void check_apart(const TensorView<float, 3> &y, const Composed::Call &call, const char *query_name,
                 const Sight &sight) {
    check_apart("y", y, query_name, call.query);
    if (!call.sources) {
        check_apart("y", y, "key", call.key);
        check_apart("y", y, "value", call.value);
    }
    check_apart("y", y, sight);
}

}  // namespace aft
