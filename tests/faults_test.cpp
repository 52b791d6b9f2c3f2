#include "faults.h"

#include "reference/problem.h"
#include "run.h"
#include "temporary_file.h"
#include "threads/thread_pool.h"
#include "weights/parameters.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <dlfcn.h>
#include <functional>
#include <iterator>
#include <new>

using namespace aft;
namespace fs = std::filesystem;

namespace {

const Problem small{{aft_local, /*hidden=*/12, /*projected=*/8, /*max_seq_len=*/20, /*window=*/3}, {2, 17}};

SafetensorsFile checkpoint(const Problem &problem) {
    const Weights weights = make_weights(problem);
    SafetensorsFile file;
    for (const Parameter &parameter : parameters(problem.config)) {
        file.tensors[parameter.tensor] = stored_tensor(parameter.extents, weights.*parameter.values);
    }
    file.metadata["a key that is longer than a short string"] = "a value that is longer than a short string";
    return file;
}

std::ptrdiff_t open_files() {
    return std::distance(fs::directory_iterator("/proc/self/fd"), {});
}

/// The state after the n-th allocation of f has failed, for every n until f needs no more: f has thrown bad_alloc
/// or Error, or is right; no memory and no open file stays; and the next call is right. f returns whether it is right.
void fail_every_allocation(const std::function<bool()> &f) {
    CHECK(f());
    const std::ptrdiff_t files = open_files();
    bool happened = true;
    int thrown = 0;
    for (std::int64_t n = 0; happened; ++n) {
        INFO("allocation " << n);
        const std::int64_t live = live_allocations();
        bool right = true;
        {
            const AllocationFault fault(n);
            try {
                right = f();
            } catch (const std::bad_alloc &) {
                ++thrown;
            } catch (const Error &) {
                ++thrown;
            }
            happened = fault.happened();
        }
        CHECK(right);
        CHECK(live_allocations() == live);
        CHECK(open_files() == files);
        CHECK(f());
    }
    CHECK(thrown > 0);
}

/// The same for the first call of a library, which is loaded anew for every step-th n. f(plugin) returns 1 when it is
/// right and -1 when something was thrown.
void fail_allocations_of_plugin(std::int64_t step, const std::function<int(void *plugin)> &f) {
    devices();  // drivers stay, with what they allocate when they are loaded
    bool happened = true;
    int thrown = 0;
    for (std::int64_t n = 0; happened; n += step) {
        INFO("allocation " << n);
        const std::int64_t live = live_allocations();
        void *plugin = dlopen(AFT_PLUGIN, RTLD_NOW | RTLD_LOCAL);
        REQUIRE(plugin);
        int result = 0;
        {
            const AllocationFault fault(n);
            result = f(plugin);
            happened = fault.happened();
        }
        thrown += result == -1;
        CHECK((result == 1 || result == -1));
        CHECK(f(plugin) == 1);
        REQUIRE(dlclose(plugin) == 0);
        CHECK(live_allocations() == live);
    }
    CHECK(thrown > 0);
}

}  // namespace

TEST_CASE("whichever allocation fails while a file is read, nothing leaks and the next read is right", "[faults]") {
    const TemporaryFile at;
    const SafetensorsFile file = checkpoint(small);
    write_safetensors(at.path(), file);
    fail_every_allocation([&] {
        const SafetensorsFile read = read_safetensors(at.path());
        return read.tensors.size() == file.tensors.size() && read.metadata == file.metadata &&
               read.tensors.at("wbias").bytes == file.tensors.at("wbias").bytes;
    });
}

TEST_CASE("whichever allocation fails while weights are loaded, nothing leaks and the next time is right", "[faults]") {
    const TemporaryFile at;
    write_safetensors(at.path(), checkpoint(small));
    const Weights weights = make_weights(small);
    fail_every_allocation([&] {
        LayerConfig config{aft_local, 0, 0, 0, /*window=*/3};
        config = config_from_weights(at.path(), config);
        return load_weights(at.path(), config).position_bias == weights.position_bias;
    });
    const LayerConfig wrong{aft_local, 13, 8, 20, 3};
    fail_every_allocation([&] {
        try {
            load_weights(at.path(), wrong);
            return false;
        } catch (const WeightsError &) {
            return true;
        }
    });
}

TEST_CASE("whichever allocation fails while shards are read, nothing leaks and the next time is right", "[faults]") {
    const TemporaryFile at;
    const std::string shard = (at.folder() / "shard").string();
    const SafetensorsFile file = checkpoint(small);
    write_safetensors(shard, file);
    std::string map;
    for (const auto &tensor : file.tensors) {
        map += (map.empty() ? "\"" : ", \"") + tensor.first + "\": \"shard\"";
    }
    std::ofstream(at.path()) << "{\"metadata\": {\"format\": \"pt\"}, \"weight_map\": {" << map << "}}";
    const Weights weights = make_weights(small);
    fail_every_allocation([&] {
        return load_weights(at.path(), small.config, {"", "", {{"project", "project"}}}).position_bias ==
               weights.position_bias;
    });
}

TEST_CASE("whichever allocation fails while a file is written, the old one stays or the new one is there", "[faults]") {
    const TemporaryFile at;
    const SafetensorsFile old, file = checkpoint(small);
    write_safetensors(at.path(), old);
    const auto is_written_or_as_before = [&] {
        const std::size_t tensors = read_safetensors(at.path()).tensors.size();
        return (tensors == 0 || tensors == file.tensors.size()) &&
               std::distance(fs::directory_iterator(at.folder()), {}) == 1;
    };
    for (std::int64_t n = 0, happened = true; happened; ++n) {
        INFO("allocation " << n);
        write_safetensors(at.path(), old);
        const std::int64_t live = live_allocations();
        try {
            const AllocationFault fault(n);
            write_safetensors(at.path(), file);
            happened = fault.happened();
        } catch (const std::bad_alloc &) {
        } catch (const WeightsError &) {}
        CHECK(live_allocations() == live);
        CHECK(is_written_or_as_before());
    }
}

TEST_CASE("whichever allocation fails in the first call of the library, the next is right", "[faults]") {
    fail_allocations_of_plugin(
        /*step=*/1, [](void *plugin) { return reinterpret_cast<int (*)(int)>(dlsym(plugin, "aft_plugin_run"))(2); });
}

TEST_CASE("when an allocation fails while kernels and devices are listed, the next list is right", "[faults]") {
    static char expected[20'000], text[20'000];
    const auto list = [](void *plugin, char *into) {
        return reinterpret_cast<int (*)(char *, std::size_t)>(dlsym(plugin, "aft_plugin_list"))(into, sizeof(text));
    };
    void *plugin = dlopen(AFT_PLUGIN, RTLD_NOW | RTLD_LOCAL);
    REQUIRE(plugin);
    REQUIRE(list(plugin, expected) == 1);
    dlclose(plugin);
    // The list allocates thousands of times, nearly alike for every kernel.
    fail_allocations_of_plugin(/*step=*/7, [&](void *plugin) {
        const int result = list(plugin, text);
        return result == 1 && std::string_view(text) != expected ? 0 : result;
    });
}

TEST_CASE("loops run on the threads that the system has, and on more once it has more", "[faults]") {
    struct Counts {
        std::atomic<int> runs{0};
    } counts;
    const auto count = [](void *argument, int) {
        static_cast<Counts *>(argument)->runs++;
        return 0;
    };
    for (const int good : {0, 1, 2}) {
        ThreadPool pool(4);
        {
            const SystemFault fault(SystemCall::pthread_create, EAGAIN, good);
            CHECK(pool.run(count, &counts, 0, 100) == 0);
            CHECK(fault.failures() == 1);
            CHECK(counts.runs.exchange(0) == 100);
        }
        const SystemFault none_fails(SystemCall::pthread_create, 0);
        CHECK(pool.run(count, &counts, 0, 100) == 0);
        CHECK(counts.runs.exchange(0) == 100);
    }
}

TEST_CASE("a layer gives the same bits when no thread can be started", "[faults]") {
    const std::vector<float> x = make_input(small);
    const Layer layer(small.config, make_weights(small));
    const std::vector<float> y = run(layer, x, small.shape);
    const ThreadCount three(3);
    const SystemFault fault(SystemCall::pthread_create, EAGAIN);
    CHECK(run(layer, x, small.shape) == y);
    CHECK(fault.failures() > 0);
}
