#include "kernel_builder.h"

#include "kernels/kernel_library.h"
#include "kernels/kernels.h"
#include "program.h"
#include "tune.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <future>
#include <iterator>
#include <mutex>
#include <string_view>

namespace aft::tune {

namespace {

namespace fs = std::filesystem;

// FNV-1a. Names a file; std::hash may differ from one standard library to the next.
std::string hash(std::string_view text) {
    std::uint64_t value = 0xcbf29ce484222325;
    for (const char c : text) {
        value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    }
    return fmt::format("{:016x}", value);
}

std::string content(const fs::path &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string last_line(const fs::path &log) {
    std::string line, last = "no message";
    for (std::ifstream file(log); std::getline(file, line);) {
        last = line.empty() ? last : line;
    }
    return last;
}

[[noreturn]] void fail_writing(const fs::path &path, int error) {
    throw std::runtime_error(fmt::format("cannot write {}: {}", path.string(), std::strerror(error)));
}

constexpr char work_prefix[] = ".aft-build-";

// A new folder that goes away with the object.
class WorkFolder {
public:
    explicit WorkFolder(const fs::path &parent) {
        std::string name = (parent / work_prefix).string() + "XXXXXX";
        if (!mkdtemp(name.data())) {
            fail_writing(name, errno);
        }
        path = name;
    }
    ~WorkFolder() {
        std::error_code ignored;  // a file that is left over harms nobody
        fs::remove_all(path, ignored);
    }
    WorkFolder(const WorkFolder &) = delete;
    WorkFolder &operator=(const WorkFolder &) = delete;

    fs::path path;
};

// Keeps a folder in use. Of those who have it in use, the first removes what killed ones left.
FileDescriptor in_use(const fs::path &folder) {
    FileDescriptor lock(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (flock(lock.number(), LOCK_EX | LOCK_NB) == 0) {
        std::error_code ignored;
        for (const fs::directory_entry &entry : fs::directory_iterator(folder, ignored)) {
            if (entry.path().filename().string().rfind(work_prefix, 0) == 0) {
                fs::remove_all(entry.path(), ignored);
            }
        }
    }
    flock(lock.number(), LOCK_SH);
    return lock;
}

}  // namespace

Toolchain toolchain_of_build(const std::string &target) {
    const char *const compiler = std::getenv("CXX");
    return {
        AFT_GENERATOR,      AFT_ADAMS2019, compiler ? compiler : AFT_COMPILER, AFT_LOADABLE_HOST, AFT_LOADABLE_RUNTIME,
        AFT_HALIDE_VERSION, target};
}

KernelBuilder::KernelBuilder(const Toolchain &toolchain, const fs::path &folder)
    : toolchain_(toolchain), folder_(folder) {
    if (!fs::exists(toolchain.generator)) {
        throw std::runtime_error(
            fmt::format("the generator program {} isn't there: candidates are generated where the tool was built",
                        toolchain.generator.string()));
    }
    std::error_code error;
    fs::create_directories(folder, error);
    if (error || access(folder.c_str(), W_OK) != 0) {
        fail_writing(folder, error ? error.value() : errno);
    }
    lock_ = in_use(folder);
    fingerprint_ =
        hash(content(toolchain.generator) + content(toolchain.host) + content(toolchain.runtime) + toolchain.target);
}

std::unique_ptr<BuiltKernel> KernelBuilder::build(const Candidate &candidate, const Problem &problem,
                                                  double &cpu_seconds) const {
    cpu_seconds = 0;
    // No shape is in the name of a hand schedule: it has none in its arguments.
    const std::string key = fmt::format("{} {} {}", fingerprint_, name(problem.config.form),
                                        fmt::join(forward_arguments(candidate, problem), " "));
    const fs::path library = folder_ / (hash(key) + ".so");
    if (!fs::exists(library)) {
        make(candidate, problem, library, cpu_seconds);
    }
    const KernelLibrary loaded = load_kernel_library(fs::absolute(library).string());
    auto kernel = std::make_unique<BuiltKernel>();
    kernel->library = library;
    kernel->id = describe(candidate);
    kernel->row = packed_row(problem);
    kernel->row.id = kernel->id.c_str();
    kernel->row.schedule = "tuned";
    kernel->row.preferred = {};
    kernel->row.prepare = loaded.prepare;
    kernel->row.call = loaded.call;
    kernel->info = kernel_info(kernel->row);
    return kernel;
}

void KernelBuilder::make(const Candidate &candidate, const Problem &problem, const fs::path &library,
                         double &cpu_seconds) const {
    const WorkFolder work(folder_);
    const LayerForm &form = problem.config.form;
    const std::string layer_bias = form.has_window() ? "banded" : form.has_bias() ? "dense" : "none";
    const std::string algorithm = packed_row(problem).algorithm;
    std::mutex mutex;  // of cpu_seconds, while both halves are made
    const auto generate = [&](const std::string &half, const std::string &function,
                              const std::vector<std::string> &arguments) {
        std::vector<std::string> command = {toolchain_.generator.string(),
                                            "-g",
                                            "aft_" + half,
                                            "-f",
                                            function,
                                            "-n",
                                            half,
                                            "-e",
                                            "object",
                                            "-o",
                                            work.path.string(),
                                            "target=" + toolchain_.target,
                                            "layer_bias=" + layer_bias,
                                            "algorithm=" + algorithm};
        if (half == "forward" && !candidate.autoscheduler.empty()) {
            command.insert(command.end(), {"-p", toolchain_.adams2019.string()});
        }
        command.insert(command.end(), arguments.begin(), arguments.end());
        const fs::path log = work.path / (half + ".log");
        double seconds = 0;
        const bool is_made = run_program(command, log, seconds);
        {
            const std::lock_guard lock(mutex);
            cpu_seconds += seconds;
        }
        if (!is_made) {
            throw BuildError(fmt::format("{}: {}", describe(candidate), last_line(log)));
        }
    };
    auto prepared = std::async(std::launch::async, generate, "prepare", loadable_prepare, prepare_arguments(candidate));
    generate("forward", loadable_call, forward_arguments(candidate, problem));
    prepared.get();

    const std::string forward = work.path / "forward.o", prepare = work.path / "prepare.o";
    const fs::path linked = work.path / "kernel.so", log = work.path / "link.log";
    // Symbolic: Halide's runtime in it calls itself, whatever else of Halide is in a program.
    if (!run_program({toolchain_.compiler, "-shared", "-Wl,-Bsymbolic", "-o", linked.string(), forward, prepare,
                      toolchain_.host.string(), toolchain_.runtime.string()},
                     log, cpu_seconds)) {
        throw BuildError(fmt::format("{}: {}", describe(candidate), last_line(log)));
    }
    // At once, and after its content: no half of a library is left when the run or the machine stops.
    const FileDescriptor file(open(linked.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.is_open() || fsync(file.number()) != 0 || std::rename(linked.c_str(), library.c_str()) != 0) {
        fail_writing(library, errno);
    }
}

}  // namespace aft::tune
