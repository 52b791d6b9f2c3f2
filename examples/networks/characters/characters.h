#pragma once

/// @file
/// A model of text, character by character: the causal Model of examples/train_characters.py, as its --save writes it.

#include "blocks/blocks.h"

#include <random>
#include <string>
#include <vector>

namespace networks {

/// Scores of the next character, from blocks of causal AFT layers:
///
///     x = embedding(character) + embedding(position)
///     x = x + mix(norm(x))      x = x + W2 gelu(W1 norm(x))      for each block
///     scores = W norm(x) + b
class CharacterModel {
public:
    /// All that it keeps of a text: the states of its layers.
    class Progress {
    public:
        /// Characters so far.
        std::int64_t position() const {
            return states_.front().position(0);
        }

    private:
        friend class CharacterModel;
        std::vector<aft::State> states_;
    };

    /// Throws aft::WeightsError where the file isn't such a model.
    explicit CharacterModel(const aft::SafetensorsFile &file);

    /// Before the first character.
    Progress start() const;

    /// Goes on by `text`. Returns the scores of what follows each of its characters, [text.size(), alphabet().size()].
    /// Throws aft::ShapeError for a character that isn't in the alphabet, and beyond longest() positions.
    std::vector<float> step(Progress &progress, const std::string &text) const;

    /// The characters in the order of their scores.
    const std::string &alphabet() const {
        return alphabet_;
    }
    /// Characters of a text at most.
    std::int64_t longest() const {
        return longest_;
    }

private:
    struct Block {
        LayerNorm before_mix;
        aft::Layer mix;
        LayerNorm before_net;
        Linear widen, narrow;
    };

    std::vector<float> embedded(const std::string &text, std::int64_t position) const;

    std::string alphabet_;
    std::int64_t longest_, channels_;
    std::vector<float> characters_, positions_;  // [alphabet + 1, channels], [longest, channels]
    std::vector<Block> blocks_;
    LayerNorm before_scores_;
    Linear scores_;
};

/// Writes texts: draws one character after the other.
class Writer {
public:
    /// temperature: > 0; the lower, the more likely are likely characters. The same seed gives the same text.
    Writer(const CharacterModel &model, unsigned seed, float temperature)
        : model_(model), random_(seed), temperature_(temperature), progress_(model.start()) {}

    /// Begins a text with `prompt`. Throws aft::ShapeError if that is empty.
    void begin(const std::string &prompt);

    /// The character that follows the text so far, and becomes part of it. Needs begin(). A text that has become as
    /// long as the model's longest goes on from its second half.
    char next();

    /// `count` characters that follow `prompt`.
    std::string write(const std::string &prompt, std::int64_t count);

private:
    char draw(const float *scores);

    const CharacterModel &model_;
    std::mt19937 random_;
    float temperature_;
    CharacterModel::Progress progress_;
    std::string text_;
    std::size_t read_ = 0;  // characters of the text that the model has read
};

}  // namespace networks
