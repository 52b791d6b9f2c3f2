#include "weights/tensor_file.h"

#include <utility>

namespace aft {
namespace {

std::string count_of_bytes(std::uint64_t bytes) {
    return std::to_string(bytes) + " bytes";
}

/// The header's text. Allocates only after it has checked that the file has as many bytes.
std::string header_of(const InputFile &file) {
    const auto refuse = [&file](const std::string &problem) {
        const std::string_view kind = other_kind(file);
        throw WeightsError(kind.empty() ? problem : std::string(kind));
    };
    std::uint64_t bytes = 0;
    if (file.bytes() < sizeof(bytes)) {
        refuse("has " + count_of_bytes(file.bytes()) + ", too few for a safetensors file");
    }
    file.read(0, &bytes, sizeof(bytes));
    if (bytes > max_header_bytes) {
        refuse(header_too_long(bytes));
    }
    const std::uint64_t rest = file.bytes() - sizeof(bytes);
    if (bytes > rest) {
        refuse("header has " + count_of_bytes(bytes) + ", but the file has only " + std::to_string(rest) + " for it");
    }
    std::string text = file.text(sizeof(bytes), bytes);
    if (text.empty() || text[0] != '{') {
        refuse("header doesn't start with '{'");
    }
    return text;
}

}  // namespace

TensorFile::TensorFile(std::string called, InputFile file) : called_(std::move(called)), file_(std::move(file)) {
    with_path(called_, [&] {
        const std::string text = header_of(file_);
        data_begin_ = sizeof(std::uint64_t) + text.size();
        SafetensorsHeader header = parse_header(text, file_.bytes() - data_begin_);
        metadata_ = std::move(header.metadata);
        for (SafetensorsHeader::Tensor &tensor : header.tensors) {
            tensors_[tensor.name] = std::move(tensor);
        }
    });
}

StoredTensor TensorFile::read(const SafetensorsHeader::Tensor &tensor) const {
    return with_path(called_, [&] {
        StoredTensor stored{tensor.dtype, tensor.extents, std::vector<std::byte>(tensor.bytes)};
        file_.read(data_begin_ + tensor.begin, stored.bytes.data(), stored.bytes.size());
        return stored;
    });
}

}  // namespace aft
