#include "featurebooster/featurebooster.h"

#include <algorithm>
#include <memory>

namespace networks {
namespace {

constexpr float epsilon = 1e-6f;
constexpr std::int64_t most_keypoints = 1 << 20;

/// Activations between two stages, not initialised.
class Activations {
public:
    Activations(std::int64_t batch, std::int64_t rows, std::int64_t channels)
        : memory_(new float[static_cast<std::size_t>(batch * rows * channels)]), extents_{batch, rows, channels} {}
    operator Result() const {
        return {memory_.get(), extents_};
    }
    operator View() const {
        return {memory_.get(), extents_};
    }

private:
    std::unique_ptr<float[]> memory_;
    View::Extents extents_;
};

aft::Layer layer(const aft::SafetensorsFile &file, const std::string &prefix) {
    aft::LayerConfig config{aft::aft_simple};
    config.max_seq_len = most_keypoints;
    const aft::LoadOptions options{prefix, "featurebooster"};
    config = aft::config_from_weights(file, config, options);
    return aft::Layer(config, aft::load_weights(file, config, options));
}

}  // namespace

Mlp::Mlp(const aft::SafetensorsFile &file, const std::string &name) {
    const auto name_of = [&](std::size_t map) { return name + "." + std::to_string(2 * map); };
    do {
        const bool is_last = file.tensors.count(name_of(maps_.size() + 1) + ".weight") == 0;
        maps_.emplace_back(file, name_of(maps_.size()), is_last ? Activation::none : Activation::relu);
        if (maps_.size() > 1 && maps_.back().inputs() != maps_[maps_.size() - 2].outputs()) {
            throw aft::WeightsError(file.path + ": " + name_of(maps_.size() - 1) + " has " +
                                    std::to_string(maps_.back().inputs()) + " inputs, where the map before it has " +
                                    std::to_string(maps_[maps_.size() - 2].outputs()) + " outputs");
        }
    } while (file.tensors.count(name_of(maps_.size()) + ".weight") > 0);
}

void Mlp::add(View x, View residual, Result y) const {
    std::vector<Activations> hidden;
    for (std::size_t i = 0; i + 1 < maps_.size(); ++i) {
        hidden.emplace_back(x.extents[0], x.extents[1], maps_[i].outputs());
        maps_[i].forward(i == 0 ? x : View(hidden[i - 1]), hidden[i]);
    }
    maps_.back().forward(hidden.empty() ? x : View(hidden.back()), residual, y);
}

FeatureBooster::FeatureBooster(const aft::SafetensorsFile &file)
    : descriptor_mlp_(file, "denc.encoder"), keypoint_mlp_(file, "kenc.encoder"), norm_(file, "layer_norm", epsilon),
      projection_(file, "final_proj") {
    const auto prefix = [&] { return "attn_proj.layers." + std::to_string(blocks_.size()); };
    while (file.tensors.count(prefix() + ".attn.query.weight") > 0) {
        blocks_.push_back({layer(file, prefix() + ".attn."), LayerNorm(file, prefix() + ".attn.layer_norm", epsilon),
                           Mlp(file, prefix() + ".ffn.mlp"), LayerNorm(file, prefix() + ".ffn.layer_norm", epsilon)});
    }
    if (blocks_.empty()) {
        throw aft::WeightsError(file.path + ": tensor \"attn_proj.layers.0.attn.query.weight\" is missing");
    }
}

void FeatureBooster::forward(View descriptors, View keypoints, Result boosted) const {
    const std::int64_t images = descriptors.extents[0], n = descriptors.extents[1], channels = descriptor_channels();
    check_extents("descriptors", descriptors, {images, n, channels});
    check_extents("keypoints", keypoints, {images, n, keypoint_channels()});
    check_extents("boosted", boosted, {images, n, outputs()});
    const Activations d(images, n, channels), mixed(images, n, channels);
    descriptor_mlp_.add(descriptors, descriptors, d);
    keypoint_mlp_.add(keypoints, d, d);
    norm_.forward(d, d);
    for (const Block &block : blocks_) {
        block.mix.forward(d, mixed);
        block.after_mix.forward(d, mixed, mixed, d);
        block.feed_forward.add(d, d, mixed);
        block.after_feed_forward.forward(mixed, d);
    }
    projection_.forward(d, boosted);
    unit(boosted, boosted);
}

}  // namespace networks
