#include "temporary_file.h"

#include "kernels/kernels.h"
#include "kernels/preference.h"
#include "kernels/wisdom.h"
#include "reference/problem.h"

#include <aft/error.h>
#include <aft/layer.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

using namespace aft;
using Catch::Matchers::ContainsSubstring;
using Json = nlohmann::ordered_json;

namespace {

Json entry() {
    return {{"operation", "forward"},
            {"layer", "full"},
            {"storage", "float32"},
            {"kernels", {"single", "short", "general"}},
            {"lengths",
             {{{"from", 1}, {"kernel", "general"}},
              {{"from", 3}, {"kernel", "short"}},
              {{"from", 9}, {"kernel", "general"}}}},
            {"threads", 1},
            {"target", "some-target"}};
}

Json whole() {
    return {{"version", 2},
            {"cpu", "Some CPU"},
            {"isa", "avx2"},
            {"results", Json::array()},
            {"preferences", Json::array({entry()})}};
}

Wisdom read(const Json &json) {
    const TemporaryFile file;
    std::ofstream(file.path()) << json;
    return read_wisdom(file.path());
}

/// The rows of whole layers of a form in float32, which differ by their lengths.
std::vector<const KernelRow *> rows_by_length(const LayerForm &form) {
    std::vector<const KernelRow *> rows;
    for (const KernelRow &row : kernel_rows()) {
        const std::string schedule = row.schedule, storage = row.storage, algorithm = row.algorithm,
                          target = kernel_info(row).target;
        if (std::string(row.operation) == "forward" && row.layer == form && schedule == "packed" &&
            storage == "float32" && std::string(row.api) == "cpu" && algorithm != "exact" &&
            (rows.empty() || kernel_info(*rows.front()).target == target)) {
            rows.push_back(&row);
        }
    }
    return rows;
}

/// An entry for these rows, which gives lengths from 5 on to the last one, and the others to the first one.
Wisdom::Preference preference_for(const std::vector<const KernelRow *> &rows) {
    Wisdom::Preference preference;
    preference.operation = "forward";
    preference.storage = "float32";
    preference.layer = rows.front()->layer;
    preference.target = kernel_info(*rows.front()).target;
    for (const KernelRow *row : rows) {
        preference.kernels.emplace_back(row->id);
    }
    preference.lengths = {{1, rows.front()->id}, {5, rows.back()->id}};
    return preference;
}

}  // namespace

TEST_CASE("wisdom may hold lengths alone, and files of the first version have none", "[wisdom]") {
    const Wisdom wisdom = read(whole());
    CHECK(wisdom.results.empty());
    REQUIRE(wisdom.preferences.size() == 1);
    const Wisdom::Preference &preference = wisdom.preferences.front();
    CHECK(preference.operation == "forward");
    CHECK(preference.layer == aft_full);
    CHECK(preference.storage == "float32");
    CHECK(preference.target == "some-target");
    CHECK(preference.kernels == std::vector<std::string>{"single", "short", "general"});
    REQUIRE(preference.lengths.size() == 3);
    CHECK(preference.lengths[1].from == 3);
    CHECK(preference.lengths[1].kernel == "short");

    Json of_every_form = whole();
    of_every_form["preferences"][0]["layer"] = "none";
    CHECK(!read(of_every_form).preferences.front().layer);

    Json old = whole();
    old.erase("version");
    CHECK(read(old).preferences.empty());
    old.erase("preferences");
    CHECK(read(old).cpu == "Some CPU");
}

TEST_CASE("lengths that are wrong are refused by the name of their entry", "[wisdom]") {
    const auto check = [](const char *pointer, const Json &value, const std::string &reason) {
        Json json = whole();
        json[Json::json_pointer(pointer)] = value;
        INFO(reason);
        CHECK_THROWS_AS(read(json), ConfigError);
        CHECK_THROWS_WITH(read(json), ContainsSubstring(reason));
    };
    const std::string name = "\"preferences/0/";
    check("/version", 3, "\"version\" is 3, must be 1 to 2");
    check("/version", 0, "\"version\" is 0, must be 1 to 2");
    check("/version", "2", "\"version\" is \"2\", must be 1 to 2");
    check("/preferences", nullptr, "has no array \"preferences\"");
    check("/preferences/0", 7, "has no field " + name + "operation\"");
    check("/preferences/0/operation", 7, name + "operation\" is 7, must be a text");
    check("/preferences/0/layer", "half", name + "layer\" is \"half\", must be the name of a layer");
    check("/preferences/0/layer", nullptr, name + "layer\" is null, must be a text");
    check("/preferences/0/storage", 16, name + "storage\" is 16, must be a text");
    check("/preferences/0/target", Json::array(), "has no field " + name + "target\"");
    check("/preferences/0/kernels", "single", "has no array " + name + "kernels\"");
    check("/preferences/0/kernels/1", 7, name + "kernels/1\" is 7, must be a text");
    check("/preferences/0/kernels/1", "single", name + "kernels/1\" is \"single\", must be another kernel");
    check("/preferences/0/kernels", std::vector<std::string>(65, "single"),
          "array " + name + "kernels\" has 65 elements, must have at most 64");
    check("/preferences/0/lengths", Json::object(), "has no array " + name + "lengths\"");
    check("/preferences/0/lengths", Json::array(), "array " + name + "lengths\" is empty");
    check("/preferences/0/lengths/0/from", 2, name + "lengths/0/from\" is 2, must be 1 to 1");
    check("/preferences/0/lengths/1/from", 1, name + "lengths/1/from\" is 1, must be 2 to");
    check("/preferences/0/lengths/2/from", 3, name + "lengths/2/from\" is 3, must be 4 to");
    check("/preferences/0/lengths/2/from", 9.5, name + "lengths/2/from\" is 9.5, must be 4 to");
    check("/preferences/0/lengths/2/from", std::int64_t{1} << 40, name + "lengths/2/from\" is 1099511627776, must be");
    check("/preferences/0/lengths/1", Json::object(), "has no field " + name + "lengths/1/from\"");
    check("/preferences/0/lengths/1/kernel", "other",
          name + "lengths/1/kernel\" is \"other\", must be one of the kernels of its entry");
}

TEST_CASE("lengths for kernels that the library doesn't have, or has otherwise, are left out for a reason",
          "[wisdom]") {
    const std::vector<const KernelRow *> rows = rows_by_length(aft_full);
    REQUIRE(rows.size() >= 2);
    const Wisdom::Preference good = preference_for(rows);
    const auto reason_of = [](const Wisdom::Preference &preference, const std::string &cpu = "here") {
        return loaded_preference(preference, "w.json", cpu, "here").reason;
    };
    CHECK(reason_of(good).empty());
    CHECK(reason_of(good, "Other CPU") == "was measured on Other CPU, this is here");

    const std::string first = rows.front()->id, last = rows.back()->id;
    Wisdom::Preference bad = good;
    bad.kernels.emplace_back("aft_full_cpu_packed_tiny");
    CHECK(reason_of(bad) == "this library has no kernel aft_full_cpu_packed_tiny");
    bad = good;
    bad.operation = "core";
    CHECK(reason_of(bad) == first + " computes something else here");
    bad = good;
    bad.layer = aft_local;
    CHECK(reason_of(bad) == first + " computes something else here");
    bad = good;
    bad.storage = "bfloat16";
    CHECK(reason_of(bad) == first + " computes something else here");
    bad = good;
    bad.target += "-more";
    CHECK(reason_of(bad) == first + " is for target " + good.target + " here, was measured for " + bad.target);
    bad = good;
    std::reverse(bad.kernels.begin(), bad.kernels.end());
    CHECK_THAT(reason_of(bad), ContainsSubstring(" comes before ") && ContainsSubstring(last));
    bad = good;
    bad.lengths = {{1, last}, {5, first}};
    CHECK(reason_of(bad) == first + " isn't the last one of its kernels here");

    // The last kernel takes what the others leave; one without an interval has no length.
    const LoadedPreference loaded = loaded_preference(good, "w.json", "here", "here");
    CHECK(loaded.of("other") == nullptr);
    REQUIRE(loaded.of(first)->seq.size() == 1);
    CHECK(loaded.of(first)->seq[0].from == 1);
    CHECK(loaded.of(first)->seq[0].to == 4);
    CHECK(loaded.of(last)->seq[0].to == PreferredExtents::Range().to);
    if (rows.size() > 2) {
        const PreferredExtents::Range none = loaded.of(rows[1]->id)->seq[0];
        CHECK(none.to < none.from);
    }
    Wisdom::Preference in_turn = good;
    in_turn.lengths = {{1, first}, {3, last}, {7, first}, {9, last}};
    const LoadedPreference twice = loaded_preference(in_turn, "w.json", "here", "here");
    REQUIRE(twice.of(first)->seq.size() == 2);
    CHECK(twice.of(first)->seq[1].from == 7);
    CHECK(twice.of(first)->seq[1].to == 8);
    CHECK(!(twice == loaded));
}

#ifndef AFT_WISDOM  // which may have lengths of its own
TEST_CASE("whole layers of up to 16 rows run on the kernel for few, and on AVX2 those of 5 and 6 on one tile",
          "[selector]") {
    for (const LayerForm &form : {aft_full, aft_local, aft_simple}) {
        const std::vector<const KernelRow *> rows = rows_by_length(form);
        if (rows.size() != 3 || !kernel_info(*rows.front()).usable) {
            SKIP("this build has no kernels for few rows, or they don't run here");
        }
        const Problem problem{{form, 8, 8, 20, form.has_window() ? 3 : 0}, {1, 20}};
        const Layer layer(problem.config, make_weights(problem), {"", "cpu"});
        const std::string target = kernel_info(*rows.front()).target;
        const bool has_tile_of_6 =
            target.find("-avx2") != std::string::npos && target.find("-avx512") == std::string::npos;
        for (std::int64_t seq = 1; seq <= 20; ++seq) {
            const bool is_one_tile = has_tile_of_6 && (seq == 5 || seq == 6);
            INFO(target << ": " << seq);
            CHECK(layer.kernel_for({1, seq}).id == rows[seq <= 2 ? 0 : is_one_tile || seq > 16 ? 2 : 1]->id);
        }
    }
}
#endif
