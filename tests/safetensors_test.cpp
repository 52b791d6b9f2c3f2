#include "temporary_file.h"

#include <aft/error.h>
#include <aft/safetensors.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cstring>
#include <iterator>

using namespace aft;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

/// A file of the format, with `data` bytes of data.
std::string file_with(const std::string &header, std::size_t data = 0) {
    const std::uint64_t bytes = header.size();
    return std::string(reinterpret_cast<const char *>(&bytes), sizeof(bytes)) + header + std::string(data, '\1');
}

std::string entry(const std::string &name, const std::string &dtype, const std::string &shape,
                  const std::string &offsets) {
    return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":[)" + shape + R"(],"data_offsets":[)" + offsets +
           "]}";
}

void check_accepted(const std::string &content) {
    const TemporaryFile file(content);
    CHECK_NOTHROW(read_safetensors(file.path()));
}

/// The message is one line with the path and `problem` in it.
void check_refused(const std::string &content, const std::string &problem) {
    const TemporaryFile file(content);
    INFO(problem);
    try {
        read_safetensors(file.path());
        FAIL_CHECK("was accepted");
    } catch (const WeightsError &error) {
        CHECK_THAT(error.what(), ContainsSubstring(file.path()) && ContainsSubstring(problem));
        const std::string message = error.what();
        CHECK(std::none_of(message.begin(), message.end(), [](unsigned char c) { return c < ' '; }));
    }
}

std::string content_of(const std::string &path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("what is written to a safetensors file is read back", "[safetensors]") {
    SafetensorsFile file;
    file.tensors["weights"] = stored_tensor({2, 3}, {1, 2, 3, 4, 5, 6});
    file.tensors["scalar"] = stored_tensor({}, {7});
    file.tensors["nothing"] = stored_tensor({0, 5}, {});
    file.tensors["mask"] = {"BOOL", {3}, std::vector<std::byte>(3)};
    file.tensors["a \"quoted\" näme"] = {"F64", {1}, std::vector<std::byte>(8)};
    file.metadata = {{"format", "pt"}, {"", "empty key"}};
    const TemporaryFile at;
    write_safetensors(at.path(), file);
    const SafetensorsFile read = read_safetensors(at.path());
    CHECK(read.metadata == file.metadata);
    REQUIRE(read.tensors.size() == file.tensors.size());
    for (const auto &[name, tensor] : file.tensors) {
        INFO(name);
        const StoredTensor &same = read.tensors.at(name);
        CHECK(same.dtype == tensor.dtype);
        CHECK(same.extents == tensor.extents);
        CHECK(same.bytes == tensor.bytes);
    }
    CHECK(read.tensors.at("weights").as_float() == std::vector<float>{1, 2, 3, 4, 5, 6});
    CHECK(read.tensors.at("a \"quoted\" näme").as_double() == std::vector<double>{0});
    CHECK_THROWS_WITH(read.tensors.at("mask").as_float(),
                      "dtype is \"BOOL\", must be F32, F16, BF16, F64, F8_E4M3 or F8_E5M2");
    CHECK_THROWS_AS(read.tensors.at("weights").as_double(), WeightsError);
}

TEST_CASE("every tensor that is written is aligned for its elements", "[safetensors]") {
    SafetensorsFile file;
    file.tensors["a"] = {"U8", {3}, std::vector<std::byte>(3)};
    file.tensors["b"] = {"F16", {1}, std::vector<std::byte>(2)};
    file.tensors["c"] = {"I64", {1}, std::vector<std::byte>(8)};
    const TemporaryFile at;
    write_safetensors(at.path(), file);
    const std::string content = content_of(at.path());
    std::uint64_t header = 0;
    std::memcpy(&header, content.data(), sizeof(header));
    CHECK(header % 8 == 0);
    CHECK_THAT(content, ContainsSubstring(R"("c":{"dtype":"I64","shape":[1],"data_offsets":[0,8]})") &&
                            ContainsSubstring(R"("b":{"dtype":"F16","shape":[1],"data_offsets":[8,10]})"));
}

TEST_CASE("valid safetensors files of others are accepted", "[safetensors]") {
    check_accepted(file_with("{}"));
    check_accepted(file_with("{}  \n"));
    check_accepted(file_with(R"({"__metadata__":{}})"));
    check_accepted(file_with("{" + entry("a", "F32", "2", "0,8") + "," + entry("b", "U8", "", "8,9") + "}", 9));
    check_accepted(
        file_with("{" + entry("last", "F32", "1", "4,8") + "," + entry("first", "F32", "1", "0,4") + "}", 8));
    check_accepted(file_with("{" + entry("empty", "F32", "0,3", "4,4") + "," + entry("a", "F32", "1", "0,4") + "}", 4));
    check_accepted(file_with("{" + entry("", "I16", "0", "0,0") + "}"));
    check_accepted(file_with(R"({"a":{"data_offsets":[0,1],"shape":[1],"dtype":"BOOL"}})", 1));
    check_accepted(
        file_with("{" + entry("a", "C64", "2", "0,16") + "," + entry("b", "F8_E8M0", "3", "16,19") + "}", 19));
}

TEST_CASE("a file that isn't safetensors is refused", "[safetensors]") {
    check_refused("", "has 0 bytes, too few");
    check_refused("1234567", "has 7 bytes, too few");
    check_refused(std::string(8, '\0'), "doesn't start with '{'");
    check_refused(std::string(64, '\xff'), "18446744073709551615 bytes, the limit is 100000000");
    check_refused(file_with("{}").substr(0, 9), "header has 2 bytes, but the file has only 1");
    const std::uint64_t too_long = 100'000'001;
    check_refused(std::string(reinterpret_cast<const char *>(&too_long), 8), "the limit is 100000000");
    check_refused(file_with(" {}"), "doesn't start with '{'");
    check_refused(file_with("[]"), "doesn't start with '{'");
    check_refused(file_with("{"), "not JSON at byte");
    check_refused(file_with("{}{}"), "not JSON at byte");
    check_refused(file_with(std::string("{}\0", 3)), "not JSON at byte 2");
    check_refused(file_with("{\"a\n\":1}"), "not JSON at byte");
    check_refused(file_with("{\"\xff\":{}}"), "not JSON at byte");
    check_refused(file_with("{\"a\":" + std::string(100'000, '[')), "unexpected an array");
    const TemporaryFile file;
    CHECK_THROWS_WITH(read_safetensors(file.path()), file.path() + ": can't be opened: No such file or directory");
    CHECK_THROWS_WITH(read_safetensors(file.folder().string()), ContainsSubstring("not a regular file"));
    if (fs::is_character_file("/dev/zero")) {
        CHECK_THROWS_WITH(read_safetensors("/dev/zero"), ContainsSubstring("not a regular file"));
    }
}

TEST_CASE("a file of another kind is called by its name", "[safetensors]") {
    const std::string kinds[][2] = {
        {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a pointer file of Git LFS"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "run git lfs pull"},
        {"<!DOCTYPE html><html><head><title>404</title></head></html>", "is an HTML page"},
        {"\xef\xbb\xbf\n <HTML lang=en>", "is an HTML page"},
        {"PK\3\4" + std::string(200, '\0'), "is a zip archive, as torch.save() writes them"},
        {"\x80\x02\x8a\nl\xfc\x9c" + std::string(300, '\0'), "is a pickle, as torch.save() wrote them before"},
        {"\x80\x04}", "is a pickle"},
        {std::string("GGUF\3\0\0\0", 8) + std::string(64, '\0'), "is a GGUF file"},
        {"\x89HDF\r\n\x1a\n" + std::string(64, '\0'), "is an HDF5 file"},
        {"\x93NUMPY\1" + std::string(64, '\0'), "is an array of numpy"},
        {"{}", "is JSON, but neither a safetensors file nor an index of shards: it has no \"weight_map\""},
        {"[1, 2, 3, 4, 5, 6, 7, 8]", "is JSON, but neither"},
        {" \n{\"model_type\": \"aft\", \"weight_map\": 3}", "is JSON, but neither"},
        {"{\"model_type\": ", "not JSON at byte"},
    };
    for (const auto &[content, problem] : kinds) {
        check_refused(content, problem);
    }
    // The length of this header is that of a pickle's start. Its kind is only looked for where the header is wrong.
    const std::string pickle("\x80\x02\0\0\0\0\0\0", 8);
    check_accepted(pickle + "{}" + std::string(638, ' '));
    check_refused(pickle + "[]" + std::string(638, ' '), "is a pickle");
    check_refused(pickle + "{]" + std::string(638, ' '), "not JSON at byte 2");
}

TEST_CASE("a header that holds anything but tensors and metadata is refused", "[safetensors]") {
    check_refused(file_with(R"({"a":1})"), "unexpected 1 in \"a\"");
    check_refused(file_with(R"({"a":"F32"})"), "unexpected a string");
    check_refused(file_with(R"({"a":null})"), "unexpected null");
    check_refused(file_with(R"({"a":{}})"), "needs dtype, shape and data_offsets");
    check_refused(file_with(R"({"a":{"dtype":"F32","shape":[1]}})"), "needs dtype, shape and data_offsets");
    check_refused(file_with(R"({"a":{"dtype":32,"shape":[1],"data_offsets":[0,4]}})", 4), "unexpected 32");
    check_refused(file_with(R"({"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}})", 4), "unexpected 1");
    check_refused(file_with(R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", 4), "unexpected an array");
    check_refused(file_with(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":{}}})", 4),
                  "has an unknown key");
    check_refused(file_with("{" + entry("a", "F32", "-1", "0,4") + "}", 4), "unexpected -1");
    check_refused(file_with("{" + entry("a", "F32", "1.0", "0,4") + "}", 4), "unexpected a fraction");
    check_refused(file_with("{" + entry("a", "F32", "1e0", "0,4") + "}", 4), "unexpected a fraction");
    check_refused(file_with("{" + entry("a", "F32", "true", "0,4") + "}", 4), "unexpected a boolean");
    check_refused(file_with("{" + entry("a", "F32", "9223372036854775808", "0,4") + "}", 4), "9223372036854775808");
    check_refused(file_with("{" + entry("a", "F32", "1", "0") + "}", 4), "has 1 data_offsets, must be 2");
    check_refused(file_with("{" + entry("a", "F32", "1", "0,4,8") + "}", 4), "has 3 data_offsets, must be 2");
    check_refused(file_with("{" + entry("a", "F31", "1", "0,4") + "}", 4), "unknown dtype \"F31\"");
    check_refused(file_with("{" + entry("a\\n\\u001b", "", "1", "0,4") + "}", 4), R"("a\n\u001b" has unknown dtype)");
    check_refused(file_with(R"({"__metadata__":{"a":1}})"), "unexpected 1 in \"__metadata__\"");
    check_refused(file_with(R"({"__metadata__":{"a":{}}})"), "unexpected an object");
    check_refused(file_with(R"({"__metadata__":"a"})"), "unexpected a string");
}

TEST_CASE("a key that comes twice is refused", "[safetensors]") {
    const std::string a = entry("a", "F32", "1", "0,4");
    check_refused(file_with("{" + a + "," + a + "}", 4), "key \"a\" comes twice");
    check_refused(file_with("{" + a + "," + entry("\\u0061", "F32", "1", "4,8") + "}", 8), "key \"a\" comes twice");
    check_refused(file_with(R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4),
                  "key \"dtype\" comes twice in \"a\"");
    check_refused(file_with(R"({"__metadata__":{},"__metadata__":{}})"), "key \"__metadata__\" comes twice");
    check_refused(file_with(R"({"__metadata__":{"k":"1","k":"2"}})"), "key \"k\" comes twice");
}

TEST_CASE("tensors must cover the data exactly", "[safetensors]") {
    const std::string a = entry("a", "F32", "1", "0,4");
    check_refused(file_with("{" + a + "}", 3), "has 3 bytes of data, its tensors take 4");
    check_refused(file_with("{" + a + "}", 5), "has 5 bytes of data, its tensors take 4");
    check_refused(file_with("{}", 1), "has 1 bytes of data, its tensors take 0");
    check_refused(file_with("{" + a + "," + entry("b", "F32", "1", "8,12") + "}", 12), "starts at 8");
    check_refused(file_with("{" + a + "," + entry("b", "F32", "1", "2,6") + "}", 6), "starts at 2");
    check_refused(file_with("{" + a + "," + entry("b", "F32", "1", "0,4") + "}", 4), "starts at 0");
    check_refused(file_with("{" + entry("a", "F32", "1", "1,5") + "}", 5), "starts at 1");
    check_refused(file_with("{" + entry("a", "F32", "1", "4,0") + "}", 4), "data_offsets 4 to 0");
    check_refused(file_with("{" + entry("a", "F32", "2", "0,4") + "}", 4), "shape and dtype take 8 bytes");
    check_refused(file_with("{" + entry("a", "F64", "1", "0,4") + "}", 4), "shape and dtype take 8 bytes");
    // 2^62 * 4 bytes and 2^33 * 2^33 wrap around to 0.
    check_refused(file_with("{" + entry("a", "F32", "4611686018427387904", "0,0") + "}"), "more than 2^64 bytes");
    check_refused(file_with("{" + entry("a", "U8", "8589934592,8589934592", "0,0") + "}"), "more than 2^64 bytes");
    // A shape that is valid, but for data of 2^62 bytes that aren't there.
    check_refused(file_with("{" + entry("a", "U8", "4611686018427387904", "0,4611686018427387904") + "}", 4),
                  "has 4 bytes of data, its tensors take 4611686018427387904");
}

TEST_CASE("what can't be stored is refused, and the old file stays", "[safetensors]") {
    const TemporaryFile file("old content");
    auto check_not_written = [&](const std::string &name, const StoredTensor &tensor) {
        SafetensorsFile content;
        content.tensors[name] = tensor;
        CHECK_THROWS_AS(write_safetensors(file.path(), content), WeightsError);
        CHECK(content_of(file.path()) == "old content");
        CHECK(std::distance(fs::directory_iterator(file.folder()), {}) == 1);
    };
    check_not_written("a", {"F32", {2}, std::vector<std::byte>(4)});
    check_not_written("a", {"F32", {-1}, {}});
    check_not_written("a", {"F33", {1}, std::vector<std::byte>(4)});
    check_not_written("__metadata__", stored_tensor({1}, {1}));
    check_not_written("\xff", stored_tensor({1}, {1}));
    CHECK_THROWS_AS(stored_tensor({2, 2}, {1, 2, 3}), WeightsError);
}

TEST_CASE("a file is replaced whole, and a link stays one", "[safetensors]") {
    SafetensorsFile file;
    file.tensors["a"] = stored_tensor({1}, {1});
    const TemporaryFile target("old content");
    write_safetensors(target.path(), file);
    CHECK(read_safetensors(target.path()).tensors.count("a") == 1);
    CHECK(std::distance(fs::directory_iterator(target.folder()), {}) == 1);

    const fs::path link = target.folder() / "link";
    if (make_link(target.path(), link)) {
        file.tensors["b"] = stored_tensor({1}, {1});
        write_safetensors(link.string(), file);
        CHECK(fs::is_symlink(link));
        CHECK(read_safetensors(target.path()).tensors.count("b") == 1);
        CHECK(std::distance(fs::directory_iterator(target.folder()), {}) == 2);
    }

    CHECK_THROWS_WITH(write_safetensors(target.folder().string(), file), ContainsSubstring("it is a directory"));
    CHECK_THROWS_WITH(write_safetensors((target.folder() / "missing" / "a").string(), file),
                      ContainsSubstring("No such file"));
}
