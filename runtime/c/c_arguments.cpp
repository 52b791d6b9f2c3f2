#include "c/c_arguments.h"

#include "c/c_objects.h"
#include "weights/gates.h"

#include <aft/error.h>

#include <iterator>
#include <optional>

namespace aft {
namespace {

/// Codes of C with their names: "0 (full), 1 (simple)".
class Codes {
public:
    void add(std::int64_t code, std::string_view name) {
        text_ += (text_.empty() ? "" : ", ") + std::to_string(code) + " (" + std::string(name) + ")";
    }
    [[noreturn]] void refuse(const char *what, std::int64_t code) const {
        throw ConfigError(std::string(what) + " is " + std::to_string(code) + ", must be one of " + text_);
    }

private:
    std::string text_;
};

LayerForm form_of(aft_layer_kind kind) {
    Codes codes;
    for (const NamedForm &named : named_forms) {
        if (named.c_kind == kind) {
            return named.form;
        }
        codes.add(named.c_kind, named.name);
    }
    codes.refuse("kind", kind);
}

Gate gate_of(aft_gate gate) {
    Codes codes;
    for (const auto &named : named_gates) {
        const auto code = static_cast<aft_gate>(named.gate);
        if (code == gate) {
            return named.gate;
        }
        codes.add(code, named.name);
    }
    codes.refuse("gate", gate);
}

std::string or_empty(const char *text) {
    return text ? text : "";
}

template<typename T>
TensorView<T, 3> view_of(T *data, const std::int64_t (&extents)[3], const std::int64_t *strides) {
    TensorView<T, 3> result(data, {extents[0], extents[1], extents[2]});
    if (strides) {
        std::copy_n(strides, 3, result.strides.begin());
    }
    return result;
}

}  // namespace

aft_layer_kind kind_of(const LayerForm &form) {
    return std::find_if(std::begin(named_forms), std::end(named_forms),
                        [&](const NamedForm &named) { return named.name == name(form); })
        ->c_kind;
}

LayerConfig read_config(const aft_config *pointer) {
    const aft_config config = read_struct("config", pointer);
    LayerConfig result{form_of(config.kind), config.hidden, config.projected, config.max_seq_len, config.window};
    result.form.gate = gate_of(config.gate);
    result.key_hidden = config.key_hidden;
    result.value_hidden = config.value_hidden;
    result.heads = config.heads != 0 ? config.heads : 1;
    return result;
}

void write_config(const LayerConfig &config, aft_config *pointer) {
    aft_config written = {};
    written.struct_size = pointer->struct_size;
    written.kind = kind_of(config.form);
    written.hidden = config.hidden;
    written.projected = config.projected;
    written.max_seq_len = config.max_seq_len;
    written.window = config.window;
    written.gate = static_cast<aft_gate>(config.form.gate);
    written.key_hidden = config.key_hidden;
    written.value_hidden = config.value_hidden;
    written.heads = config.heads;
    std::memcpy(pointer, &written, std::min<std::uint64_t>(written.struct_size, sizeof(written)));
}

LayerOptions read_options(const aft_layer_options *pointer) {
    if (!pointer) {
        return {};
    }
    const aft_layer_options options = read_struct("options", pointer);
    return {or_empty(options.kernel), or_empty(options.device), or_empty(options.storage)};
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
        if (options.gate) {
            result.gate = gate_of(*options.gate);
        }
    }
    return result;
}

TensorView<const float, 3> read_tensor(const aft_tensor &tensor) {
    return view_of(tensor.data, tensor.extents, tensor.strides);
}

TensorView<float, 3> read_gradient(const aft_gradient &gradient) {
    return view_of(gradient.data, gradient.extents, gradient.strides);
}

TensorView<const std::int64_t, 1> read_lengths(const std::int64_t *lengths, std::int64_t batch) {
    return lengths ? TensorView<const std::int64_t, 1>(lengths, {batch}) : TensorView<const std::int64_t, 1>();
}

Sight read_sight(const aft_sight *pointer, const std::int64_t *extents) {
    given("extents", extents);
    Sight result;
    if (pointer) {
        const aft_sight sight = read_struct("sight", pointer);
        result.position_bias = read_tensor(sight.position_bias);
        result.bias_scale = sight.bias_scale ? *sight.bias_scale : 1;
        result.lengths = read_lengths(sight.lengths, extents[0]);
        result.mask = view_of(sight.mask.data, sight.mask.extents, sight.mask.strides);
    }
    return result;
}

CoreCall read_inputs(const aft_core_inputs *pointer, const std::int64_t *extents) {
    const aft_core_inputs inputs = read_struct("inputs", pointer);
    return {read_tensor(inputs.query), read_tensor(inputs.key), read_tensor(inputs.value),
            read_sight(inputs.sight, extents)};
}

LayerCall read_inputs(const aft_layer_inputs *pointer, const std::int64_t *extents) {
    const aft_layer_inputs inputs = read_struct("inputs", pointer);
    return {read_tensor(inputs.query), read_tensor(inputs.key), read_tensor(inputs.value),
            inputs.sources ? &inputs.sources->sources : nullptr, read_sight(inputs.sight, extents)};
}

}  // namespace aft
