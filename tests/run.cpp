#include "run.h"

#include "kernels/selector.h"
#include "reference/forms.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>

namespace aft {
namespace {

/// A tensor of three dimensions in a buffer of `around`, with gaps and a margin of a few vectors on both sides.
template<typename T>
class Padded {
public:
    using Extents = typename TensorView<T, 3>::Extents;

    /// Without values: `around` everywhere.
    Padded(const Extents &extents, const Padding &padding, T around, std::array<bool, 2> shared = {})
        : extents_(extents), row_(shared[1] ? 0 : extents[2] + padding.after_row),
          sample_(shared[0] ? 0 : (shared[1] ? extents[2] : extents[1] * row_) + padding.after_sample),
          first_(margin + padding.before),
          size_(first_ + extents[0] * sample_ + extents[1] * row_ + extents[2] + margin), buffer_(new T[size_]),
          around_(around) {
        std::fill_n(buffer_.get(), size_, around);
    }

    /// A copy, whose dimensions of stride 0 keep it. A view without data stays one.
    Padded(const TensorView<const T, 3> &view, const Padding &padding, T around)
        : Padded(view.extents, padding, around, {view.strides[0] == 0, view.strides[1] == 0}) {
        has_data_ = view.data != nullptr;
        if (has_data_) {
            for_each_row([&](std::int64_t b, std::int64_t t, T *at) {
                std::copy_n(view.data + b * view.strides[0] + t * view.strides[1], extents_[2], at);
            });
        }
        before_.assign(buffer_.get(), buffer_.get() + size_);
    }

    TensorView<T, 3> view() {
        return {has_data_ ? buffer_.get() + first_ : nullptr, extents_, {sample_, row_, 1}};
    }

    /// The values, which become `around` in the buffer.
    std::vector<T> take() {
        std::vector<T> dense;
        for_each_row([&](std::int64_t, std::int64_t, T *at) {
            dense.insert(dense.end(), at, at + extents_[2]);
            std::fill_n(at, extents_[2], around_);
        });
        return dense;
    }

    /// Whether all of it still is what it was when it was made of a view.
    bool is_unchanged() const {
        return std::equal(before_.begin(), before_.end(), buffer_.get(), same_bits);
    }
    bool is_empty() const {
        return std::all_of(buffer_.get(), buffer_.get() + size_, [&](T value) { return same_bits(value, around_); });
    }

private:
    static constexpr std::int64_t margin = 64;

    static bool same_bits(T a, T b) {
        return std::memcmp(&a, &b, sizeof(T)) == 0;
    }

    template<typename Visit>
    void for_each_row(Visit visit) {
        for (std::int64_t b = 0; b < extents_[0]; ++b) {
            for (std::int64_t t = 0; t < extents_[1]; ++t) {
                visit(b, t, &buffer_[first_ + b * sample_ + t * row_]);
            }
        }
    }

    Extents extents_;
    std::int64_t row_, sample_, first_, size_;
    std::unique_ptr<T[]> buffer_;
    T around_;
    bool has_data_ = true;
    std::vector<T> before_;
};

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

Sight sight_of(const Sight &sight, Padded<float> &position_bias, Padded<bool> &mask) {
    Sight padded = sight;
    padded.position_bias = position_bias.view();
    padded.mask = mask.view();
    return padded;
}

/// `forward` writes the view that it gets.
template<typename Forward>
std::vector<float> run_into(const std::array<std::int64_t, 3> &extents, const Padding &padding,
                            std::vector<Padded<float> *> inputs, const Forward &forward) {
    Padded<float> output(extents, padding, nan);
    forward(output.view());
    const std::vector<float> y = output.take();
    if (!output.is_empty()) {
        throw std::logic_error("a call wrote outside y");
    }
    for (const Padded<float> *input : inputs) {
        if (!input->is_unchanged()) {
            throw std::logic_error("a call wrote into an input");
        }
    }
    return y;
}

/// The positions from `first` on of a tensor.
TensorView<const float, 3> part(TensorView<const float, 3> tensor, std::int64_t first, std::int64_t count) {
    tensor.data = tensor.data ? tensor.data + first * tensor.strides[1] : nullptr;
    tensor.extents[1] = count;
    return tensor;
}

/// Steps through a sequence. step(first, lengths, y): [B, count, channels].
template<typename Step>
std::vector<float> in_pieces(const std::array<std::int64_t, 3> &extents,
                             const TensorView<const std::int64_t, 1> &lengths, std::int64_t piece, const Step &step) {
    const auto [B, n, C] = extents;
    std::vector<float> y(B * n * C, nan);
    for (std::int64_t first = 0; first < n; first += piece) {
        const std::int64_t count = std::min(piece, n - first);
        std::vector<std::int64_t> part_lengths;
        for (std::int64_t b = 0; lengths.data && b < B; ++b) {
            part_lengths.push_back(std::clamp<std::int64_t>(lengths.data[b] - first, 0, count));
        }
        TensorView<const std::int64_t, 1> view;
        if (lengths.data) {
            view = {part_lengths.data(), {B}};
        }
        step(first, view, TensorView<float, 3>(y.data() + first * C, {B, count, C}, {n * C, C, 1}));
    }
    return y;
}

/// y of forward(call, y), where all tensors of the call lie with gaps.
template<typename Call, typename Forward>
std::vector<float> run_padded(const Call &call, const std::array<std::int64_t, 3> &extents, const Padding &padding,
                              const Forward &forward) {
    Padded<float> query(call.query, padding, nan), key(call.key, padding, nan), value(call.value, padding, nan);
    Padded<float> position_bias(call.sight.position_bias, padding, nan);
    Padded<bool> mask(call.sight.mask, padding, true);
    Call padded = call;
    padded.query = query.view(), padded.key = key.view(), padded.value = value.view();
    padded.sight = sight_of(call.sight, position_bias, mask);
    return run_into(extents, padding, {&query, &key, &value, &position_bias},
                    [&](const TensorView<float, 3> &y) { forward(padded, y); });
}

}  // namespace

Problem wide_problem(const LayerForm &form) {
    constexpr std::int64_t n = 40, channels = 130;
    Problem problem{{form, channels, channels, n, form.has_window() ? 9 : 0}, {2, n}};
    problem.config.heads = form.has_heads() ? 13 : 1;
    return problem;
}

std::vector<float> run(const Layer &layer, const std::vector<float> &x, const Shape &shape, const Padding &padding) {
    const TensorView<const float, 3> dense(x.data(), {shape.batch, shape.seq, layer.config().hidden});
    Padded<float> input(dense, padding, nan);
    return run_into(dense.extents, padding, {&input},
                    [&](const TensorView<float, 3> &y) { layer.forward(input.view(), y); });
}

std::vector<float> run(const Layer &layer, const LayerCall &call, const Padding &padding) {
    const auto [batch, targets, channels] = call.query.extents;
    return run_padded(call, {batch, targets, layer.config().hidden}, padding,
                      [&](const LayerCall &padded, const TensorView<float, 3> &y) { layer.forward(padded, y); });
}

std::vector<float> run(const Core &core, const CoreCall &call, const Padding &padding) {
    return run_padded(call, call.query.extents, padding,
                      [&](const CoreCall &padded, const TensorView<float, 3> &y) { core.forward(padded, y); });
}

std::vector<float> run_in_pieces(const Layer &layer, const LayerCall &call, std::int64_t piece) {
    State state(layer.config(), call.query.extents[0]);
    const auto step = [&](std::int64_t first, const TensorView<const std::int64_t, 1> &lengths,
                          const TensorView<float, 3> &y) {
        layer.step(state, part(call.query, first, y.extents[1]), y, lengths);
    };
    return in_pieces(call.query.extents, call.sight.lengths, piece, step);
}

std::vector<float> run_in_pieces(const Core &core, const CoreCall &call, std::int64_t piece) {
    State state(core.config(), call.key.extents[0]);
    const auto step = [&](std::int64_t first, const TensorView<const std::int64_t, 1> &lengths,
                          const TensorView<float, 3> &y) {
        CoreCall next;
        next.query = part(call.query, first, y.extents[1]);
        next.key = part(call.key, first, y.extents[1]);
        next.value = part(call.value, first, y.extents[1]);
        next.sight.lengths = lengths;
        core.step(state, next, y);
    };
    return in_pieces(call.key.extents, call.sight.lengths, piece, step);
}

bool serves_mean(const KernelInfo &kernel, const Problem &problem) {
    const MinimumExtents &m = kernel.minimum;
    return computes_mean(kernel, problem) && std::min(problem.shape.seq, source_count(problem)) >= m.seq &&
           problem.shape.batch >= m.batch && problem.config.projected >= m.projected &&
           problem.config.window >= m.window;
}

std::vector<Problem> quick_problems(std::vector<Problem> problems) {
#ifdef AFT_TEST_API
    constexpr std::int64_t most_products = 20'000;  // of sources and channels for each target
    std::size_t large = 0;
    const auto is_left_out = [&](const Problem &problem) {
        const auto [batch, targets] = problem.shape;
        const std::int64_t sources = problem.sources ? problem.sources : targets;
        return batch * targets * sources * problem.config.projected > most_products && large++ % 8 != 0;
    };
    if (!std::getenv("AFT_LONG_TESTS")) {
        problems.erase(std::remove_if(problems.begin(), problems.end(), is_left_out), problems.end());
    }
#endif
    return problems;
}

bool runs_here(const KernelInfo &kernel) {
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

bool is_tested(const KernelInfo &kernel) {
    return kernel.operation == "forward" && runs_here(kernel);
}

bool can_run(const KernelInfo &kernel, const Problem &problem) {
    return judge(kernel, problem).fit != Fit::none;
}

bool runs_by_default(const KernelInfo &kernel) {
    return is_tested(kernel) && (kernel.minimum.seq <= 256 || std::getenv("AFT_LONG_TESTS"));
}

#ifdef _WIN32  // which has no empty variables
static int setenv(const char *name, const char *value, int) {
    return _putenv_s(name, value);
}
static int unsetenv(const char *name) {
    return setenv(name, "", 1);
}
#endif

Environment::Environment(const char *name, const std::string &value) : name_(name) {
    setenv(name, value.c_str(), 1);
}

Environment::~Environment() {
    unsetenv(name_);
}

}  // namespace aft
