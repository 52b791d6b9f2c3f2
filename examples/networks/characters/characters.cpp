#include "characters/characters.h"

#include <algorithm>
#include <cmath>

namespace networks {
namespace {

constexpr float epsilon = 1e-5f;  // PyTorch's

const std::string &metadata(const aft::SafetensorsFile &file, const std::string &name) {
    const auto found = file.metadata.find(name);
    if (found == file.metadata.end()) {
        throw aft::WeightsError(file.path + ": has no \"" + name + "\" in its metadata");
    }
    return found->second;
}

/// The extents of a matrix, or zeros, which no tensor has.
std::vector<std::int64_t> extents_of_matrix(const aft::SafetensorsFile &file, const std::string &name) {
    const auto found = file.tensors.find(name);
    const bool is_matrix = found != file.tensors.end() && found->second.extents.size() == 2;
    return is_matrix ? found->second.extents : std::vector<std::int64_t>{0, 0};
}

aft::Layer layer(const aft::SafetensorsFile &file, const std::string &prefix) {
    aft::LayerConfig config{aft::layer_form("causal_" + metadata(file, "layer"))};
    config.max_seq_len = extents_of_matrix(file, "positions")[0];
    config.window = std::atoll(metadata(file, "window").c_str());
    const aft::LoadOptions options{prefix, "aft-pytorch"};
    config = aft::config_from_weights(file, config, options);
    return aft::Layer(config, aft::load_weights(file, config, options));
}

}  // namespace

CharacterModel::CharacterModel(const aft::SafetensorsFile &file)
    : alphabet_(metadata(file, "alphabet")), longest_(extents_of_matrix(file, "positions")[0]),
      channels_(extents_of_matrix(file, "positions")[1]),
      characters_(tensor(file, "characters.weight", {static_cast<std::int64_t>(alphabet_.size()) + 1, channels_})),
      positions_(tensor(file, "positions", {longest_, channels_})), before_scores_(file, "scores.0", epsilon),
      scores_(file, "scores.1") {
    const auto prefix = [&] { return "blocks." + std::to_string(blocks_.size()); };
    do {
        blocks_.push_back({LayerNorm(file, prefix() + ".before_mix", epsilon), layer(file, prefix() + ".mix."),
                           LayerNorm(file, prefix() + ".before_net", epsilon),
                           Linear(file, prefix() + ".net.0", Activation::gelu), Linear(file, prefix() + ".net.2")});
    } while (file.tensors.count(prefix() + ".before_mix.weight") > 0);
}

CharacterModel::Progress CharacterModel::start() const {
    Progress progress;
    for (const Block &block : blocks_) {
        progress.states_.emplace_back(block.mix.config(), 1);
    }
    return progress;
}

std::vector<float> CharacterModel::embedded(const std::string &text, std::int64_t position) const {
    if (position + static_cast<std::int64_t>(text.size()) > longest_) {
        throw aft::ShapeError("a text of " + std::to_string(position) + " and " + std::to_string(text.size()) +
                              " characters is longer than the model's " + std::to_string(longest_));
    }
    std::vector<float> x;
    x.reserve(text.size() * channels_);
    for (const char each : text) {
        const std::size_t index = alphabet_.find(each);
        if (index == std::string::npos) {
            throw aft::ShapeError("the model doesn't have the character '" + std::string(1, each) + "'");
        }
        const float *const character = &characters_[index * channels_], *const place =
                                                                            &positions_[position * channels_];
        for (std::int64_t c = 0; c < channels_; ++c) {
            x.push_back(character[c] + place[c]);
        }
        ++position;
    }
    return x;
}

std::vector<float> CharacterModel::step(Progress &progress, const std::string &text) const {
    std::vector<float> sums = embedded(text, progress.position());
    const std::int64_t n = static_cast<std::int64_t>(text.size()), wide = blocks_.front().widen.outputs();
    std::vector<float> normed(sums.size()), mixed(sums.size()), hidden(n * wide), scores(n * alphabet_.size());
    const auto rows = [n](std::vector<float> &values) {
        return Result(values.data(), {1, n, n > 0 ? static_cast<std::int64_t>(values.size()) / n : 0});
    };
    const Result x = rows(sums), y = rows(normed);
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
        const Block &block = blocks_[i];
        block.before_mix.forward(x, y);
        block.mix.step(progress.states_[i], y, rows(mixed));
        block.before_net.forward(x, rows(mixed), x, y);
        block.widen.forward(y, rows(hidden));
        block.narrow.forward(rows(hidden), x, x);
    }
    before_scores_.forward(x, y);
    scores_.forward(y, rows(scores));
    return scores;
}

char Writer::draw(const float *scores) {
    const std::string &alphabet = model_.alphabet();
    const float highest = *std::max_element(scores, scores + alphabet.size());
    std::vector<double> sums;
    double sum = 0;
    for (std::size_t i = 0; i < alphabet.size(); ++i) {
        sum += std::exp((scores[i] - highest) / temperature_);
        sums.push_back(sum);
    }
    const double drawn = std::ldexp(static_cast<double>(random_()), -32) * sum;  // the same with every library
    const auto found = std::upper_bound(sums.begin(), sums.end(), drawn);
    return alphabet[std::min<std::size_t>(found - sums.begin(), alphabet.size() - 1)];
}

void Writer::begin(const std::string &prompt) {
    if (prompt.empty()) {
        throw aft::ShapeError("the prompt is empty, must have a character at least");
    }
    progress_ = model_.start();
    text_ = prompt;
    read_ = 0;
}

char Writer::next() {
    const auto unread = static_cast<std::int64_t>(text_.size() - read_);
    if (progress_.position() + unread > model_.longest()) {
        progress_ = model_.start();
        read_ = text_.size() - static_cast<std::size_t>(std::max<std::int64_t>(model_.longest() / 2, 1));
    }
    const std::vector<float> scores = model_.step(progress_, text_.substr(read_));
    read_ = text_.size();
    text_ += draw(&scores[scores.size() - model_.alphabet().size()]);
    return text_.back();
}

std::string Writer::write(const std::string &prompt, std::int64_t count) {
    begin(prompt);
    std::string written;
    for (std::int64_t i = 0; i < count; ++i) {
        written += next();
    }
    return written;
}

}  // namespace networks
