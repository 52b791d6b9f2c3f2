#pragma once

#include "layer/composed.h"

#include <aft/call.h>
#include <aft/device.h>

#include <cstdint>

namespace aft {

/// Whether a caller gave a tensor: the default has neither data nor extents.
bool is_given(const TensorView<const float, 3> &view);

/// Whether queries, keys and values come from the same input.
bool is_of_one_input(const LayerCall &call);

/// The keys' and the values' inputs fit each other and the layer. Throws ShapeError.
void check_sources(const TensorView<const float, 3> &key, const TensorView<const float, 3> &value,
                   const LayerConfig &config);

/// Checks all that a call has, and finds the inputs that it leaves out. `kept` are its sources, or null. `queries` is
/// the rule for the query, whose name in messages is `query_name`, and `y_name` that of the result, or of its gradient.
/// Throws ShapeError.
Composed::Call check_call(const LayerCall &call, const KeptSources *kept, const char *y_name,
                          const TensorView<float, 3> &y, const LayerConfig &config, const char *query_name,
                          const TensorRule &queries, const Device &device);

/// The result overlaps nothing that the call reads. Throws ShapeError.
void check_apart(const TensorView<float, 3> &y, const Composed::Call &call, const char *query_name, const Sight &sight);

}  // namespace aft
