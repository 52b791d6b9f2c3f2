// The model beside PyTorch's scores in float64, and texts from seeds, one of them beside a stored one. Comparisons fail
// for NaN.
//
// usage: characters_test MODEL EXPECTED TEXT
#include "characters/characters.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>

namespace {

using namespace networks;

bool is_true(bool condition, const char *what) {
    if (!condition) {
        std::cout << "not so: " << what << '\n';
    }
    return condition;
}

/// The scores after each character of a prompt, in steps of `length` characters.
std::vector<float> scores_in_steps(const CharacterModel &model, const std::string &prompt, std::size_t length) {
    std::vector<float> all;
    CharacterModel::Progress progress = model.start();
    for (std::size_t i = 0; i < prompt.size(); i += length) {
        const std::vector<float> some = model.step(progress, prompt.substr(i, length));
        all.insert(all.end(), some.begin(), some.end());
    }
    return all;
}

bool scores_are_those_of_pytorch(const CharacterModel &model, const aft::SafetensorsFile &expected) {
    const std::vector<double> scores = expected.tensors.at("scores").as_double();
    const std::string &prompt = expected.metadata.at("prompt");
    bool is_right = is_true(scores.size() == prompt.size() * model.alphabet().size(), "every character has its scores");
    for (const std::size_t length : {prompt.size(), std::size_t{7}, std::size_t{1}}) {
        const std::vector<float> ours = scores_in_steps(model, prompt, length);
        double error = 0, largest = 0;
        for (std::size_t i = 0; i < scores.size(); ++i) {
            const double each = std::abs(ours.at(i) - scores[i]);
            error = std::isnan(each) || each > error ? each : error;  // a NaN stays
            largest = std::max(largest, std::abs(scores[i]));
        }
        std::cout << "in steps of " << length << ": error " << error / largest << ", at most 1e-5\n";
        is_right = error <= 1e-5 * largest && is_right;
    }
    return is_right;
}

bool texts_follow_seeds(const CharacterModel &model) {
    const auto text = [&](unsigned seed, std::int64_t count) { return Writer(model, seed, 0.7f).write("The ", count); };
    const std::int64_t count = model.longest() + 20;  // past the end of the positions
    const std::string first = text(1, count);
    bool is_right =
        is_true(static_cast<std::int64_t>(first.size()) == count, "a text has as many characters as the caller wants");
    is_right = is_true(text(1, count) == first, "a seed gives one text") && is_right;
    is_right = is_true(text(1, 30) == first.substr(0, 30), "a shorter text is its beginning") && is_right;
    return is_true(text(2, count) != first, "another seed gives another text") && is_right;
}

/// On every machine: a temperature near 0 takes the best character, and the next one is far behind. `path` has what
/// `characters MODEL "You may copy " 300 0 0.001` prints.
bool a_text_is_the_stored_one(const CharacterModel &model, const char *path) {
    std::ifstream file(path, std::ios::binary);
    const std::string stored((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const std::string prompt = "You may copy ", text = prompt + Writer(model, 0, 0.001f).write(prompt, 300) + '\n';
    return is_true(text == stored, "the text at a temperature near 0 is the stored one");
}

bool what_it_cannot_read_is_refused(const CharacterModel &model) {
    CharacterModel::Progress progress = model.start();
    const auto message = [&](const std::string &text) -> std::string {
        try {
            model.step(progress, text);
        } catch (const aft::ShapeError &error) {
            return error.what();
        }
        return "";
    };
    bool is_right =
        is_true(message("\x01") == "the model doesn't have the character '\x01'", "a new character is refused");
    const std::string text(static_cast<std::size_t>(model.longest()) + 1, ' ');
    is_right =
        is_true(message(text).find("is longer than the model's") != std::string::npos, "a long text is refused") &&
        is_right;
    is_right = is_true(progress.position() == 0, "a refused text changes nothing") && is_right;
    try {
        Writer(model, 0, 1).begin("");
    } catch (const aft::ShapeError &error) {
        return is_true(error.what() == std::string("the prompt is empty, must have a character at least"),
                       "the message about an empty prompt") &&
               is_right;
    }
    return is_true(false, "an empty prompt is refused");
}

}  // namespace

int main(int argc, char **argv) {
    if (argc != 4) {
        std::cout << "usage: characters_test MODEL EXPECTED TEXT\n";
        return EXIT_FAILURE;
    }
    const CharacterModel model(aft::read_safetensors(argv[1]));
    bool is_right = scores_are_those_of_pytorch(model, aft::read_safetensors(argv[2]));
    is_right = texts_follow_seeds(model) && is_right;
    is_right = a_text_is_the_stored_one(model, argv[3]) && is_right;
    is_right = what_it_cannot_read_is_refused(model) && is_right;
    return is_right ? EXIT_SUCCESS : EXIT_FAILURE;
}
