#include "field.h"

#include "blas.h"
#include "ceilings.h"
#include "cublas.h"
#include "failure.h"

#include <aft/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>

namespace aft::bench {

namespace {

// A wrong product is off by far more: TF32 has 11 bits.
constexpr double product_tolerance = 1e-5;

double seconds_of(const std::function<void()> &call) {
    const auto start = std::chrono::steady_clock::now();
    call();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Seconds of a call once it is warm: the first ones allocate, load and assemble.
double estimate_of(const Contestant &contestant) {
    const auto calls = [&](int count) {
        for (int i = 0; i < count; ++i) {
            contestant.call();
        }
        if (contestant.finish) {
            contestant.finish();
        }
    };
    if (!contestant.finish) {
        return seconds_of([&] { calls(1); });
    }
    calls(2);
    for (int count = 1;; count *= 4) {
        const double seconds = seconds_of([&] { calls(count); });
        if (seconds > 2e-3 || count > 1000) {
            return seconds / count;
        }
    }
}

}  // namespace

Site::Site(const Device &device, int threads, bool with_blas) {
    result.device = device;
    result.timed = device.api == "cuda" ? "device" : "call";
    if (device.api == "cuda") {
        cuda.emplace(std::stoi(device.id.substr(device.id.find(':') + 1)));
        result.description = cuda->description();
        try {
            ceilings = CeilingProbes::of_cuda(*cuda);
        } catch (const std::exception &error) {
            result.description += fmt::format(", no ceilings: {}", what_failed(error));
        }
    } else if (device.api == "cpu") {
        ceilings = CeilingProbes::of_cpu(threads);
        if (with_blas) {
            blas = blas_products(threads, result.blas);
        }
    }
}

// Where calls are queued, the last wait is part of the time: ten milliseconds a round at least.
Field::Field(Site &site, const BenchmarkProblem &problem, double min_seconds)
    : site_(site), problem_(problem), min_seconds_(site.cuda ? std::max(min_seconds, 0.2) : min_seconds),
      arena_(problem, site.cuda ? &*site.cuda : nullptr) {}

bool Field::has(const std::string &entry) const {
    return std::any_of(measurements.begin(), measurements.end(),
                       [&](const Measurement &each) { return entry_name(each.kernel) == entry; });
}

void Field::enter(const KernelInfo &kernel, std::vector<Skip> &skipped) {
    enter(kernel, [&] { return arena_.kernel(kernel, site_.result.device); }, skipped);
}

void Field::enter_layer(const std::string &storage, std::vector<Skip> &skipped) {
    KernelInfo info{};
    info.id = info.schedule = storage == "float32"    ? composed_layer
                              : storage == "bfloat16" ? composed_layer_bfloat16
                                                      : composed_layer_int8;
    info.operation = problem_.operation;
    info.layer = problem_.config.form;
    info.storage = storage;
    info.api = site_.result.device.api;
    info.usable = true;
    for (const KernelInfo &kernel : kernels()) {  // for the peak of the instruction that multiplies bfloat16
        if (storage != "float32" && kernel.storage == storage && kernel.api == info.api && kernel.usable) {
            info.target = kernel.target;
            break;
        }
    }
    enter(info, [&] { return arena_.layer(site_.result.device, storage); }, skipped);
}

void Field::enter(const KernelInfo &info, const std::function<Subject()> &make, std::vector<Skip> &skipped) {
    Measurement measurement{info, problem_, site_.result.device.id, arena_.work()};
    // A layer that is composed has no target of its own.
    measurement.isa = info.api == "cpu" && !info.target.empty() ? isa_of(info.target, info.storage) : "";
    Contestant contestant{info.id, {}, 0, min_seconds_};
    contestant.peaks = site_.ceilings.peaks(measurement.isa);
    try {
        const Subject subject = make();
        contestant.call = subject.call;
        contestant.finish = subject.finish;
        measurement.timed = subject.is_on_device && info.api != "cpu" ? "device" : "call";
        measurement.bytes = problem_.piece ? arena_.bytes_of_step(info.storage) : not_measured;
        const auto check = [&] {
            arena_.check(subject, allowed_tolerances(info), measurement.max_error, contestant.failure);
        };
        contestant.estimate = seconds_of(check);
        // The first call allocates and is compared: a short one is estimated once more.
        if (contestant.failure.empty() && (contestant.finish || contestant.estimate < 0.2)) {
            contestant.estimate = estimate_of(contestant);
        }
    } catch (const ConfigError &error) {
        skipped.push_back({info.id, entry_name(info), problem_, error.what()});
        return;
    } catch (const ShapeError &error) {
        skipped.push_back({info.id, entry_name(info), problem_, error.what()});
        return;
    } catch (const std::exception &error) {  // KernelError, DeviceError
        contestant.failure = what_failed(error);
    }
    measurements.push_back(std::move(measurement));
    contestants.push_back(std::move(contestant));
}

void Field::enter(const Products &products) {
    KernelInfo info{};
    info.id = info.schedule = products.name;
    info.layer = problem_.config.form;
    info.api = site_.result.device.api;
    info.target = products.library;
    info.usable = true;
    Measurement measurement{info, problem_, site_.result.device.id, products.flops};
    measurement.is_library = true;
    Contestant contestant{products.name, products.multiply, 0, min_seconds_, products.finish};
    contestant.peaks = site_.ceilings.peaks(measurement.isa);
    try {
        measurement.max_error = products.max_error();
        if (!(measurement.max_error <= product_tolerance)) {
            contestant.failure = fmt::format("WRONG: the error is {:.3g}", measurement.max_error);
        } else {
            contestant.estimate = estimate_of(contestant);
        }
    } catch (const std::exception &error) {
        contestant.failure = what_failed(error);
    }
    measurements.push_back(std::move(measurement));
    contestants.push_back(std::move(contestant));
}

void Field::enter_blas() {
    for (const Products &each : site_.blas) {
        enter(each);
    }
    // cuBLAS multiplies the matrices of a layer that sees all sources.
    if (site_.cuda && has_kernels(problem_) && problem_.operation == "forward") {
        std::string &library = site_.result.blas;
        try {
            const auto products = std::make_shared<CublasProducts>(*site_.cuda, problem_, arena_.weights(), arena_.x());
            library = products->version();
            enter({"cublas_sgemm", library, CublasProducts::flops(problem_),
                   [products] { return products->max_error(); }, [products] { products->multiply(); },
                   [this] { site_.cuda->synchronize(); }});
        } catch (const std::exception &error) {
            library = fmt::format("cuBLAS not measured: {}", what_failed(error));
        }
    }
}

}  // namespace aft::bench
