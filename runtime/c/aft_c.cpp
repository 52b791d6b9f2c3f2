#include "c/c_status.h"
#include "weights/parameters.h"

#include <aft/aft.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

struct aft_weights {
    aft::Weights values;
};

struct aft_layer {
    aft::Layer layer;
};

namespace aft {
namespace {

template<typename T>
T &given(const char *what, T *pointer) {
    if (!pointer) {
        throw ArgumentError(std::string(what) + " is null");
    }
    return *pointer;
}

/// A caller's struct, which may be older or newer than this library. Members that it lacks are 0. Members that the
/// library lacks must be 0.
template<typename Struct>
Struct read_struct(const char *what, const Struct *pointer) {
    constexpr std::uint64_t smallest = sizeof(Struct::struct_size), largest = 4096;  // else it was never set
    const std::uint64_t size = given(what, pointer).struct_size;
    if (size < smallest || size > largest) {
        throw ArgumentError(std::string(what) + ": struct_size is " + std::to_string(size) + ", must be " +
                            std::to_string(sizeof(Struct)));
    }
    const auto *bytes = reinterpret_cast<const unsigned char *>(pointer);
    const std::uint64_t known = std::min<std::uint64_t>(size, sizeof(Struct));
    const auto *unknown = std::find_if(bytes + known, bytes + size, [](unsigned char byte) { return byte != 0; });
    if (unknown != bytes + size) {
        throw ArgumentError(std::string(what) + " has a value at byte " + std::to_string(unknown - bytes) +
                            ", aft " AFT_VERSION " knows its first " + std::to_string(sizeof(Struct)) + " bytes");
    }
    Struct result = {};
    std::memcpy(&result, bytes, known);
    return result;
}

LayerForm form_of(aft_layer_kind kind) {
    std::string kinds;
    for (const NamedForm &named : named_forms) {
        if (named.c_kind == kind) {
            return named.form;
        }
        kinds += (kinds.empty() ? "" : ", ") + std::to_string(named.c_kind) + " (" + std::string(named.name) + ")";
    }
    throw ConfigError("kind is " + std::to_string(kind) + ", must be one of " + kinds);
}

aft_layer_kind kind_of(const LayerForm &form) {
    return std::find_if(std::begin(named_forms), std::end(named_forms),
                        [&](const NamedForm &named) { return named.name == name(form); })
        ->c_kind;
}

LayerConfig read_config(const aft_config *pointer) {
    const aft_config config = read_struct("config", pointer);
    return {form_of(config.kind), config.hidden, config.projected, config.max_seq_len, config.window};
}

/// Writes no more than the size of the caller's struct, which was read before.
void write_config(const LayerConfig &config, aft_config *pointer) {
    const std::uint64_t size = pointer->struct_size;
    const aft_config written = {size,         kind_of(config.form), config.hidden, config.projected, config.max_seq_len,
                                config.window};
    std::memcpy(pointer, &written, std::min<std::uint64_t>(size, sizeof(written)));
}

std::string or_empty(const char *text) {
    return text ? text : "";
}

LoadOptions read_options(const aft_load_options *pointer) {
    LoadOptions result;
    if (pointer) {
        const aft_load_options options = read_struct("options", pointer);
        result.prefix = options.prefix ? std::optional<std::string>(options.prefix) : std::nullopt;
        result.naming = or_empty(options.naming);
        for (const char *const *name = options.names; name && *name; ++name) {
            const char *equals = std::strchr(*name, '=');
            if (!equals || !result.names.emplace(std::string(*name, equals), equals + 1).second) {
                throw ArgumentError("options.names has " + std::string(*name) +
                                    ", must be PARAMETER=NAME, each parameter once");
            }
        }
    }
    return result;
}

aft_kernel_info c_info(const KernelInfo &kernel) {
    const auto range = [](const PreferredExtents::Range &range) { return aft_range{range.from, range.to}; };
    const MinimumExtents &minimum = kernel.minimum;
    const PreferredExtents &preferred = kernel.preferred;
    return {kernel.id.c_str(),
            kernel.layer ? kind_of(*kernel.layer) : -1,
            kernel.usable,
            kernel.reason.c_str(),
            kernel.api.c_str(),
            kernel.schedule.c_str(),
            kernel.target.c_str(),
            kernel.storage.c_str(),
            kernel.any_bias_range ? INFINITY : max_bias_range,
            minimum.batch,
            minimum.seq,
            minimum.hidden,
            minimum.projected,
            minimum.window,
            range(preferred.seq),
            range(preferred.hidden),
            range(preferred.projected),
            range(preferred.window),
            kernel.operation.c_str(),
            kernel.algorithm.c_str()};
}

aft_device_info c_info(const Device &device) {
    return {device.id.c_str(), device.api.c_str(), device.name.c_str(),  device.memory,
            device.is_gpu,     device.usable,      device.reason.c_str()};
}

/// Made on the first use and kept. So a program that uses only the CPU loads no drivers.
template<typename CInfo, typename Info>
const CInfo *kept(const Info &info) {
    static std::mutex mutex;
    static std::map<std::string, CInfo> all;
    const std::lock_guard lock(mutex);
    return &all.emplace(info.id, c_info(info)).first->second;
}

template<typename Info>
const Info &info_at(const std::vector<Info> &infos, std::int64_t index) {
    const auto count = static_cast<std::int64_t>(infos.size());
    if (index < 0 || index >= count) {
        throw ArgumentError("index is " + std::to_string(index) + ", must be 0 to " + std::to_string(count - 1));
    }
    return infos[index];
}

Weights copy_weights(const aft_parameters &from, const LayerConfig &config) {
    const struct {
        const char *name;
        const float *values;
        std::vector<float> Weights::*copy;
    } all[] = {
        {"query_weight", from.query_weight, &Weights::query_weight},
        {"query_bias", from.query_bias, &Weights::query_bias},
        {"key_weight", from.key_weight, &Weights::key_weight},
        {"key_bias", from.key_bias, &Weights::key_bias},
        {"value_weight", from.value_weight, &Weights::value_weight},
        {"value_bias", from.value_bias, &Weights::value_bias},
        {"project_weight", from.project_weight, &Weights::project_weight},
        {"project_bias", from.project_bias, &Weights::project_bias},
        {"position_bias", from.position_bias, &Weights::position_bias},
    };
    Weights weights;
    for (const Parameter &parameter : parameters(config)) {
        const auto &source =
            *std::find_if(std::begin(all), std::end(all), [&](const auto &s) { return s.copy == parameter.values; });
        if (source.values) {
            (weights.*source.copy).assign(source.values, source.values + parameter.size());
        } else if (!parameter.optional) {
            throw ArgumentError(std::string(source.name) + " is null, must be " + to_string(parameter.extents));
        }
    }
    return weights;
}

template<typename T>
TensorView<T, 3> view(const char *what, T *data, const std::int64_t *extents, const std::int64_t *strides) {
    given("extents", extents);
    const bool is_empty = extents[0] == 0 || extents[1] == 0;
    TensorView<T, 3> result(is_empty ? data : &given(what, data), {extents[0], extents[1], extents[2]});
    if (strides) {
        std::copy_n(strides, 3, result.strides.begin());
    }
    return result;
}

}  // namespace
}  // namespace aft

using namespace aft;

const char *aft_version() {
    return AFT_VERSION;
}

const char *aft_last_error() {
    return last_message();
}

aft_status aft_kernel_count(int64_t *count) {
    return guarded([&] { given("count", count) = static_cast<std::int64_t>(kernels().size()); });
}

aft_status aft_kernel_at(int64_t index, const aft_kernel_info **kernel) {
    return guarded([&] { given("kernel", kernel) = kept<aft_kernel_info>(info_at(kernels(), index)); });
}

aft_status aft_device_count(int64_t *count) {
    return guarded([&] { given("count", count) = static_cast<std::int64_t>(devices().size()); });
}

aft_status aft_device_at(int64_t index, const aft_device_info **device) {
    return guarded([&] { given("device", device) = kept<aft_device_info>(info_at(devices(), index)); });
}

aft_status aft_set_thread_count(int32_t threads) {
    return guarded([&] { set_thread_count(threads); });
}

aft_status aft_thread_count(int32_t *threads) {
    return guarded([&] { given("threads", threads) = thread_count(); });
}

aft_status aft_weights_copy(const aft_config *config, const aft_parameters *parameters, aft_weights **weights) {
    return guarded([&] {
        aft_weights *&result = given("weights", weights);
        const LayerConfig layer_config = read_config(config);
        check_config(layer_config);
        Weights values = copy_weights(read_struct("parameters", parameters), layer_config);
        check_weights(values, layer_config);
        result = new aft_weights{std::move(values)};
    });
}

aft_status aft_weights_load(const char *path, const aft_config *config, const aft_load_options *options,
                            aft_weights **weights) {
    return guarded([&] {
        aft_weights *&result = given("weights", weights);
        const LayerConfig layer_config = read_config(config);
        const LoadOptions load_options = read_options(options);
        result = new aft_weights{load_weights(&given("path", path), layer_config, load_options)};
    });
}

aft_status aft_config_from_weights(const char *path, const aft_load_options *options, aft_config *config) {
    return guarded([&] {
        const LayerConfig before = read_config(config);
        const LoadOptions load_options = read_options(options);
        write_config(config_from_weights(&given("path", path), before, load_options), config);
    });
}

void aft_weights_destroy(aft_weights *weights) {
    delete weights;
}

aft_status aft_layer_create(const aft_config *config, const aft_weights *weights, const aft_layer_options *options,
                            aft_layer **layer) {
    return guarded([&] {
        aft_layer *&result = given("layer", layer);
        const LayerConfig layer_config = read_config(config);
        const aft_layer_options given_options = options ? read_struct("options", options) : aft_layer_options{};
        const LayerOptions layer_options = {or_empty(given_options.kernel), or_empty(given_options.device)};
        result = new aft_layer{Layer(layer_config, given("weights", weights).values, layer_options)};
    });
}

void aft_layer_destroy(aft_layer *layer) {
    delete layer;
}

aft_status aft_layer_forward(const aft_layer *layer, const int64_t extents[3], const float *x, const int64_t *x_strides,
                             float *y, const int64_t *y_strides) {
    return guarded([&] {
        given("layer", layer).layer.forward(view("x", x, extents, x_strides), view("y", y, extents, y_strides));
    });
}

aft_status aft_layer_forward_cuda(const aft_layer *layer, const int64_t extents[3], const float *x,
                                  const int64_t *x_strides, float *y, const int64_t *y_strides, void *stream) {
    return guarded([&] {
        const DeviceView<const float, 3> from{view("x", x, extents, x_strides)};
        const DeviceView<float, 3> to{view("y", y, extents, y_strides)};
        given("layer", layer).layer.forward(from, to, stream);
    });
}

aft_status aft_layer_synchronize(const aft_layer *layer) {
    return guarded([&] { given("layer", layer).layer.synchronize(); });
}

aft_status aft_layer_device(const aft_layer *layer, const aft_device_info **device) {
    return guarded([&] { given("device", device) = kept<aft_device_info>(given("layer", layer).layer.device()); });
}

aft_status aft_layer_kernel_for(const aft_layer *layer, int64_t batch, int64_t seq, const aft_kernel_info **kernel) {
    return guarded(
        [&] { given("kernel", kernel) = kept<aft_kernel_info>(given("layer", layer).layer.kernel_for({batch, seq})); });
}

aft_status aft_layer_config(const aft_layer *layer, aft_config *config) {
    return guarded([&] {
        read_struct("config", config);
        write_config(given("layer", layer).layer.config(), config);
    });
}

aft_status aft_layer_scratch_bytes(const aft_layer *layer, uint64_t *bytes) {
    return guarded([&] { given("bytes", bytes) = given("layer", layer).layer.scratch_bytes(); });
}
