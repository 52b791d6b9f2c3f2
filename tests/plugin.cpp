// A shared library that uses the layers and is unloaded again.
#include <aft/aft.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <vector>

#define AFT_EXPORT extern "C" __attribute__((visibility("default")))

/// Makes a layer that averages its input, and runs it on `threads` threads. Returns whether the result is right, -1
/// when something was thrown.
AFT_EXPORT int aft_plugin_run(int threads) {
    constexpr std::int64_t B = 4, T = 70, H = 48;
    try {
        aft::Weights weights;
        weights.query_weight = weights.key_weight = std::vector<float>(H * H, 0.0f);
        weights.value_weight = weights.project_weight = std::vector<float>(H * H, 0.0f);
        for (std::int64_t i = 0; i < H; ++i) {
            weights.value_weight[i * H + i] = weights.project_weight[i * H + i] = 1;
        }
        weights.position_bias = std::vector<float>(T * T, 0.0f);
        if (aft::thread_count() != threads) {
            aft::set_thread_count(threads);
        }
        const aft::Layer layer({aft::aft_full, H, H, T, 0}, weights);
        const std::vector<float> x(B * T * H, 3.0f);
        std::vector<float> y(x.size());
        layer.forward({x.data(), {B, T, H}}, {y.data(), {B, T, H}});
        return std::all_of(y.begin(), y.end(), [](float value) { return std::abs(value - 1.5f) <= 1e-5f; });
    } catch (const std::exception &) {
        return -1;
    }
}

/// Writes what kernels() and devices() have. Returns -1 when something was thrown.
AFT_EXPORT int aft_plugin_list(char *text, std::size_t size) {
    try {
        std::string all;
        for (const aft::KernelInfo &kernel : aft::kernels()) {
            all += kernel.id + " " + kernel.target + " " + (kernel.usable ? "yes" : kernel.reason) + "\n";
        }
        for (const aft::Device &device : aft::devices()) {
            all += device.id + " " + device.name + " " + (device.usable ? "yes" : device.reason) + "\n";
        }
        text[all.copy(text, size - 1)] = '\0';
        return 1;
    } catch (const std::exception &) {
        return -1;
    }
}
