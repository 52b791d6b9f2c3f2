#pragma once

#include "banded.h"
#include "dense.h"
#include "exact.h"
#include "softmax.h"

namespace aft {

// The algorithms: how the mean of the values is computed, each in a file of its own. A Mean<Form> has
//     prepared()                             the parameters that it reads beside the projections
//     Mean(form, inputs, key_value, prepared)    the stages
//     (target)                               A at an Element, the bias of the values included
//     target_sums()                          the product that has a row per target, or null
//     prepare(form, to, bias_inputs)         makes these parameters of the position bias; returns the intermediates
//     that
//                                            are needed as a whole
// and as members the stages that schedules touch.

enum class Algorithm { dense, banded, softmax, exact };

inline std::map<std::string, Algorithm> algorithm_names() {
    return {{"dense", Algorithm::dense},
            {"banded", Algorithm::banded},
            {"softmax", Algorithm::softmax},
            {"exact", Algorithm::exact}};
}

/// The layers with their own algorithms.
template<typename Form>
using AftFull = Layer<Form, Dense>;
template<typename Form>
using AftLocal = Layer<Form, Banded>;
template<typename Form>
using AftSimple = Layer<Form, Softmax>;

/// A Mean as an argument.
template<template<typename> class Mean>
struct MeanTag {
    template<typename Form>
    using In = Mean<Form>;
    template<typename Form>
    using LayerIn = Layer<Form, Mean>;
};

/// Calls f with the MeanTag of an algorithm.
template<typename F>
auto with_mean(Algorithm algorithm, const F &f) {
    switch (algorithm) {
        case Algorithm::dense: return f(MeanTag<Dense>());
        case Algorithm::banded: return f(MeanTag<Banded>());
        case Algorithm::softmax: return f(MeanTag<Softmax>());
        case Algorithm::exact: break;
    }
    return f(MeanTag<Exact>());
}

}  // namespace aft
