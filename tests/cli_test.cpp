#include "command_line.h"
#include "golden.h"
#include "kernels/selector.h"
#include "run.h"

#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

using namespace aft;

namespace {

std::string run_arguments(const Golden &golden, const std::string &output) {
    std::string text = "run " + golden.path + " --layer " + golden.metadata("layer");
    if (golden.metadata("layer") == "local") {
        text += " --window " + golden.metadata("window");
    }
    return text + " --input " + golden.path + ":input --output " + output;
}

void check_output(const Golden &golden, const std::string &path) {
    const StoredTensor y = read_safetensors(path).tensors.at("output");
    CHECK(y.extents == golden.file.tensors.at("input").extents);
    CHECK(golden_error(golden, y.as_float()) <= 1);
}

}  // namespace

TEST_CASE("aft run gives the golden outputs", "[cli]") {
    const Folder folder;
    for (const Golden &golden : layer_goldens()) {
        INFO(golden.name);
        const std::string output = folder / golden.name;
        const Outcome outcome = aft_cli(run_arguments(golden, output + ":output"));
        INFO(outcome.err);
        REQUIRE(outcome.exit_code == 0);
        CHECK(outcome.err.empty());
        check_output(golden, output);
    }
}

TEST_CASE("aft run writes as little as there is", "[cli]") {
    const Folder folder;
    const Golden golden = golden_named("aftp_full_small");
    const std::int64_t hidden = golden.file.tensors.at("input").extents.back();
    const std::string input = folder / "x", output = folder / "y";
    for (const std::vector<std::int64_t> &extents :
         {std::vector<std::int64_t>{0, 3, hidden}, std::vector<std::int64_t>{3, 0, hidden}, {0, hidden}}) {
        for (const std::string option : {"", " --time-major"}) {
            SafetensorsFile file;
            file.tensors["input"] = stored_tensor(extents, {});
            write_safetensors(input, file);
            const Outcome outcome =
                aft_cli("run " + golden.path + " --layer full --input " + input + " --output " + output + option);
            INFO(outcome.err);
            REQUIRE(outcome.exit_code == 0);
            const StoredTensor y = read_safetensors(output).tensors.at("output");
            CHECK(y.extents == extents);
            CHECK(y.bytes.empty());
        }
    }
}

TEST_CASE("aft run gives the golden outputs with each kernel, or exit code 2", "[cli]") {
    for (const Golden &golden : layer_goldens()) {
        for (const KernelInfo &kernel : kernels()) {
            if (!kernel.usable || kernel.operation != "forward" ||
                kernel.layer != layer_form(golden.metadata("layer")) || kernel.storage != "float32") {
                continue;
            }
            INFO(kernel.id << " on " << golden.name);
            const Folder folder;
            const std::string output = folder / "y";
            const Outcome outcome = aft_cli(run_arguments(golden, output) + " --kernel " + kernel.id);
            INFO(outcome.err);
            if (outcome.exit_code == 0) {
                check_output(golden, output);
            } else {
                CHECK(outcome.exit_code == 2);
                CHECK((!kernel.any_bias_range || kernel.minimum.seq > 1));
                CHECK(is_one_line(outcome.err));
                CHECK(folder.empty());
            }
        }
    }
}

TEST_CASE("aft run keeps the rank of its input and the name of its output", "[cli]") {
    const Folder folder;
    const Golden golden = golden_named("adv_tinyD_global");  // one sample
    SafetensorsFile file;
    const std::vector<std::int64_t> extents = golden.file.tensors.at("input").extents;
    file.tensors["row"] = stored_tensor({extents[1], extents[2]}, golden.floats("input"));
    const std::string input = folder / "x", output = folder / "y";
    write_safetensors(input, file);
    const Outcome outcome = aft_cli("run " + golden.path + " --layer full --threads 1 --input " + input +
                                    ":row --output " + output + ":there");
    INFO(outcome.err);
    REQUIRE(outcome.exit_code == 0);
    const SafetensorsFile result = read_safetensors(output);
    REQUIRE(result.tensors.count("there") == 1);
    CHECK(result.tensors.at("there").extents == std::vector<std::int64_t>{extents[1], extents[2]});
    CHECK(golden_error(golden, result.tensors.at("there").as_float()) <= 1);
}

TEST_CASE("aft run takes time-major sequences, and the window that a model holds", "[cli]") {
    const Folder folder;
    const Golden golden = golden_named("labml_nomask_short");
    const std::string output = folder / "y";
    const Outcome outcome =
        aft_cli("run " + golden.path + " --layer local --time-major --input " + golden.path + " --output " + output);
    INFO(outcome.err);
    REQUIRE(outcome.exit_code == 0);
    check_output(golden, output);
}

TEST_CASE("aft run takes one layer of a network, and an input in float64", "[cli]") {
    const Folder folder, inputs;
    const Golden golden = golden_named("aftp_simple_t1");
    SafetensorsFile network;
    for (const auto &[name, tensor] : golden.file.tensors) {
        for (const std::string block : {"blocks.0.", "blocks.1."}) {
            if (name.find("put") == std::string::npos) {  // neither input nor output
                network.tensors[block + name] = tensor;
            }
        }
    }
    const std::vector<float> input = golden.floats("input");
    const std::vector<double> widened(input.begin(), input.end());
    const auto *bytes = reinterpret_cast<const std::byte *>(widened.data());
    network.tensors["x"] = {"F64", golden.file.tensors.at("input").extents, {bytes, bytes + 8 * widened.size()}};
    const std::string model = inputs / "model", output = folder / "y";
    write_safetensors(model, network);
    const std::string arguments = "run " + model + " --layer simple --input " + model + ":x --output " + output;
    check_refused(arguments, "blocks.1.", folder);
    check_refused(arguments + " --prefix blocks.2.", "blocks.1.", folder);
    check_refused(arguments + " --prefix blocks.1. --naming labml-nn", "query.weight", folder);
    check_refused(arguments + " --naming keras", "keras", folder);
    const Outcome outcome = aft_cli(arguments + " --prefix blocks.1. --naming aft-pytorch");
    INFO(outcome.err);
    REQUIRE(outcome.exit_code == 0);
    check_output(golden, output);
}

TEST_CASE("aft run takes names of parameters, and the index of shards", "[cli]") {
    const Folder folder, inputs;
    const Golden golden = golden_named("aftp_full_small");
    SafetensorsFile shards[2];
    std::string map;
    for (const auto &[name, tensor] : golden.file.tensors) {
        const std::string renamed = name.rfind("to_q.", 0) == 0 ? "w_q" + name.substr(4) : name;
        const int shard = name == "wbias" ? 1 : 0;
        if (name.find("put") == std::string::npos) {  // neither input nor output
            shards[shard].tensors[renamed] = tensor;
            map += (map.empty() ? "\"" : ", \"") + renamed + "\": \"shard" + std::to_string(shard) + "\"";
        }
    }
    write_safetensors(inputs / "shard0", shards[0]);
    write_safetensors(inputs / "shard1", shards[1]);
    std::ofstream(inputs / "index.json") << "{\"metadata\": {}, \"weight_map\": {" << map << "}}";
    const std::string arguments = "run --map query=w_q " + (inputs / "index.json") + " --layer full --input " +
                                  golden.path + " --output " + (folder / "y");
    check_refused(arguments + " --map query=w_k", "query=w_k", folder);
    check_refused(arguments + " --map w_k", "w_k", folder);
    check_refused(arguments + " --map keys=w_k", "position_bias", folder);
    const Outcome outcome = aft_cli(arguments + " --map key=to_k");
    INFO(outcome.err);
    REQUIRE(outcome.exit_code == 0);
    check_output(golden, folder / "y");
}

TEST_CASE("aft run obeys AFT_KERNEL", "[cli]") {
    const Folder folder;
    const Golden golden = golden_named("aftp_full_small");
    setenv("AFT_KERNEL", "aft_full_cpu_nothing", 1);
    check_refused(run_arguments(golden, folder / "y"), "aft_full_cpu_nothing", folder);
    unsetenv("AFT_KERNEL");
}

TEST_CASE("aft kernels lists every kernel", "[cli]") {
    for (const std::string format : {"table", "json"}) {
        const Outcome outcome = aft_cli("kernels --format " + format);
        CHECK(outcome.exit_code == 0);
        CHECK(outcome.err.empty());
        for (const KernelInfo &kernel : kernels()) {
            INFO(kernel.id);
            CHECK(outcome.out.find(kernel.id) != std::string::npos);
        }
    }
}

TEST_CASE("every operation, algorithm, schedule and device is a kernel or has a reason why not", "[cli]") {
    const std::string table = aft_cli("kernels --missing").out, json = aft_cli("kernels --missing --format json").out;
    std::set<std::string> algorithms;
    for (const KernelInfo &kernel : kernels()) {
        algorithms.insert(kernel.operation + " " + (kernel.layer ? std::string(name(*kernel.layer)) : "none") + " " +
                          kernel.algorithm);
    }
    for (const std::string &algorithm : algorithms) {
        for (const std::string schedule :
             {"packed", "tiled", "naive", "mullapudi2016", "adams2019", "anderson2021", "li2018"}) {
            for (const std::string api : {"cpu", "cuda", "opencl", "vulkan"}) {
                INFO(algorithm << " " << schedule << " " << api);
                const bool exists = std::any_of(kernels().begin(), kernels().end(), [&](const KernelInfo &kernel) {
                    return kernel.operation + " " + (kernel.layer ? std::string(name(*kernel.layer)) : "none") + " " +
                                   kernel.algorithm ==
                               algorithm &&
                           kernel.schedule == schedule && kernel.api == api;
                });
                std::istringstream lines(table);
                std::size_t found = 0;
                for (std::string line; std::getline(lines, line);) {
                    std::istringstream words(line);
                    std::string word[6];
                    for (std::string &each : word) {
                        words >> each;
                    }
                    found += word[0] + " " + word[1] + " " + word[2] == algorithm && word[3] == schedule &&
                             word[4] == api && !word[5].empty();
                }
                CHECK(found == (exists ? 0 : 1));
            }
        }
    }
    CHECK(json.find("\"reason\": \"schedule 'tiled' can't make algorithm ") != std::string::npos);
}

TEST_CASE("aft kernels has the selector's reason for each kernel that a layer doesn't choose", "[cli]") {
    const std::string table = aft_cli("kernels").out, json = aft_cli("kernels --format json").out;
    for (const KernelInfo &kernel : kernels()) {
        INFO(kernel.id);
        const std::size_t at = table.find("\n" + kernel.id + " ") + 1;
        const std::string line = table.substr(at, table.find('\n', at) - at);
        const Judgement judgement = judge(kernel);
        CHECK(line.find(judgement.fit == Fit::automatic ? "  yes"
                        : judgement.fit == Fit::by_id   ? "  only with --storage or --kernel: " + judgement.reason
                                                        : "  no: " + judgement.reason) != std::string::npos);
        CHECK(json.find("\"algorithm\": \"" + kernel.algorithm + "\"") != std::string::npos);
    }
}

TEST_CASE("the list of kernels in JSON says what made them", "[cli]") {
    const Outcome outcome = aft_cli("kernels --format json");
    for (const char *member : {"\"aft\": \"" AFT_VERSION "\"", "\"halide\": \"21."}) {
        CHECK(outcome.out.find(member) != std::string::npos);
    }
    for (const KernelInfo &kernel : kernels()) {
        CHECK(outcome.out.find("\"target\": \"" + kernel.target + "\"") != std::string::npos);
    }
}

TEST_CASE("every command explains itself", "[cli]") {
    for (const std::string command : {"", "kernels", "devices", "run", "bench", "tune"}) {
        const Outcome outcome = aft_cli(command + " --help");
        CHECK(outcome.exit_code == 0);
        CHECK(outcome.err.empty());
        CHECK(outcome.out.find("aft " + command) != std::string::npos);
    }
}

TEST_CASE("wrong usage is refused in one line", "[cli]") {
    const Folder folder;
    const Golden golden = golden_named("aftp_full_small"), local = golden_named("aftp_local_s7");
    const std::string y = folder / "y", io = " --input " + golden.path + " --output " + y;
    check_refused("", "command", folder);
    check_refused("fly", "fly", folder);
    check_refused("kernels --format xml", "xml", folder);
    check_refused("run", "--layer", folder);
    check_refused("run --layer full" + io, "model", folder);
    check_refused("run " + golden.path + io, "--layer", folder);
    check_refused("run " + golden.path + " --layer half" + io, "half", folder);
    check_refused("run " + golden.path + " --layer full --output " + y, "--input", folder);
    check_refused("run " + golden.path + " --layer full --input " + golden.path, "--output", folder);
    check_refused("run " + golden.path + " --layer full --window 3" + io, "--window", folder);
    check_refused("run " + local.path + " --layer local --input " + local.path + " --output " + y, "--window", folder);
    check_refused("run " + golden.path + " --layer full --threads 0" + io, "thread", folder);
    check_refused(run_arguments(golden, y) + " --kernel aft_full_cpu_nothing", "aft_full_cpu_nothing", folder);
    check_refused(run_arguments(golden, y) + " --unknown", "--unknown", folder);
    check_refused("bench --shape 1,2", "1,2", folder);
    check_refused("bench --device abacus", "abacus", folder);
}

TEST_CASE("bad input is refused in one line and nothing is written", "[cli]") {
    const Folder folder, inputs;
    const Golden golden = golden_named("aftp_full_small");
    const std::string y = folder / "y", x = inputs / "x";
    const std::string run = "run " + golden.path + " --layer full --output " + y + " --input ";
    const auto write_input = [&x](const std::vector<std::int64_t> &extents) {
        std::int64_t size = 1;
        for (const std::int64_t extent : extents) {
            size *= extent;
        }
        SafetensorsFile file;
        file.tensors["input"] = stored_tensor(extents, std::vector<float>(size));
        write_safetensors(x, file);
    };
    check_refused(run + x, x, folder);  // isn't there
    check_refused(run + golden.path + ":nothing", "nothing", folder);
    check_refused(run + golden_named("labml_nomask_short").path + ":local_mask", "BOOL", folder);
    check_refused(run + golden.path + ":to_q.bias", "to_q.bias", folder);  // of rank 1
    write_input({2, 7, 9});
    check_refused(run + x, "9", folder);  // channels, not 8
    write_input({2, 8, 8});
    check_refused(run + x, "7", folder);  // positions, above the model's 7
    std::ofstream(x) << "not a safetensors file";
    check_refused(run + x, x, folder);
    write_input({2, 7, 8});
    check_refused("run " + x + " --layer full --input " + x + " --output " + y, "to_q.weight", folder);
}

TEST_CASE("an output that can't be written is a failure, told in one line", "[cli]") {
    const Folder folder;
    const Outcome outcome = aft_cli(run_arguments(golden_named("aftp_full_small"), folder / "not/there"));
    CHECK(outcome.exit_code == 1);
    CHECK(is_one_line(outcome.err));
    CHECK(outcome.out.empty());
    CHECK(folder.empty());
}
