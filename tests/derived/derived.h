#pragma once

#include "Halide.h"

#include <functional>
#include <string>
#include <vector>

// The gradients that Halide derives (propagate_adjoints) beside those that are written: docs/derived-gradients.md.
namespace aft::derived {

/// Prints what Halide derives from each construct of the algorithms. Returns whether that is as documented.
bool print_constructs();

/// A mean without a gate: its operands, and the gradient of its result.
struct Mean {
    bool has_bias, has_window, is_causal;
    int window;
    Halide::Buffer<float> k, v, dy;  // (channel, row, batch)
    Halide::Buffer<float> w;         // (source, target)
};

/// Gradients of keys and values, and of the position bias where there is one.
using GradientFuncs = std::vector<Halide::Func>;

/// An algorithm of the library, and what Halide derives from it. Maxima cancel in a mean, so they may be values that
/// Halide needn't differentiate.
struct Algorithm {
    const char *name, *form;
    std::function<GradientFuncs(const Mean &, bool maxima_are_values)> derive;
};
std::vector<Algorithm> library_algorithms();

/// Derived from the definition of a mean, with one Func for each value.
GradientFuncs derived_from_definition(const Mean &mean);
/// The formulas of docs/algorithms.md on the same Funcs.
GradientFuncs written_formulas(const Mean &mean);

/// A way to the gradients.
struct Contestant {
    std::vector<Halide::Buffer<float>> results;

    virtual ~Contestant() = default;
    virtual void run() = 0;
};

/// A pipeline with a schedule: every Func whole in memory in vectors ("naive"), or that of an autoscheduler.
class Compiled : public Contestant {
public:
    Compiled(const Mean &mean, const GradientFuncs &gradients, const std::string &schedule);
    void run() override;

private:
    Halide::Pipeline pipeline_;
};

}  // namespace aft::derived
