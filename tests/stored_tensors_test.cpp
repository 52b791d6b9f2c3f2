#include "temporary_file.h"
#include "weights/parameters.h"
#include "weights/shard_index.h"
#include "weights/stored_tensors.h"

#include <aft/error.h>
#include <aft/weights.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <cstring>
#include <numeric>

using namespace aft;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

const LayerConfig full{aft_full, /*hidden=*/3, /*projected=*/2, /*max_seq_len=*/4, 0};

/// Every value is different: 1, 2, 3, ...
SafetensorsFile checkpoint(const std::string &prefix = "") {
    SafetensorsFile file;
    float next = 1;
    for (const Parameter &parameter : parameters(full)) {
        std::vector<float> values(parameter.size());
        std::iota(values.begin(), values.end(), next);
        next += static_cast<float>(values.size());
        file.tensors[prefix + parameter.tensor] = stored_tensor(parameter.extents, values);
    }
    return file;
}

void check_same(const Weights &a, const Weights &b) {
    for (const Parameter &parameter : parameters(full)) {
        INFO(parameter.tensor);
        CHECK(a.*parameter.values == b.*parameter.values);
    }
}

/// Two layers in the shards "a" and "b", of which layer 1 has its position bias in "b" and the rest in "a", and layer 2
/// lies in "b" alone; tensors of a third are said to be in a shard that isn't there.
class Shards {
public:
    Shards() {
        SafetensorsFile a, b;
        for (const auto &[name, tensor] : checkpoint().tensors) {
            (name == "wbias" ? b : a).tensors["1." + name] = tensor;
            b.tensors["2." + name] = tensor;
        }
        add("a", a);
        add("b", b);
        for (const auto &tensor : checkpoint("3.").tensors) {
            map_[tensor.first] = "c";
        }
    }

    /// The path of an index of all, and of this metadata.
    std::string index(const std::string &metadata = R"({"total_size": 123, "of": [{"all": null}, "x", 1.5, true]})") {
        std::string text = "{\"metadata\": " + metadata + ",\n \"weight_map\": {";
        for (const auto &[tensor, shard] : map_) {
            text += (text.back() == '{' ? "\"" : ", \"") + tensor + "\": \"" + shard + "\"";
        }
        std::ofstream(path("model.safetensors.index.json")) << text << "}}\n";
        return path("model.safetensors.index.json");
    }
    std::string path(const std::string &name) const {
        return (folder_.folder() / name).string();
    }
    std::map<std::string, std::string> &map() {
        return map_;
    }

private:
    void add(const std::string &shard, const SafetensorsFile &file) {
        write_safetensors(path(shard), file);
        for (const auto &tensor : file.tensors) {
            map_[tensor.first] = shard;
        }
    }

    TemporaryFile folder_;
    std::map<std::string, std::string> map_;
};

void check_index_refused(const std::string &text, const std::string &problem) {
    const TemporaryFile file(text);
    CHECK_THROWS_AS(read_safetensors(file.path()), WeightsError);
    CHECK_THROWS_WITH(read_safetensors(file.path()), file.path() + ": " + problem);
}

}  // namespace

TEST_CASE("a layer comes from those shards that have its tensors", "[weights]") {
    Shards shards;
    const std::string index = shards.index();
    const Weights expected = load_weights(checkpoint(), full);
    check_same(load_weights(index, full, {"1."}), expected);
    check_same(load_weights(index, full, {"2."}), expected);
    CHECK(config_from_weights(index, {}, {"1."}).max_seq_len == 4);
    fs::remove(shards.path("a"));
    check_same(load_weights(index, full, {"2."}), expected);
    CHECK_THROWS_WITH(load_weights(index, full, {"1."}), index + ": \"a\": can't be opened: No such file or directory");
    CHECK_THROWS_WITH(load_weights(index, full),
                      index + ": may have more than one layer, choose one by prefix or naming: \"1.\" (aft-pytorch), "
                              "\"2.\" (aft-pytorch), \"3.\" (aft-pytorch)");
}

TEST_CASE("an index is read as one file", "[safetensors]") {
    Shards shards;
    CHECK_THROWS_WITH(read_safetensors(shards.index()),
                      ContainsSubstring("index.json: \"c\": can't be opened: No such file"));
    for (const auto &tensor : checkpoint("3.").tensors) {
        shards.map().erase(tensor.first);
    }
    const SafetensorsFile file = read_safetensors(shards.index(R"({"format": "pt", "total_size": 5})"));
    CHECK(file.tensors.size() == 18);
    CHECK(file.metadata == std::map<std::string, std::string>{{"format", "pt"}});
    check_same(load_weights(file, full, {"1."}), load_weights(checkpoint(), full));
    // From elsewhere, by a link: shards lie beside the link, as in a cache whose files have other names.
    const fs::path content = fs::path(shards.path("blobs"));
    fs::create_directory(content);
    fs::rename(shards.index(), content / "0123");
    if (make_link(content / "0123", shards.path("link"))) {
        CHECK(read_safetensors(shards.path("link")).tensors.size() == 18);
    }
}

TEST_CASE("a shard that isn't what the index says is refused", "[weights]") {
    Shards shards;
    SafetensorsFile a = read_safetensors(shards.path("a"));
    a.tensors.erase("1.to_k.weight");
    write_safetensors(shards.path("a"), a);
    const std::string index = shards.index();
    CHECK_THROWS_WITH(load_weights(index, full, {"1."}), index + ": tensor \"1.to_k.weight\" isn't in \"a\", the "
                                                                 "shard that the index names");
    std::ofstream(shards.path("a")) << R"({"weight_map": {"1.to_k.weight": "b"}})";
    CHECK_THROWS_WITH(load_weights(index, full, {"1."}), index + ": \"a\": is JSON, not a safetensors file");
}

TEST_CASE("an index that isn't one is refused", "[safetensors]") {
    check_index_refused(R"({"metadata": {}})",
                        "is JSON, but neither a safetensors file nor an index of shards: it has no \"weight_map\"");
    check_index_refused(R"({"weight_map": ["a", "b"]})",
                        "is JSON, but neither a safetensors file nor an index of shards: it has no \"weight_map\"");
    check_index_refused(R"([{"weight_map": {"a": "b"}}])",
                        "is JSON, but neither a safetensors file nor an index of shards: it has no \"weight_map\"");
    check_index_refused(R"({"weight_map": {"a": 1}})", "index of shards: tensor \"a\" must have the name of a file");
    check_index_refused(R"({"weight_map": {"a": {}}})", "index of shards: tensor \"a\" must have the name of a file");
    check_index_refused(R"({"weight_map": {"a": ["b"]}})",
                        "index of shards: tensor \"a\" must have the name of a file");
    check_index_refused(R"({"weight_map": {"a": "b", "\u0061": "b"}})",
                        "index of shards: key \"a\" comes twice in \"weight_map\"");
    check_index_refused(R"({"weight_map": {}, "weight_map": {}})", "index of shards: key \"weight_map\" comes twice");
    check_index_refused(R"({"weight_map": {"a": "\u001b\n"}})",
                        R"("\u001b\n": can't be opened: No such file or directory)");
    check_index_refused(R"({"weight_map": {"a": "b"})", "index of shards: not JSON at byte 26");
    check_index_refused(std::string("{\"weight_map\": {}}\0 ", 19), "index of shards: not JSON at byte 18");
    for (const std::string name : {"", ".", "..", "/etc/passwd", "../b", "b/c", "b\\u0000"}) {
        check_index_refused("{\"weight_map\": {\"a\": \"" + name + "\"}}",
                            "index of shards: tensor \"a\" is in \"" + name +
                                "\", must be the name of a file beside the index");
    }
    const TemporaryFile large("{\"weight_map\": {}}");
    fs::resize_file(large.path(), 100'000'001);
    CHECK_THROWS_WITH(read_safetensors(large.path()),
                      large.path() + ": index of shards has 100000001 bytes, the limit is 100000000");
}

TEST_CASE("a name that the metadata ties to a tensor is that tensor", "[weights]") {
    SafetensorsFile file = checkpoint();
    file.tensors["to_k.weight"] = file.tensors.at("to_q.weight");
    const Weights expected = load_weights(file, full);
    file.tensors.erase("to_k.weight");
    CHECK_THROWS_WITH(load_weights(file, full), "to_k.weight is missing, must be [2, 3]");
    file.metadata = {{"to_k.weight", "to_v.nothing"}, {"format", "pt"}};
    CHECK_THROWS_WITH(load_weights(file, full), "to_k.weight is missing, must be [2, 3]");
    file.metadata = {{"to_k.weight", "to_q.weight"}, {"to_v.weight", "to_q.weight"}, {"format", "pt"}};
    check_same(load_weights(file, full), expected);  // to_v.weight has a tensor of its own
    CHECK(config_from_weights(file, {}).hidden == 3);
    const TemporaryFile at;
    write_safetensors(at.path(), file);
    check_same(load_weights(at.path(), full), expected);
    CHECK(read_safetensors(at.path()).tensors.count("to_k.weight") == 0);

    Shards shards;
    shards.map().erase("2.to_k.weight");
    check_same(load_weights(shards.index(R"({"2.to_k.weight": "2.to_q.weight", "total_size": 9})"), full, {"2."}),
               expected);
}

TEST_CASE("a layer of a large file is read without the rest", "[weights]") {
    constexpr std::uint64_t tebibyte = std::uint64_t{1} << 40;
    const TemporaryFile small, large;
    write_safetensors(small.path(), checkpoint());
    std::string content(fs::file_size(small.path()), '\0');
    std::ifstream(small.path(), std::ios::binary).read(content.data(), static_cast<std::streamsize>(content.size()));
    std::uint64_t header = 0;
    std::memcpy(&header, content.data(), sizeof(header));
    const std::uint64_t data = content.size() - 8 - header;
    std::string text = content.substr(8, header);
    text.replace(text.rfind('}'), std::string::npos,
                 R"(,"embedding":{"dtype":"U8","shape":[1099511627776],"data_offsets":[)" + std::to_string(data) + "," +
                     std::to_string(data + tebibyte) + "]}}");
    header = text.size();
    std::ofstream(large.path(), std::ios::binary)
        << std::string(reinterpret_cast<const char *>(&header), 8) << text << content.substr(content.size() - data);
    std::error_code error;
    fs::resize_file(large.path(), 8 + header + data + tebibyte, error);
    if (error) {
        SKIP("no files with holes here: " + error.message());
    }
    check_same(load_weights(large.path(), full), load_weights(small.path(), full));
    CHECK(config_from_weights(large.path(), {}).projected == 2);
}

TEST_CASE("a file that becomes shorter while it is read is an error", "[weights]") {
    const TemporaryFile at;
    write_safetensors(at.path(), checkpoint());
    const std::unique_ptr<StoredTensors> tensors = StoredTensors::open(at.path());
    const std::uint64_t before = fs::file_size(at.path());
    fs::resize_file(at.path(), before - 4);
    StoredTensor space;
    CHECK(tensors->type("wbias").extents == std::vector<std::int64_t>{4, 4});
    CHECK_THROWS_WITH(tensors->read("wbias", space), at.path() + ": ends at byte " + std::to_string(before - 4) +
                                                         ", had " + std::to_string(before) +
                                                         " bytes when it was opened");
}

TEST_CASE("weights of 8 bits are loaded, unless they aren't numbers", "[weights]") {
    SafetensorsFile file = checkpoint();
    const auto replace = [&file](const std::string &name, const std::string &dtype, int value) {
        StoredTensor &tensor = file.tensors.at(name);
        tensor = {dtype, tensor.extents,
                  std::vector<std::byte>(tensor.extents[0] * tensor.extents[1], std::byte(value))};
    };
    replace("to_q.weight", "F8_E4M3", 0xbc);  // -1.5
    replace("wbias", "F8_E5M2", 0xfc);        // -inf
    const Weights weights = load_weights(file, full);
    CHECK(weights.query_weight == std::vector<float>(6, -1.5f));
    CHECK(weights.position_bias == std::vector<float>(16, -INFINITY));
    replace("to_q.weight", "F8_E4M3", 0x7f);
    CHECK_THROWS_WITH(load_weights(file, full), "to_q.weight has nan at [0, 0], must be finite");
    replace("to_q.weight", "F8_E5M2", 0x7c);
    CHECK_THROWS_WITH(load_weights(file, full), "to_q.weight has inf at [0, 0], must be finite");
}
