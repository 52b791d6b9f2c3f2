// The functions of the page that run single layers. Each returns JSON: {"problem": ...} when it fails.
#include "json.h"

#include <aft/aft.h>

#include <emscripten/emscripten.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

aft::LayerForm form_named(const std::string &name) {
    for (const aft::NamedForm &named : aft::named_forms) {
        if (named.name == name) {
            return named.form;
        }
    }
    throw std::invalid_argument("no layer is called " + name);
}

std::string id_of(const std::string &layer, const std::string &schedule) {
    return schedule.empty() ? "" : "aft_" + layer + "_cpu_" + schedule;
}

}  // namespace

extern "C" {

/// Computes the layer of a case in tests/data, and compares y with the one in double that the file has. The error is in
/// units of the largest output. An empty schedule lets the library choose.
EMSCRIPTEN_KEEPALIVE const char *check_case(const char *path, const char *schedule) {
    return json([&] {
        const aft::SafetensorsFile file = aft::read_safetensors(path);
        const std::string name = file.metadata.at("layer");
        aft::LayerConfig config;
        config.form = form_named(name);
        config.max_seq_len = std::stoll(file.metadata.at("max_seqlen"));
        config.window = name == "local" ? std::stoll(file.metadata.at("window")) : 0;
        config = aft::config_from_weights(file, config);
        const aft::Layer layer(config, aft::load_weights(file, config), {id_of(name, schedule)});

        const aft::StoredTensor &input = file.tensors.at("input");
        const std::vector<float> x = input.as_float();
        const std::vector<double> expected = file.tensors.at("output_f64").as_double();
        std::vector<float> y(x.size(), std::nanf(""));
        const std::int64_t B = input.extents[0], T = input.extents[1], H = input.extents[2];
        layer.forward({x.data(), {B, T, H}}, {y.data(), {B, T, H}});

        double error = 0, largest = 0;
        for (std::size_t i = 0; i < y.size(); ++i) {
            const double difference = std::abs(y[i] - expected[i]);
            error = error >= difference ? error : difference;  // NaN stays
            largest = std::max(largest, std::abs(expected[i]));
        }
        return nlohmann::json{{"kernel", layer.kernel_for({B, T}).id},
                              {"shape", {B, T, H}},
                              {"error", error / largest}};  // null for NaN
    });
}

/// Times calls of a layer with T positions of H channels: the fastest of those that fit in about a fifth of a second.
EMSCRIPTEN_KEEPALIVE const char *time_layer(const char *name, const char *schedule, int T, int H) {
    return json([&] {
        const aft::LayerConfig config{form_named(name), H, H, T, name == std::string("local") ? T / 8 : 0};
        const auto values = [](std::size_t count, float scale) {
            std::vector<float> result(count);
            for (std::size_t i = 0; i < count; ++i) {
                result[i] = scale * std::sin(static_cast<float>(i));
            }
            return result;
        };
        aft::Weights weights;
        weights.query_weight = weights.key_weight = weights.value_weight = weights.project_weight = values(H * H, 0.1f);
        if (config.form.has_bias()) {
            weights.position_bias = values(static_cast<std::size_t>(T) * T, 1);
        }
        const aft::Layer layer(config, weights, {id_of(name, schedule)});
        const std::vector<float> x = values(static_cast<std::size_t>(T) * H, 1);
        std::vector<float> y(x.size());

        using Clock = std::chrono::steady_clock;
        std::chrono::duration<double, std::milli> fastest = std::chrono::hours(1);
        for (const auto end = Clock::now() + std::chrono::milliseconds(200); Clock::now() < end;) {
            const auto begin = Clock::now();
            layer.forward({x.data(), {1, T, H}}, {y.data(), {1, T, H}});
            fastest = std::min<std::chrono::duration<double, std::milli>>(fastest, Clock::now() - begin);
        }
        return nlohmann::json{{"kernel", layer.kernel_for({1, T}).id}, {"milliseconds", fastest.count()}};
    });
}
}
