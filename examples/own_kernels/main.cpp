#include <aft/aft.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <vector>

namespace {

std::vector<float> random_values(std::size_t count, float range) {
    static std::mt19937 random(1);
    std::uniform_real_distribution<float> values(-range, range);
    std::vector<float> result(count);
    for (float &value : result) {
        value = values(random);
    }
    return result;
}

/// y = layer(x) for one sequence. Returns the milliseconds of the fastest of some calls.
double run(const aft::Layer &layer, const std::vector<float> &x, std::vector<float> &y) {
    const aft::TensorView<float, 3>::Extents extents{1, layer.config().max_seq_len, layer.config().hidden};
    y.resize(x.size());
    double best = INFINITY;
    for (int i = 0; i < 10; ++i) {
        const auto start = std::chrono::steady_clock::now();
        layer.forward({x.data(), extents}, {y.data(), extents});
        const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
        best = std::min(best, time.count());
    }
    return best;
}

/// NaN when either has one.
float largest_difference(const std::vector<float> &a, const std::vector<float> &b) {
    float largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const float difference = std::abs(a[i] - b[i]);
        largest = difference <= largest ? largest : difference;
        if (std::isnan(largest)) {
            break;
        }
    }
    return largest;
}

}  // namespace

int main() {
    int wrong = 0;
    for (const aft::LayerForm form : {aft::aft_full, aft::aft_local}) {
        const std::int64_t seq = 512, hidden = 256, projected = 256;
        const aft::LayerConfig config{form, hidden, projected, seq, /*window=*/32};
        aft::Weights weights;
        weights.query_weight = random_values(projected * hidden, 0.1f);
        weights.key_weight = random_values(projected * hidden, 0.1f);
        weights.value_weight = random_values(projected * hidden, 0.1f);
        weights.project_weight = random_values(hidden * projected, 0.1f);
        weights.position_bias = random_values(seq * seq, 1.0f);
        const std::vector<float> x = random_values(seq * hidden, 1.0f);

        // A layer runs our kernel by default.
        const std::string chosen = aft::Layer(config, weights).kernel_for({1, seq}).id;
        std::cout << aft::name(form) << ": " << chosen << " is chosen\n";
        wrong += chosen.find("my_kernels_") != 0;  // the first of the two tables

        std::vector<float> expected, y;
        const std::string of_library = "aft_" + std::string(aft::name(form)) + "_cpu_packed";
        const double its_time = run(aft::Layer(config, weights, {of_library}), x, expected);
        std::cout << "    " << of_library << ": " << its_time << " ms\n";
        for (const aft::KernelInfo &kernel : aft::kernels()) {
            if (kernel.layer == form && kernel.id.find("my_") == 0) {
                const double time = run(aft::Layer(config, weights, {kernel.id}), x, y);
                const float error = largest_difference(y, expected);
                std::cout << "    " << kernel.id << ": " << time << " ms, off by " << error << '\n';
                wrong += !(error <= 1e-5f);
            }
        }
    }
    return wrong == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
