#include "problem_file.h"

#include "reference/reference.h"

#include <aft/safetensors.h>

#include <algorithm>
#include <cstring>

namespace aft::bench {

namespace {

constexpr std::int64_t max_checked_rows = 16;  // the first, the last, and evenly spaced ones between them

template<typename T>
StoredTensor stored(const char *dtype, const std::vector<std::int64_t> &extents, const std::vector<T> &values) {
    StoredTensor tensor{dtype, extents, std::vector<std::byte>(values.size() * sizeof(T))};
    std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
    return tensor;
}

}  // namespace

void write_problem(const Problem &problem, const std::string &path) {
    const LayerConfig &config = problem.config;
    const LayerForm form = config.form;
    const std::int64_t H = config.hidden, P = config.projected, S = config.max_seq_len, window = config.window;
    const auto [B, T] = problem.shape;
    const Weights weights = make_weights(problem);
    const std::vector<float> x = make_input(problem);
    std::vector<std::int64_t> rows(std::min(T, max_checked_rows));
    for (std::size_t i = 1; i < rows.size(); ++i) {
        rows[i] = static_cast<std::int64_t>(i) * (T - 1) / (static_cast<std::int64_t>(rows.size()) - 1);
    }
    const Reference reference = reference_forward(problem.config, weights, x, problem.shape, rows);

    SafetensorsFile file;
    file.metadata = {{"layer", std::string(name(form))}, {"window", std::to_string(window)}};
    auto &tensors = file.tensors;
    tensors["to_q.weight"] = stored_tensor({P, H}, weights.query_weight);
    tensors["to_k.weight"] = stored_tensor({P, H}, weights.key_weight);
    tensors["to_v.weight"] = stored_tensor({P, H}, weights.value_weight);
    tensors["project.weight"] = stored_tensor({H, P}, weights.project_weight);
    tensors["to_q.bias"] = stored_tensor({P}, weights.query_bias);
    tensors["to_k.bias"] = stored_tensor({P}, weights.key_bias);
    tensors["to_v.bias"] = stored_tensor({P}, weights.value_bias);
    tensors["project.bias"] = stored_tensor({H}, weights.project_bias);
    if (form.has_bias()) {
        tensors["wbias"] = stored_tensor({S, S}, weights.position_bias);
    }
    const auto checked = static_cast<std::int64_t>(rows.size());
    tensors["input"] = stored_tensor({B, T, H}, x);
    tensors["rows"] = stored("I64", {checked}, rows);
    tensors["expected"] = stored("F64", {B, checked, H}, reference.output);
    tensors["tolerance"] = stored("F64", {B, checked, H}, reference.tolerance);
    write_safetensors(path, file);
}

}  // namespace aft::bench
