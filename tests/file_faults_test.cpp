#include "faults.h"

#include "reference/problem.h"
#include "temporary_file.h"
#include "weights/parameters.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <iterator>
#include <sys/resource.h>

using namespace aft;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

const Problem small{{aft_local, /*hidden=*/12, /*projected=*/8, /*max_seq_len=*/20, /*window=*/3}, {2, 17}};

SafetensorsFile checkpoint(const Problem &problem) {
    const Weights weights = make_weights(problem);
    SafetensorsFile file;
    for (const Parameter &parameter : parameters(problem.config)) {
        file.tensors[parameter.tensor] = stored_tensor(parameter.extents, weights.*parameter.values);
    }
    return file;
}

std::ptrdiff_t open_files() {
    return std::distance(fs::directory_iterator("/proc/self/fd"), {});
}

}  // namespace

TEST_CASE("when the system fails while a file is written, the old one stays", "[faults]") {
    const TemporaryFile at("old content");
    const SafetensorsFile file = checkpoint(small);
    const std::ptrdiff_t files = open_files();
    const auto check_not_written = [&](const std::string &problem) {
        CHECK_THROWS_AS(write_safetensors(at.path(), file), WeightsError);
        CHECK_THROWS_WITH(write_safetensors(at.path(), file),
                          ContainsSubstring(at.path()) && ContainsSubstring(problem));
        std::ifstream in(at.path());
        CHECK(std::string(std::istreambuf_iterator<char>(in), {}) == "old content");
        in.close();
        CHECK(std::distance(fs::directory_iterator(at.folder()), {}) == 1);
        CHECK(open_files() == files);
    };
    for (const int good : {0, 1, 2, 5}) {
        const SystemFault fault(SystemCall::write, ENOSPC, good);
        check_not_written("No space left on device");
    }
    {
        const SystemFault fault(SystemCall::fsync, EIO);
        check_not_written("Input/output error");
    }
    {
        const SystemFault fault(SystemCall::renameat, EXDEV);
        check_not_written("Invalid cross-device link");
    }
    // A limit of the system itself.
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
    rlimit limit = before;
    limit.rlim_cur = 1000;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    try {
        write_safetensors(at.path(), file);
        setrlimit(RLIMIT_FSIZE, &before);
        FAIL_CHECK("was written");
    } catch (const WeightsError &error) {
        setrlimit(RLIMIT_FSIZE, &before);
        CHECK_THAT(error.what(), ContainsSubstring("File too large"));
    }
    std::signal(SIGXFSZ, handler);
    CHECK(std::distance(fs::directory_iterator(at.folder()), {}) == 1);
}

TEST_CASE("when the system fails while a file is read, the error names the file, and nothing stays", "[faults]") {
    const TemporaryFile at;
    write_safetensors(at.path(), checkpoint(small));
    const std::ptrdiff_t files = open_files();
    for (const int good : {0, 1, 2, 3, 8}) {
        INFO("after " << good << " reads");
        const SystemFault fault(SystemCall::pread, EIO, good);
        CHECK_THROWS_WITH(load_weights(at.path(), small.config), at.path() + ": can't be read: Input/output error");
        CHECK(fault.failures() == 1);
        CHECK(open_files() == files);
    }
}

TEST_CASE("a file is written under a name that no other file has", "[faults]") {
    const TemporaryFile at("old content");
    const SafetensorsFile file = checkpoint(small);
    const std::string stale = (at.folder() / ".aft-0000000000000123.tmp").string();
    std::ofstream(stale) << "stale";
    {
        const SameRandomNumber three_times(0x123, 3);
        write_safetensors(at.path(), file);
    }
    CHECK(read_safetensors(at.path()).tensors.size() == file.tensors.size());
    CHECK(std::distance(fs::directory_iterator(at.folder()), {}) == 2);
    {
        const SameRandomNumber always(0x123, 1000);
        CHECK_THROWS_WITH(write_safetensors(at.path(), file),
                          at.path() + ": can't be written: temporary file .aft-0000000000000123.tmp beside it: File "
                                      "exists");
    }
    {
        const SystemFault fault(SystemCall::getrandom, ENOSYS);
        CHECK_THROWS_WITH(write_safetensors(at.path(), file),
                          at.path() + ": can't be written: no random number: Function not implemented");
    }
    CHECK(fs::file_size(stale) == 5);
}

TEST_CASE("a handler of signals can remove what is being written", "[faults]") {
    static const TemporaryFile at("old content");
    static std::ptrdiff_t most = 0, least = 99;
    const BeforeWrites signal([] {
        most = std::max(most, std::distance(fs::directory_iterator(at.folder()), {}));
        errno = EXDEV;
        remove_unfinished_files();
        CHECK(errno == EXDEV);
        least = std::min(least, std::distance(fs::directory_iterator(at.folder()), {}));
    });
    CHECK_THROWS_WITH(write_safetensors(at.path(), checkpoint(small)),
                      at.path() + ": can't be written: No such file or directory");
    CHECK(most == 2);
    CHECK(least == 1);
    std::ifstream in(at.path());
    CHECK(std::string(std::istreambuf_iterator<char>(in), {}) == "old content");
}

TEST_CASE("a file that the system takes in pieces is whole", "[faults]") {
    const TemporaryFile at;
    const SafetensorsFile file = checkpoint(small);
    {
        const ShortTransfers seven(7);
        write_safetensors(at.path(), file);
        CHECK(read_safetensors(at.path()).tensors.at("wbias").bytes == file.tensors.at("wbias").bytes);
    }
    CHECK(read_safetensors(at.path()).tensors.at("wbias").bytes == file.tensors.at("wbias").bytes);
}
