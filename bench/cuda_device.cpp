#include "cuda_device.h"

#include "cuda_loops.h"
#include "shared_library.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <stdexcept>

namespace aft::bench {

namespace {

// As cuda.h declares them; the toolkit isn't needed to build.
using Result = int;
using DeviceNumber = int;
using Address = std::uint64_t;
using Context = void *;
using Module = void *;
using Function = void *;

struct Driver {
    Result (*init)(unsigned);
    Result (*driver_version)(int *);
    Result (*error_name)(Result, const char **);
    Result (*device)(DeviceNumber *, int);
    Result (*attribute)(int *, int, DeviceNumber);
    Result (*total_memory)(std::size_t *, DeviceNumber);
    Result (*retain_context)(Context *, DeviceNumber);
    Result (*release_context)(DeviceNumber);
    Result (*set_context)(Context);
    Result (*synchronize)();
    Result (*allocate)(Address *, std::size_t);
    Result (*release)(Address);
    Result (*upload)(Address, const void *, std::size_t);
    Result (*download)(void *, Address, std::size_t);
    Result (*load)(Module *, const void *);
    Result (*unload)(Module);
    Result (*function)(Function *, Module, const char *);
    Result (*launch)(Function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **,
                     void **);

    Driver() {
        const SharedLibrary library({"libcuda.so.1", "libcuda.so"});
        library.find(init, "cuInit");
        library.find(driver_version, "cuDriverGetVersion");
        library.find(error_name, "cuGetErrorName");
        library.find(device, "cuDeviceGet");
        library.find(attribute, "cuDeviceGetAttribute");
        library.find(total_memory, "cuDeviceTotalMem_v2");
        library.find(retain_context, "cuDevicePrimaryCtxRetain");
        library.find(release_context, "cuDevicePrimaryCtxRelease_v2");
        library.find(set_context, "cuCtxSetCurrent");
        library.find(synchronize, "cuCtxSynchronize");
        library.find(allocate, "cuMemAlloc_v2");
        library.find(release, "cuMemFree_v2");
        library.find(upload, "cuMemcpyHtoD_v2");
        library.find(download, "cuMemcpyDtoH_v2");
        library.find(load, "cuModuleLoadData");
        library.find(unload, "cuModuleUnload");
        library.find(function, "cuModuleGetFunction");
        library.find(launch, "cuLaunchKernel");
        check(init(0), "cuInit");
    }

    void check(Result result, const char *what) const {
        if (result != 0) {
            const char *name = nullptr;
            error_name(result, &name);
            throw std::runtime_error(fmt::format("{}: {}", what, name ? name : std::to_string(result)));
        }
    }
};

enum Attribute { clock_khz = 13, multiprocessors = 16 };

constexpr std::size_t largest_copy = std::size_t{512} << 20;  // ten times the cache of an H200

}  // namespace

struct CudaDevice::Implementation {
    Driver driver;
    DeviceNumber number = 0;
    Context context = nullptr;
    Module module = nullptr;
    Function fma = nullptr, copy = nullptr;
    std::optional<Floats> sums, source, destination;

    int attribute(Attribute which) const {
        int value = 0;
        driver.check(driver.attribute(&value, which, number), "cuDeviceGetAttribute");
        return value;
    }

    Function function(const char *name) {
        if (!module) {
            driver.check(driver.load(&module, cuda_loops_ptx().c_str()), "cuModuleLoadData");
        }
        Function result = nullptr;
        driver.check(driver.function(&result, module, name), name);
        return result;
    }

    template<typename... Arguments>
    void launch(Function function, const char *name, std::size_t blocks, Arguments... arguments) const {
        void *pointers[] = {&arguments...};
        driver.check(driver.launch(function, static_cast<unsigned>(blocks), 1, 1, threads_of_block, 1, 1, 0, nullptr,
                                   pointers, nullptr),
                     name);
    }
};

CudaDevice::CudaDevice(int number) : implementation_(std::make_unique<Implementation>()) {
    Implementation &self = *implementation_;
    self.driver.check(self.driver.device(&self.number, number), "cuDeviceGet");
    self.driver.check(self.driver.retain_context(&self.context, self.number), "cuDevicePrimaryCtxRetain");
    self.driver.check(self.driver.set_context(self.context), "cuCtxSetCurrent");
}

CudaDevice::~CudaDevice() {
    Implementation &self = *implementation_;
    self.driver.set_context(self.context);
    self.sums.reset();
    self.source.reset();
    self.destination.reset();
    if (self.module) {
        self.driver.unload(self.module);
    }
    self.driver.set_context(nullptr);
    self.driver.release_context(self.number);
}

CudaDevice::Floats::Floats(CudaDevice &device, std::size_t count) : device_(device), count_(count) {
    const Driver &driver = device_.implementation_->driver;
    Address address = 0;
    driver.check(driver.set_context(device_.implementation_->context), "cuCtxSetCurrent");
    driver.check(driver.allocate(&address, count * sizeof(float)), "cuMemAlloc");
    data_ = reinterpret_cast<float *>(address);
}

CudaDevice::Floats::Floats(CudaDevice &device, const std::vector<float> &values) : Floats(device, values.size()) {
    upload(values);
}

CudaDevice::Floats::~Floats() {
    const Driver &driver = device_.implementation_->driver;
    driver.set_context(device_.implementation_->context);
    driver.release(reinterpret_cast<Address>(data_));
}

void CudaDevice::Floats::upload(const std::vector<float> &values) {
    const Driver &driver = device_.implementation_->driver;
    device_.synchronize();
    driver.check(driver.upload(reinterpret_cast<Address>(data_), values.data(),
                               std::min(count_, values.size()) * sizeof(float)),
                 "cuMemcpyHtoD");
    device_.synchronize();  // the copy of pageable memory may still be on its way
}

void CudaDevice::Floats::download(std::vector<float> &values) const {
    const Driver &driver = device_.implementation_->driver;
    device_.synchronize();
    driver.check(driver.download(values.data(), reinterpret_cast<Address>(data_),
                                 std::min(count_, values.size()) * sizeof(float)),
                 "cuMemcpyDtoH");
}

void CudaDevice::synchronize() const {
    const Driver &driver = implementation_->driver;
    driver.check(driver.set_context(implementation_->context), "cuCtxSetCurrent");
    driver.check(driver.synchronize(), "cuCtxSynchronize");
}

double CudaDevice::fma_loop() {
    Implementation &self = *implementation_;
    const std::size_t blocks = self.attribute(multiprocessors) * std::size_t{fma_blocks_of_multiprocessor};
    const auto run = [&] {
        self.launch(self.fma, "fma_loop", blocks, self.sums->data(), fma_scale, fma_shift, fma_steps);
    };
    if (!self.sums) {
        self.fma = self.function("fma_loop");
        self.sums.emplace(*this, blocks * threads_of_block);
        run();
        std::vector<float> sums(self.sums->size());
        self.sums->download(sums);
        for (std::size_t thread = 0; thread < sums.size(); ++thread) {
            const double expected = fma_sum(thread);
            if (!(std::abs(sums[thread] - expected) <= 1e-2 * expected)) {
                throw std::runtime_error(fmt::format("fma_loop gives {} instead of {}", sums[thread], expected));
            }
        }
    }
    run();
    return static_cast<double>(blocks) * threads_of_block * fma_flops_of_thread;
}

double CudaDevice::copy_loop() {
    Implementation &self = *implementation_;
    const auto run = [&] {
        self.launch(self.copy, "copy_loop", self.source->size() * sizeof(float) / copy_bytes_of_block,
                    self.source->data(), self.destination->data());
    };
    if (!self.destination) {
        std::size_t memory = 0;
        self.driver.check(self.driver.total_memory(&memory, self.number), "cuDeviceTotalMem");
        const std::size_t blocks = std::max<std::size_t>(std::min(largest_copy, memory / 16) / copy_bytes_of_block, 1);
        std::vector<float> values(blocks * copy_bytes_of_block / sizeof(float), 1.0f);
        self.copy = self.function("copy_loop");
        self.source.emplace(*this, values);
        self.destination.emplace(*this, values.size());
        run();
        std::fill(values.begin(), values.end(), 0.0f);
        self.destination->download(values);
        if (std::any_of(values.begin(), values.end(), [](float value) { return value != 1; })) {
            self.destination.reset();
            throw std::runtime_error("copy_loop doesn't copy everything");
        }
    }
    run();
    return 2.0 * static_cast<double>(self.source->size() * sizeof(float));
}

std::string CudaDevice::description() const {
    int version = 0;
    implementation_->driver.driver_version(&version);
    return fmt::format("CUDA {}.{}, {} multiprocessors, {} MHz", version / 1000, version % 1000 / 10,
                       implementation_->attribute(multiprocessors), implementation_->attribute(clock_khz) / 1000);
}

}  // namespace aft::bench
