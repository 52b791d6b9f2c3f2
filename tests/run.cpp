#include "run.h"

#include "kernels/selector.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <stdexcept>

namespace aft {
namespace {

/// A tensor [batch, seq, hidden] in a buffer of NaN, with a margin of a few vectors on both sides.
class Padded {
public:
    Padded(const Shape &shape, std::int64_t hidden, const Padding &padding)
        : extents_{shape.batch, shape.seq, hidden}, row_(hidden + padding.after_row),
          sample_(shape.seq * row_ + padding.after_sample), first_(margin + padding.before),
          buffer_(first_ + shape.batch * sample_ + margin, std::numeric_limits<float>::quiet_NaN()) {}

    TensorView<float, 3> view() {
        return {&buffer_[first_], extents_, {sample_, row_, 1}};
    }

    void write(const std::vector<float> &dense) {
        for_each_row([&](std::size_t i, float *at) { std::copy_n(&dense[i], extents_[2], at); });
    }

    /// The values, which become NaN in the buffer.
    std::vector<float> take() {
        std::vector<float> dense(extents_[0] * extents_[1] * extents_[2]);
        for_each_row([&](std::size_t i, float *at) {
            std::copy_n(at, extents_[2], &dense[i]);
            std::fill_n(at, extents_[2], std::numeric_limits<float>::quiet_NaN());
        });
        return dense;
    }

    bool same_bits(const Padded &other) const {
        return std::memcmp(buffer_.data(), other.buffer_.data(), buffer_.size() * sizeof(float)) == 0;
    }

private:
    static constexpr std::int64_t margin = 64;

    template<typename Visit>
    void for_each_row(Visit visit) {
        for (std::int64_t b = 0; b < extents_[0]; ++b) {
            for (std::int64_t t = 0; t < extents_[1]; ++t) {
                visit((b * extents_[1] + t) * extents_[2], &buffer_[first_ + b * sample_ + t * row_]);
            }
        }
    }

    TensorView<float, 3>::Extents extents_;
    std::int64_t row_, sample_, first_;
    std::vector<float> buffer_;
};

}  // namespace

std::vector<float> run(const Layer &layer, const std::vector<float> &x, const Shape &shape, const Padding &padding) {
    Padded input(shape, layer.config().hidden, padding), output = input;
    const Padded untouched = input;
    input.write(x);
    const Padded input_before = input;
    layer.forward(input.view(), output.view());
    const std::vector<float> y = output.take();
    if (!output.same_bits(untouched)) {
        throw std::logic_error("the layer wrote outside y");
    }
    if (!input.same_bits(input_before)) {
        throw std::logic_error("the layer wrote into x");
    }
    return y;
}

bool is_tested(const KernelInfo &kernel) {
    if (kernel.operation != "forward") {
        return false;
    }
#ifdef AFT_TEST_API
    const std::int64_t longest_quick = 1;
    if (kernel.api != AFT_TEST_API) {
        return false;
    }
#else
    const std::int64_t longest_quick = 256;
#endif
    const bool is_quick = kernel.api == "cpu" || kernel.minimum.seq <= longest_quick;
    return kernel.usable && (is_quick || std::getenv("AFT_LONG_TESTS"));
}

bool can_run(const KernelInfo &kernel, const Problem &problem) {
    return judge(kernel, problem).fit != Fit::none;
}

bool runs_by_default(const KernelInfo &kernel) {
    return is_tested(kernel) && (kernel.minimum.seq <= 256 || std::getenv("AFT_LONG_TESTS"));
}

Environment::Environment(const char *name, const std::string &value) : name_(name) {
    setenv(name, value.c_str(), 1);
}

Environment::~Environment() {
    unsetenv(name_);
}

}  // namespace aft
