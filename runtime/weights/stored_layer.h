#pragma once

#include "weights/defects.h"
#include "weights/naming.h"
#include "weights/stored_tensors.h"

#include <aft/config.h>
#include <aft/weights.h>

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace aft {

/// Makes decays of their logarithms. Rounded from double.
void exponentiate(std::vector<float> &log_decay);

/// A layer in a checkpoint. Its functions collect all that is wrong with the layer, and raise() throws it.
class StoredLayer {
public:
    /// `tensors` must live as long. Throws as locate().
    StoredLayer(StoredTensors &tensors, const LayerForm &form, const LoadOptions &options);

    const Naming &naming() const {
        return place_.naming;
    }
    /// The form that was looked for, with the gate that the naming implies or the caller said.
    const LayerForm &form() const {
        return form_;
    }
    /// Throws ConfigError if that isn't the caller's gate.
    void check_gate(Gate gate) const;

    /// Whether the network has a tensor of that name; a defect if not.
    bool needs(std::string_view name, const char *parameter);
    /// A tensor's values. Empty after a defect, and for an optional tensor that the file lacks.
    std::vector<float> values(const std::string &name, const std::vector<std::int64_t> &extents, bool optional,
                              Domain domain);
    /// [S, S], stored whole or as factors. Empty after a defect.
    std::vector<float> position_bias(std::int64_t S);
    /// [P], stored itself or as its logarithm. Empty after a defect.
    std::vector<float> decay(std::int64_t P);

    /// The extents of a matrix; zeros after a defect.
    std::array<std::int64_t, 2> matrix(const std::string &name);
    /// S of the position bias, whole or as factors; 0 after a defect.
    std::int64_t max_seq_len();
    /// The s of the mask that is true where |t - t'| < s; S when it hides nothing. Nothing where there is no mask.
    std::optional<std::int64_t> window(std::int64_t S);

    /// A network without an output projection has as many channels after the gate as before the layer.
    void check_unprojected(const LayerConfig &config);
    /// A mask in the file must be that of the config's window; without a window, it must hide nothing.
    void check_window(const LayerConfig &config);

    /// Adds tensors that the layer has no use for, and throws WeightsError if there is any defect.
    void raise();

private:
    const std::string *find(const std::string &name) const;
    std::optional<TensorType> type_of(const std::string &name) const;
    bool is_factorised() const;
    bool is_logarithm() const;
    std::set<std::string> known_names() const;
    bool is_of_layer(const std::string &tensor) const;

    StoredTensors &tensors_;
    const LayerPlace place_;
    LayerForm form_;
    const std::string bias_, target_factor_, source_factor_, mask_, decay_, log_decay_;
    Defects defects_;
};

}  // namespace aft
