#include "bench/ceilings.h"
#include "bench/report.h"
#include "bench/rounds.h"

#include <aft/aft.h>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using namespace aft;
using namespace aft::bench;
using Catch::Approx;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr double flops = 90e9;  // 90 GFLOP/s at a second a call

RoundPeaks around(double before, double after) {
    return {{before, not_measured}, {after, not_measured}};
}

Comparison with(const PeakShares &shares, int rounds) {
    KernelInfo kernel{};
    kernel.id = "aft_full_cpu_packed@avx2";
    kernel.schedule = "packed";
    kernel.operation = "forward";
    kernel.layer = aft_full;
    kernel.api = "cpu";
    Measurement measurement{kernel, Problem{{aft_full, 4, 4, 5, 0}, {2, 5}}, "cpu"};
    measurement.isa = "AVX2";
    measurement.median_ms = measurement.best_ms = 1;
    measurement.gflops = 90;
    measurement.max_error = 1e-7;
    measurement.of_peak = shares;
    measurement.rounds = rounds;
    Comparison comparison;
    comparison.machine.isa = "AVX-512";
    comparison.devices.emplace_back().device.id = "cpu";
    comparison.devices.back().device.api = "cpu";
    comparison.measurements = {measurement};
    return comparison;
}

std::vector<std::string> fields_of(const std::string &line) {
    std::vector<std::string> fields(1);
    for (const char c : line) {
        if (c == ',') {
            fields.emplace_back();
        } else {
            fields.back() += c;
        }
    }
    return fields;
}

}  // namespace

TEST_CASE("rounds in which the peak dropped, or was below the kernel, don't count", "[bench]") {
    const std::vector<double> seconds = {1.0, 0.8, 1.8, 1.8, 1.0, 2.0};
    const std::vector<RoundPeaks> peaks = {around(100, 98),   // counts: 90 %
                                           around(100, 99),   // the kernel was at 112.5
                                           around(100, 89),   // dropped during the calls
                                           around(60, 100),   // came back during the calls
                                           around(91, 95),    // counts: 94.7 %
                                           around(98, 100)};  // counts: 45 %
    const PeakShares shares = shares_of_peak(flops, seconds, peaks, {100, not_measured});
    CHECK(shares.rounds_left_out == 3);
    CHECK(shares.percent == Approx(90));
    CHECK(shares.best_percent == Approx(90));
    CHECK(shares.peaks.device == Approx(100));
    CHECK(std::isnan(shares.percent_of_isa));
}

TEST_CASE("no percentage is known of too few rounds, and none is above 100", "[bench]") {
    const RoundPeaks quiet = around(91, 100);
    const PeakShares few = shares_of_peak(flops, {0.8, 0.9, 0.9, 0.9}, {around(50, 60), around(89, 98), quiet, quiet},
                                          {100, not_measured});
    CHECK(few.rounds_left_out == 2);
    CHECK(std::isnan(few.percent));
    CHECK(std::isnan(few.best_percent));
    CHECK(std::isnan(few.peaks.device));
    const PeakShares enough = shares_of_peak(flops, {0.9, 0.9, 0.9}, {quiet, quiet, quiet}, {100, not_measured});
    CHECK(enough.rounds_left_out == 0);
    CHECK(enough.percent == Approx(100));
    CHECK(enough.best_percent == Approx(100));
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK(shares_of_peak(flops, {1, 1}, {around(100, nan), around(nan, 100)}, {100, nan}).rounds_left_out == 2);
    CHECK(shares_of_peak(flops, {nan}, {around(100, 100)}, {100, nan}).rounds_left_out == 1);
}

TEST_CASE("a kernel compares with the peak of its own instruction set, too", "[bench]") {
    const Peaks usual{200, 100}, dropped{200, 80};
    const PeakShares shares = shares_of_peak(flops, {1, 1, 0.9, 1},
                                             {{usual, usual}, {usual, dropped}, {usual, usual}, {usual, usual}}, usual);
    CHECK(shares.rounds_left_out == 1);
    CHECK(shares.percent == Approx(45));
    CHECK(shares.percent_of_isa == Approx(90));
    CHECK(shares.peaks.isa == 100);
    // 0.8 s would be 112.5 GFLOP/s: below the peak of the device, and above that of the instruction set.
    CHECK(shares_of_peak(flops, {0.8}, {{usual, usual}}, usual).rounds_left_out == 1);
}

TEST_CASE("a kernel may be above the peak of the device where its own instruction set is", "[bench]") {
    const Peaks usual{60, 120};
    const PeakShares shares = shares_of_peak(flops, {1, 1, 1}, {{usual, usual}, {usual, usual}, {usual, usual}}, usual);
    CHECK(shares.rounds_left_out == 0);
    CHECK(shares.percent == Approx(150));
    CHECK(shares.percent_of_isa == Approx(75));
    CHECK(shares_of_peak(flops, {0.7}, {{usual, usual}}, usual).rounds_left_out == 1);
}

TEST_CASE("a device without a peak leaves no round out", "[bench]") {
    const PeakShares shares = shares_of_peak(flops, {1, 1}, {}, {});
    CHECK(shares.rounds_left_out == 0);
    CHECK(std::isnan(shares.percent));
}

TEST_CASE("peaks are measured right before and right after the calls of each round", "[bench]") {
    double clock = 0;
    std::vector<Contestant> contestants = {{"calls", [&] { clock += 10; }, 1, 0},
                                           {"others", [&] { clock += 100; }, 1, 0},
                                           {"none", [] {}, 1, 0}};
    const auto peak = [&] {
        clock += 1;
        return Peaks{clock, not_measured};
    };
    contestants[0].peaks = std::make_shared<const std::function<Peaks()>>(peak);
    contestants[1].peaks = contestants[0].peaks;
    measure_in_turn(contestants, [](int) { return true; });
    REQUIRE(contestants[0].seconds.size() == 3);
    REQUIRE(contestants[0].peaks_around.size() == 3);
    REQUIRE(contestants[1].peaks_around.size() == 3);
    CHECK(contestants[0].peaks_around[0].before.device == 1);
    CHECK(contestants[0].peaks_around[0].after.device == 12);
    CHECK(contestants[1].peaks_around[0].before.device == 12);
    CHECK(contestants[1].peaks_around[0].after.device == 113);
    CHECK(contestants[0].peaks_around[1].before.device == 114);
    CHECK(contestants[2].peaks_around.empty());
    CHECK(contestants[0].seconds[0] < 0.1);
}

TEST_CASE("a peak that can't be measured fails its contestant and no other", "[bench]") {
    int calls = 0;
    std::vector<Contestant> contestants = {{"before", [&] { ++calls; }, 1, 0}, {"well", [] {}, 1, 0}};
    const auto lost = []() -> Peaks { throw std::runtime_error("lost"); };
    contestants[0].peaks = std::make_shared<const std::function<Peaks()>>(lost);
    measure_in_turn(contestants, [](int) { return true; });
    CHECK(contestants[0].failure == "lost");
    CHECK(contestants[0].seconds.empty());
    CHECK(calls == 0);
    CHECK(contestants[1].seconds.size() == 3);
}

TEST_CASE("the instruction set of a kernel is that of its target", "[bench]") {
#if defined(__x86_64__)
    CHECK(isa_of("x86-64-linux-sse41-avx-f16c-fma-avx2-avx512-avx512_skylake", "float32") == "AVX-512");
    CHECK(isa_of("x86-64-linux-sse41-avx-f16c-fma-avx2-avx512-avx512_skylake", "bfloat16") == "AVX-512");
    CHECK(isa_of("x86-64-linux-sse41-avx-f16c-fma-avx2-avx512-avx512_zen4", "bfloat16") == "AVX512-BF16");
    CHECK(isa_of("x86-64-linux-avx2-avx512-avx512_zen4-avx512_sapphirerapids", "bfloat16") == "AMX");
    CHECK(isa_of("x86-64-linux-avx2-avx512-avx512_zen4-avx512_sapphirerapids", "float32") == "AVX-512");
    CHECK(isa_of("x86-64-linux-sse41-avx-f16c-fma-avx2", "float32") == "AVX2");
    CHECK(isa_of("x86-64-linux-sse41-avx", "float32") == "AVX");
    CHECK(isa_of("x86-64-linux-sse41", "float32") == "SSE2");
#else
    CHECK(isa_of("arm-64-linux", "float32") == machine_isa());
#endif
    CHECK(fma_gflops(machine_isa(), 1) > 0);
    CHECK(std::isnan(fma_gflops("another", 1)));
}

TEST_CASE("a report marks rounds that don't count in every format", "[bench]") {
    const Comparison comparison = with({{200, 100}, 43, 86, 44, 3}, 20);
    const std::string table = to_table(comparison);
    CHECK_THAT(table, ContainsSubstring("  3 of 20 rounds left out\n"));
    CHECK_THAT(table, ContainsSubstring("    43.0    44.0    86.0       -"));
    CHECK_THAT(table, ContainsSubstring("\n3 of 20 rounds are left out of the percentages: "));
    const std::string json = to_json(comparison), page = to_html(comparison);
    for (const std::string field :
         {"\"percent_of_peak\": 43.0", "\"best_percent_of_peak\": 44.0", "\"peak_gflops\": 200.0", "\"isa\": \"AVX2\"",
          "\"isa_peak_gflops\": 100.0", "\"percent_of_isa_peak\": 86.0", "\"rounds_left_out\": 3"}) {
        CHECK_THAT(json, ContainsSubstring(field + ","));
    }
    CHECK_THAT(page, ContainsSubstring("\"rounds_left_out\":3,"));
    CHECK(page.find("REPORT_") == std::string::npos);  // places that the build or the report fills
    const std::string csv = to_csv(comparison);
    const std::size_t line = csv.find('\n') + 1;
    const std::vector<std::string> heads = fields_of(csv.substr(0, line - 1)),
                                   values = fields_of(csv.substr(line, csv.size() - line - 1));
    REQUIRE(heads.size() == values.size());
    const auto value = [&](const std::string &head) {
        return values.at(std::find(heads.begin(), heads.end(), head) - heads.begin());
    };
    CHECK(value("percent_of_peak") == "43");
    CHECK(value("percent_of_isa_peak") == "86");
    CHECK(value("rounds_left_out") == "3");
    CHECK(value("isa") == "AVX2");
}

TEST_CASE("a report has no percentage where none is known, and no mark where all do", "[bench]") {
    PeakShares none;
    none.rounds_left_out = 20;
    const Comparison disturbed = with(none, 20), quiet = with({{200, 100}, 43, 86, 44, 0}, 20);
    CHECK_THAT(to_table(disturbed), ContainsSubstring("       -       -       -       -"));
    CHECK_THAT(to_table(disturbed), ContainsSubstring("  20 of 20 rounds left out\n"));
    CHECK_THAT(to_json(disturbed), ContainsSubstring("\"percent_of_peak\": null,"));
    CHECK(to_table(quiet).find("left out") == std::string::npos);
    CHECK_THAT(to_json(quiet), ContainsSubstring("\"rounds_left_out\": 0,"));
}
