#include "machine.h"

#include "ceilings.h"

#include "runtime/kernels/kernels.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <sys/utsname.h>
#include <unistd.h>

#include <ctime>
#include <fstream>
#include <set>

namespace aft::bench {

namespace {

// The text after `key` and `separator` on the first line that starts with the key; empty without one.
std::string value_in_file(const char *path, const std::string &key, char separator) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        const std::size_t at = line.find(separator);
        if (line.rfind(key, 0) == 0 && at != std::string::npos) {
            const std::size_t first = line.find_first_not_of(" \"", at + 1);
            const std::size_t last = line.find_last_not_of(" \"");
            return first == std::string::npos ? "" : line.substr(first, last - first + 1);
        }
    }
    return "";
}

std::string cpu_name(const utsname &system) {
    const std::string name = value_in_file("/proc/cpuinfo", "model name", ':');
    return name.empty() ? system.machine : name;
}

std::string os_name(const utsname &system) {
    const std::string name = value_in_file("/etc/os-release", "PRETTY_NAME", '=');
    return fmt::format("{}, {} {}", name.empty() ? "unknown distribution" : name, system.sysname, system.release);
}

std::string cache_sizes() {
    std::string text;
    for (const auto &cache : benchmark::CPUInfo::Get().caches) {
        if (cache.type != "Instruction") {
            text += fmt::format("{}L{} {} KiB", text.empty() ? "" : ", ", cache.level, cache.size / 1024);
        }
    }
    return text;
}

// Kernels for several instruction sets may be in one build. Those of other devices have the CPU's for their own half.
std::string kernel_targets() {
    std::set<std::string> targets;
    std::string text;
    for (const Kernel &kernel : kernels_of("cpu")) {
        if (targets.insert(kernel.info.target).second) {
            text += (text.empty() ? "" : ", ") + kernel.info.target;
        }
    }
    return text;
}

std::string utc_now() {
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    gmtime_r(&now, &utc);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &utc);
    return text;
}

}  // namespace

Machine this_machine() {
    utsname system{};
    uname(&system);
    Machine machine;
    machine.cpu = cpu_name(system);
    machine.cores = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
    machine.caches = cache_sizes();
    machine.os = os_name(system);
    machine.isa = machine_isa();
#if defined(__clang__)
    machine.compiler = __VERSION__;  // names itself
#else
    machine.compiler = "GCC " __VERSION__;
#endif
    machine.halide = AFT_HALIDE_VERSION;
    machine.target = kernel_targets();
    machine.date = utc_now();
    return machine;
}

}  // namespace aft::bench
