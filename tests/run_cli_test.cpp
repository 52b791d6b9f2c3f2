#include "command_line.h"
#include "golden.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

using namespace aft;

namespace {

bool is_causal(const Golden &golden) {
    return golden.metadata("causal") == "true";
}

std::string form_arguments(const Golden &golden, const std::string &window) {
    const std::string &layer = golden.metadata("layer");
    return " --layer " + layer + (is_causal(golden) && layer != "wkv" ? " --causal" : "") +
           (layer == "local" ? window : "");
}

/// Arguments for the layer of a case.
std::string layer_arguments(const Golden &golden) {
    const std::string at = golden.path + ":", window = " --window " + golden.metadata("window");
    const std::string inputs = golden.has("input") ? " --input " + at + "input"
                                                   : " --input " + at + "input_query --key-input " + at +
                                                         "input_key --value-input " + at + "input_value";
    return "run " + golden.path + form_arguments(golden, golden.has("local_mask") ? "" : window) + inputs +
           (golden.metadata("layout") == "TBC" ? " --time-major" : "");
}

/// Arguments for the core of a case, without a gate.
std::string core_arguments(const Golden &golden) {
    const std::string at = golden.path + ":";
    if (golden.metadata("format") == "wkv") {
        return "run --core --layer wkv --key " + at + "k --value " + at + "v --log-decay " + at +
               "time_decay --bonus " + at + "time_first";
    }
    return "run --core" + form_arguments(golden, " --window " + golden.metadata("window")) + " --key " + at +
           "k --value " + at + "v" + (golden.has("w") ? " --position-bias " + at + "w" : "");
}

std::vector<float> output(const std::string &arguments, const std::vector<std::int64_t> &extents) {
    const Folder folder;
    INFO(arguments);
    const Outcome outcome = aft_cli(arguments + " --output " + (folder / "y"));
    INFO(outcome.err);
    REQUIRE(outcome.exit_code == 0);
    CHECK(outcome.err.empty());
    const StoredTensor y = read_safetensors(folder / "y").tensors.at("output");
    CHECK(y.extents == extents);
    return y.as_float();
}

/// y is NaN where it must be, and elsewhere off by 4e-6 of the terms' sizes, or 2^-126 where they are subnormal.
void check_near(const std::vector<float> &y, const std::vector<double> &expected, const std::vector<double> &size) {
    REQUIRE(y.size() == expected.size());
    double largest = 0;
    std::size_t numbers = 0;  // where NaN must be
    for (std::size_t i = 0; i < y.size(); ++i) {
        if (std::isnan(expected[i])) {
            numbers += !std::isnan(y[i]);
        } else {
            const double error = std::abs(y[i] - expected[i]) / (4e-6 * size[i] + std::numeric_limits<float>::min());
            largest = error <= largest ? largest : std::isnan(error) ? INFINITY : error;
        }
    }
    CHECK(largest <= 1);
    CHECK(numbers == 0);
}

void check_core(const Golden &golden, const std::string &more = "") {
    const std::vector<std::int64_t> &extents = golden.file.tensors.at(golden.has("q") ? "q" : "k").extents;
    if (golden.metadata("format") == "wkv") {
        const std::vector<double> expected = golden.doubles("output_f64");
        double largest = 0;
        for (const double value : expected) {
            largest = std::max(largest, std::abs(value));
        }
        check_near(output(core_arguments(golden) + more, extents), expected,
                   std::vector<double>(expected.size(), largest));
        return;
    }
    const std::vector<float> query = golden.floats("q");
    const std::vector<double> mean = golden.doubles("A_f64"), size = golden.doubles("A_abs_f64");
    if (golden.file.tensors.at("q").extents == golden.file.tensors.at("k").extents) {
        check_near(output(core_arguments(golden) + more, extents), mean, size);
    }
    const std::pair<std::string, double (*)(double)> gates[] = {
        {"", [](double q) { return 1 / (1 + std::exp(-q)); }},
        {" --gate sigmoid", [](double q) { return 1 / (1 + std::exp(-q)); }},
        {" --gate tanh", [](double q) { return std::tanh(q); }},
        {" --gate identity", [](double q) { return q; }},
    };
    for (const auto &[argument, gate] : gates) {
        std::vector<double> gated = mean, gated_size = size;
        for (std::size_t i = 0; i < gated.size(); ++i) {
            gated[i] *= gate(query[i]);
            gated_size[i] *= std::abs(gate(query[i]));
        }
        const std::string with_query = core_arguments(golden) + " --query " + golden.path + ":q" + argument + more;
        check_near(output(with_query, extents), gated, gated_size);
    }
}

bool overflows(const Golden &golden) {
    return golden.name == "adv_hugeV_max";  // sums above FLT_MAX
}

}  // namespace

TEST_CASE("aft run computes the layer of every golden case", "[cli]") {
    for (const Golden &golden : goldens()) {
        if ((!golden.has("input") && !golden.has("input_query")) || overflows(golden)) {
            continue;
        }
        INFO(golden.name);
        const std::string arguments = layer_arguments(golden);
        const std::vector<std::int64_t> &extents = golden.file.tensors.at("output").extents;
        CHECK(golden_error(golden, output(arguments, extents)) <= 1);
        if (is_causal(golden) && golden.has("input")) {
            for (const std::string piece : {"1", "7", "1000"}) {
                CHECK(golden_error(golden, output(arguments + " --stream " + piece, extents)) <= 1);
            }
        }
        if (golden.has("mask")) {  // which is causal where the case is
            std::string masked = arguments + " --mask " + golden.path + ":mask";
            CHECK(golden_error(golden, output(masked, extents)) <= 1);
            if (is_causal(golden)) {
                masked.erase(masked.find(" --causal"), 9);
            }
            CHECK(golden_error(golden, output(masked, extents)) <= 1);
        }
    }
}

TEST_CASE("aft run computes the core of every golden case with every gate", "[cli]") {
    for (const Golden &golden : goldens()) {
        if (!golden.has("k") || overflows(golden)) {
            continue;
        }
        INFO(golden.name);
        check_core(golden);
        if (is_causal(golden)) {
            check_core(golden, " --stream 1");
            check_core(golden, " --stream 9");
        }
    }
}

TEST_CASE("aft run scales a position bias of the call, and takes it for simple and full too", "[cli]") {
    const Folder inputs;
    const Golden golden = golden_named("rect_persample");
    SafetensorsFile half;
    std::vector<float> w = golden.floats("w");
    for (float &value : w) {
        value /= -2;
    }
    half.tensors["position_bias"] = stored_tensor(golden.file.tensors.at("w").extents, w);
    write_safetensors(inputs / "w", half);
    const std::vector<float> query = golden.floats("q");
    const std::string tensors = " --query " + golden.path + ":q --key " + golden.path + ":k --value " + golden.path +
                                ":v --position-bias " + (inputs / "w") + " --bias-scale -2";
    for (const std::string layer : {"given", "full", "simple"}) {
        check_near(output("run --core --layer " + layer + tensors, golden.file.tensors.at("q").extents),
                   golden.doubles("gated_f64"), golden.doubles("A_abs_f64"));
    }
}

TEST_CASE("aft run takes lengths: what lies behind them has no effect, and its rows are 0", "[cli]") {
    const Folder inputs;
    const Golden golden = golden_named("own_causal_simple");
    const std::vector<std::int64_t> extents = golden.file.tensors.at("input").extents;
    const std::int64_t T = extents[1], H = extents[2];
    const std::vector<std::int64_t> lengths = {5, T};
    std::vector<float> x = golden.floats("input");
    const std::vector<float> whole = x;
    std::fill(x.begin() + 5 * H, x.begin() + T * H, NAN);
    SafetensorsFile file;
    file.tensors["input"] = stored_tensor(extents, x);
    for (const std::string dtype : {"I64", "I32"}) {
        std::vector<std::byte> bytes(dtype == "I64" ? 16 : 8);
        const std::vector<std::int32_t> narrow(lengths.begin(), lengths.end());
        std::memcpy(bytes.data(), dtype == "I64" ? static_cast<const void *>(lengths.data()) : narrow.data(),
                    bytes.size());
        file.tensors["lengths"] = {dtype, {2}, bytes};
        write_safetensors(inputs / "x", file);
        for (const std::string layer : {"simple", "causal_simple", "causal_simple --stream 3"}) {
            INFO(dtype << " " << layer);
            const std::string model = "run " + golden.path + " --layer " + layer;
            const std::vector<float> y =
                output(model + " --input " + (inputs / "x") + " --lengths " + (inputs / "x") + ":lengths", extents);
            for (const std::int64_t b : {0, 1}) {
                SafetensorsFile alone;
                alone.tensors["input"] = stored_tensor({lengths[b], H}, {whole.begin() + b * T * H,
                                                                         whole.begin() + (b * T + lengths[b]) * H});
                write_safetensors(inputs / "alone", alone);
                const std::vector<float> expected = output(model + " --input " + (inputs / "alone"), {lengths[b], H});
                for (std::int64_t i = 0; i < T * H; ++i) {
                    const double value = i < lengths[b] * H ? expected[i] : 0;
                    CHECK(std::abs(y[b * T * H + i] - value) <= 1e-5 * std::abs(value) + (value == 0 ? 0 : 1e-6));
                }
            }
        }
    }
}

TEST_CASE("aft run has weights in int8 where it is asked to, and refuses them for a core", "[cli][int8]") {
    const Golden golden = golden_named("adv_tinyD_global");
    const std::vector<std::int64_t> extents = golden.file.tensors.at("input").extents;
    const std::vector<float> y = output(layer_arguments(golden) + " --storage int8", extents);
    const std::vector<float> exact = output(layer_arguments(golden), extents);
    float largest = 0, error = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
        largest = std::max(largest, std::abs(exact[i]));
        error = std::max(error, std::abs(y[i] - exact[i]));
    }
    CHECK(error <= 0.05f * largest);
    CHECK(error > 0);
    const std::string at = golden.path + ":input";
    const Outcome core =
        aft_cli("run --core --layer simple --key " + at + " --value " + at + " --storage int8 --output /dev/null");
    CHECK(core.exit_code == 2);
    CHECK(core.err == "aft: storage 'int8' is for the weights of projections, and a core has none\n");
}

TEST_CASE("a mask may have the extents m, n by m, or B by n by m", "[cli]") {
    const Folder inputs;
    const Golden golden = golden_named("own_causal_simple");
    const std::vector<std::int64_t> extents = golden.file.tensors.at("input").extents;
    const std::int64_t B = extents[0], T = extents[1];
    std::vector<std::byte> row(T, std::byte{1});
    row[1] = row[4] = std::byte{0};
    const auto repeated = [&](std::int64_t count) {
        std::vector<std::byte> bytes;
        for (std::int64_t i = 0; i < count; ++i) {
            bytes.insert(bytes.end(), row.begin(), row.end());
        }
        return bytes;
    };
    const std::string run =
        "run " + golden.path + " --layer simple --input " + golden.path + " --mask " + (inputs / "m");
    std::vector<float> expected;
    for (const std::vector<std::int64_t> &shape :
         {std::vector<std::int64_t>{T}, {1, T}, {T, T}, {1, 1, T}, {B, 1, T}, {1, T, T}, {B, T, T}}) {
        std::int64_t count = 1;
        for (const std::int64_t extent : shape) {
            count *= extent;
        }
        SafetensorsFile file;
        file.tensors["mask"] = {"BOOL", shape, repeated(count / T)};
        write_safetensors(inputs / "m", file);
        const std::vector<float> y = output(run, extents);
        expected = expected.empty() ? y : expected;
        for (std::size_t i = 0; i < y.size(); ++i) {
            CHECK(std::abs(y[i] - expected[i]) <= 1e-5 * std::abs(expected[i]) + 1e-6);
        }
    }
    const std::vector<float> unmasked = output(run.substr(0, run.find(" --mask")), extents);
    CHECK(expected != unmasked);
    const Folder folder;
    for (const std::vector<std::int64_t> &shape :
         {std::vector<std::int64_t>{T - 1}, {B, T}, {B, T, T + 1}, {1, 1, 1, T}}) {
        SafetensorsFile file;
        std::int64_t count = 1;
        for (const std::int64_t extent : shape) {
            count *= extent;
        }
        file.tensors["mask"] = {"BOOL", shape, std::vector<std::byte>(count)};
        write_safetensors(inputs / "m", file);
        check_refused(run + " --output " + (folder / "y"), "must be BOOL [m], [n, m] or [B, n, m] with B = 2, n = 21",
                      folder);
    }
    SafetensorsFile file;
    file.tensors["mask"] = stored_tensor({T}, std::vector<float>(T));
    write_safetensors(inputs / "m", file);
    check_refused(run + " --output " + (folder / "y"), "is F32 [21], must be BOOL", folder);
}

TEST_CASE("options of aft run that don't go together are refused", "[cli]") {
    const Folder folder;
    const Golden full = golden_named("own_causal_full"), core = golden_named("rect_persample"),
                 wkv = golden_named("wkv_decay"), simple = golden_named("own_causal_simple");
    const std::string out = " --output " + (folder / "y"), io = " --input " + full.path + out,
                      model = "run " + full.path;
    const std::string kv = " --key " + core.path + ":k --value " + core.path + ":v",
                      w = " --position-bias " + core.path + ":w", q = " --query " + core.path + ":q";
    const auto check = [&](const std::string &arguments, const std::string &word) {
        check_refused(arguments, word, folder);
    };
    check("run --layer full" + io, "a model is needed");
    check(model + " --layer full" + out, "--input");
    check(model + " --layer causal_full --causal" + io, "is causal: leave out --causal");
    check(model + " --layer wkv --causal" + io, "is causal: leave out --causal");
    check(model + " --layer full --gate relu" + io, "relu");
    check(model + " --layer full --gate none" + io + " --naming aft-pytorch --stream 4", "isn't causal");
    check(model + " --layer full --causal --stream 0" + io, "--stream");
    check(model + " --layer full --causal --stream 4 --mask " + full.path + io, "--stream has no --mask");
    check(model + " --layer full --causal --stream 4 --source " + full.path + ":input" + io,
          "--stream has no --source");
    check(model + " --layer full --causal --stream 4" + w + io, "--stream needs a position bias");
    check(model + " --layer local --window 3" + w + io, "takes no --position-bias");
    check(model + " --layer given" + io, "needs --position-bias");
    check(model + " --layer causal_given" + io, "needs --position-bias");
    check(model + " --layer full --bias-scale 2" + io, "--bias-scale needs");
    check(model + " --layer full" + w + io, "must be [n, m] or [B, n, m] with B = 2, n = 17, m = 17");
    check(model + " --layer full --key-input " + full.path + ":input" + io, "go together");
    check(model + " --layer full --source " + full.path + ":input --key-input " + full.path + ":input" + io,
          "--source");
    check(model + " --layer full --key " + full.path + io, "--core");
    check(model + " --core --layer full" + kv + w + out, "--core");
    check("run --core --layer full --naming labml-nn" + kv + w + out, "--naming");
    check("run --core --layer full --input " + full.path + kv + w + out, "--input");
    check("run --core --layer full" + kv + out, "needs --position-bias");
    check("run --core --layer simple --key " + core.path + ":k" + out, "needs --key and --value");
    check("run --core --layer local" + kv + w + out, "needs --window");
    check("run --core --layer local --window 2" + kv + w + out, "must be [S, S]");
    check("run --core --layer conv" + kv + w + out, "must be [heads, window]");
    check("run --core --layer wkv" + kv + out, "--bonus");
    check("run --core --layer simple" + kv + " --bonus " + wkv.path + ":time_first" + out, "no decay and no bonus");
    check("run --core --layer wkv" + kv + " --log-decay " + wkv.path + ":time_decay --bonus " + wkv.path +
              ":time_first" + out,
          "must be [4]");
    check("run --core --layer wkv" + kv + " --log-decay " + wkv.path + ":time_decay --decay " + wkv.path +
              ":time_decay --bonus " + wkv.path + ":time_first" + out,
          "decay");
    check("run --core --layer given --gate tanh" + kv + w + out, "--gate tanh needs --query");
    check("run --core --layer given --gate none" + kv + w + q + out, "--gate none has no --query");
    check("run --core --layer given" + kv + w + q + " --lengths " + core.path + ":w" + out, "must be I64 or I32 [B]");
    check("run --core --layer given" + kv + w + q + " --lengths " + core.path + ":nothing" + out, "nothing");
    check("run --core --layer given" + kv + q + " --position-bias " + core.path + ":k" + out, "must be [n, m]");
    check("run --core --layer simple --key " + core.path + ":k --value " + core.path + ":w" + out, "value");
    check("run --core --layer simple" + kv + " --output " + core.path, "would replace");
}

TEST_CASE("a layer with LiftFeat's names runs once its gate is known", "[cli]") {
    const Folder folder, inputs;
    const Golden golden = golden_named("aftp_simple_k40");
    SafetensorsFile file;
    const std::pair<std::string, std::string> renamed[] = {{"to_q", "query"},
                                                           {"to_k", "key"},
                                                           {"to_v", "value"},
                                                           {"project", "proj"}};
    for (const auto &[from, to] : renamed) {
        for (const std::string part : {".weight", ".bias"}) {
            file.tensors[to + part] = golden.file.tensors.at(from + part);
        }
    }
    write_safetensors(inputs / "model", file);
    const std::string run = "run " + (inputs / "model") + " --layer simple --input " + golden.path;
    check_refused(run + " --output " + (folder / "y"),
                  "fits featurebooster (gate sigmoid) and liftfeat (gate identity): choose one by naming or gate",
                  folder);
    const std::vector<std::int64_t> &extents = golden.file.tensors.at("output").extents;
    CHECK(golden_error(golden, output(run + " --naming featurebooster", extents)) <= 1);
    CHECK(golden_error(golden, output(run + " --gate sigmoid", extents)) <= 1);
    const std::vector<float> liftfeat = output(run + " --naming liftfeat", extents);
    CHECK(liftfeat == output(run + " --gate identity", extents));
    CHECK(golden_error(golden, liftfeat) > 1);
    CHECK(output(run + " --naming liftfeat --gate none", extents) != liftfeat);
}
