#include "command_line.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

using namespace aft;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;

namespace {

const std::string golden = AFT_GOLDENS "/aftp_full_small.safetensors";
const std::string bench = "bench --layer simple --schedule naive --shape 1,4,4,4 --min-time 0.001 --device cpu";

std::string run_to(const std::string &output) {
    return "run " + golden + " --layer full --device cpu --input " + golden + " --output " + output;
}

/// The values that the layer gives, in a file of its own.
std::string expected() {
    const Folder folder;
    REQUIRE(aft_cli(run_to(folder / "y")).exit_code == 0);
    return content(folder / "y");
}

/// The exit status of a run whose standard output is a pipe that nobody reads.
int status_without_reader(const std::string &arguments, const std::string &environment) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    close(ends[0]);
    const pid_t process = start_aft_cli(arguments + " >&" + std::to_string(ends[1]), environment);
    close(ends[1]);
    int status = 0;
    REQUIRE(waitpid(process, &status, 0) == process);
    return status;
}

/// All that a terminal shows of both streams, with '\n' at the end of lines.
std::string on_a_terminal(const std::string &arguments) {
    const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0) {
        SKIP("this machine has no pseudo-terminals");
    }
    const pid_t process = start_aft_cli(arguments + " >" + ptsname(terminal) + " 2>&1");
    std::string shown;
    // It is empty before the tool opens its side, and again when that is closed.
    for (bool ended = false; !ended;) {
        ended = waitpid(process, nullptr, WNOHANG) == process;
        char part[4096];
        for (ssize_t bytes; (bytes = read(terminal, part, sizeof part)) > 0;) {
            shown.append(part, bytes);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    close(terminal);
    shown.erase(std::remove(shown.begin(), shown.end(), '\r'), shown.end());
    return shown;
}

}  // namespace

TEST_CASE("standard output that can't be written is an error of every command", "[cli][streams]") {
    const Folder folder;
    std::vector<std::string> commands = {"--help",  "--version",
                                         "kernels", "kernels --format json",
                                         "devices", "devices --format json"};
    for (const std::string command : {"kernels", "devices", "run", "bench", "tune"}) {
        commands.push_back(command + " --help");
    }
    for (const std::string format : {"table", "csv", "json"}) {
        commands.push_back(bench + " --format " + format);
    }
    commands.push_back(run_to(folder / "y"));
    for (const std::string &command : commands) {
        const Outcome full = aft_cli(command + " >/dev/full"), closed = aft_cli(command + " >&-");
        INFO("aft " << command << '\n' << full.err << closed.err);
        CHECK(full.exit_code == 1);
        CHECK_THAT(full.err, EndsWith("aft: standard output can't be written: No space left on device\n"));
        CHECK(closed.exit_code == 1);
        CHECK_THAT(closed.err, EndsWith("aft: standard output can't be written: Bad file descriptor\n"));
    }
    CHECK(content(folder / "y") == expected());
}

TEST_CASE("messages that can't be written end no command, and are an error only where the stream is there",
          "[cli][streams]") {
    const Folder folder;
    const std::string refused = "run nosuch --layer full --input x --output " + folder / "y";
    for (const std::string stream : {" 2>&-", " 2>/dev/full", " >&- 2>&-", " >/dev/full 2>/dev/full"}) {
        INFO(stream);
        CHECK(aft_cli(refused + stream).exit_code == 2);
        CHECK(aft_cli("fly" + stream).exit_code == 2);
    }
    const Outcome closed = aft_cli(bench + " 2>&-"), full = aft_cli(bench + " 2>/dev/full");
    CHECK(closed.exit_code == 0);
    CHECK_THAT(closed.out, ContainsSubstring("naive"));
    CHECK(full.exit_code == 1);
    CHECK_THAT(full.out, ContainsSubstring("naive"));
    CHECK(aft_cli("kernels 2>/dev/full").exit_code == 0);  // has no message
}

TEST_CASE("no file gets the number of a stream that is closed", "[cli][streams]") {
    const std::string y = expected();
    for (const std::string streams : {" <&-", " 2>&-", " <&- 2>&-", " >&-", " >&- 2>&-", " <&- >&- 2>&-"}) {
        INFO(streams);
        const Folder folder;
        const Outcome outcome = aft_cli(run_to(folder / "y") + streams);
        CHECK(outcome.exit_code == (streams.find(">&- 2") != std::string::npos || streams == " >&-" ? 1 : 0));
        CHECK(content(folder / "y") == y);
    }
}

TEST_CASE("a pipe that nobody reads ends the tool by SIGPIPE, or is an error where that is ignored", "[cli][streams]") {
    for (const std::string command : {"kernels", "--help", "devices --format json"}) {
        const int ended = status_without_reader(command, "");
        CHECK((WIFSIGNALED(ended) && WTERMSIG(ended) == SIGPIPE));
        const Folder folder;
        const int ignored = status_without_reader(command + " 2>" + folder / "err", "--ignore-signal=PIPE");
        CHECK((WIFEXITED(ignored) && WEXITSTATUS(ignored) == 1));
        CHECK(content(folder / "err") == "aft: standard output can't be written: Broken pipe\n");
    }
}

TEST_CASE("messages stand before or after a table in one file or pipe, not within", "[cli][streams]") {
    const Folder folder;
    const std::string report = folder / "r", log = folder / "log", last = "\nreport: " + report + "/report.html\n";
    const std::string command = bench + " --shape 2,9,8,8 --report " + report;
    const Outcome file = aft_cli(command + " >" + log + " 2>&1"), joined = aft_cli(command + " 2>&1");
    CHECK(file.exit_code == 0);
    CHECK_THAT(content(log), EndsWith(last));
    CHECK(joined.exit_code == 0);
    CHECK_THAT(joined.out, EndsWith(last));
}

TEST_CASE("messages stand before or after a table on a terminal, not within", "[cli][streams]") {
    const Folder folder;
    const std::string report = folder / "r";
    const std::string shown = on_a_terminal(bench + " --shape 2,9,8,8 --report " + report);
    CHECK_THAT(shown, EndsWith("\nreport: " + report + "/report.html\n"));
}

TEST_CASE("the line about a report stands in the stream of the table, and not among csv or json", "[cli][streams]") {
    const Folder folder;
    const std::string command = bench + " --report " + folder / "r", line = "report: " + folder / "r/report.html\n";
    const Outcome table = aft_cli(command), json = aft_cli(command + " --format json");
    CHECK_THAT(table.out, EndsWith("\n" + line));
    CHECK_THAT(table.err, !ContainsSubstring(line));
    CHECK_THAT(json.out, !ContainsSubstring(line));
    CHECK_THAT(json.err, EndsWith("\n" + line));
}

TEST_CASE("an output that is standard output has nothing but the file", "[cli][streams]") {
    const std::string y = expected();
    const Folder folder;
    const std::string copy = folder / "copy";
    for (const std::string output : {"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}) {
        INFO(output);
        const Outcome outcome = aft_cli(run_to(output));  // into a pipe
        CHECK(outcome.exit_code == 0);
        CHECK(outcome.out == y);
        CHECK(is_one_line(outcome.err));
        CHECK_THAT(outcome.err, ContainsSubstring(" wrote " + output + ":output"));
        const Outcome to_file = aft_cli(run_to(output) + " >" + copy);
        CHECK(to_file.exit_code == 0);
        CHECK(content(copy) == y);
        CHECK(is_one_line(to_file.err));
    }
    const Outcome elsewhere = aft_cli(run_to(copy));
    CHECK(is_one_line(elsewhere.out));
    CHECK(elsewhere.err.empty());
}

TEST_CASE("a closed standard output is no output", "[cli][streams]") {
    const Outcome outcome = aft_cli(run_to("/proc/self/fd/1") + " >&-");
    CHECK(outcome.exit_code == 1);
    CHECK_THAT(outcome.err, ContainsSubstring("/proc/self/fd/1"));
}

TEST_CASE("a file that is read isn't replaced, whatever the output calls it", "[cli][streams]") {
    const Folder folder;
    const std::string model = folder / "model", link = folder / "link", name = folder / "name";
    std::filesystem::copy_file(golden, model);
    std::filesystem::create_symlink("model", link);
    std::filesystem::create_hard_link(model, name);
    const std::string before = content(model);
    for (const std::string &output :
         {model, link, name, folder / "../" + std::filesystem::path(model).parent_path().filename().string() + "/model",
          std::string("/dev/fd/9")}) {
        for (const auto &[read, input] : {std::pair{model, golden}, std::pair{golden, model}}) {
            const Outcome outcome =
                aft_cli("run " + read + " --layer full --input " + input + " --output " + output + " 9<>" + model);
            INFO(output << '\n' << outcome.err);
            CHECK(outcome.exit_code == 2);
            CHECK(is_one_line(outcome.err));
            CHECK_THAT(outcome.err, ContainsSubstring(model + ", which is read"));
            CHECK(content(model) == before);
        }
    }
    const std::string index = folder / "index.json", whole = folder / "y";
    std::string list;
    for (const auto &[tensor, stored] : read_safetensors(model).tensors) {
        list += (list.empty() ? "\"" : ", \"") + tensor + "\": \"model\"";
    }
    std::ofstream(index) << "{\"weight_map\": {" << list << "}}";
    const std::string run_shards = "run " + index + " --layer full --device cpu --input " + golden + " --output ";
    const Outcome shard = aft_cli(run_shards + link), fine = aft_cli(run_shards + whole);
    INFO(shard.err << fine.err);
    CHECK(shard.exit_code == 2);
    CHECK_THAT(shard.err, ContainsSubstring(model + ", which is read"));
    CHECK(content(model) == before);
    CHECK(fine.exit_code == 0);
    CHECK(content(whole) == expected());
}

TEST_CASE("results are shown also where the report can't be written", "[cli][streams]") {
    const Folder folder;
    std::filesystem::create_directory(folder / "report.json");
    const Outcome outcome = aft_cli(bench + " --report " + folder / "");
    CHECK(outcome.exit_code == 1);
    CHECK_THAT(outcome.out, ContainsSubstring("naive"));
    CHECK_THAT(outcome.err, ContainsSubstring("report.json: can't be written: "));
    std::ofstream(folder / "file") << "text";
    const Outcome no_folder = aft_cli(bench + " --report " + folder / "file");
    CHECK(no_folder.exit_code == 1);
    CHECK(no_folder.out.empty());  // refused before it measures
    CHECK_THAT(no_folder.err, ContainsSubstring(folder / "file"));
}
