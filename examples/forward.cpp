#include <aft/aft.h>

#include <iostream>
#include <vector>

int main() {
    const aft::LayerConfig config{aft::aft_local, /*hidden=*/64, /*projected=*/32, /*max_seq_len=*/128,
                                  /*window=*/16};
    aft::Weights weights;  // or aft::load_weights("model.safetensors", config)
    weights.query_weight = weights.key_weight = weights.value_weight = std::vector<float>(32 * 64, 0.01f);
    weights.project_weight = std::vector<float>(64 * 32, 0.02f);
    weights.position_bias = std::vector<float>(128 * 128, 0.5f);
    const aft::Layer layer(config, weights);

    const aft::Shape shape{/*batch=*/2, /*seq=*/100};
    const std::vector<float> x(2 * 100 * 64, 1.0f);
    std::vector<float> y(x.size());
    layer.forward({x.data(), {2, 100, 64}}, {y.data(), {2, 100, 64}});

    std::cout << layer.kernel_for(shape).id << ": y[0] = " << y[0] << '\n';
}
