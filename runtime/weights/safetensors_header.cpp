#include "weights/safetensors_header.h"

#include <aft/error.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

namespace aft {
namespace {

using nlohmann::json;

struct Dtype {
    std::string_view name;
    std::uint64_t bytes;
};
constexpr Dtype dtypes[] = {{"BOOL", 1},    {"U8", 1},          {"I8", 1},          {"F8_E5M2", 1}, {"F8_E4M3", 1},
                            {"F8_E8M0", 1}, {"F8_E4M3FNUZ", 1}, {"F8_E5M2FNUZ", 1}, {"I16", 2},     {"U16", 2},
                            {"F16", 2},     {"BF16", 2},        {"I32", 4},         {"U32", 4},     {"F32", 4},
                            {"C64", 8},     {"I64", 8},         {"U64", 8},         {"F64", 8}};

struct Entry {
    std::string dtype;
    std::vector<std::int64_t> extents, offsets;
};

/// Takes the JSON as it is parsed. So it refuses unknown content at its place and builds nothing from it.
class HeaderParser : public json::json_sax_t {
public:
    std::map<std::string, Entry> entries;
    std::map<std::string, std::string> metadata;

    bool start_object(std::size_t) override {
        switch (place_) {
            case Place::outside: place_ = Place::header; return true;
            case Place::header: place_ = name_ == metadata_key ? Place::metadata : Place::tensor; return true;
            default: refuse("an object");
        }
    }
    bool end_object() override {
        if (place_ == Place::tensor && fields_.size() != 3) {
            fail("tensor " + in_quotes(name_) + " needs dtype, shape and data_offsets");
        }
        place_ = place_ == Place::header ? Place::outside : Place::header;
        fields_.clear();
        return true;
    }
    bool key(std::string &key) override {
        if (place_ == Place::header) {
            const bool is_new =
                key == metadata_key ? !std::exchange(has_metadata_, true) : entries.try_emplace(key).second;
            if (!is_new) {
                fail("key " + in_quotes(key) + " comes twice");
            }
            name_ = key;
            return true;
        }
        if (!fields_.insert(key).second) {
            fail("key " + in_quotes(key) + " comes twice in " + in_quotes(name_));
        }
        if (place_ == Place::tensor && key != "dtype" && key != "shape" && key != "data_offsets") {
            fail("tensor " + in_quotes(name_) + " has an unknown key " + in_quotes(key));
        }
        field_ = key;
        return true;
    }
    bool string(std::string &value) override {
        if (place_ == Place::metadata) {
            metadata[field_] = value;
        } else if (place_ == Place::tensor && field_ == "dtype") {
            entries[name_].dtype = value;
        } else {
            refuse("a string");
        }
        return true;
    }
    bool start_array(std::size_t) override {
        if (place_ != Place::tensor || field_ == "dtype") {
            refuse("an array");
        }
        place_ = Place::numbers;
        return true;
    }
    bool end_array() override {
        place_ = Place::tensor;
        return true;
    }
    bool number_unsigned(std::uint64_t value) override {
        if (place_ != Place::numbers || value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
            refuse(std::to_string(value));
        }
        Entry &entry = entries[name_];
        (field_ == "shape" ? entry.extents : entry.offsets).push_back(static_cast<std::int64_t>(value));
        return true;
    }
    bool number_integer(std::int64_t value) override {
        refuse(std::to_string(value));
    }
    bool number_float(double, const std::string &) override {
        refuse("a fraction");
    }
    bool boolean(bool) override {
        refuse("a boolean");
    }
    bool null() override {
        refuse("null");
    }
    bool binary(json::binary_t &) override {
        refuse("binary data");
    }
    bool parse_error(std::size_t position, const std::string &, const json::exception &) override {
        fail("not JSON at byte " + std::to_string(position));
    }

private:
    enum class Place { outside, header, metadata, tensor, numbers };

    [[noreturn]] static void fail(const std::string &what) {
        throw WeightsError("header: " + what);
    }
    [[noreturn]] void refuse(const std::string &what) const {
        fail("unexpected " + what + " in " + in_quotes(name_));
    }

    Place place_ = Place::outside;
    std::string name_, field_;
    std::set<std::string> fields_;
    bool has_metadata_ = false;
};

/// The bytes of a tensor, whose data must start at `begin`.
std::uint64_t checked_bytes(const std::string &name, const Entry &entry, std::uint64_t begin) {
    const std::string tensor = "tensor " + in_quotes(name);
    const std::uint64_t element = element_bytes(entry.dtype);
    if (element == 0) {
        throw WeightsError(tensor + " has unknown dtype " + in_quotes(entry.dtype));
    }
    const std::optional<std::uint64_t> bytes = tensor_bytes(entry.extents, element);
    if (!bytes) {
        throw WeightsError(tensor + " has a shape of more than 2^64 bytes");
    }
    const auto first = static_cast<std::uint64_t>(entry.offsets[0]);
    const auto last = static_cast<std::uint64_t>(entry.offsets[1]);
    if (last < first || last - first != *bytes) {
        throw WeightsError(tensor + " has data_offsets " + std::to_string(first) + " to " + std::to_string(last) +
                           ", its shape and dtype take " + std::to_string(*bytes) + " bytes");
    }
    if (first != begin) {
        throw WeightsError(tensor + " starts at " + std::to_string(first) + ", the data before it ends at " +
                           std::to_string(begin));
    }
    return *bytes;
}

}  // namespace

std::uint64_t element_bytes(std::string_view dtype) {
    const auto *found =
        std::find_if(std::begin(dtypes), std::end(dtypes), [&](const Dtype &known) { return known.name == dtype; });
    return found == std::end(dtypes) ? 0 : found->bytes;
}

std::optional<std::uint64_t> tensor_bytes(const std::vector<std::int64_t> &extents, std::uint64_t element) {
    std::uint64_t product = element;
    for (const std::int64_t extent : extents) {
        if (extent < 0 || __builtin_mul_overflow(product, static_cast<std::uint64_t>(extent), &product)) {
            return std::nullopt;
        }
    }
    return product;
}

std::string in_quotes(std::string_view name) {
    return json(name.substr(0, 100)).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string header_too_long(std::uint64_t bytes) {
    return "header has " + std::to_string(bytes) + " bytes, the limit is " + std::to_string(max_header_bytes);
}

SafetensorsHeader parse_header(const std::string &text, std::uint64_t data_bytes) {
    // The parser takes a zero byte for the end.
    if (const std::size_t zero = text.find('\0'); zero != std::string::npos) {
        throw WeightsError("header: not JSON at byte " + std::to_string(zero));
    }
    HeaderParser parser;
    json::sax_parse(text, &parser);

    std::vector<std::pair<const std::string, Entry> *> by_offset;
    for (auto &entry : parser.entries) {
        const std::size_t offsets = entry.second.offsets.size();
        if (offsets != 2) {
            throw WeightsError("tensor " + in_quotes(entry.first) + " has " + std::to_string(offsets) +
                               " data_offsets, must be 2");
        }
        by_offset.push_back(&entry);
    }
    std::sort(by_offset.begin(), by_offset.end(),
              [](const auto *a, const auto *b) { return a->second.offsets < b->second.offsets; });

    SafetensorsHeader header{{}, std::move(parser.metadata)};
    std::uint64_t end = 0;
    for (auto *entry : by_offset) {
        auto &[name, stored] = *entry;
        const std::uint64_t bytes = checked_bytes(name, stored, end);
        header.tensors.push_back(
            {name, std::move(stored.dtype), std::move(stored.extents), static_cast<std::size_t>(bytes), end});
        end += bytes;
    }
    if (end != data_bytes) {
        throw WeightsError("has " + std::to_string(data_bytes) + " bytes of data, its tensors take " +
                           std::to_string(end));
    }
    return header;
}

// Written by hand: the destructor of the JSON library's values allocates, which may end the process.
std::string header_text(const SafetensorsHeader &header) {
    std::string text = "{";
    const auto begin_entry = [&text](const std::string &key) {
        text += (text.back() == '{' ? "" : ",") + json(key).dump() + ":";
    };
    try {
        if (!header.metadata.empty()) {
            begin_entry(std::string(metadata_key));
            text += '{';
            for (const auto &[key, value] : header.metadata) {
                begin_entry(key);
                text += json(value).dump();
            }
            text += '}';
        }
        std::uint64_t begin = 0;
        for (const SafetensorsHeader::Tensor &tensor : header.tensors) {
            begin_entry(tensor.name);
            text += R"({"dtype":)" + json(tensor.dtype).dump() + R"(,"shape":[)";
            for (const std::int64_t extent : tensor.extents) {
                text += (text.back() == '[' ? "" : ",") + std::to_string(extent);
            }
            const std::uint64_t end = begin + tensor.bytes;
            text += R"(],"data_offsets":[)" + std::to_string(begin) + "," + std::to_string(end) + "]}";
            begin = end;
        }
        return text + '}';
    } catch (const json::exception &) {
        throw WeightsError("a name or metadata isn't UTF-8");
    }
}

}  // namespace aft
