#include "command_line.h"

#include "tune/kernel_builder.h"
#include "tune/tune.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

using namespace aft;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr int still_running = -1;

/// Waits for the condition, sends the signal, and returns the status of the end. The process may end before.
int status_after(pid_t process, const std::function<bool()> &condition, int signal) {
    int status = still_running;
    while (!condition() && waitpid(process, &status, WNOHANG) == 0) {
        status = still_running;
    }
    if (status == still_running) {
        kill(process, signal);
        REQUIRE(waitpid(process, &status, 0) == process);
    }
    return status;
}

bool was_ended_by(int status, int signal) {
    return WIFSIGNALED(status) && WTERMSIG(status) == signal;
}

tune::Toolchain toolchain() {
    const Problem problem{{aft_simple, 8, 8, 8, 0}, {1, 8}};
    const tune::Toolchain tools = tune::toolchain_of_build(tune::target_of(tune::packed_row(problem)));
    if (!std::filesystem::exists(tools.generator)) {
        SKIP("the tests don't run where they were built");
    }
    return tools;
}

/// A layer on an input of 64 MiB: little to compute, much to write.
class LongWrite {
public:
    LongWrite() {
        constexpr std::int64_t H = 256, T = 65536;
        SafetensorsFile file;
        for (const char *name : {"to_q.weight", "to_k.weight", "to_v.weight"}) {
            file.tensors[name] = stored_tensor({1, H}, std::vector<float>(H, 0.1f));
        }
        file.tensors["project.weight"] = stored_tensor({H, 1}, std::vector<float>(H, 0.1f));
        file.tensors["input"] = stored_tensor({T, H}, std::vector<float>(T * H, 1.0f));
        write_safetensors(inputs_ / "model", file);
    }
    /// Sends the signal while the file is written, and returns the status of the end.
    int operator()(int signal, const std::string &environment, const Folder &folder) const {
        const std::string model = inputs_ / "model";
        const pid_t process = start_aft_cli("run " + model + " --layer simple --device cpu --input " + model +
                                                " --output " + folder / "y" + " >/dev/null",
                                            environment);
        return status_after(
            process,
            [&] {
                for (const auto &entry : std::filesystem::directory_iterator(folder / "")) {
                    if (entry.path().extension() == ".tmp") {
                        return true;
                    }
                }
                return false;
            },
            signal);
    }

private:
    Folder inputs_;
};

}  // namespace

TEST_CASE("a signal while a file is written ends the tool and leaves nothing", "[cli][signals]") {
    const LongWrite run;
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        INFO(strsignal(signal));
        int status = 0;
        for (int tries = 0; tries < 20; ++tries) {
            const Folder folder;
            status = run(signal, "", folder);
            if (WIFSIGNALED(status)) {
                CHECK(folder.empty());
                break;  // or it was done before the signal came
            }
            CHECK(std::filesystem::exists(folder / "y"));
        }
        CHECK(was_ended_by(status, signal));
    }
}

TEST_CASE("a signal that the tool's caller ignores stays ignored", "[cli][signals]") {
    const LongWrite run;
    for (const auto &[signal, name] :
         {std::pair{SIGHUP, "HUP"}, std::pair{SIGINT, "INT"}, std::pair{SIGTERM, "TERM"}}) {
        INFO(name);
        const Folder folder;
        const int status = run(signal, std::string("--ignore-signal=") + name, folder);
        CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
        CHECK(std::filesystem::file_size(folder / "y") > 4 * 65536 * 256);
    }
}

TEST_CASE("Ctrl-C ends a search, a second one or another signal the program", "[cli][signals][tune]") {
    toolchain();
    const Folder folder;
    const std::string results = folder / "cache/results.jsonl";
    const auto start = [&] {
        return start_aft_cli("tune --layer local --shape 2,19,8,8,3 --budget 10 --wisdom " + folder / "p" +
                             " --cache " + folder / "cache" + " >" + folder / "out" + " 2>&1");
    };
    const auto has_result = [&] { return content(results).find('{') != std::string::npos; };
    const int ended = status_after(start(), has_result, SIGINT);
    CHECK((WIFEXITED(ended) && WEXITSTATUS(ended) == 0));
    CHECK_THAT(content(folder / "out"), ContainsSubstring("local B2 T19 H8 P8 s3"));

    std::filesystem::remove(results);
    CHECK(was_ended_by(status_after(start(), has_result, SIGTERM), SIGTERM));

    std::filesystem::remove(results);
    const pid_t process = start();
    bool interrupted = false;
    const auto interrupt_once = [&] {  // the search takes a second at least for its last comparison
        if (has_result() && !interrupted) {
            interrupted = true;
            kill(process, SIGINT);
            usleep(200'000);
            return true;
        }
        return false;
    };
    CHECK(was_ended_by(status_after(process, interrupt_once, SIGINT), SIGINT));
}

TEST_CASE("aft tune keeps what it found when standard output can't be written", "[cli][streams][tune]") {
    toolchain();
    const Folder folder;
    const Outcome outcome = aft_cli("tune --layer simple --shape 1,9,8,8 --budget 0.01 --wisdom " + folder / "p" +
                                    " --cache " + folder / "cache" + " >/dev/full");
    INFO(outcome.err);
    CHECK(outcome.exit_code == 1);
    CHECK(outcome.err == "aft: standard output can't be written: No space left on device\n");
    CHECK_THAT(content(folder / "p"), ContainsSubstring("packed_ms"));
}

TEST_CASE("what a killed search leaves is removed by the next one that is alone", "[signals][tune]") {
    const tune::Toolchain tools = toolchain();
    const Folder folder;
    const auto leave = [&] {
        std::filesystem::create_directory(folder / ".aft-build-abcdef");
        std::ofstream(folder / ".aft-build-abcdef/forward.o") << "half";
    };
    leave();
    std::filesystem::create_directory(folder / "build-ours");
    {
        const tune::KernelBuilder builder(tools, folder / "");
        CHECK_FALSE(std::filesystem::exists(folder / ".aft-build-abcdef"));
        leave();  // as if it were the builder's
        const tune::KernelBuilder other(tools, folder / "");
        CHECK(std::filesystem::exists(folder / ".aft-build-abcdef"));
    }
    const tune::KernelBuilder next(tools, folder / "");
    CHECK_FALSE(std::filesystem::exists(folder / ".aft-build-abcdef"));
    CHECK(std::filesystem::exists(folder / "build-ours"));
}
