// Any bytes as a safetensors file: it is refused with one line, or what was read is all of it and is written again.
#include "memory_file.h"

#include "weights/safetensors_header.h"

#include <aft/error.h>
#include <aft/safetensors.h>

#include <algorithm>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    static const MemoryFile memory;
    aft::SafetensorsFile file;
    try {
        file = aft::read_safetensors(memory.with(data, size));
    } catch (const aft::WeightsError &error) {
        const std::string message = error.what();
        require(std::none_of(message.begin(), message.end(), [](unsigned char c) { return c < ' '; }));
        return 0;
    }
    aft::SafetensorsHeader header{{}, file.metadata};
    std::size_t bytes = 0;
    for (const auto &[name, tensor] : file.tensors) {
        require(aft::tensor_bytes(tensor.extents, aft::element_bytes(tensor.dtype)) == tensor.bytes.size());
        header.tensors.push_back({name, tensor.dtype, tensor.extents, tensor.bytes.size()});
        bytes += tensor.bytes.size();
    }
    const aft::SafetensorsHeader again = aft::parse_header(aft::header_text(header), bytes);
    require(bytes < size && again.metadata == file.metadata && again.tensors.size() == file.tensors.size());
    for (const auto &tensor : again.tensors) {
        const aft::StoredTensor &stored = file.tensors.at(tensor.name);
        require(tensor.dtype == stored.dtype && tensor.extents == stored.extents);
    }
    return 0;
}
