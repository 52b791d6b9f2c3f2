#include "command_line.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

using namespace aft;
using Catch::Matchers::ContainsSubstring;

namespace {

const std::string golden = AFT_GOLDENS "/aftp_full_small.safetensors";
const std::string local = AFT_GOLDENS "/aftp_local_s7.safetensors";

std::string run(const std::string &model, const std::string &layer, const std::string &output) {
    return "run " + model + " --layer " + layer + " --device cpu --input " + model + " --output " + output;
}

}  // namespace

TEST_CASE("a number is taken whole and in its range, or refused with both", "[cli][options]") {
    const Folder folder;
    const std::string y = folder / "y", window = run(local, "local", y) + " --window ";
    for (const std::string text : {"99999999999999999999999", "9223372036854775808", "-1", "1x", "x", "1.5", "1e3",
                                   "0x10", "+5", "' 5'", "'5 '", "nan", "inf", "1,5"}) {
        check_refused(window + text, "must be a whole number from 0 to 9223372036854775807", folder);
        check_refused(window + text, "--window '", folder);
    }
    for (const std::string text : {"0", "257", "1000", "4294967297", "99999999999999999999999", "-1", "two"}) {
        const std::string threads = "--threads '" + text + "' must be a whole number from 1 to 256";
        check_refused(run(golden, "full", y) + " --threads " + text, threads, folder);
        check_refused("bench --threads " + text, threads, folder);
        check_refused("tune --layer full --shape 1,8,8,8 --threads " + text, threads, folder);
    }
    for (const std::string text :
         {"nan", "-nan", "inf", "-inf", "1e400", "1e-400", "0", "-1", "3601", "1s", "0x1p0", "1,5"}) {
        check_refused("bench --min-time " + text, "--min-time '" + text + "' must be a number from 0.001 to 3600",
                      folder);
    }
    for (const std::string text : {"nan", "infinity", "1e999", "0", "10001"}) {
        check_refused("tune --layer full --shape 1,8,8,8 --budget " + text,
                      "--budget '" + text + "' must be a number from 0.01 to 10000", folder);
    }
    check_refused("bench --shape 1,2,3,99999999999999999999", "'99999999999999999999' must be a whole number from 0 to",
                  folder);
    check_refused("bench --shape 1,2,3,-4", "'-4' must be", folder);
    check_refused("bench --shape 1,2,3,", "'' must be", folder);
    check_refused("bench --shape 4294967297,1,1,1", "the limit is 2147483647", folder);
    check_refused("bench --shape 1,2,3,4,5,6", "must be B,T,H,P", folder);
}

TEST_CASE("the largest numbers that are taken work", "[cli][options]") {
    const Folder folder;
    const Outcome threads = aft_cli(run(golden, "full", folder / "y") + " --threads 256"),
                  one = aft_cli(run(golden, "full", folder / "one") + " --threads 1");
    INFO(threads.err << one.err);
    CHECK(threads.exit_code == 0);
    CHECK(one.exit_code == 0);
    CHECK(content(folder / "y") == content(folder / "one"));

    const Outcome widest = aft_cli(run(local, "local", folder / "w") + " --window 9223372036854775807"),
                  wide = aft_cli(run(local, "local", folder / "v") + " --window 100000");
    INFO(widest.err << wide.err);
    CHECK(widest.exit_code == 0);
    CHECK(wide.exit_code == 0);
    CHECK(content(folder / "w") == content(folder / "v"));
}

TEST_CASE("an empty value is refused by the name of its option, also behind '='", "[cli][options]") {
    const Folder folder;
    const std::string y = folder / "y";
    const auto check = [&](const std::string &arguments, const std::string &option) {
        check_refused(arguments + " " + option + " ''", option + " is empty", folder);
        check_refused(arguments + " " + option + "=", option + " is empty", folder);
        check_refused(arguments + " " + option + "= --device cpu", option + " is empty", folder);
    };
    const std::string run_it = "run " + golden, io = " --input " + golden + " --output " + y;
    for (const std::string option : {"--kernel", "--device", "--naming", "--window", "--threads"}) {
        check(run_it + " --layer full" + io, option);
    }
    check(run_it + io, "--layer");
    check(run_it + " --layer full --output " + y, "--input");
    check(run_it + " --layer full --input " + golden, "--output");
    check_refused("run '' --layer full" + io, "model is empty", folder);
    for (const std::string option :
         {"--layer", "--shape", "--schedule", "--device", "--threads", "--min-time", "--format", "--report"}) {
        check("bench", option);
    }
    for (const std::string option : {"--layer", "--shape", "--threads", "--budget", "--wisdom", "--cache"}) {
        check("tune", option);
    }
    check("kernels", "--format");
    check("devices", "--format");
    for (const std::string prefix : {" --prefix ''", " --prefix="}) {
        const Outcome outcome = aft_cli(run(golden, "full", y) + prefix);
        INFO(outcome.err);
        CHECK(outcome.exit_code == 0);
    }
}

TEST_CASE("file names may have spaces, colons and letters of any script", "[cli][options]") {
    const Folder folder;
    const std::string inner = folder / "Ordner: Größe 大";
    std::filesystem::create_directory(inner);
    REQUIRE(aft_cli(run(golden, "full", folder / "y")).exit_code == 0);
    for (const std::string name : {"a b", "größe", "模型 1", "x:y", ":", "-x", "\xff\xfe", "a\"b"}) {
        const std::string model = inner + "/" + name, output = inner + "/y" + name;
        std::filesystem::copy_file(golden, model);
        const Outcome outcome = aft_cli("run '" + model + "' --layer full --device cpu --input '" + model +
                                        ":input' --output '" + output + ":output'");
        INFO(outcome.err);
        CHECK(outcome.exit_code == 0);
        CHECK_THAT(outcome.out, ContainsSubstring(" wrote " + output + ":output ["));
        CHECK(content(output) == content(folder / "y"));
        if (name.find(':') == std::string::npos) {  // a folder's ':' starts no tensor
            std::filesystem::remove(output);
            CHECK(aft_cli(run("'" + model + "'", "full", "'" + output + "'")).exit_code == 0);
            CHECK(content(output) == content(folder / "y"));
        }
    }
    const Outcome missing = aft_cli(run("'" + inner + "/nicht da'", "full", folder / "z"));
    CHECK(missing.exit_code == 2);
    CHECK_THAT(missing.err, ContainsSubstring(inner + "/nicht da"));
    const Outcome report =
        aft_cli("bench --layer simple --schedule naive --shape 1,4,4,4 --min-time 0.001 --device cpu "
                "--report '" +
                inner + "/\xff'");
    CHECK(report.exit_code == 0);
    CHECK_THAT(content(inner + "/\xff/report.json"), ContainsSubstring("\"command\": \"aft bench"));
}

TEST_CASE("numbers don't depend on the locale", "[cli][options]") {
    // Where the system has none with a decimal comma, the test tells little.
    std::FILE *const list = popen("locale -a 2>/dev/null", "r");
    std::string names(65536, '\0');
    names.resize(list ? std::fread(names.data(), 1, names.size(), list) : 0);
    if (list) {
        pclose(list);
    }
    std::string locale = "C.utf8";
    std::istringstream lines(names);
    for (std::string line; std::getline(lines, line);) {
        if (line.rfind("de_", 0) == 0 || line.rfind("fr_", 0) == 0) {
            locale = line;
        }
    }
    INFO(locale);
    const Folder folder;
    const std::string there = "LC_ALL=" + locale + " LANG=" + locale, c = "LC_ALL=C";
    for (const std::string command : {"kernels", "kernels --format json", "--help", "bench --help",
                                      "bench --min-time 1,5", "bench --min-time 0.0001", "run nosuch"}) {
        const Outcome with = aft_cli(command, there), without = aft_cli(command, c);
        CHECK(with.exit_code == without.exit_code);
        CHECK(with.out == without.out);
        CHECK(with.err == without.err);
    }
    CHECK(aft_cli(run(golden, "full", folder / "there"), there).exit_code == 0);
    CHECK(aft_cli(run(golden, "full", folder / "c"), c).exit_code == 0);
    CHECK(content(folder / "there") == content(folder / "c"));
    const Outcome csv = aft_cli("bench --layer simple --schedule naive --shape 1,4,4,4 --min-time 0.0011 --device cpu "
                                "--format csv",
                                there);
    CHECK(csv.exit_code == 0);
    const std::string head = csv.out.substr(0, csv.out.find('\n')), rows = csv.out.substr(head.size() + 1);
    CHECK(std::count(rows.begin(), rows.end(), ',') ==
          std::count(head.begin(), head.end(), ',') * std::count(rows.begin(), rows.end(), '\n'));
}

TEST_CASE("a lack of memory is told as such, with what was asked for", "[cli][options]") {
    const Folder folder;
    const std::string x = folder / "x";
    {
        // Eight gigabytes of zeros that take no place.
        const std::string header = R"({"input":{"dtype":"F32","shape":[500000000,4],"data_offsets":[0,8000000000]}})";
        const std::uint64_t bytes = header.size();
        std::ofstream(x, std::ios::binary).write(reinterpret_cast<const char *>(&bytes), 8) << header;
        std::filesystem::resize_file(x, 8 + bytes + 8'000'000'000);
    }
    const std::string limited = "sh -c 'ulimit -v 4000000; exec \"$@\"' sh";
    const Outcome ran =
        aft_cli("run " + golden + " --layer full --device cpu --threads 1 --input " + x + " --output " + folder / "y",
                limited);
    INFO(ran.err);
    CHECK(ran.exit_code == 1);
    CHECK(is_one_line(ran.err));
    CHECK_THAT(ran.err, ContainsSubstring("out of memory"));
    CHECK_THAT(ran.err, ContainsSubstring(x));
    CHECK_FALSE(std::filesystem::exists(folder / "y"));

    const Outcome measured =
        aft_cli("bench --layer simple --schedule packed --device cpu --threads 1 --shape 1,1,46340,46340", limited);
    INFO(measured.err);
    CHECK(measured.exit_code == 1);
    CHECK_THAT(measured.err, ContainsSubstring("B1 T1 H46340 P46340: out of memory"));
    CHECK_THAT(measured.err, !ContainsSubstring("bad_alloc"));
}
