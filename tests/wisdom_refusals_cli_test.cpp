#include "tuned_kernel.h"

#include "files/hash.h"

#include <aft/error.h>
#include <aft/kernels.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <functional>
#include <unistd.h>
#include <vector>

using namespace aft;
using Catch::Matchers::ContainsSubstring;

namespace fs = std::filesystem;
using Json = nlohmann::json;

TEST_CASE("wisdom that is broken, or that others can write, is refused for one reason", "[wisdom]") {
    struct Bad {
        std::string reason;  // "<file>" and "<library>" stand for paths
        std::function<void(const TunedKernel &)> spoil;
    };
    const auto with = [](const std::string &pointer, const Json &value) {
        return [=](const TunedKernel &tuned) { tuned.set(pointer, value); };
    };
    const auto text = [](const std::string &content) {
        return [=](const TunedKernel &tuned) { std::ofstream(tuned.file) << content; };
    };
    const auto mode = [](fs::perms perms, const std::function<fs::path(const TunedKernel &)> &path) {
        return [=](const TunedKernel &tuned) { fs::permissions(path(tuned), perms, fs::perm_options::add); };
    };
    const auto of_file = [](const TunedKernel &tuned) { return fs::path(tuned.file); };
    const auto of_library = [](const TunedKernel &tuned) { return fs::path(tuned.library()); };
    const auto of_folder = [](const TunedKernel &tuned) { return tuned.folder.path(); };
    const std::string entry = "\"results/0/", in_range = ", must be 1 to 2147483647", empty(64, '0');
    std::vector<Bad> all = {
        {"wisdom <file>: can't be opened: No such file or directory",
         [](const TunedKernel &tuned) { fs::remove(tuned.file); }},
        {"not a regular file",
         [](const TunedKernel &tuned) {
             fs::remove(tuned.file);
             fs::create_directory(tuned.file);
         }},
        {"not JSON at byte 1", text("")},
        {"not JSON at byte",
         [](const TunedKernel &tuned) {
             const std::string whole = content(tuned.file);
             std::ofstream(tuned.file) << whole.substr(0, whole.size() / 2);
         }},
        {"not JSON at byte 3", [](const TunedKernel &tuned) { std::ofstream(tuned.file) << std::string("{} \0", 4); }},
        {"has no field \"cpu\"", text("[]")},
        {"has no field \"cpu\"", text("7")},
        {"nests more than 8 levels", text(std::string(100000, '['))},
        {"has 1048577 bytes, must be at most 1048576", text(std::string((1 << 20) + 1, ' '))},
        {"field \"cpu\" comes twice", text(R"({"cpu": "a", "cpu": "b"})")},
        {"\"cpu\" is 7, must be a text", with("/cpu", 7)},
        {"has no array \"results\"", with("/results", Json::object())},
        {"has no array \"results\"", with("/results", nullptr)},
        {"has no field " + entry + "layer\"", with("/results/0", Json::array())},
        {entry + "layer\" is \"half\", must be the name of a layer", with("/results/0/layer", "half")},
        {entry + "kernel\" is \"fast\", must be tuned or packed", with("/results/0/kernel", "fast")},
        {entry + "target\" is null, must be a text", with("/results/0/target", nullptr)},
        {entry + "shape/seq\" is \"33\"" + in_range, with("/results/0/shape/seq", "33")},
        {entry + "shape/seq\" is 33.5" + in_range, with("/results/0/shape/seq", 33.5)},
        {entry + "shape/seq\" is true" + in_range, with("/results/0/shape/seq", true)},
        {entry + "shape/hidden\" is 0" + in_range, with("/results/0/shape/hidden", 0)},
        {entry + "shape/batch\" is 18446744073709551615" + in_range,
         with("/results/0/shape/batch", std::uint64_t(18446744073709551615U))},
        {"has no field " + entry + "shape/projected\"",
         with("/results/0/shape", {{"batch", 1}, {"seq", 1}, {"hidden", 1}})},
        {"has no field " + entry + "library/file\"", with("/results/0/library", nullptr)},
        {entry + "library/abi\" is \"1\"", with("/results/0/library/abi", "1")},
        {entry + "library/sha256\" is \"abc\", must be 64 digits", with("/results/0/library/sha256", "abc")},
        {"<library> has SHA-256", with("/results/0/library/sha256", empty)},
        {"<library> has SHA-256",
         [](const TunedKernel &tuned) { std::ofstream(tuned.library(), std::ios::app) << 'x'; }},
        {"<library> has SHA-256", [](const TunedKernel &tuned) { fs::resize_file(tuned.library(), 1000); }},
        {"<library> can't be opened: No such file", [](const TunedKernel &tuned) { fs::remove(tuned.library()); }},
        {"<library> is neither a file nor a folder",
         [](const TunedKernel &tuned) {
             fs::rename(tuned.library(), tuned.folder / "other");
             fs::create_symlink(tuned.folder / "other", tuned.library());
         }},
        {"<library> can't be loaded: ",
         [](const TunedKernel &tuned) {
             std::ofstream(tuned.library()) << "no program";
             tuned.set("/results/0/library/sha256", sha256("no program"));
         }},
        {"<library> is for target ",
         [](const TunedKernel &tuned) {
             const std::string target = tuned.json()["results"][0]["target"];
             tuned.set("/results/0/target", target + "-strict_float");
         }},
        {"<file> may be written by everybody (mode 0646): chmod go-w", mode(fs::perms::others_write, of_file)},
        {"<file> may be written by its group (mode 0664): chmod go-w", mode(fs::perms::group_write, of_file)},
        {"<library> may be written by everybody", mode(fs::perms::others_write, of_library)},
        {"may be written by its group (mode 0720): chmod go-w", mode(fs::perms::group_write, of_folder)},
    };
    for (const char *name : {"../kernel.so", "/etc/passwd", "..", ".", ""}) {
        all.push_back({entry + "library/file\" is \"" + name + "\", must be the name of a file in the same folder",
                       with("/results/0/library/file", name)});
    }
    if (geteuid() == 0) {
        const auto give = [](const std::string &path) { return chown(path.c_str(), 4321, static_cast<gid_t>(-1)); };
        all.push_back({"<library> belongs to user 4321, must be of user 0 or root",
                       [=](const TunedKernel &tuned) { REQUIRE(give(tuned.library()) == 0); }});
        all.push_back(
            {"<file> belongs to user 4321", [=](const TunedKernel &tuned) { REQUIRE(give(tuned.file) == 0); }});
        all.push_back({" belongs to user 4321",
                       [=](const TunedKernel &tuned) { REQUIRE(give(tuned.folder.path().string()) == 0); }});
    }
    const std::size_t count = kernels().size();
    for (const Bad &bad : all) {
        const TunedKernel tuned;
        std::string reason = bad.reason;
        for (const auto &[word, path] :
             {std::pair{std::string("<file>"), tuned.file}, std::pair{std::string("<library>"), tuned.library()}}) {
            if (const std::size_t at = reason.find(word); at != reason.npos) {
                reason.replace(at, word.size(), path);
            }
        }
        fs::permissions(tuned.file, fs::perms(0644));
        bad.spoil(tuned);
        INFO(reason);
        try {
            load_kernels(tuned.file);
            FAIL("it is loaded");
        } catch (const ConfigError &error) {
            const std::string message = error.what();
            CHECK_THAT(message, ContainsSubstring(reason) && ContainsSubstring(tuned.folder.path().string()));
            CHECK(message.find('\n') == message.npos);
        }
    }
    CHECK(kernels().size() == count);
}
