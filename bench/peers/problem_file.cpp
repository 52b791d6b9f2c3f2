#include "problem_file.h"

#include "bench/whole_number.h"
#include "reference/problem.h"
#include "reference/reference.h"

#include <aft/safetensors.h>

#include <algorithm>
#include <cstring>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace aft::bench {

namespace {

constexpr std::int64_t max_checked_rows = 16;  // the first, the last, and evenly spaced ones between them

template<typename T>
StoredTensor stored(const char *dtype, const std::vector<std::int64_t> &extents, const std::vector<T> &values) {
    StoredTensor tensor{dtype, extents, std::vector<std::byte>(values.size() * sizeof(T))};
    std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
    return tensor;
}

Problem problem_of(const std::string &layer, const std::string &shape) {
    std::vector<std::int64_t> extents;
    std::istringstream parts(shape);
    for (std::string part; std::getline(parts, part, ',');) {
        extents.push_back(whole_number(part));
    }
    const bool is_given = layer == "given", takes_bias = is_given || layer == "kept";
    if (extents.size() != 4 && (takes_bias || extents.size() != 5)) {
        throw std::runtime_error("'" + shape + (takes_bias ? "' isn't B,n,m,P" : "' isn't B,T,H,P or B,T,H,P,s"));
    }
    extents.resize(5);
    Problem problem;
    problem.shape = {extents[0], extents[1]};
    if (takes_bias) {
        const std::int64_t n = extents[1], m = extents[2], P = extents[3];
        problem.config = {aft_given, is_given ? 0 : P, P, std::max(n, m)};
        problem.sources = m;
        problem.bias_per_sample = true;
        return problem;
    }
    problem.config = {layer_form(layer), extents[2], extents[3], extents[1], extents[4]};
    if (problem.config.form.has_heads() && problem.config.projected % 4 == 0) {
        problem.config.heads = 4;
    }
    return problem;
}

void add_parameters(const LayerConfig &config, const Weights &weights, std::map<std::string, StoredTensor> &tensors) {
    const std::int64_t H = config.hidden, P = config.projected, S = config.max_seq_len;
    const std::vector<std::int64_t> matrix = {P, H}, row = {P}, pairs = {S, S}, filter = {config.heads, config.window};
    const auto add = [&](const char *name, const std::vector<std::int64_t> &extents, const std::vector<float> &values) {
        if (!values.empty()) {
            tensors[name] = stored_tensor(extents, values);
        }
    };
    add("to_q.weight", matrix, weights.query_weight);
    add("to_k.weight", matrix, weights.key_weight);
    add("to_v.weight", matrix, weights.value_weight);
    add("project.weight", {H, P}, weights.project_weight);
    add("to_q.bias", row, weights.query_bias);
    add("to_k.bias", row, weights.key_bias);
    add("to_v.bias", row, weights.value_bias);
    add("project.bias", {H}, weights.project_bias);
    add(config.form.has_heads() ? "filter" : "wbias", config.form.has_heads() ? filter : pairs, weights.position_bias);
    add("decay", row, weights.decay);
    add("bonus", row, weights.bonus);
}

}  // namespace

void write_problem(const std::string &layer, const std::string &shape, const std::string &path) {
    const Problem problem = problem_of(layer, shape);
    const LayerConfig &config = problem.config;
    const std::int64_t m = source_count(problem);
    const auto [B, n] = problem.shape;
    const Weights weights = make_weights(problem);
    const CallTensors call = make_call(problem);
    std::vector<std::int64_t> rows(std::min(n, max_checked_rows));
    for (std::size_t i = 1; i < rows.size(); ++i) {
        rows[i] = static_cast<std::int64_t>(i) * (n - 1) / (static_cast<std::int64_t>(rows.size()) - 1);
    }
    const bool is_layer = config.hidden != 0;
    const Reference reference = is_layer ? reference_layer(config, weights, call.layer, rows)
                                         : reference_core(config, weights, call.core, rows);

    SafetensorsFile file;
    KernelInfo in_bfloat16;
    in_bfloat16.storage = "bfloat16";
    file.metadata = {{"layer", layer},
                     {"window", std::to_string(config.window)},
                     {"bfloat16_tolerances", std::to_string(allowed_tolerances(in_bfloat16))}};
    auto &tensors = file.tensors;
    add_parameters(config, weights, tensors);
    const std::int64_t channels = is_layer ? config.hidden : config.projected;
    tensors[is_layer ? "input" : "query"] = stored_tensor({B, n, channels}, call.query);
    if (config.form.takes_bias()) {
        tensors["key"] = stored_tensor({B, m, channels}, call.key);
        tensors["value"] = stored_tensor({B, m, channels}, call.value);
        tensors["bias"] = stored_tensor({B, n, m}, call.position_bias);
    }
    const auto checked = static_cast<std::int64_t>(rows.size());
    tensors["rows"] = stored("I64", {checked}, rows);
    tensors["expected"] = stored("F64", {B, checked, channels}, reference.output);
    tensors["tolerance"] = stored("F64", {B, checked, channels}, reference.tolerance);
    write_safetensors(path, file);
}

}  // namespace aft::bench
