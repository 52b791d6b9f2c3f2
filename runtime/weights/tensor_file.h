#pragma once

#include "files/input_file.h"
#include "weights/safetensors_header.h"

#include <aft/safetensors.h>

#include <map>
#include <string>

namespace aft {

/// A safetensors file. The constructor reads its header, read() a tensor. Throws WeightsError that names the file.
class TensorFile {
public:
    /// `called`: its name in messages.
    TensorFile(std::string called, InputFile file);

    const std::map<std::string, SafetensorsHeader::Tensor> &tensors() const {
        return tensors_;
    }
    const std::map<std::string, std::string> &metadata() const {
        return metadata_;
    }
    StoredTensor read(const SafetensorsHeader::Tensor &tensor) const;

private:
    std::string called_;
    InputFile file_;
    std::uint64_t data_begin_ = 0;
    std::map<std::string, SafetensorsHeader::Tensor> tensors_;
    std::map<std::string, std::string> metadata_;
};

}  // namespace aft
