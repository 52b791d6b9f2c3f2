#pragma once

#include <aft/config.h>
#include <aft/safetensors.h>

#include <string>
#include <vector>

namespace aft {

/// A case of tests/data, whose README has the format.
struct Golden {
    std::string name, path;
    SafetensorsFile file;

    const std::string &metadata(const std::string &key) const {
        return file.metadata.at(key);
    }
    bool has(const std::string &tensor) const {
        return file.tensors.count(tensor) != 0;
    }
    std::vector<float> floats(const std::string &tensor) const {
        return file.tensors.at(tensor).as_float();
    }
    std::vector<double> doubles(const std::string &tensor) const {
        return file.tensors.at(tensor).as_double();
    }
    std::int64_t extent(const std::string &key) const {
        return std::stoll(metadata(key));
    }
};

std::vector<Golden> goldens();

/// The case with a name.
Golden golden_named(const std::string &name);

/// Those that a Layer can compute: aft-pytorch's tensor names and finite values, not causal, and no sum that overflows
/// float32.
std::vector<Golden> layer_goldens();

LayerConfig config_of(const Golden &golden);
Shape shape_of(const Golden &golden);

/// Largest error of y, in what a layer may be off: 1e-5 of the largest output, or where the case knows the terms,
/// 4e-6 of sigmoid(q) sum p |v|, and 2^-126 where they are subnormal. Right when <= 1; infinite for what isn't a
/// number.
double golden_error(const Golden &golden, const std::vector<float> &y);

}  // namespace aft
