#include "golden.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <stdexcept>

namespace aft {
namespace {

bool is_layer(const Golden &golden) {
    return golden.has("to_q.weight") && golden.metadata("causal") == "false" && golden.name != "adv_hugeV_max";
}

/// [batch, seq, hidden]: what the error of each output may be.
std::vector<double> tolerance(const Golden &golden, const std::vector<double> &output) {
    if (golden.metadata("format") == "layer") {
        double largest = 0;
        for (const double value : output) {
            largest = std::max(largest, std::abs(value));
        }
        return std::vector<double>(output.size(), 1e-5 * largest);
    }
    // The first P channels are sigmoid(q) A, the others 0.
    const std::int64_t H = golden.extent("dim"), P = golden.extent("hidden_dim");
    const std::vector<float> query = golden.floats("q");
    const std::vector<double> magnitude = golden.doubles("A_abs_f64");
    std::vector<double> result(output.size(), std::numeric_limits<float>::min());
    for (std::size_t i = 0; i < query.size(); ++i) {
        result[i / P * H + i % P] += 4e-6 * magnitude[i] / (1 + std::exp(-static_cast<double>(query[i])));
    }
    return result;
}

}  // namespace

std::vector<Golden> goldens() {
    const char *const folder = std::getenv("AFT_GOLDENS");  // where the tests don't run where they were built
    std::vector<Golden> cases;
    for (const auto &entry : std::filesystem::directory_iterator(folder ? folder : AFT_GOLDENS)) {
        if (entry.path().extension() == ".safetensors") {
            const std::string path = entry.path().string();
            cases.push_back({entry.path().stem().string(), path, read_safetensors(path)});
        }
    }
    std::sort(cases.begin(), cases.end(), [](const Golden &a, const Golden &b) { return a.name < b.name; });
    return cases;
}

Golden golden_named(const std::string &name) {
    for (Golden &golden : goldens()) {
        if (golden.name == name) {
            return golden;
        }
    }
    throw std::logic_error("no golden case " + name);
}

std::vector<Golden> layer_goldens() {
    std::vector<Golden> cases = goldens();
    cases.erase(std::remove_if(cases.begin(), cases.end(), [](const Golden &g) { return !is_layer(g); }), cases.end());
    return cases;
}

LayerConfig config_of(const Golden &golden) {
    const std::string &window = golden.metadata("window");
    return {layer_form(golden.metadata("layer")), golden.extent("dim"), golden.extent("hidden_dim"),
            golden.extent("max_seqlen"), window == "none" ? 0 : std::stoll(window)};
}

Shape shape_of(const Golden &golden) {
    return {golden.extent("B"), golden.extent("T")};
}

double golden_error(const Golden &golden, const std::vector<float> &y) {
    const std::vector<double> output = golden.doubles("output_f64"), allowed = tolerance(golden, output);
    if (y.size() != output.size()) {
        return std::numeric_limits<double>::infinity();
    }
    double largest = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
        const double error = std::abs(y[i] - output[i]) / allowed[i];
        if (!(error <= largest)) {
            largest = std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
        }
    }
    return largest;
}

}  // namespace aft
