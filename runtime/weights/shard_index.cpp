#include "weights/shard_index.h"
#include "weights/safetensors_header.h"

#include <aft/error.h>

#include <nlohmann/json.hpp>

namespace aft {
namespace {

/// Takes the JSON as it is parsed, and skips other content by its depth. It makes no value of the JSON library, whose
/// destructor allocates and so may end the process.
class IndexParser : public nlohmann::json::json_sax_t {
public:
    ShardIndex index;
    bool has_weight_map = false;

    bool start_object(std::size_t) override {
        begin_value();
        if (depth_ == 1 && section_ == "weight_map") {
            has_weight_map = true;
        }
        ++depth_;
        return true;
    }
    bool end_object() override {
        --depth_;
        return true;
    }
    bool key(std::string &key) override {
        if (depth_ == 1) {
            if (key == "weight_map" && has_weight_map) {
                fail("key \"weight_map\" comes twice");
            }
            section_ = key;
        } else if (depth_ == 2) {
            key_ = key;
        }
        return true;
    }
    bool string(std::string &value) override {
        if (is_shard()) {
            if (value.empty() || value == "." || value == ".." ||
                value.find_first_of(std::string("/\0", 2)) != value.npos) {
                fail("tensor " + in_quotes(key_) + " is in " + in_quotes(value) +
                     ", must be the name of a file beside the index");
            }
            if (!index.shards.emplace(key_, value).second) {
                fail("key " + in_quotes(key_) + " comes twice in \"weight_map\"");
            }
        } else if (depth_ == 2 && section_ == "metadata") {
            index.metadata[key_] = value;
        } else {
            begin_value();
        }
        return true;
    }
    bool start_array(std::size_t) override {
        begin_value();
        if (depth_ == 1) {
            section_.clear();  // none that an index has
        }
        ++depth_;
        return true;
    }
    bool end_array() override {
        --depth_;
        return true;
    }
    bool number_unsigned(std::uint64_t) override {
        return begin_value();
    }
    bool number_integer(std::int64_t) override {
        return begin_value();
    }
    bool number_float(double, const std::string &) override {
        return begin_value();
    }
    bool boolean(bool) override {
        return begin_value();
    }
    bool null() override {
        return begin_value();
    }
    bool binary(nlohmann::json::binary_t &) override {
        return begin_value();
    }
    bool parse_error(std::size_t position, const std::string &, const nlohmann::json::exception &) override {
        fail("not JSON at byte " + std::to_string(position));
    }

private:
    [[noreturn]] static void fail(const std::string &what) {
        throw WeightsError("index of shards: " + what);
    }
    bool is_shard() const {
        return depth_ == 2 && section_ == "weight_map";
    }
    /// Any value but a string. It is wrong in place of the name of a shard.
    bool begin_value() const {
        if (is_shard()) {
            fail("tensor " + in_quotes(key_) + " must have the name of a file");
        }
        return true;
    }

    int depth_ = 0;
    std::string section_, key_;  // the keys at depth 1 and 2
};

}  // namespace

ShardIndex parse_index(const std::string &text) {
    // The parser takes a zero byte for the end.
    if (const std::size_t zero = text.find('\0'); zero != std::string::npos) {
        throw WeightsError("index of shards: not JSON at byte " + std::to_string(zero));
    }
    IndexParser parser;
    nlohmann::json::sax_parse(text, &parser);
    if (!parser.has_weight_map) {
        throw WeightsError("is JSON, but neither a safetensors file nor an index of shards: it has no \"weight_map\"");
    }
    return std::move(parser.index);
}

}  // namespace aft
