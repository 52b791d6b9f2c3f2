#include "command_line.h"
#include "temporary_file.h"

#include "kernels/prepared_kernel.h"
#include "kernels/wisdom.h"
#include "tune/journal.h"
#include "tune/kernel_builder.h"
#include "tune/search.h"
#include "tune/sign_test.h"
#include "tune/tune.h"
#include "tune/wisdom.h"

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <random>
#include <set>
#include <sstream>

using namespace aft;
using namespace aft::tune;
using Catch::Approx;
using Catch::Matchers::ContainsSubstring;
using Json = nlohmann::json;

namespace {

/// The verdict on a candidate that takes `ratio` of the incumbent's time, both times with so much noise.
Verdict verdict_on(double ratio, double noise, int number, std::mt19937 &random) {
    std::normal_distribution<double> normal(0, noise);
    SignTest test(number);
    while (test.verdict() == Verdict::open) {
        const double incumbent = std::exp(normal(random)), candidate = ratio * std::exp(normal(random));
        test.add_round(incumbent, candidate);
    }
    CHECK(test.rounds() <= max_rounds);
    return test.verdict();
}

int times_faster(double ratio, double noise, int number, int searches) {
    std::mt19937 random(1);
    int count = 0;
    for (int i = 0; i < searches; ++i) {
        count += verdict_on(ratio, noise, number, random) == Verdict::faster;
    }
    return count;
}

std::string read(const std::filesystem::path &path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

const std::string example = AFT_GOLDENS "/wisdom.json";

}  // namespace

TEST_CASE("a candidate that isn't faster by the least gain is taken as seldom as stated", "[tune]") {
    // At the border of what counts, each round is a toss: the worst case. 1/2 of the error rate is the first one's.
    CHECK(times_faster(1 - min_gain, 0.03, 1, 4000) <= 4000 * error_rate / 2);
    CHECK(times_faster(1, 0.03, 1, 4000) <= 4000 * error_rate / 4);
    CHECK(times_faster(1, 0.001, 1, 4000) == 0);
    CHECK(times_faster(1 - min_gain, 0.03, 10, 4000) <= 4000 * error_rate / 50);
}

TEST_CASE("a candidate that is 5 % faster is taken through 3 % of noise", "[tune]") {
    CHECK(times_faster(0.95, 0.03, 1, 1000) >= 900);
    CHECK(times_faster(0.95, 0.01, 30, 1000) >= 990);
}

TEST_CASE("a candidate that is clearly slower is given up after a few rounds", "[tune]") {
    SignTest test(1);
    while (test.verdict() == Verdict::open) {
        test.add_round(1, 1.2);
    }
    CHECK(test.verdict() == Verdict::not_faster);
    CHECK(test.rounds() == 7);
}

TEST_CASE("an interval holds the median as often as stated, whatever the distribution", "[tune]") {
    CHECK(std::isinf(median_interval({1, 2, 3, 4, 5}).low));
    CHECK(median_interval({3, 1, 2, 6, 5, 4}).low == 1);  // misses at 2 / 2^6
    CHECK(median_interval({3, 1, 2, 6, 5, 4}).high == 6);
    std::mt19937 random(1);
    std::exponential_distribution<double> skewed(1);
    int misses = 0;
    for (int i = 0; i < 2000; ++i) {
        std::vector<double> values(41);
        for (double &value : values) {
            value = skewed(random);
        }
        const Interval interval = median_interval(values);
        misses += !(interval.low <= std::log(2) && std::log(2) <= interval.high);
    }
    CHECK(misses <= 2000 * error_rate);
    CHECK(misses >= 20);  // 2.8 %: nor is it wider than need be
}

TEST_CASE("coordinate descent finds the minimum of a valley", "[tune]") {
    const std::vector<Axis> axes = {{{{}, {{"a", 1}}, {{"a", 2}}, {{"a", 3}}, {{"a", 4}}}},
                                    {{{}, {{"b", 1}}, {{"b", 2}}, {{"b", 3}}, {{"b", 4}}}}};
    const auto cost = [](const Candidate &candidate) {
        const auto value = [&](const char *name) {
            const auto found = candidate.params.find(name);
            return found == candidate.params.end() ? 0 : found->second;
        };
        const int a = value("a"), b = value("b");
        return 3 * (a - 3) * (a - 3) + 2 * (b - 1) * (b - 1) + (a - 3) * (b - 1);
    };
    std::size_t trials = 0;
    const IsFaster is_faster = [&](const Candidate &incumbent, const Candidate &candidate) {
        ++trials;
        return cost(candidate) < cost(incumbent);
    };
    std::size_t announced = 0;
    const Announce announce = [&](const Candidate &, const std::vector<Candidate> &candidates) {
        announced += candidates.size();
    };
    const Candidate best = descend({}, axes, announce, is_faster, [] { return true; });
    CHECK(describe(best) == "packed a=3 b=1");
    CHECK(trials <= 20);
    CHECK(announced == trials);
    CHECK(descend({}, axes, announce, is_faster, [] { return false; }) == Candidate{});
    CHECK(random_candidate(axes, 7) == random_candidate(axes, 7));
}

TEST_CASE("a setting replaces all the parameters of its axis", "[tune]") {
    const Axis axis{{{}, {{"a", 1}}, {{"a", 2}, {"b", 3}}}};
    CHECK(describe(with({"", {{"b", 9}, {"c", 4}}}, axis, axis.settings[1])) == "packed a=1 c=4");
    CHECK(describe(with({"", {{"a", 1}}}, axis, axis.settings[2])) == "packed a=2 b=3");
    CHECK(with({"", {{"a", 2}, {"b", 3}}}, axis, axis.settings[0]) == Candidate{});
}

TEST_CASE("a new result takes the place of the old one for its layer and shape, and leaves the others", "[tune]") {
    const Folder folder;
    const std::string file = folder / "new/w.json", code = folder / "code.so", old_code = folder / "new/full.so";
    std::filesystem::create_directory(folder / "new");
    std::filesystem::copy(example, file);
    std::ofstream(code) << "code";
    std::ofstream(old_code) << "old code";
    const WisdomFile wisdom(file, "Some CPU", "avx2");
    const Wisdom before = read_wisdom(file);
    REQUIRE(before.results.size() == 3);
    SearchResult result;
    result.problem = {before.results[0].config, before.results[0].shape};
    result.algorithm = "dense";
    result.threads = 7;
    result.tuned = Candidate{"", {{"depth", 96}}};
    result.library = code;
    result.target = before.results[0].target;
    wisdom.add(result);
    Json json = Json::parse(read(file)), expected = Json::parse(read(example));
    CHECK(json["results"][0]["threads"] == 7);
    CHECK(json["results"][0]["params"] == Json{{"depth", 96}});
    const Json library = json["results"][0]["library"];
    CHECK(library["sha256"] == "5694d08a2e53ffcae0c3103e5ad6f6076abd960eb1f8a56577040bc1028f702b");
    CHECK(read(folder / "new/" + library["file"].get<std::string>()) == "code");
    CHECK(!std::filesystem::exists(old_code));
    for (const int i : {1, 2}) {
        CHECK(json["results"][i] == expected["results"][i]);
    }
    result.problem.shape.batch = 5;
    result.tuned.reset();
    wisdom.add(result);
    json = Json::parse(read(file));
    REQUIRE(json["results"].size() == 4);
    CHECK(json["results"][3]["kernel"] == "packed");
    CHECK(!json["results"][3].contains("library"));
    CHECK(read_wisdom(file).results.size() == 4);
}

TEST_CASE("wisdom is refused by name if it is another machine's, broken, or for everybody to write", "[tune]") {
    const Folder folder;
    const std::string file = folder / "w.json";
    const auto check = [&](const std::string &cpu, const std::string &isa, const std::string &word) {
        CHECK_THROWS_AS(WisdomFile(file, cpu, isa), ConfigError);
        CHECK_THROWS_WITH(WisdomFile(file, cpu, isa), ContainsSubstring(word));
    };
    std::filesystem::copy(example, file);
    check("Other CPU", "avx2", "Other CPU");
    check("Some CPU", "avx512", "avx512");
    std::ofstream(file) << "{}";
    check("Some CPU", "avx2", file);
    std::filesystem::remove(file);
    const WisdomFile nothing_yet(file, "Some CPU", "avx2");
    std::filesystem::permissions(folder.path(), std::filesystem::perms::group_write,
                                 std::filesystem::perm_options::add);
    check("Some CPU", "avx2", "may be written by its group");
}

TEST_CASE("a kernel of a shared object reports its errors to the library", "[tune]") {
    const Folder folder;
    const Problem problem{{aft_simple, 8, 8, 8, 0}, {1, 8}};
    const auto built =
        KernelBuilder(toolchain_of_build(target_of(packed_row(problem))), folder / "cache").build({}, problem);
    const std::vector<float> x(8 * 9);
    std::vector<float> y(8 * 9), identity;
    const Weights weights = make_weights(problem);
    const auto operands = [&](std::int64_t hidden) {
        return std::vector<Operand>{{"x", TensorView<const float, 3>{x.data(), {1, 8, hidden}}},
                                    {"y", TensorView<float, 3>{y.data(), {1, 8, hidden}}}};
    };
    const PreparedKernel kernel(built->row, built->info, forward_parameters(weights, problem.config, identity),
                                operands(8), nullptr);
    ScratchPool scratch;
    CallMemory memory(nullptr, scratch);
    const std::vector<Operand> wrong = operands(9);
    CHECK_THROWS_WITH(kernel.call(wrong.data(), wrong.data() + wrong.size(), memory),
                      ContainsSubstring("packed: ") && ContainsSubstring("(Halide error"));
}

TEST_CASE("wisdom has the name of the CPU and its instruction set", "[tune]") {
    CHECK(slug("AMD EPYC", "avx512") == "amd-epyc-avx512");
    CHECK(slug("Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz", "avx512") == "intel-xeon-platinum-8375c-avx512");
    CHECK(isa_of("x86-64-linux-avx-avx2-f16c-fma-sse41-user_context") == "avx2");
    CHECK(isa_of("x86-64-linux-tune_znver4-avx-avx2-avx512-avx512_zen4") == "avx512");
}

TEST_CASE("results of trials outlive the search, but for the line that it was killed in", "[tune]") {
    const TemporaryFile file;
    const TrialContext context;
    TrialResult result;
    result.verdict = Verdict::faster;
    result.ratio = 0.9;
    {
        Journal journal(file.path());
        CHECK(journal.find("one") == nullptr);
        journal.add("one", result, context);
    }
    std::ofstream(file.path(), std::ios::app) << R"({"trial":"tw)";
    Journal(file.path()).add("three", result, context);
    const Journal journal(file.path());
    REQUIRE(journal.find("one") != nullptr);
    CHECK(journal.find("one")->verdict == Verdict::faster);
    CHECK(journal.find("one")->ratio == Approx(0.9));
    CHECK(journal.find("two") == nullptr);
    CHECK(journal.find("three") != nullptr);
}

TEST_CASE("each line of the journal has what a trace of the search needs", "[tune]") {
    const TemporaryFile file;
    TrialContext context;
    context.search = "2026-11-30T15:00:00Z";
    context.seconds = 12.5;
    context.problem = {{aft_local, 24, 40, 33, 8}, {2, 33}};
    context.threads = 3;
    context.candidate = random_adams2019(1, 2);
    context.incumbent = {"", {{"depth", 96}}};
    context.build_cpu_seconds = 1.5;
    context.best_ratio = 0.75;
    TrialResult result;
    const auto add = [&](Stage stage, Verdict verdict) {
        result.stage = stage;
        result.verdict = verdict;
        Journal(file.path()).add("key", result, context);
        std::string last, line;
        for (std::ifstream lines(file.path()); std::getline(lines, line);) {
            last = line.empty() ? last : line;
        }
        return Json::parse(last);
    };
    CHECK(add(Stage::build, Verdict::not_faster)["outcome"] == "failed to build");
    CHECK(add(Stage::check, Verdict::not_faster)["outcome"] == "wrong");
    CHECK(add(Stage::run, Verdict::not_faster)["outcome"] == "failed to run");
    CHECK(add(Stage::measured, Verdict::not_faster)["outcome"] == "slower");
    const Json line = add(Stage::measured, Verdict::faster);
    CHECK(line["outcome"] == "faster");
    CHECK(line["search"] == context.search);
    CHECK(line["seconds"] == 12.5);
    CHECK(line["layer"] == "local");
    CHECK(line["shape"] == Json{{"batch", 2}, {"seq", 33}, {"hidden", 24}, {"projected", 40}, {"window", 8}});
    CHECK(line["threads"] == 3);
    CHECK(line["candidate"]["schedule"] == "Adams2019");
    CHECK(line["candidate"]["params"]["autoscheduler.parallelism"] == 2);
    CHECK(line["incumbent"] == Json{{"schedule", "packed"}, {"params", {{"depth", 96}}}});
    CHECK(line["build_cpu_seconds"] == 1.5);
    CHECK(line["best_ratio"] == 0.75);
}

TEST_CASE("random searches of Adams2019 take every parallelism, the number of threads first", "[tune]") {
    std::set<std::string> all;
    const auto parallelism = [](int number, int threads) {
        return random_adams2019(number, threads).params.at("autoscheduler.parallelism");
    };
    for (int number = 1; number <= 8; ++number) {
        const Candidate candidate = random_adams2019(number, 2);
        all.insert(describe(candidate));
        CHECK(candidate.params.at("autoscheduler.random_dropout_seed") == (number <= 4 ? 1 : 2));
    }
    CHECK(all.size() == 8);
    const std::vector<int> of_two = {parallelism(1, 2), parallelism(2, 2), parallelism(3, 2), parallelism(4, 2)};
    CHECK(of_two == std::vector<int>{2, 4, 8, 16});
    CHECK(parallelism(1, 1) == 2);
    CHECK(parallelism(1, 8) == 8);
    CHECK(parallelism(4, 8) == 2);
    CHECK(parallelism(1, 96) == 16);
}

TEST_CASE("a candidate that can't be generated says why, and a tool that isn't there is named", "[tune]") {
    const Folder folder;
    const Problem problem{{aft_simple, 8, 8, 8, 0}, {1, 8}};
    Toolchain toolchain = toolchain_of_build(target_of(packed_row(problem)));
    const Candidate unknown{"", {{"no_such_parameter", 1}}};
    double cpu_seconds = 0;
    CHECK_THROWS_WITH(KernelBuilder(toolchain, folder / "cache").build(unknown, problem, cpu_seconds),
                      ContainsSubstring("no_such_parameter"));
    CHECK(cpu_seconds > 0);
    toolchain.compiler = "/no/such/compiler";
    CHECK_THROWS_WITH(KernelBuilder(toolchain, folder / "cache").build({}, problem),
                      ContainsSubstring("/no/such/compiler"));
    toolchain.generator = "/no/such/generator";
    CHECK_THROWS_WITH(KernelBuilder(toolchain, folder / "cache"), ContainsSubstring("/no/such/generator"));
}

TEST_CASE("aft tune searches, checks, and writes wisdom, and goes on where it was", "[tune][cli]") {
    const Folder folder;
    const std::string wisdom = folder / "w.json", cache = folder / "cache";
    const std::string command =
        "tune --layer local --shape 2,19,8,8,3 --budget 0.05 --wisdom " + wisdom + " --cache " + cache;
    const auto trials = [&] {
        const std::string text = read(cache + "/results.jsonl");
        return std::count(text.begin(), text.end(), '{');
    };
    const Outcome first = aft_cli(command);
    INFO(first.err);
    REQUIRE(first.exit_code == 0);
    CHECK_THAT(first.out, ContainsSubstring("local B2 T19 H8 P8 s3"));
    const auto trials_of_first = trials();
    CHECK(trials_of_first >= 1);
    CHECK_THAT(read(wisdom), ContainsSubstring("\"packed_ms\""));
    CHECK_THAT(read(cache + "/results.jsonl"), ContainsSubstring("packed tile_rows="));
    CHECK_THAT(read(cache + "/results.jsonl"), !ContainsSubstring("WRONG"));
    double seconds = 0, best_ratio = 1;
    for (std::istringstream lines(read(cache + "/results.jsonl")); lines >> std::ws && !lines.eof();) {
        std::string text;
        std::getline(lines, text);
        const Json line = Json::parse(text);
        CHECK(line["seconds"] >= seconds);
        CHECK(line["best_ratio"] <= best_ratio);
        CHECK(line["build_cpu_seconds"] >= 0);
        seconds = line["seconds"];
        best_ratio = line["best_ratio"];
    }
    CHECK(seconds > 0);

    const std::string results = read(cache + "/results.jsonl");
    REQUIRE(aft_cli(command).exit_code == 0);
    CHECK(trials() >= trials_of_first);
    CHECK(read(cache + "/results.jsonl").rfind(results, 0) == 0);  // nothing is measured twice
}

TEST_CASE("aft tune refuses what it can't do in one line", "[tune][cli]") {
    const Folder folder, other;
    const std::string file = other / "file";
    std::ofstream(file) << "no JSON";
    const std::string wisdom = " --wisdom " + (folder / "w.json"), cache = " --cache " + (other / "cache");
    const auto check = [&](const std::string &arguments, int exit_code, const std::string &word,
                           const std::string &environment = "") {
        INFO("aft tune " << arguments);
        const Outcome outcome = aft_cli("tune " + arguments, environment);
        INFO(outcome.err);
        CHECK(outcome.exit_code == exit_code);
        CHECK(is_one_line(outcome.err));
        CHECK(outcome.err.find(word) != std::string::npos);
        CHECK(folder.empty());
    };
    const std::string shape = " --shape 1,8,8,8 --budget 0.05";
    check("--layer half" + shape + wisdom + cache, 2, "half");
    check("--layer full" + wisdom + cache, 2, "--shape");
    check("--layer full --shape 1,2" + wisdom + cache, 2, "1,2");
    check("--layer full --budget none" + shape + wisdom + cache, 2, "--budget");
    check("--layer full" + shape + cache + " --wisdom " + file, 2, file);
    check("--layer full" + shape + wisdom + " --cache " + file + "/below", 1, file);
    check("--layer full" + shape + wisdom + cache, 1, "/no/such/compiler", "CXX=/no/such/compiler");
}
