#include "child.h"

#include <aft/device.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <chrono>
#include <dlfcn.h>
#include <filesystem>
#include <iterator>
#include <string>
#include <thread>
#include <unistd.h>

namespace {

std::ptrdiff_t threads_of_process() {
    return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
}

/// Starts a thread, since ThreadSanitizer starts one of its own with the first, and returns when the kernel lists it no
/// more: a thread that was joined may be listed for a moment.
void await_end_of_first_thread() {
    pid_t id = 0;
    std::thread([&id] { id = gettid(); }).join();
    while (std::filesystem::exists("/proc/self/task/" + std::to_string(id))) {
        std::this_thread::yield();
    }
}

/// The number of threads once it is as expected.
std::ptrdiff_t threads_soon(std::ptrdiff_t expected) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (threads_of_process() != expected && std::chrono::steady_clock::now() < end) {
        std::this_thread::yield();
    }
    return threads_of_process();
}

}  // namespace

TEST_CASE("a shared library takes its threads with it when it is unloaded", "[unload]") {
#ifdef AFT_PLUGIN_OF_SHARED
    const char *path = GENERATE(AFT_PLUGIN, AFT_PLUGIN_OF_SHARED);
#else
    const char *path = AFT_PLUGIN;
#endif
    aft::devices();  // drivers stay, and have threads
    await_end_of_first_thread();
    const std::ptrdiff_t threads_before = threads_of_process();
    for (int repeat = 0; repeat < 100; ++repeat) {
        void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        REQUIRE(plugin);
        const auto run = reinterpret_cast<int (*)(int)>(dlsym(plugin, "aft_plugin_run"));
        REQUIRE(run);
        int right[3] = {run(4)};
        std::thread others[] = {std::thread([&] { right[1] = run(4); }), std::thread([&] { right[2] = run(4); })};
        for (std::thread &other : others) {
            other.join();
        }
        CHECK(right[0] + right[1] + right[2] == 3);
        REQUIRE(threads_soon(threads_before + 3) == threads_before + 3);
        if (repeat % 2) {  // also when the threads have gone to sleep
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
        REQUIRE(dlclose(plugin) == 0);
        REQUIRE(threads_soon(threads_before) == threads_before);
        CHECK(dlopen(path, RTLD_NOW | RTLD_NOLOAD) == nullptr);
    }
    // It has left nothing behind that fork() or exit() would call.
    CHECK(aft::exit_code_in_child([] { return true; }) == 0);
}
