#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace aft::bench {

/// A CUDA device through the interface of its driver, which is loaded at run time: what a caller of the library has for
/// itself, that is memory for x and y, and what the device reaches when it does nothing else. Everything happens in the
/// primary context, which is that of the kernels, and on the default stream. All calls from one thread.
class CudaDevice {
public:
    /// The driver's device of this number. Throws std::runtime_error, as every function here.
    explicit CudaDevice(int number);
    ~CudaDevice();
    CudaDevice(const CudaDevice &) = delete;
    CudaDevice &operator=(const CudaDevice &) = delete;

    /// Floats in the memory of the device, which must outlive them.
    class Floats {
    public:
        Floats(CudaDevice &device, std::size_t count);
        Floats(CudaDevice &device, const std::vector<float> &values);
        ~Floats();
        Floats(const Floats &) = delete;
        Floats &operator=(const Floats &) = delete;

        float *data() const {
            return data_;
        }
        std::size_t size() const {
            return count_;
        }
        /// Both wait for what is queued. `values` has as many elements or fewer, which are the first ones.
        void upload(const std::vector<float> &values);
        void download(std::vector<float> &values) const;

    private:
        CudaDevice &device_;
        std::size_t count_;
        float *data_ = nullptr;
    };

    /// Waits for all that was queued; what of it failed is thrown here.
    void synchronize() const;

    /// Queues some milliseconds of nothing but independent multiply-adds in registers. Returns the floating-point
    /// operations.
    double fma_loop();

    /// Queues the copy of a buffer several times larger than the cache. Returns the bytes moved: each is read once and
    /// written once.
    double copy_loop();

    /// "CUDA 13.0, 132 multiprocessors, 1980 MHz": the newest version that the driver supports, the highest clock.
    std::string description() const;

private:
    struct Implementation;
    std::unique_ptr<Implementation> implementation_;
};

}  // namespace aft::bench
