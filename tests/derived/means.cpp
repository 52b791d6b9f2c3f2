#include "derived.h"

#include "generators/algorithms/means/joint.h"
#include "generators/algorithms/means/means.h"
#include "generators/algorithms/means/pooled.h"
#include "generators/algorithms/recurrent.h"
#include "generators/forms/flat.h"
#include "generators/schedules/tiles.h"

using namespace Halide;

namespace aft::derived {

namespace {

const Var channel("channel"), row("row"), batch("batch"), source("source");

Func everywhere(const Expr &value, const std::vector<Var> &vars) {
    Func f;
    f(vars) = value;
    return f;
}

/// The operands as Funcs, which Halide differentiates with respect to.
struct Operands {
    int P, T, B, window;
    Func k, v, w;

    explicit Operands(const Mean &mean)
        : P(mean.k.dim(0).extent()), T(mean.k.dim(1).extent()), B(mean.k.dim(2).extent()), window(mean.window),
          k(everywhere(mean.k(channel, row, batch), {channel, row, batch})),
          v(everywhere(mean.v(channel, row, batch), {channel, row, batch})),
          w(everywhere(mean.w(source, row), {source, row})) {}
};

GradientFuncs derive(const Mean &mean, const Operands &of, const Func &y) {
    const Derivative d = propagate_adjoints(y, mean.dy);
    GradientFuncs gradients = {d(of.k), d(of.v)};
    if (mean.has_bias) {
        gradients.push_back(d(of.w));
    }
    return gradients;
}

// ---- the algorithms of the library: the mean at (channel, row, batch)

template<template<typename> class Algorithm>
Expr layer_mean(Flat &form, const Operands &of) {
    LayerInputs in;
    in.batch = of.B, in.seq = in.max_seq_len = of.T, in.projected = of.P, in.window = of.window;
    in.bv = everywhere(0.0f, {channel});
    PreparedFuncs prepared;
    for (const PreparedParameter &parameter : Algorithm<Flat>::prepared()) {
        prepared[parameter.name] = Func(parameter.name);
    }
    for (const Func &maximum : Algorithm<Flat>::prepare(form, prepared, {of.w, of.T, of.window})) {
        form.stages.push_back(maximum);
    }
    return Algorithm<Flat>(form, in, {{{of.k, of.v}}}, prepared)({channel, row, batch});
}

template<template<typename> class Algorithm, bool has_pairs, bool is_causal = false>
Expr core_mean(Flat &form, const Operands &of) {
    CoreInputs in;
    in.batch = of.B, in.targets = in.sources = of.T, in.projected = of.P;
    in.k = of.k, in.v = of.v, in.bias = everywhere(of.w(source, row), {source, row, batch});
    in.mask = everywhere(cast<uint8_t>(1),
                         has_pairs ? std::vector<Var>{source, row, batch} : std::vector<Var>{source, batch});
    in.bias_scale = everywhere(1.0f, {batch}), in.lengths = everywhere(of.T, {batch});
    in.offset = everywhere(is_causal ? 0 : of.T, {batch});
    return Algorithm<Flat>(form, in)({channel, row, batch});
}

Expr scan_mean(Flat &form, const Operands &of) {
    ScanInputs in;
    in.batch = of.B, in.seq = of.T, in.channels = of.P, in.k = of.k, in.v = of.v;
    in.mask = everywhere(cast<uint8_t>(1), {row, batch}), in.rows = everywhere(of.T, {batch});
    in.state = everywhere(0.0f, {channel, row, batch});
    in.decay = in.bonus = everywhere(0.0f, {channel});
    return Recurrent(form, in, in.sources(form)).mean(in, channel, row, batch);
}

/// Puts values in the place of the maxima.
void replace_maxima(const Flat &form, const Operands &of, const Func &y) {
    for (Func maximum : form.stages) {
        const int dimensions = maximum.dimensions();
        if (maximum.name().find("maximum") == std::string::npos || maximum.outputs() > 1) {
            continue;
        }
        std::vector<int> extents = {of.P, of.B, (of.T + 63) / 64};  // Flat has chunks of 64 rows
        extents.resize(dimensions);
        const Buffer<float> values = maximum.realize(dimensions == 1 ? std::vector<int>{of.T} : extents);
        const Func replacement = everywhere(values(as_exprs(maximum.args())), maximum.args());
        for (auto &[name, function] : Internal::find_transitive_calls(y.function())) {
            Internal::Function(function).substitute_calls(maximum.function(), replacement.function());
        }
    }
}

using MeanOf = Expr (*)(Flat &form, const Operands &of);

Algorithm algorithm(const char *name, const char *form_name, MeanOf mean_of) {
    return {name, form_name, [mean_of](const Mean &mean, bool maxima_are_values) {
                const Operands of(mean);
                Flat form(1, whole_window);
                const Func y = everywhere(mean_of(form, of), {channel, row, batch});
                if (maxima_are_values) {
                    replace_maxima(form, of, y);
                }
                return derive(mean, of, y);
            }};
}

// ---- the definition

struct Definition {
    Func exp_key{"exp_key"}, exp_value{"exp_value"}, weight{"weight"}, n{"n"}, d{"d"}, y{"y"};
    bool has_pairs;
    RDom each;  // row
    Expr has_parameter;

    Definition(const Mean &mean, const Operands &of)
        : has_pairs(mean.has_bias || mean.is_causal), each(0, of.T, "each"),
          has_parameter(!mean.has_window || abs(source - row) < of.window) {
        exp_key(channel, row, batch) = exp(of.k(channel, row, batch));
        exp_value(channel, row, batch) = exp_key(channel, row, batch) * of.v(channel, row, batch);
        const Expr exp_bias = exp(select(has_parameter, of.w(source, row), 0.0f));
        weight(source, row) = select(!mean.is_causal || source <= row, exp_bias, 0.0f);
        add(n, weight(each, row), exp_value);
        add(d, weight(each, row), exp_key);
        y(channel, row, batch) = at_row(n) / at_row(d);
    }
    /// sum = the sum over all rows of factor times term. Without pairs, all factors are 1.
    void add(Func sum, const Expr &factor, const Func &term) const {
        if (has_pairs) {
            sum(channel, row, batch) += factor * term(channel, each, batch);
        } else {
            sum(channel, batch) += term(channel, each, batch);
        }
    }
    Expr at_row(const Func &sum) const {
        return has_pairs ? sum(channel, row, batch) : sum(channel, batch);
    }
};

void schedule_naively(const GradientFuncs &gradients) {
    const int vector = get_host_target().natural_vector_size<float>();
    std::vector<Internal::Function> outputs;
    for (const Func &gradient : gradients) {
        outputs.push_back(gradient.function());
    }
    for (const auto &[name, function] : Internal::build_environment(outputs)) {
        Func f(function);
        f.compute_root();
        for (int update = -1; f.dimensions() > 0 && update < f.num_update_definitions(); ++update) {
            const Expr first = update < 0 ? Expr(f.args()[0]) : f.update_args(update)[0];
            const auto *variable = first.as<Internal::Variable>();
            if (variable && !variable->reduction_domain.defined()) {
                (update < 0 ? Stage(f) : f.update(update))
                    .vectorize(Var(variable->name), vector, TailStrategy::GuardWithIf);
            }
        }
    }
}

}  // namespace

std::vector<Algorithm> library_algorithms() {
    return {algorithm("Softmax", "simple", layer_mean<Softmax>),
            algorithm("Pooled", "simple", core_mean<Pooled, false>),
            algorithm("Dense", "full", layer_mean<Dense>),
            algorithm("Joint", "full", core_mean<Joint, true>),
            algorithm("Banded", "local", layer_mean<Banded>),
            algorithm("Joint", "causal_full", core_mean<Joint, true, true>),
            algorithm("Recurrent", "causal_simple", scan_mean)};
}

GradientFuncs derived_from_definition(const Mean &mean) {
    const Operands of(mean);
    return derive(mean, of, Definition(mean, of).y);
}

GradientFuncs written_formulas(const Mean &mean) {
    const Operands of(mean);
    const Definition by(mean, of);
    Func a("a"), b("b"), sum_a("sum_a"), sum_b("sum_b"), key("key"), value("value"), bias("bias"), pairs("pairs");
    a(channel, row, batch) = mean.dy(channel, row, batch) / by.at_row(by.d);
    b(channel, row, batch) = a(channel, row, batch) * by.y(channel, row, batch);
    by.add(sum_a, by.weight(row, by.each), a);
    by.add(sum_b, by.weight(row, by.each), b);
    value(channel, row, batch) = by.exp_key(channel, row, batch) * by.at_row(sum_a);
    key(channel, row, batch) =
        by.exp_value(channel, row, batch) * by.at_row(sum_a) - by.exp_key(channel, row, batch) * by.at_row(sum_b);
    if (!mean.has_bias) {
        return {key, value};
    }
    const RDom term(0, of.P, 0, of.B, "term");
    pairs(source, row) += a(term.x, row, term.y) * by.exp_value(term.x, source, term.y) -
                          b(term.x, row, term.y) * by.exp_key(term.x, source, term.y);
    bias(source, row) = select(by.has_parameter, by.weight(source, row) * pairs(source, row), 0.0f);
    return {key, value, bias};
}

Compiled::Compiled(const Mean &mean, const GradientFuncs &gradients, const std::string &schedule)
    : pipeline_(gradients) {
    for (Func gradient : gradients) {
        results.push_back(Buffer<float>::make_with_shape_of(gradient.dimensions() == 2 ? mean.w : mean.k));
        for (int i = 0; i < gradient.dimensions(); ++i) {
            gradient.set_estimate(gradient.args()[i], 0, results.back().dim(i).extent());
        }
    }
    if (schedule == "naive") {
        schedule_naively(gradients);
    } else {
        pipeline_.apply_autoscheduler(get_host_target(), {schedule, {{"parallelism", "1"}}});
    }
    pipeline_.compile_jit(get_host_target());
}

void Compiled::run() {
    pipeline_.realize(Realization(std::vector<Buffer<>>(results.begin(), results.end())));
}

}  // namespace aft::derived
