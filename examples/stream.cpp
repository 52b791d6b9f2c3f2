// A causal layer, piece by piece: a prompt in chunks, then single positions, with the state saved between.
#include <aft/aft.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <vector>

int main() {
    aft::LayerConfig config{aft::aft_conv, /*hidden=*/64, /*projected=*/64, /*max_seq_len=*/1, /*window=*/4};
    config.form.gate = aft::Gate::tanh;
    config.heads = 4;      // max_seq_len limits no sequence: the filter isn't one of positions
    aft::Weights weights;  // or aft::load_weights("model.safetensors", config)
    for (std::vector<float> *matrix :
         {&weights.query_weight, &weights.key_weight, &weights.value_weight, &weights.project_weight}) {
        for (int i = 0; i < 64 * 64; ++i) {
            matrix->push_back(std::sin(static_cast<float>(i + 1)) / 8);
        }
    }
    weights.position_bias = {1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1};  // [heads, window]
    const aft::Layer layer(config, weights);

    const std::int64_t length = 100, prompt = 80, chunk = 32;
    std::vector<float> x, y(length * 64), at_once(length * 64);
    for (int i = 0; i < length * 64; ++i) {
        x.push_back(std::cos(static_cast<float>(i)));
    }
    const auto step = [&](aft::State &state, std::int64_t count) {
        const std::int64_t first = state.position(0) * 64;
        layer.step(state, {x.data() + first, {1, count, 64}}, {y.data() + first, {1, count, 64}});
    };
    aft::State state(config, /*batch=*/1);
    while (state.position(0) < prompt) {
        step(state, std::min(chunk, prompt - state.position(0)));
    }
    aft::write_safetensors("state.safetensors", state.tensors());

    aft::State restored = aft::State::from_tensors(aft::read_safetensors("state.safetensors"), config);
    while (restored.position(0) < length) {
        step(restored, 1);
    }

    layer.forward({x.data(), {1, length, 64}}, {at_once.data(), {1, length, 64}});
    float difference = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
        const float each = std::abs(y[i] - at_once[i]);
        difference = std::isnan(each) || each > difference ? each : difference;  // a NaN stays
    }
    std::cout << layer.kernel_for({1, 1}).id << ": position " << restored.position(0) << ", at most " << difference
              << " from one call\n";
}
