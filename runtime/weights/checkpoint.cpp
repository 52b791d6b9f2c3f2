#include "threads/float_environment.h"
#include "weights/naming.h"
#include "weights/parameters.h"
#include "weights/problems.h"
#include "weights/safetensors_header.h"
#include "weights/stored_tensors.h"

#include <aft/error.h>
#include <aft/safetensors.h>
#include <aft/weights.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <set>

namespace aft {
namespace {

bool starts_with(std::string_view text, std::string_view start) {
    return text.substr(0, start.size()) == start;
}

/// A layer of a file, and all that is found to be wrong with it.
class StoredLayer {
public:
    StoredLayer(StoredTensors &tensors, LayerKind kind, const LoadOptions &options)
        : tensors_(tensors), place_(locate(tensors, options)), kind_(kind), bias_(naming().position_bias),
          target_factor_(naming().target_factor), source_factor_(naming().source_factor), mask_(naming().local_mask) {}

    const Naming &naming() const {
        return place_.naming;
    }

    /// Nothing where there is a problem, or no tensor and none is needed.
    std::vector<float> values(const std::string &name, const std::vector<std::int64_t> &extents, bool optional,
                              bool may_mask) {
        const std::optional<TensorType> type = type_of(name);
        if (!type) {
            if (!optional) {
                problems_.add(name + " is missing, must be " + to_string(extents));
            }
        } else if (type->extents != extents) {
            problems_.add(name + " is " + to_string(type->extents) + ", must be " + to_string(extents));
        } else {
            StoredTensor space;
            const StoredTensor &tensor = tensors_.read(*find(name), space);
            try {
                std::vector<float> values = tensor.as_float();
                if (problems_.check(name, values, extents, may_mask)) {
                    return values;
                }
            } catch (const WeightsError &error) {
                problems_.add(name + ": " + error.what());
            }
        }
        return {};
    }

    /// A network without an output projection has as many channels after the gate as before the layer.
    void check_unprojected(const LayerConfig &config) {
        if (config.hidden != config.projected) {
            problems_.add(std::string(naming().name) + " has no output projection: projected is " +
                          std::to_string(config.projected) + ", must be hidden, " + std::to_string(config.hidden));
        }
    }

    /// [S, S], stored as it is or as factors.
    std::vector<float> position_bias(std::int64_t S) {
        if (!is_factorised()) {
            return has_position_bias() ? values(bias_, {S, S}, false, true) : std::vector<float>();
        }
        const TensorType one = *type_of(find(target_factor_) ? target_factor_ : source_factor_);
        const std::int64_t rank = one.extents.empty() ? 1 : std::max<std::int64_t>(one.extents.back(), 1);
        const std::vector<float> u = values(target_factor_, {S, rank}, false, false);
        const std::vector<float> v = values(source_factor_, {S, rank}, false, false);
        if (u.empty() || v.empty()) {
            return {};
        }
        std::vector<float> w = factor_product(u, v, S);
        problems_.check(target_factor_ + " " + source_factor_ + "^T", w, {S, S}, true);
        return w;
    }

    /// The extents of what must be a matrix; zeros where it isn't.
    std::array<std::int64_t, 2> matrix(const std::string &name) {
        const std::optional<TensorType> type = type_of(name);
        if (!type) {
            problems_.add(name + " is missing");
        } else if (type->extents.size() != 2 || type->extents[0] < 1 || type->extents[1] < 1) {
            problems_.add(name + " is " + to_string(type->extents) + ", must be a matrix");
        } else {
            return {type->extents[0], type->extents[1]};
        }
        return {0, 0};
    }

    /// S, of the position bias in either form.
    std::int64_t max_seq_len() {
        return has_position_bias() ? matrix(is_factorised() ? target_factor_ : bias_)[0] : 0;
    }

    /// The s of the mask that is true where |t - t'| < s; S when it hides nothing. Nothing where there is no mask.
    std::optional<std::int64_t> window(std::int64_t S) {
        const std::optional<TensorType> type = type_of(mask_);
        if (!type) {
            return std::nullopt;
        }
        if (type->dtype != "BOOL" || type->extents != std::vector{S, S}) {
            problems_.add(mask_ + " is " + type->dtype + " " + to_string(type->extents) + ", must be BOOL " +
                          to_string({S, S}));
            return std::nullopt;
        }
        StoredTensor space;
        const std::vector<std::byte> &visible = tensors_.read(*find(mask_), space).bytes;
        if (visible.size() != tensor_bytes(type->extents, 1)) {
            problems_.add(mask_ + " has " + std::to_string(visible.size()) + " bytes, must be " + to_string({S, S}));
            return std::nullopt;
        }
        const std::int64_t s = std::find(visible.begin(), visible.begin() + S, std::byte{0}) - visible.begin();
        for (std::int64_t t = 0; t < S; t++) {
            for (std::int64_t source = 0; source < S; source++) {
                const bool is_visible = visible[t * S + source] != std::byte{0};
                if (is_visible != (std::abs(t - source) < s)) {
                    problems_.add(mask_ + " is " + (is_visible ? "true" : "false") + " at " + to_string({t, source}) +
                                  ", must be |t - t'| < " + std::to_string(s) + " as in its first row");
                    return std::nullopt;
                }
            }
        }
        return s;
    }

    /// A full layer has the mask of a window that spans all.
    void check_window(const LayerConfig &config) {
        const std::int64_t S = config.max_seq_len;
        const std::int64_t expected = kind_ == LayerKind::local ? std::min(config.window, S) : S;
        const std::optional<std::int64_t> stored = window(S);
        if (stored && *stored != expected) {
            problems_.add(mask_ + " has window " + std::to_string(*stored) + ", must have " + std::to_string(expected));
        }
    }

    /// Throws the problems, and what the layer has no use for.
    void raise() {
        const std::set<std::string> known = known_names();
        const StoredTensors::Names &names = tensors_.names();
        for (auto tensor = names.lower_bound(place_.prefix);
             tensor != names.end() && starts_with(tensor->first, place_.prefix); ++tensor) {
            const std::string name = tensor->first.substr(place_.prefix.size());
            if (known.count(name) == 0 && is_of_layer(name)) {
                problems_.add(in_quotes(name) + " is unexpected");
            }
        }
        problems_.raise(where(tensors_) + (place_.prefix.empty() ? "" : "layer " + in_quotes(place_.prefix) + ": "));
    }

private:
    /// The name that the tensor is stored under; null where there is none.
    const std::string *find(const std::string &name) const {
        const StoredTensors::Names &names = tensors_.names();
        const auto found = name.empty() ? names.end() : names.find(place_.prefix + name);
        return found == names.end() ? nullptr : &found->second;
    }

    std::optional<TensorType> type_of(const std::string &name) const {
        const std::string *stored = find(name);
        return stored ? std::optional(tensors_.type(*stored)) : std::nullopt;
    }

    bool is_factorised() const {
        return !find(bias_) && (find(target_factor_) || find(source_factor_));
    }

    bool has_position_bias() {
        if (bias_.empty()) {
            problems_.add(std::string(naming().name) + " has no position bias, a " + std::string(name(kind_)) +
                          " layer needs one");
        }
        return !bias_.empty();
    }

    std::set<std::string> known_names() const {
        std::set<std::string> known;
        for (const Parameter &parameter : parameters({kind_}, naming())) {
            known.insert(parameter.tensor);
        }
        if (kind_ != LayerKind::simple) {
            known.insert(mask_);
            if (is_factorised()) {
                known.insert(target_factor_);
                known.insert(source_factor_);
            }
        }
        known.erase("");
        return known;
    }

    /// Under a prefix is nothing but the layer. Without one is what lies in its modules or has the name of a parameter.
    bool is_of_layer(const std::string &tensor) const {
        const auto is_in = [&](std::string_view module) {
            return !module.empty() && starts_with(tensor, std::string(module) + ".");
        };
        if (!place_.prefix.empty()) {
            return !is_in(naming().beside);
        }
        const std::vector<std::string_view> modules = naming().modules();
        return std::any_of(modules.begin(), modules.end(), is_in) || is_in(naming().foreign) || tensor == bias_ ||
               tensor == target_factor_ || tensor == source_factor_ || tensor == mask_;
    }

    StoredTensors &tensors_;
    const LayerPlace place_;
    const LayerKind kind_;
    const std::string bias_, target_factor_, source_factor_, mask_;
    Problems problems_;
};

Weights weights_of(StoredTensors &tensors, const LayerConfig &config, const LoadOptions &options) {
    const FloatEnvironment during;
    StoredLayer layer(tensors, config.kind, options);
    Weights weights;
    for (const Parameter &parameter : parameters(config, layer.naming())) {
        std::vector<float> &values = weights.*parameter.values;
        if (parameter.may_mask()) {
            values = layer.position_bias(config.max_seq_len);
        } else if (!parameter.tensor.empty()) {
            values = layer.values(parameter.tensor, parameter.extents, parameter.optional, false);
        } else if (!parameter.optional) {
            layer.check_unprojected(config);
            values = identity(config.hidden);
        }
    }
    if (config.kind != LayerKind::simple) {
        layer.check_window(config);
    }
    layer.raise();
    return weights;
}

LayerConfig implied_config(StoredTensors &tensors, LayerConfig config, const LoadOptions &options) {
    const FloatEnvironment during;
    StoredLayer layer(tensors, config.kind, options);
    for (const Parameter &parameter : parameters(config, layer.naming())) {
        if (parameter.extents.size() == 2 && !parameter.may_mask() && !parameter.tensor.empty()) {
            const auto [rows, columns] = layer.matrix(parameter.tensor);
            if (parameter.values == &Weights::query_weight) {
                config.projected = rows;
                config.hidden = columns;
            }
        }
    }
    if (layer.naming().project.empty()) {
        layer.check_unprojected(config);
    }
    if (config.kind != LayerKind::simple) {
        config.max_seq_len = layer.max_seq_len();
        if (config.kind == LayerKind::local && config.max_seq_len > 0) {
            config.window = layer.window(config.max_seq_len).value_or(config.window);
        }
    }
    layer.raise();
    return config;
}

}  // namespace

Weights load_weights(const SafetensorsFile &file, const LayerConfig &config, const LoadOptions &options) {
    check_config(config);
    return weights_of(*StoredTensors::of(file), config, options);
}

LayerConfig config_from_weights(const SafetensorsFile &file, LayerConfig config, const LoadOptions &options) {
    return implied_config(*StoredTensors::of(file), config, options);
}

Weights load_weights(const std::string &path, const LayerConfig &config, const LoadOptions &options) {
    check_config(config);  // before a file is read
    return weights_of(*StoredTensors::open(path), config, options);
}

LayerConfig config_from_weights(const std::string &path, LayerConfig config, const LoadOptions &options) {
    return implied_config(*StoredTensors::open(path), config, options);
}

}  // namespace aft
