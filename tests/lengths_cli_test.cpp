#include "child.h"
#include "command_line.h"
#include "run.h"

#include "kernels/device.h"
#include "kernels/loaded_kernels.h"
#include "kernels/selector.h"
#include "reference/problem.h"
#include "reference/reference.h"
#include "tune/compare_lengths.h"
#include "tune/wisdom.h"

#include <aft/aft.h>
#include <aft/aft_c.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>

#include <fstream>
#include <string>
#include <utility>
#include <vector>

using namespace aft;
using Catch::Matchers::ContainsSubstring;
using Json = nlohmann::json;

namespace {

/// Wisdom of this machine that gives whole AFTFull layers other lengths than the table.
class Lengths {
public:
    explicit Lengths(const std::vector<tune::Choice> &choices) : family_(family()) {
        tune::LengthResult result;
        result.family = family_;
        result.choices = choices;
        const KernelInfo &kernel = family_.kernels.front()->info;
        tune::WisdomFile(file, device_named("cpu").info.name, tune::isa_of(kernel.target)).add(result);
    }
    const std::string &id(std::size_t kernel) const {
        return family_.kernels[kernel]->info.id;
    }
    Json json() const {
        Json json;
        std::ifstream(file) >> json;
        return json;
    }
    void set(const std::string &pointer, const Json &value) const {
        Json changed = json();
        changed[Json::json_pointer(pointer)] = value;
        std::ofstream(file) << changed;
    }

    Folder folder;
    const std::string file = folder / "w.json";

private:
    static tune::Family family() {
        for (const tune::Family &each : tune::families(aft_full)) {
            if (each.subject() == "forward full in float32" && each.kernels.size() == 3) {
                return each;
            }
        }
        SKIP("this build has no kernels of AFTFull for different lengths");
        return {};
    }

    const tune::Family family_;
};

// First lengths, each with its kernel: 0 is for two rows, 1 for few, 2 the general one.
const std::vector<tune::Choice> others = {{1, 2}, {3, 0}, {5, 1}, {7, 2}, {8, 1}, {10, 2}};
const std::vector<tune::Choice> general = {{1, 2}}, few = {{1, 1}, {3, 2}, {5, 1}, {7, 2}};

constexpr std::int64_t longest = 20;

std::string kernel_of(const Layer &layer, std::int64_t seq) {
    return layer.kernel_for({2, seq}).id;
}

bool is_right(const Layer &layer, const Problem &whole, const Weights &weights, std::int64_t seq) {
    Problem problem = whole;
    problem.shape.seq = seq;
    const std::vector<float> x = make_input(problem);
    const Reference reference = reference_forward(problem.config, weights, x, problem.shape);
    return error_in_tolerances(reference, run(layer, x, problem.shape)) <= 1;
}

const Problem problem{{aft_full, 24, 40, longest, 0}, {2, longest}};

}  // namespace

TEST_CASE("layers follow the lengths of wisdom, and are right at each", "[wisdom][fork]") {
    const Lengths lengths(others);
    const Weights weights = make_weights(problem);
    const LayerOptions on_cpu{"", "cpu"};
    const Layer before(problem.config, weights, on_cpu);
    const auto follows = [&] {
        load_kernels(lengths.file);
        load_kernels(lengths.file);  // adds nothing
        const Layer layer(problem.config, weights, on_cpu);
        bool right = loaded_wisdom().preferences.size() == 1 && kernel_of(before, 1) == lengths.id(0);
        for (std::int64_t seq = 1; seq <= longest; ++seq) {
            const std::size_t expected = seq < 3 ? 2 : seq < 5 ? 0 : seq == 7 || seq > 9 ? 2 : 1;
            right = right && kernel_of(layer, seq) == lengths.id(expected) && is_right(layer, problem, weights, seq);
        }
        return right;
    };
    CHECK(holds_in_child(follows));
    const auto tells_in_c = [&] {
        const auto range_of = [&](std::size_t kernel) {
            std::int64_t count = 0;
            const aft_kernel_info *info = nullptr;
            aft_kernel_count(&count);
            for (std::int64_t i = 0; i < count; ++i) {
                if (aft_kernel_at(i, &info) == AFT_OK && info->id == lengths.id(kernel)) {
                    return std::pair(info->preferred_seq.from, info->preferred_seq.to);
                }
            }
            return std::pair<std::int64_t, std::int64_t>();
        };
        const bool is_of_table = range_of(0) == std::pair<std::int64_t, std::int64_t>(1, 2);
        return is_of_table && aft_load_kernels(lengths.file.c_str()) == AFT_OK &&
               range_of(0) == std::pair<std::int64_t, std::int64_t>(3, 4) &&
               range_of(1) == std::pair<std::int64_t, std::int64_t>(5, 9);  // all of its ranges
    };
    CHECK(holds_in_child(tells_in_c));
    const auto leaves_others = [&] {
        load_kernels(lengths.file);
        const Problem simple{{aft_simple, 24, 40, longest, 0}, {2, longest}};
        const Layer layer(simple.config, make_weights(simple), on_cpu);
        return kernel_of(layer, 1).find("packed_single") != std::string::npos;
    };
    CHECK(holds_in_child(leaves_others));
}

TEST_CASE("a kernel without lengths runs by name only, and later wisdom takes the place of earlier", "[wisdom][fork]") {
    const Lengths all_general(general), others_again(others);
    const Weights weights = make_weights(problem);
    const auto general_everywhere = [&] {
        load_kernels(others_again.file);
        load_kernels(all_general.file);
        const Layer layer(problem.config, weights, {"", "cpu"}),
            named(problem.config, weights, {all_general.id(0), "cpu"});
        const Selection selection = select({{"forward", problem.config, {}}}, {"", "cpu"}).front().front();
        bool right = selection.candidates.size() == 1 && kernel_of(named, 7) == all_general.id(0) &&
                     is_right(named, problem, weights, 7);
        for (const std::int64_t seq : {1, 3, 16, 17}) {
            right = right && kernel_of(layer, seq) == all_general.id(2);
        }
        for (const PassedOver &each : selection.passed_over) {
            if (each.kernel->info.id == all_general.id(0)) {
                return right && each.reason == "is the fastest at no length, as wisdom says";
            }
        }
        return false;
    };
    CHECK(holds_in_child(general_everywhere));
}

TEST_CASE("aft kernels shows the lengths that hold, and where they are from", "[wisdom][cli]") {
    const auto listed = [](const std::string &environment) {
        const Outcome outcome = aft_cli("kernels --format json", environment);
        INFO(outcome.err);
        REQUIRE(outcome.exit_code == 0);
        return Json::parse(outcome.out);
    };
    const auto row_of = [](const Json &list, const std::string &id) {
        for (const Json &row : list["kernels"]) {
            if (row["kernel"] == id) {
                return row;
            }
        }
        return Json();
    };
    const Lengths lengths(few);
    const std::string environment = "AFT_WISDOM=" + lengths.file;
    const Json list = listed(environment), of_table = listed("AFT_WISDOM=");
    CHECK(row_of(list, lengths.id(1))["preferred"]["seq"] == Json{1, 6});
    CHECK(row_of(list, lengths.id(1))["lengths"] == Json::array({Json{1, 2}, Json{5, 6}}));
    CHECK(row_of(list, lengths.id(1))["lengths_from"] == lengths.file);
    CHECK(row_of(list, lengths.id(0))["preferred"]["seq"] == Json{1, 0});
    CHECK(row_of(of_table, lengths.id(1))["preferred"]["seq"] == Json{1, 16});
    CHECK(row_of(of_table, lengths.id(1))["lengths_from"] == "table");
    CHECK(of_table["lengths"].empty());
    REQUIRE(list["lengths"].size() == 1);
    CHECK(list["lengths"][0]["usable"] == true);

    const Outcome table = aft_cli("kernels", environment);
    CHECK_THAT(table.out, ContainsSubstring("for T=1..2, for T=5..6 by wisdom") &&
                              ContainsSubstring("for no T by wisdom") && ContainsSubstring("any by wisdom") &&
                              !ContainsSubstring("aren't used"));

    lengths.set("/preferences/0/kernels/0", "aft_full_cpu_packed_tiny");
    CHECK_THAT(aft_cli("kernels", environment).out,
               ContainsSubstring("lengths of forward full in float32 in " + lengths.file +
                                 " aren't used: this library has no kernel aft_full_cpu_packed_tiny"));
    const Json left_out = listed(environment);
    CHECK(left_out["lengths"][0]["reason"] == "this library has no kernel aft_full_cpu_packed_tiny");
    CHECK(row_of(left_out, lengths.id(1))["lengths_from"] == "table");

    lengths.set("/cpu", "Other CPU");
    CHECK_THAT(listed(environment)["lengths"][0]["reason"].get<std::string>(),
               ContainsSubstring("was measured on Other CPU, this is "));
    lengths.set("/preferences/0/lengths/0/from", 2);
    const Outcome refused = aft_cli("kernels", environment);
    CHECK(refused.exit_code == 2);
    CHECK(is_one_line(refused.err));
    CHECK_THAT(refused.err, ContainsSubstring("\"preferences/0/lengths/0/from\" is 2, must be 1 to 1"));
}

TEST_CASE("aft tune --lengths measures the kernels of the library, and programs follow what it writes",
          "[tune][wisdom][cli]") {
    const Folder folder;
    const std::string file = folder / "w.json";
    const std::string command = "tune --lengths --layer simple --threads 1 --shape 1,1,16,16 --shape 1,5,16,16 "
                                "--shape 1,40,16,16 --wisdom " +
                                file;
    const Outcome outcome = aft_cli(command);
    INFO(outcome.err << outcome.out);
    REQUIRE(outcome.exit_code == 0);
    CHECK_THAT(outcome.out, ContainsSubstring("forward simple in float32: packed") && ContainsSubstring("T40") &&
                                !ContainsSubstring("wrong"));
    Json json;
    std::ifstream(file) >> json;
    CHECK(json["version"] == 2);
    CHECK(json["results"].empty());
    REQUIRE(!json["preferences"].empty());
    const std::size_t count = json["preferences"].size();
    for (const Json &entry : json["preferences"]) {
        CHECK(entry["operation"] == "forward");
        CHECK(entry["layer"] == "simple");
        CHECK(entry["lengths"][0]["from"] == 1);
        CHECK(entry["lengths"].back()["kernel"] == entry["kernels"].back());  // beyond 40, the table's kernel
    }
    const Json list = Json::parse(aft_cli("kernels --format json", "AFT_WISDOM=" + file).out);
    CHECK(list["lengths"].size() == count);
    for (const Json &each : list["lengths"]) {
        CHECK(each["reason"].get_ref<const std::string &>().empty());
    }
    REQUIRE(aft_cli(command).exit_code == 0);  // the new entries take the place of the old ones
    std::ifstream(file) >> json;
    CHECK(json["preferences"].size() == count);
}

TEST_CASE("aft tune --lengths keeps the kernels that a file has, and refuses what it can't do", "[tune][cli]") {
    const Folder folder;
    const std::string file = folder / "w.json", wisdom = " --wisdom " + file;
    const auto check = [&](const std::string &arguments, int exit_code, const std::string &word) {
        INFO(arguments);
        const Outcome outcome = aft_cli("tune " + arguments);
        INFO(outcome.err);
        CHECK(outcome.exit_code == exit_code);
        CHECK(is_one_line(outcome.err));
        CHECK_THAT(outcome.err, ContainsSubstring(word));
        CHECK(folder.empty());
    };
    check("--lengths --layer wkv" + wisdom, 2, "layer wkv has no kernels for different lengths in this build");
    check("--lengths --shape 1,2" + wisdom, 2, "1,2");
    check("--lengths --layer half" + wisdom, 2, "half");
    check("--layer full" + wisdom, 2, "--shape or --lengths is required");
    check("--shape 1,8,8,8" + wisdom, 2, "--layer or --lengths is required");

    std::filesystem::copy(AFT_GOLDENS "/wisdom.json", file);
    Json old, now;
    std::ifstream(file) >> old;
    const std::string cpu = device_named("cpu").info.name;
    const std::string isa = tune::isa_of(tune::families(aft_simple).front().kernels.front()->info.target);
    old["cpu"] = cpu;
    old["isa"] = isa;
    std::ofstream(file) << old;
    const Outcome outcome = aft_cli("tune --lengths --layer simple --threads 1 --shape 1,3,8,8" + wisdom);
    INFO(outcome.err);
    CHECK(outcome.exit_code == 0);
    std::ifstream(file) >> now;
    CHECK(now["results"] == old["results"]);
    CHECK(now["version"] == 2);
    CHECK(!now["preferences"].empty());
}
