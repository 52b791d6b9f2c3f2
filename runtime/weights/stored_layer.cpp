#include "weights/stored_layer.h"

#include "weights/gates.h"
#include "weights/parameters.h"
#include "weights/safetensors_header.h"

#include <aft/error.h>
#include <aft/safetensors.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

namespace aft {
namespace {

bool starts_with(std::string_view text, std::string_view start) {
    return text.substr(0, start.size()) == start;
}

/// w[t, t'] = sum_r u[t, r] v[t', r], summed in double. u, v: [S, r] -> [S, S]
std::vector<float> factor_product(const std::vector<float> &u, const std::vector<float> &v, std::int64_t S) {
    const std::int64_t rank = static_cast<std::int64_t>(u.size()) / S;
    std::vector<float> w(S * S);
    for (std::int64_t t = 0; t < S; ++t) {
        for (std::int64_t s = 0; s < S; ++s) {
            double sum = 0;
            for (std::int64_t r = 0; r < rank; ++r) {
                sum += static_cast<double>(u[t * rank + r]) * v[s * rank + r];
            }
            w[t * S + s] = static_cast<float>(sum);
        }
    }
    return w;
}

}  // namespace

void exponentiate(std::vector<float> &log_decay) {
    for (float &value : log_decay) {
        value = static_cast<float>(std::exp(static_cast<double>(value)));
    }
}

StoredLayer::StoredLayer(StoredTensors &tensors, const LayerForm &form, const LoadOptions &options)
    : tensors_(tensors), place_(locate(tensors, options)), form_(form), bias_(naming().position_bias),
      target_factor_(naming().target_factor), source_factor_(naming().source_factor), mask_(naming().local_mask),
      decay_(naming().decay), log_decay_(naming().log_decay) {
    form_.gate = naming().gate.value_or(form.gate);
    if (naming().query.empty() && form_.has_query()) {
        throw ConfigError("the name of query is empty, only a layer without a gate has none");
    }
}

void StoredLayer::check_gate(Gate gate) const {
    if (gate != form_.gate) {
        throw ConfigError(where(tensors_) + in_layer(place_.prefix) + "has gate " + std::string(name_of(form_.gate)) +
                          " (" + std::string(naming().name) + "), the config has gate " + std::string(name_of(gate)));
    }
}

std::vector<float> StoredLayer::values(const std::string &name, const std::vector<std::int64_t> &extents, bool optional,
                                       Domain domain) {
    const std::optional<TensorType> type = type_of(name);
    if (!type) {
        if (!optional) {
            defects_.add(name + " is missing, must be " + to_string(extents));
        }
    } else if (type->extents != extents) {
        defects_.add(name + " is " + to_string(type->extents) + ", must be " + to_string(extents));
    } else {
        StoredTensor space;
        const StoredTensor &tensor = tensors_.read(*find(name), space);
        try {
            std::vector<float> values = tensor.as_float();
            if (defects_.check(name, values, extents, domain)) {
                return values;
            }
        } catch (const WeightsError &error) {
            defects_.add(name + ": " + error.what());
        }
    }
    return {};
}

std::vector<float> StoredLayer::position_bias(std::int64_t S) {
    if (!is_factorised()) {
        return needs(bias_, "position bias") ? values(bias_, {S, S}, false, Domain::finite_or_masked)
                                             : std::vector<float>();
    }
    const TensorType one = *type_of(find(target_factor_) ? target_factor_ : source_factor_);
    const std::int64_t rank = one.extents.empty() ? 1 : std::max<std::int64_t>(one.extents.back(), 1);
    const std::vector<float> u = values(target_factor_, {S, rank}, false, Domain::finite);
    const std::vector<float> v = values(source_factor_, {S, rank}, false, Domain::finite);
    if (u.empty() || v.empty()) {
        return {};
    }
    std::vector<float> w = factor_product(u, v, S);
    defects_.check(target_factor_ + " " + source_factor_ + "^T", w, {S, S}, Domain::finite_or_masked);
    return w;
}

std::vector<float> StoredLayer::decay(std::int64_t P) {
    if (!is_logarithm()) {
        return needs(decay_, "decay") ? values(decay_, {P}, false, Domain::at_least_0) : std::vector<float>();
    }
    std::vector<float> decay = values(log_decay_, {P}, false, Domain::finite_or_masked);
    exponentiate(decay);
    if (!decay.empty()) {
        defects_.check("exp(" + log_decay_ + ")", decay, {P}, Domain::at_least_0);
    }
    return decay;
}

std::array<std::int64_t, 2> StoredLayer::matrix(const std::string &name) {
    const std::optional<TensorType> type = type_of(name);
    if (!type) {
        defects_.add(name + " is missing");
    } else if (type->extents.size() != 2 || type->extents[0] < 1 || type->extents[1] < 1) {
        defects_.add(name + " is " + to_string(type->extents) + ", must be a matrix");
    } else {
        return {type->extents[0], type->extents[1]};
    }
    return {0, 0};
}

std::int64_t StoredLayer::max_seq_len() {
    return is_factorised() ? matrix(target_factor_)[0] : needs(bias_, "position bias") ? matrix(bias_)[0] : 0;
}

std::optional<std::int64_t> StoredLayer::window(std::int64_t S) {
    const std::optional<TensorType> type = type_of(mask_);
    if (!type) {
        return std::nullopt;
    }
    if (type->dtype != "BOOL" || type->extents != std::vector{S, S}) {
        defects_.add(mask_ + " is " + type->dtype + " " + to_string(type->extents) + ", must be BOOL " +
                     to_string({S, S}));
        return std::nullopt;
    }
    StoredTensor space;
    const std::vector<std::byte> &visible = tensors_.read(*find(mask_), space).bytes;
    if (visible.size() != tensor_bytes(type->extents, 1)) {
        defects_.add(mask_ + " has " + std::to_string(visible.size()) + " bytes, must be " + to_string({S, S}));
        return std::nullopt;
    }
    const std::int64_t s = std::find(visible.begin(), visible.begin() + S, std::byte{0}) - visible.begin();
    for (std::int64_t t = 0; t < S; ++t) {
        for (std::int64_t source = 0; source < S; ++source) {
            const bool is_visible = visible[t * S + source] != std::byte{0};
            if (is_visible != (std::abs(t - source) < s)) {
                defects_.add(mask_ + " is " + (is_visible ? "true" : "false") + " at " + to_string({t, source}) +
                             ", must be |t - t'| < " + std::to_string(s) + " as in its first row");
                return std::nullopt;
            }
        }
    }
    return s;
}

void StoredLayer::check_unprojected(const LayerConfig &config) {
    if (config.hidden != config.projected) {
        defects_.add(std::string(naming().name) + " has no output projection: projected is " +
                     std::to_string(config.projected) + ", must be hidden, " + std::to_string(config.hidden));
    }
}

void StoredLayer::check_window(const LayerConfig &config) {
    if (!form_.has_positions()) {
        return;
    }
    const std::int64_t S = config.max_seq_len;
    const std::int64_t expected = form_.has_window() ? std::min(config.window, S) : S;
    const std::optional<std::int64_t> stored = window(S);
    if (stored && *stored != expected) {
        defects_.add(mask_ + " has window " + std::to_string(*stored) + ", must have " + std::to_string(expected));
    }
}

void StoredLayer::raise() {
    const std::set<std::string> known = known_names();
    const StoredTensors::Names &names = tensors_.names();
    for (auto tensor = names.lower_bound(place_.prefix);
         tensor != names.end() && starts_with(tensor->first, place_.prefix); ++tensor) {
        const std::string name = tensor->first.substr(place_.prefix.size());
        if (known.count(name) == 0 && is_of_layer(name)) {
            defects_.add(in_quotes(name) + " is unexpected");
        }
    }
    defects_.raise(where(tensors_) + (place_.prefix.empty() ? "" : "layer " + in_quotes(place_.prefix) + ": "));
}

/// The name that the tensor is stored under; null where there is none.
const std::string *StoredLayer::find(const std::string &name) const {
    const StoredTensors::Names &names = tensors_.names();
    const auto found = name.empty() ? names.end() : names.find(place_.prefix + name);
    return found == names.end() ? nullptr : &found->second;
}

std::optional<TensorType> StoredLayer::type_of(const std::string &name) const {
    const std::string *stored = find(name);
    return stored ? std::optional(tensors_.type(*stored)) : std::nullopt;
}

bool StoredLayer::is_factorised() const {
    return !find(bias_) && (find(target_factor_) || find(source_factor_));
}

/// The decay's logarithm is the only form that some networks know.
bool StoredLayer::is_logarithm() const {
    return decay_.empty() ? !log_decay_.empty() : !find(decay_) && find(log_decay_);
}

bool StoredLayer::needs(std::string_view name, const char *parameter) {
    if (name.empty()) {
        defects_.add(std::string(naming().name) + " has no " + parameter + ", a " + std::string(aft::name(form_)) +
                     " layer needs one");
    }
    return !name.empty();
}

std::set<std::string> StoredLayer::known_names() const {
    std::set<std::string> known;
    // With the usual gate: a layer without one may leave a query unread.
    const LayerForm with_query{form_.bias, form_.reach};
    for (const Parameter &parameter : parameters({with_query}, naming())) {
        known.insert(parameter.values == &Weights::decay && is_logarithm() ? log_decay_ : parameter.tensor);
    }
    if (form_.has_positions()) {  // which may be factorised and have a mask
        known.insert(mask_);
        if (is_factorised()) {
            known.insert(target_factor_);
            known.insert(source_factor_);
        }
    }
    known.erase("");
    return known;
}

/// Behind a prefix, every tensor is the layer's. Without one, those in its modules and those named like its parameters.
bool StoredLayer::is_of_layer(const std::string &tensor) const {
    const auto is_in = [&](std::string_view module) {
        return !module.empty() && starts_with(tensor, std::string(module) + ".");
    };
    if (!place_.prefix.empty()) {
        return naming().beside.empty() || !starts_with(tensor, naming().beside);
    }
    const std::vector<std::string_view> modules = naming().modules();
    const std::string_view tensors[] = {bias_,  target_factor_, source_factor_, mask_,
                                        decay_, log_decay_,     naming().bonus, naming().filter};
    return std::any_of(modules.begin(), modules.end(), is_in) || is_in(naming().foreign) ||
           std::find(std::begin(tensors), std::end(tensors), tensor) != std::end(tensors);
}

}  // namespace aft
