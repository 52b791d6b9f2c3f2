#pragma once

#include <map>
#include <string>

namespace aft {

/// The files that a checkpoint's tensors are in: `model.safetensors.index.json` of Hugging Face.
struct ShardIndex {
    std::map<std::string, std::string> shards;    // by tensor; names of files beside the index
    std::map<std::string, std::string> metadata;  // its strings
};

/// Parses {"metadata": {...}, "weight_map": {tensor: file}}. Throws WeightsError.
ShardIndex parse_index(const std::string &text);

}  // namespace aft
