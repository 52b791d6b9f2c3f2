#pragma once

#include "ptx/fake_cuda.h"

#include <aft/device.h>

#include <catch2/catch_test_macros.hpp>

#include <atomic>
#include <dlfcn.h>

namespace aft {

/// The driver, which must not be a real one.
inline FakeCuda &fake() {
    static FakeCuda &driver = []() -> FakeCuda & {
        devices();
        auto *find = reinterpret_cast<FakeCuda &(*)()>(dlsym(RTLD_DEFAULT, "fake_cuda"));
        REQUIRE(find);
        return find();
    }();
    return driver;
}

/// Nothing that a test made is left on the device.
struct NothingLeft {
    ~NothingLeft() {
        CHECK(fake().live == 0);
        CHECK(fake().without_context == 0);
        CHECK(fake().private_contexts == 0);
    }
};

/// The device fails so while this lives.
template<typename T>
struct Failing {
    Failing(std::atomic<T> &setting, T value) : setting(setting), before(setting.exchange(value)) {}
    ~Failing() {
        setting = before;
    }
    std::atomic<T> &setting;
    const T before;
};

}  // namespace aft
