#pragma once

#include "halide/operand.h"

#include <aft/call.h>
#include <aft/config.h>
#include <aft/device.h>

#include <cstdint>
#include <string>

namespace aft {

/// The rules for the extents and strides of a tensor [batch, seq, channels].
struct TensorRule {
    const char *channels_name;  // "hidden"
    std::int64_t channels;
    std::int64_t longest = 0;        // of seq; 0: what kernels can count
    bool may_share_samples = false;  // the stride of the samples may be 0
};

/// The extents of a call: B samples of n targets and m sources.
struct CallShape {
    std::int64_t batch, targets, sources;
};

/// The longest sequence: max_seq_len of forms with a bias [S, S]; 0: any.
std::int64_t longest_of(const LayerConfig &config);

// The checks throw ShapeError.

/// A shape of a layer whose sequences have at most `longest` positions.
void check_shape(const Shape &shape, std::int64_t longest, const std::string &where);

/// The tensor has the rule's extents, rows that are apart, and memory.
void check_tensor(const std::string &what, const TensorView<const float, 3> &tensor, const TensorRule &rule);

/// `what` has these extents, those of `other`.
void check_same_extents(const char *what, const TensorView<const float, 3> &tensor, const Tensor &other,
                        const char *other_name);

/// Grids of devices have 65535 blocks along all but their first dimension.
void check_batch(const char *what, std::int64_t batch, const Device &device);

/// Forms that go through their targets in order take as many targets as sources.
void check_targets(const LayerConfig &config, const CallShape &shape);

/// The bias is there where the form takes one, and has the extents of the call; so have lengths and mask.
void check_sight(const Sight &sight, const LayerForm &form, const CallShape &shape);

/// All of a call without projections but its sight. name: of the result y, or of its gradient.
CallShape check_core_call(const CoreCall &call, const char *name, const TensorView<float, 3> &y,
                          const LayerConfig &config, const Device &device);

/// The output shares no memory with an input. Either may be empty.
void check_apart(const char *output_name, const Tensor &output, const char *name, const Tensor &input);
void check_apart(const char *output_name, const Tensor &output, const Sight &sight);
void check_apart(const char *output_name, const Tensor &output, const CoreCall &call);

/// Whether a mask says something else for different targets of a sample.
bool has_mask_of_pairs(const Sight &sight);

}  // namespace aft
