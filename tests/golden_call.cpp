#include "golden_call.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace aft {
namespace {

/// A view of a tensor of the case, [batch, rows, channels], whichever comes first in memory.
TensorView<const float, 3> view_of(GoldenCall &call, const Golden &golden, const std::string &tensor) {
    const std::vector<std::int64_t> &extents = golden.file.tensors.at(tensor).extents;
    const std::vector<float> &values = call.tensors.emplace_back(golden.floats(tensor));
    const std::int64_t C = extents[2];
    if (golden.metadata("layout") == "TBC") {
        return {values.data(), {extents[1], extents[0], C}, {C, extents[1] * C, 1}};
    }
    return {values.data(), {extents[0], extents[1], C}};
}

/// [B, n, channels] of a tensor in double.
std::vector<double> batch_first(const Golden &golden, const std::string &tensor) {
    const std::vector<std::int64_t> &extents = golden.file.tensors.at(tensor).extents;
    std::vector<double> values = golden.doubles(tensor);
    if (golden.metadata("layout") != "TBC") {
        return values;
    }
    std::vector<double> result;
    for (std::int64_t b = 0; b < extents[1]; ++b) {
        for (std::int64_t t = 0; t < extents[0]; ++t) {
            const auto row = values.begin() + (t * extents[1] + b) * extents[2];
            result.insert(result.end(), row, row + extents[2]);
        }
    }
    return result;
}

LayerForm form_of(const Golden &golden, bool is_causal) {
    return layer_form((is_causal ? "causal_" : "") + golden.metadata("layer"));
}

bool is_causal(const Golden &golden) {
    return golden.metadata("causal") == "true";
}

std::int64_t window_of(const Golden &golden) {
    const std::string &window = golden.metadata("window");
    return window == "none" ? 0 : std::stoll(window);
}

std::vector<double> share_of_largest(const std::vector<double> &output, double share) {
    double largest = 0;
    for (const double y : output) {
        largest = std::max(largest, std::abs(y));
    }
    return std::vector<double>(output.size(), share * largest);
}

void name_call(GoldenCall &call, const Golden &golden, const std::string &how) {
    call.name = golden.name + " as " + std::string(name(call.config.form)) + how;
}

/// q, k, v and w. `given`: w is an input of the call, not a parameter.
GoldenCall core_call(const Golden &golden, bool given) {
    GoldenCall call;
    const std::int64_t P = golden.extent("hidden_dim");
    call.core.query = view_of(call, golden, "q");
    call.core.key = view_of(call, golden, "k");
    call.core.value = view_of(call, golden, "v");
    call.extents = call.core.query.extents;
    const std::int64_t n = call.extents[1], m = call.core.key.extents[1];
    call.config = {form_of(golden, is_causal(golden)), 0, P, std::max(n, m), window_of(golden)};
    if (given) {
        const bool is_shared = golden.file.tensors.at("w").extents.size() == 2;
        call.config.form = is_causal(golden) ? aft_causal_given : aft_given;
        call.config.window = 0;
        const std::vector<float> &w = call.tensors.emplace_back(golden.floats("w"));
        call.core.sight.position_bias = {w.data(), {call.extents[0], n, m}, {is_shared ? 0 : n * m, m, 1}};
    } else if (golden.has("w")) {
        call.weights.position_bias = golden.floats("w");
    }
    call.output = golden.doubles("gated_f64");
    // 4e-6 of gate sum p |v|, and 2^-126 where they are subnormal.
    const std::vector<double> magnitude = golden.doubles("A_abs_f64");
    const std::vector<float> query = golden.floats("q");
    for (std::size_t i = 0; i < query.size(); ++i) {
        const double gate = 1 / (1 + std::exp(-static_cast<double>(query[i])));
        call.allowed.push_back(4e-6 * gate * magnitude[i] + std::numeric_limits<float>::min());
    }
    name_call(call, golden, " without projections");
    return call;
}

GoldenCall wkv_call(const Golden &golden, bool as_simple) {
    GoldenCall call;
    const std::int64_t P = golden.extent("hidden_dim"), T = golden.extent("T");
    call.config = {as_simple ? aft_causal_simple : aft_wkv, 0, P, T};
    call.config.form.gate = Gate::none;
    call.core.key = view_of(call, golden, "k");
    call.core.value = view_of(call, golden, "v");
    call.core.query = {nullptr, call.core.key.extents};
    call.extents = call.core.key.extents;
    if (!as_simple) {
        for (const float rate : golden.floats("time_decay")) {
            call.weights.decay.push_back(static_cast<float>(std::exp(static_cast<double>(rate))));
        }
        call.weights.bonus = golden.floats("time_first");
        call.has_rounded_parameters = true;
    }
    call.output = golden.doubles("output_f64");
    call.allowed = share_of_largest(call.output, 1e-5);
    name_call(call, golden, "");
    return call;
}

/// The position bias as a float32 matrix.
std::vector<float> position_bias(const Golden &golden) {
    for (const char *name : {"wbias", "pos_bias"}) {
        if (golden.has(name)) {
            return golden.floats(name);
        }
    }
    std::vector<float> w;
    if (golden.has("wbias_u")) {
        const std::vector<float> u = golden.floats("wbias_u"), v = golden.floats("wbias_v");
        const std::int64_t rank = golden.file.tensors.at("wbias_u").extents[1];
        const std::int64_t S = static_cast<std::int64_t>(u.size()) / rank;
        for (std::int64_t i = 0; i < S * S; ++i) {
            double sum = 0;
            for (std::int64_t r = 0; r < rank; ++r) {
                sum += static_cast<double>(u[i / S * rank + r]) * v[i % S * rank + r];
            }
            w.push_back(static_cast<float>(sum));
        }
    }
    return w;
}

/// `by_mask`: the form sees all sources, and the case's mask hides them.
GoldenCall layer_call(const Golden &golden, bool by_mask) {
    GoldenCall call;
    call.is_layer = true;
    const bool is_labml = golden.metadata("source") == "labml-nn";
    const std::int64_t H = golden.extent("dim"), P = golden.extent("hidden_dim"), S = golden.extent("max_seqlen");
    call.config = {form_of(golden, is_causal(golden) && !by_mask), H, P, S, window_of(golden)};
    const auto read = [&](const std::string &module, std::vector<float> &weight, std::vector<float> &bias) {
        weight = golden.floats(module + ".weight");
        bias = golden.has(module + ".bias") ? golden.floats(module + ".bias") : std::vector<float>();
    };
    Weights &weights = call.weights;
    read(is_labml ? "query" : "to_q", weights.query_weight, weights.query_bias);
    read(is_labml ? "key" : "to_k", weights.key_weight, weights.key_bias);
    read(is_labml ? "value" : "to_v", weights.value_weight, weights.value_bias);
    read(is_labml ? "output" : "project", weights.project_weight, weights.project_bias);
    weights.position_bias = position_bias(golden);
    call.has_rounded_parameters = golden.has("wbias_u");

    if (golden.has("input")) {
        call.layer.query = view_of(call, golden, "input");
    } else {
        call.layer.query = view_of(call, golden, "input_query");
        call.layer.key = view_of(call, golden, "input_key");
        call.layer.value = view_of(call, golden, "input_value");
    }
    call.extents = call.layer.query.extents;
    const std::int64_t B = call.extents[0], T = call.extents[1];
    if (by_mask) {  // [targets or 1, sources, 1], shared by the samples
        const StoredTensor &mask = golden.file.tensors.at("mask");
        call.mask = std::make_unique<bool[]>(mask.bytes.size());
        std::transform(mask.bytes.begin(), mask.bytes.end(), call.mask.get(),
                       [](auto byte) { return byte != std::byte{0}; });
        call.layer.sight.mask = {call.mask.get(), {B, T, T}, {0, mask.extents[0] == 1 ? 0 : T, 1}};
    }
    call.output = batch_first(golden, "output_f64");
    if (golden.metadata("format") == "layer") {
        call.allowed = share_of_largest(call.output, 1e-5);
    } else {  // the first P outputs are the gated mean, the others 0
        const std::vector<double> allowed = core_call(golden, false).allowed;
        call.allowed.assign(call.output.size(), std::numeric_limits<float>::min());
        for (std::size_t i = 0; i < allowed.size(); ++i) {
            call.allowed[i / P * H + i % P] = allowed[i];
        }
    }
    name_call(call, golden, by_mask ? " with a mask" : "");
    return call;
}

}  // namespace

std::vector<GoldenCall> calls_of(const Golden &golden) {
    const std::string &format = golden.metadata("format");
    std::vector<GoldenCall> calls;
    if (golden.name == "adv_hugeV_max") {  // its sums are beyond FLT_MAX
        return calls;
    }
    if (format == "wkv") {
        calls.push_back(wkv_call(golden, false));
        if (golden.metadata("layer") == "simple") {
            calls.push_back(wkv_call(golden, true));
        }
    }
    if (format == "core" || format == "core+layer") {
        const bool is_rectangular = golden.has("w") && golden.file.tensors.at("w").extents.size() == 3;
        if (!is_rectangular) {
            calls.push_back(core_call(golden, false));
        }
        if (golden.has("w") && window_of(golden) == 0) {
            calls.push_back(core_call(golden, true));
        }
    }
    if (format == "layer" || format == "core+layer") {
        calls.push_back(layer_call(golden, false));
        if (golden.has("mask")) {
            calls.push_back(layer_call(golden, true));
        }
    }
    return calls;
}

double error_in_allowed(const GoldenCall &call, const std::vector<float> &y) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    if (y.size() != call.output.size()) {
        return infinity;
    }
    double largest = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
        if (std::isnan(call.output[i]) && std::isnan(y[i])) {
            continue;
        }
        const double error = std::abs(y[i] - call.output[i]) / call.allowed[i];
        if (!(error <= largest)) {
            largest = std::isnan(error) ? infinity : error;
        }
    }
    return largest;
}

}  // namespace aft
