#include "derived.h"

#include <cmath>
#include <cstdio>
#include <limits>

using namespace Halide;

namespace aft::derived {

namespace {

constexpr int size = 4;
const Var x("x"), u("u");

/// y(x) made of in(x) = x + 1/2 for x = 0..3, and the gradient of the sum of all y.
struct Construct {
    const char *name, *outcome;  // right, wrong, or error
    std::function<Expr(Func in)> y;
    std::vector<double> gradient;
};

Expr maximum_of(Func in) {
    Func m("m");
    m() = -1e30f;
    m() = max(m(), in(RDom(0, size)));
    return in(x)-m();
}

Expr sum_up_to_x(Func in, bool by_where) {
    RDom r(0, size);
    Func f("f");
    if (by_where) {
        r.where(r <= x);
    }
    f(x) += by_where ? in(r) : select(r <= x, in(r), 0.0f);
    return f(x);
}

Expr prefix_sum(Func in) {
    const RDom r(1, size - 1);
    Func p("p");
    p(x) = in(x);
    p(r) += p(r - 1);
    return p(x);
}

Expr tuple(const Expr &first, const Expr &second) {
    Func f("f");
    f(x) = Tuple(first * 2.0f, second * 3.0f);
    return f(x)[0] + f(x)[1];
}

Expr tuple_of_sums(Func in) {
    const RDom r(0, size);
    Func f("f");
    f() = Tuple(0.0f, 0.0f);
    f() = Tuple(f()[0] + in(r) * 2.0f, f()[1] + in(r) * 3.0f);
    return f()[0] + f()[1];
}

Expr diagonal(Func in) {
    Func f("f");
    f(x, u) = in(x)*cast<float>(u + 1);
    return f(x, x);
}

Expr neighbours(Func in) {
    const Func padded = BoundaryConditions::constant_exterior(in, 0.0f, {{0, size}});
    Func f("f");
    f(x) += padded(x + RDom(-1, 3));
    return f(x);
}

/// exp(in), and at x = 1 exp(-inf), which doesn't count.
Expr hidden(Func in) {
    Buffer<float> mask(size);
    mask.fill(0);
    mask(1) = -std::numeric_limits<float>::infinity();
    return select(x == 1, 0.0f, exp(in(x) + mask(x)));
}

Expr shared(Func in) {
    const Expr e = in(x);
    return tuple(e, e);
}

std::vector<Construct> constructs() {
    const auto mux_of = [](Func in) { return mux(x % 2, {in(x) * 2.0f, in(x) * 3.0f}); };
    const auto bits = [](Func in) { return reinterpret<float>(reinterpret<uint32_t>(in(x))); };
    const auto guarded = [](Func in) { return select(in(x) > 0.5f, 1.0f / (in(x)-0.5f), 0.0f); };
    return {
        {"maximum over an RDom", "error", maximum_of, {1, 1, 1, -3}},
        {"RDom::where with a Var", "error", [](Func in) { return sum_up_to_x(in, true); }, {4, 3, 2, 1}},
        {"Tuple, values share an Expr", "wrong", shared, {5, 5, 5, 5}},
        {"prefix sum", "wrong", prefix_sum, {4, 3, 2, 1}},
        {"mux", "wrong", mux_of, {2, 3, 2, 3}},
        {"strict_float", "wrong", [](Func in) { return strict_float(in(x) * 2.0f); }, {2, 2, 2, 2}},
        {"reinterpret", "wrong", bits, {1, 1, 1, 1}},
        {"f(x, x)", "wrong", diagonal, {1, 2, 3, 4}},
        {"Tuple, values built apart", "right", [](Func in) { return tuple(in(x), in(x)); }, {5, 5, 5, 5}},
        {"Tuple of sums", "right", tuple_of_sums, {20, 20, 20, 20}},
        {"sum of a select", "right", [](Func in) { return sum_up_to_x(in, false); }, {4, 3, 2, 1}},
        {"select that hides 1 / 0", "right", guarded, {0, -1, -1.0 / 4, -1.0 / 9}},
        {"select that hides exp(-inf)", "right", hidden, {std::exp(0.5), 0, std::exp(2.5), std::exp(3.5)}},
        {"max of two values", "right", [](Func in) { return max(in(x), in(0)); }, {2, 1, 1, 1}},
        {"clamped coordinate", "right", [](Func in) { return in(min(x, 1)); }, {1, 3, 0, 0}},
        {"constant_exterior", "right", neighbours, {2, 3, 3, 2}},
        {"division", "right", [](Func in) { return in(x) / (in(x) + 1.0f); }, {4.0 / 9, 4.0 / 25, 4.0 / 49, 4.0 / 81}}};
}

}  // namespace

bool print_constructs() {
    bool as_documented = true;
    for (const Construct &each : constructs()) {
        Buffer<float> values(size), ones(size);
        values.for_each_element([&](int i) { values(i) = i + 0.5f; });
        ones.fill(1);
        std::string outcome = "right", detail;
        try {
            Func in("in"), y("y");
            in(x) = values(x);
            y(x) = each.y(in);
            const Buffer<float> gradient = propagate_adjoints(y, ones)(in).realize({size});
            for (int i = 0; i < size; ++i) {
                outcome = std::abs(gradient(i) - each.gradient[i]) <= 1e-5 ? outcome : "wrong";
                detail += " " + std::to_string(gradient(i));
            }
        } catch (const Error &error) {
            outcome = "error", detail = std::string(" ") + error.what();
        }
        std::printf("%-28s %s%s\n", each.name, outcome.c_str(), outcome == "right" ? "" : detail.c_str());
        if (outcome != each.outcome) {
            as_documented = false;
            std::printf("    docs/derived-gradients.md says: %s\n", each.outcome);
        }
    }
    return as_documented;
}

}  // namespace aft::derived
