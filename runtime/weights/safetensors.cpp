#include "files/input_file.h"
#include "files/output_file.h"
#include "threads/float_environment.h"
#include "weights/parameters.h"
#include "weights/safetensors_header.h"
#include "weights/stored_tensors.h"

#include "halide/halide.h"

#include <aft/error.h>
#include <aft/safetensors.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are stored as they are in memory");

namespace aft {
namespace {

void write_file(const std::string &path, const SafetensorsFile &file) {
    SafetensorsHeader header{{}, file.metadata};
    for (const auto &[name, stored] : file.tensors) {
        const std::uint64_t element = element_bytes(stored.dtype);
        if (name == metadata_key || element == 0 || tensor_bytes(stored.extents, element) != stored.bytes.size()) {
            throw WeightsError("tensor " + in_quotes(name) + " can't be stored: " + in_quotes(stored.dtype) + " " +
                               to_string(stored.extents) + " with " + std::to_string(stored.bytes.size()) + " bytes");
        }
        header.tensors.push_back({name, stored.dtype, stored.extents, stored.bytes.size()});
    }
    // The widest elements come first, at a multiple of 8, so that every tensor is aligned.
    std::stable_sort(header.tensors.begin(), header.tensors.end(),
                     [](const auto &a, const auto &b) { return element_bytes(a.dtype) > element_bytes(b.dtype); });
    std::string text = header_text(header);
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const std::uint64_t header_bytes = text.size();
    if (header_bytes > max_header_bytes) {
        throw WeightsError(header_too_long(header_bytes));
    }
    const std::unique_ptr<OutputFile> output = OutputFile::open(path);
    output->write(&header_bytes, sizeof(header_bytes));
    output->write(text.data(), text.size());
    for (const SafetensorsHeader::Tensor &tensor : header.tensors) {
        const std::vector<std::byte> &bytes = file.tensors.at(tensor.name).bytes;
        output->write(bytes.data(), bytes.size());
    }
    output->commit();
}

/// The values of a tensor of `Stored`, each converted.
template<typename Stored, typename Convert>
auto values(const StoredTensor &tensor, Convert convert) {
    std::vector<decltype(convert(Stored()))> result(tensor.bytes.size() / sizeof(Stored));
    for (std::size_t i = 0; i < result.size(); ++i) {
        Stored stored;
        std::memcpy(&stored, &tensor.bytes[i * sizeof stored], sizeof stored);
        result[i] = convert(stored);
    }
    return result;
}

float from_bfloat16(std::uint16_t bits) {
    const std::uint32_t widened = std::uint32_t{bits} << 16;
    float value;
    std::memcpy(&value, &widened, sizeof value);
    return value;
}

/// The upper half of a float16.
float from_e5m2(std::uint8_t bits) {
    return halide_float16_bits_to_float(static_cast<std::uint16_t>(bits << 8));
}

/// OCP's e4m3fn: 1.fraction 2^(exponent - 7), 0.fraction 2^-6, no infinities, and NaN where all bits but the sign are
/// set.
float from_e4m3(std::uint8_t bits) {
    const int exponent = bits >> 3 & 15, fraction = bits & 7;
    const float magnitude =
        exponent == 15 && fraction == 7
            ? std::numeric_limits<float>::quiet_NaN()
            : std::ldexp(static_cast<float>(exponent > 0 ? 8 + fraction : fraction), std::max(exponent, 1) - 10);
    return std::copysign(magnitude, bits & 0x80 ? -1.0f : 1.0f);
}

}  // namespace

std::vector<float> StoredTensor::as_float() const {
    const FloatEnvironment during;
    if (dtype == "F32") {
        return values<float>(*this, [](float value) { return value; });
    }
    if (dtype == "F16") {
        return values<std::uint16_t>(*this, halide_float16_bits_to_float);
    }
    if (dtype == "BF16") {
        return values<std::uint16_t>(*this, from_bfloat16);
    }
    if (dtype == "F64") {
        return values<double>(*this, [](double value) { return static_cast<float>(value); });
    }
    if (dtype == "F8_E4M3") {
        return values<std::uint8_t>(*this, from_e4m3);
    }
    if (dtype == "F8_E5M2") {
        return values<std::uint8_t>(*this, from_e5m2);
    }
    throw WeightsError("dtype is " + in_quotes(dtype) + ", must be F32, F16, BF16, F64, F8_E4M3 or F8_E5M2");
}

std::vector<double> StoredTensor::as_double() const {
    if (dtype != "F64") {
        throw WeightsError("dtype is " + in_quotes(dtype) + ", must be F64");
    }
    return values<double>(*this, [](double value) { return value; });
}

SafetensorsFile read_safetensors(const std::string &path) {
    const FloatEnvironment during;
    const std::unique_ptr<StoredTensors> tensors = StoredTensors::open(path);
    SafetensorsFile file{{}, tensors->metadata(), path};
    for (const auto &[name, stored] : tensors->names()) {
        if (name == stored) {
            tensors->read(stored, file.tensors[name]);
        }
    }
    return file;
}

void write_safetensors(const std::string &path, const SafetensorsFile &file) {
    const FloatEnvironment during;
    with_path(path, [&] { write_file(path, file); });
}

void remove_unfinished_files() noexcept {
    OutputFile::remove_unfinished();
}

StoredTensor stored_tensor(const std::vector<std::int64_t> &extents, const std::vector<float> &values) {
    const std::size_t bytes = values.size() * sizeof(float);
    if (tensor_bytes(extents, sizeof(float)) != bytes) {
        throw WeightsError("a tensor " + to_string(extents) + " can't have " + std::to_string(values.size()) +
                           " values");
    }
    StoredTensor tensor{"F32", extents, std::vector<std::byte>(bytes)};
    if (bytes > 0) {
        std::memcpy(tensor.bytes.data(), values.data(), bytes);
    }
    return tensor;
}

}  // namespace aft
