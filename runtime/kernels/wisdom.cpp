#include "kernels/wisdom.h"

#include "files/input_file.h"
#include "weights/safetensors_header.h"

#include <aft/error.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <set>

namespace aft {
namespace {

constexpr std::uint64_t max_bytes = 1 << 20;
constexpr std::size_t max_depth = 8;
constexpr std::size_t max_kernels = 64;  // of a preference

/// A value of the file that isn't an object or an array of values.
struct Scalar {
    bool is_text = false, is_integer = false;
    std::string text;  // of another type: as a message shows it
    std::int64_t integer = 0;
};

/// Takes every scalar of the JSON by its place, "results/0/shape/seq". It makes no value of the JSON library, whose
/// destructor allocates and so may end the process.
class FieldParser : public nlohmann::json::json_sax_t {
public:
    std::map<std::string, Scalar> fields;
    std::map<std::string, std::size_t> arrays;  // the numbers of their elements

    bool null() override {
        return add({false, false, "null", 0});
    }
    bool boolean(bool value) override {
        return add({false, false, value ? "true" : "false", 0});
    }
    bool number_integer(std::int64_t value) override {
        return add({false, true, std::to_string(value), value});
    }
    bool number_unsigned(std::uint64_t value) override {
        const bool fits = value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
        return add({false, fits, std::to_string(value), fits ? static_cast<std::int64_t>(value) : 0});
    }
    bool number_float(double, const std::string &text) override {
        return add({false, false, text, 0});
    }
    bool string(std::string &value) override {
        return add({true, false, value, 0});
    }
    bool binary(nlohmann::json::binary_t &) override {
        return add({});
    }
    bool start_object(std::size_t) override {
        return start({false, 0, ""});
    }
    bool start_array(std::size_t) override {
        return start({true, 0, ""});
    }
    bool key(std::string &key) override {
        levels_.back().key = key;
        return true;
    }
    bool end_object() override {
        levels_.pop_back();
        return end_value();
    }
    bool end_array() override {
        const std::size_t count = levels_.back().count;
        levels_.pop_back();
        arrays[place()] = count;
        return end_value();
    }
    bool parse_error(std::size_t position, const std::string &, const nlohmann::json::exception &) override {
        throw ConfigError("not JSON at byte " + std::to_string(position));
    }

private:
    struct Level {
        bool is_array;
        std::size_t count;  // of the elements before this one
        std::string key;    // of the member
    };

    std::string place() const {
        std::string result;
        for (const Level &level : levels_) {
            result += (result.empty() ? "" : "/") + (level.is_array ? std::to_string(level.count) : level.key);
        }
        return result;
    }
    bool end_value() {
        if (!levels_.empty() && levels_.back().is_array) {
            ++levels_.back().count;
        }
        return true;
    }
    bool add(const Scalar &value) {
        if (!fields.emplace(place(), value).second) {
            throw ConfigError("field " + in_quotes(place()) + " comes twice");
        }
        return end_value();
    }
    bool start(const Level &level) {
        if (levels_.size() == max_depth) {
            throw ConfigError("nests more than " + std::to_string(max_depth) + " levels");
        }
        levels_.push_back(level);
        return true;
    }

    std::vector<Level> levels_;
};

/// The fields that a library needs, with a check of each.
class Fields {
public:
    explicit Fields(const std::string &text) {
        // The parser takes a zero byte for the end.
        if (const std::size_t zero = text.find('\0'); zero != std::string::npos) {
            throw ConfigError("not JSON at byte " + std::to_string(zero));
        }
        nlohmann::json::sax_parse(text, &parser_);
    }

    std::size_t count(const std::string &array) const {
        const auto found = parser_.arrays.find(array);
        if (found == parser_.arrays.end()) {
            throw ConfigError("has no array " + in_quotes(array));
        }
        return found->second;
    }
    bool has(const std::string &field) const {
        return parser_.fields.count(field) != 0;
    }
    const std::string &text(const std::string &field) const {
        const Scalar &value = at(field);
        if (!value.is_text) {
            refuse(field, "a text");
        }
        return value.text;
    }
    std::int64_t integer(const std::string &field, std::int64_t least,
                         std::int64_t most = std::numeric_limits<std::int32_t>::max()) const {
        const Scalar &value = at(field);
        if (!value.is_integer || value.integer < least || value.integer > most) {
            refuse(field, std::to_string(least) + " to " + std::to_string(most));
        }
        return value.integer;
    }
    [[noreturn]] void refuse(const std::string &field, const std::string &must_be) const {
        const Scalar &value = at(field);
        throw ConfigError(in_quotes(field) + " is " + (value.is_text ? in_quotes(value.text) : value.text) +
                          ", must be " + must_be);
    }

private:
    const Scalar &at(const std::string &field) const {
        const auto found = parser_.fields.find(field);
        if (found == parser_.fields.end()) {
            throw ConfigError("has no field " + in_quotes(field));
        }
        return found->second;
    }

    FieldParser parser_;
};

bool is_name_of_file(const std::string &text) {
    return !text.empty() && text != "." && text != ".." && text.find('/') == text.npos && text.find('\0') == text.npos;
}

bool is_sha256(const std::string &text) {
    return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == text.npos;
}

LayerForm form_of(const Fields &fields, const std::string &field) {
    const std::string &text = fields.text(field);
    const auto *const found = std::find_if(std::begin(named_forms), std::end(named_forms),
                                           [&](const NamedForm &each) { return each.name == text; });
    if (found == std::end(named_forms)) {
        fields.refuse(field, "the name of a layer");
    }
    return found->form;
}

Wisdom::Library library_of(const Fields &fields, const std::string &place) {
    Wisdom::Library library;
    library.file = fields.text(place + "file");
    if (!is_name_of_file(library.file)) {
        fields.refuse(place + "file", "the name of a file in the same folder");
    }
    library.sha256 = fields.text(place + "sha256");
    if (!is_sha256(library.sha256)) {
        fields.refuse(place + "sha256", "64 digits of 0 to 9 and a to f");
    }
    library.abi = static_cast<int>(fields.integer(place + "abi", 0));
    return library;
}

Wisdom::Result result_of(const Fields &fields, const std::string &place) {
    Wisdom::Result result;
    LayerConfig &config = result.config;
    config.form = form_of(fields, place + "layer");
    config.hidden = fields.integer(place + "shape/hidden", 1);
    config.projected = fields.integer(place + "shape/projected", 1);
    config.window = fields.integer(place + "shape/window", 0);
    result.shape = {fields.integer(place + "shape/batch", 1), fields.integer(place + "shape/seq", 1)};
    config.max_seq_len = result.shape.seq;
    result.target = fields.text(place + "target");
    result.algorithm = fields.text(place + "algorithm");
    const std::string &kernel = fields.text(place + "kernel");
    if (kernel != "tuned" && kernel != "packed") {
        fields.refuse(place + "kernel", "tuned or packed");
    }
    if (kernel == "tuned") {
        result.library = library_of(fields, place + "library/");
    }
    return result;
}

std::vector<std::string> kernels_of(const Fields &fields, const std::string &array) {
    std::vector<std::string> kernels;
    std::set<std::string> seen;
    const std::size_t count = fields.count(array);
    if (count > max_kernels) {
        throw ConfigError("array " + in_quotes(array) + " has " + std::to_string(count) +
                          " elements, must have at most " + std::to_string(max_kernels));
    }
    for (std::size_t i = 0; i < count; ++i) {
        const std::string place = array + "/" + std::to_string(i);
        if (!seen.insert(fields.text(place)).second) {
            fields.refuse(place, "another kernel than those before");
        }
        kernels.push_back(fields.text(place));
    }
    return kernels;
}

std::vector<Wisdom::Preference::Interval> lengths_of(const Fields &fields, const std::string &array,
                                                     const std::vector<std::string> &kernels) {
    std::vector<Wisdom::Preference::Interval> lengths;
    const std::size_t count = fields.count(array);
    if (count == 0) {
        throw ConfigError("array " + in_quotes(array) + " is empty");
    }
    const std::set<std::string> all(kernels.begin(), kernels.end());
    for (std::size_t i = 0; i < count; ++i) {
        const std::string place = array + "/" + std::to_string(i) + "/";
        const std::int64_t from =
            i == 0 ? fields.integer(place + "from", 1, 1) : fields.integer(place + "from", lengths.back().from + 1);
        const std::string &kernel = fields.text(place + "kernel");
        if (all.count(kernel) == 0) {
            fields.refuse(place + "kernel", "one of the kernels of its entry");
        }
        lengths.push_back({from, kernel});
    }
    return lengths;
}

Wisdom::Preference preference_of(const Fields &fields, const std::string &place) {
    Wisdom::Preference preference;
    preference.operation = fields.text(place + "operation");
    if (fields.text(place + "layer") != "none") {
        preference.layer = form_of(fields, place + "layer");
    }
    preference.storage = fields.text(place + "storage");
    preference.target = fields.text(place + "target");
    preference.kernels = kernels_of(fields, place + "kernels");
    preference.lengths = lengths_of(fields, place + "lengths", preference.kernels);
    return preference;
}

Wisdom parse(const std::string &text) {
    const Fields fields(text);
    const std::int64_t version = fields.has("version") ? fields.integer("version", 1, wisdom_version) : 1;
    Wisdom wisdom{fields.text("cpu"), fields.text("isa"), {}, {}};
    const std::size_t results = fields.count("results");
    for (std::size_t i = 0; i < results; ++i) {
        wisdom.results.push_back(result_of(fields, "results/" + std::to_string(i) + "/"));
    }
    const std::size_t preferences = version == 1 ? 0 : fields.count("preferences");
    for (std::size_t i = 0; i < preferences; ++i) {
        wisdom.preferences.push_back(preference_of(fields, "preferences/" + std::to_string(i) + "/"));
    }
    return wisdom;
}

}  // namespace

Wisdom read_wisdom(const std::string &path) {
    try {
        const InputFile file(path);
        if (file.bytes() > max_bytes) {
            throw ConfigError("has " + std::to_string(file.bytes()) + " bytes, must be at most " +
                              std::to_string(max_bytes));
        }
        return parse(file.text(0, file.bytes()));
    } catch (const Error &error) {
        throw ConfigError("wisdom " + path + ": " + error.what());
    }
}

}  // namespace aft
