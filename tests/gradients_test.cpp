#include "reference/gradients.h"
#include "reference/problem.h"
#include "reference/random.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

using namespace aft;

namespace {

/// L = sum dy y of a problem, whose values may be changed.
class Loss {
public:
    explicit Loss(const Problem &problem)
        : problem_(problem), has_projections_(problem.config.hidden != 0), weights(make_weights(problem)),
          call(make_call(problem)), dy(Random(problem.seed + 1000).normals(value_count(), 1)) {}

    double operator()() const {
        const std::vector<double> y = output();
        double sum = 0;
        for (std::size_t i = 0; i < y.size(); ++i) {
            sum += dy[i] * y[i];
        }
        return sum;
    }
    Gradients gradients() const {
        return has_projections_ ? reference_gradients(problem_.config, weights, call.layer, dy)
                                : reference_core_gradients(problem_.config, weights, call.core, dy);
    }
    Gradients plain() const {
        return has_projections_ ? plain_gradients(problem_.config, weights, call.layer, dy)
                                : plain_core_gradients(problem_.config, weights, call.core, dy);
    }

    /// The tensor whose gradient has this name; empty where the call has none.
    std::vector<float> &values(const std::string &name) {
        if (name == "query") {
            return call.query;
        }
        if (name == "key") {
            return call.key;
        }
        if (name == "value") {
            return call.value;
        }
        if (name == "position_bias") {
            return problem_.config.form.takes_bias() ? call.position_bias : weights.position_bias;
        }
        for (auto [known, tensor] :
             {std::pair("query_weight", &weights.query_weight), std::pair("query_bias", &weights.query_bias),
              std::pair("key_weight", &weights.key_weight), std::pair("key_bias", &weights.key_bias),
              std::pair("value_weight", &weights.value_weight), std::pair("value_bias", &weights.value_bias),
              std::pair("project_weight", &weights.project_weight), std::pair("project_bias", &weights.project_bias),
              std::pair("decay", &weights.decay), std::pair("bonus", &weights.bonus)}) {
            if (name == known) {
                return *tensor;
            }
        }
        throw std::logic_error("no tensor " + name);
    }

private:
    std::vector<double> output() const {
        return (has_projections_ ? reference_layer(problem_.config, weights, call.layer)
                                 : reference_core(problem_.config, weights, call.core))
            .output;
    }
    std::size_t value_count() const {
        return output().size();
    }

    const Problem problem_;
    const bool has_projections_;

public:
    Weights weights;
    CallTensors call;
    const std::vector<float> dy;
};

/// dL/dv by central differences of double outputs. Their error is of the second order of the step, and cancels between
/// two steps. The rest is of the fourth order, below 1e-6 here.
double by_differences(const Loss &loss, float &value) {
    const float at = value;
    const auto slope = [&](float step) {
        const float above = at + step, below = at - step;
        value = above;
        const double up = loss();
        value = below;
        const double down = loss();
        value = at;
        return (up - down) / (static_cast<double>(above) - below);
    };
    const double wide = slope(0x1p-6f), narrow = slope(0x1p-7f);
    return narrow + (narrow - wide) / 3;
}

/// Small problems of every form: with and without projections, other sources, lengths, masks, gates, a bias for each
/// sample or for all.
std::vector<Problem> small_problems() {
    std::vector<Problem> problems;
    for (const NamedForm &named : named_forms) {
        for (std::int64_t i = 0; i < 8; ++i) {
            LayerForm form = named.form;
            form.gate = gates()[static_cast<std::size_t>(i) % gates().size()];
            const bool is_layer = i % 2 == 0, needs_mask_of_sources = form.varies_by_channel();
            Problem problem{{form, is_layer ? 3 : 0, 4, 6, form.has_window() ? 3 : 0}, {2, 5}};
            problem.config.heads = form.has_heads() ? 2 : 1;
            problem.sources = i % 3 == 1 && !is_running(form) ? 6 : 0;
            problem.has_lengths = i % 4 == 2;
            problem.mask = i % 4 != 3 ? Mask::none : needs_mask_of_sources ? Mask::sources : Mask::pairs_of_samples;
            problem.bias_per_sample = form.takes_bias() && i % 2 != 0;
            problem.bias_scale = form.takes_bias() && i > 3 ? -0.75f : 1;
            problem.projects_output = i != 4;
            if (!problem.projects_output) {
                problem.config.hidden = problem.config.projected;
            }
            problem.seed = static_cast<std::uint64_t>(i) + 1;
            problems.push_back(problem);
        }
    }
    return problems;
}

}  // namespace

TEST_CASE("gradients of the reference are the slopes of its outputs", "[gradients][reference]") {
    for (const Problem &problem : small_problems()) {
        INFO(describe(problem));
        Loss loss(problem);
        const Gradients gradients = loss.gradients();
        std::size_t compared = 0;
        for (const auto &[name, gradient] : gradients.all()) {
            INFO(name);
            const std::string tensor = name;
            std::vector<float> &values = loss.values(tensor);
            if (gradient->output.empty()) {
                continue;
            }
            // A bias that all samples share has its gradient sample by sample.
            const std::size_t repeats = gradient->output.size() / values.size();
            REQUIRE(gradient->output.size() == repeats * values.size());
            for (std::size_t i = 0; i < values.size(); ++i) {
                double sum = 0;
                for (std::size_t r = 0; r < repeats; ++r) {
                    sum += gradient->output[r * values.size() + i];
                }
                const double expected = std::isfinite(values[i]) ? by_differences(loss, values[i]) : 0;
                CHECK(std::abs(sum - expected) <= 1e-6 * (1 + std::abs(expected)));
                ++compared;
            }
        }
        CHECK(compared > 0);
    }
}

TEST_CASE("plain float32 gradients are within half of the tolerance", "[gradients][reference]") {
    std::vector<Problem> problems = small_problems();
    for (const std::vector<Problem> &more : {core_problems(), scan_problems()}) {
        for (const Problem &problem : more) {
            const bool is_ordinary = problem.data == Data::normal || problem.data == Data::outliers;
            if (is_ordinary && problem.shape.seq <= 33 && source_count(problem) <= 64) {
                problems.push_back(problem);
            }
        }
    }
    for (const Problem &problem : problems) {
        INFO(describe(problem));
        const Loss loss(problem);
        const Gradients gradients = loss.gradients(), plain = loss.plain();
        const auto all = gradients.all(), all_plain = plain.all();
        for (std::size_t i = 0; i < all.size(); ++i) {
            INFO(all[i].first);
            const std::vector<double> &values = all_plain[i].second->output;
            CHECK(error_in_tolerances(*all[i].second, {values.begin(), values.end()}) <= 0.5);
        }
    }
}
