#include "float_environment.h"
#include "safetensors_header.h"

#include <aft/error.h>
#include <aft/safetensors.h>

#include <HalideRuntime.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <unistd.h>
#include <utility>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are stored as they are in memory");

namespace aft {
namespace {

namespace fs = std::filesystem;

void check_header_bytes(std::uint64_t bytes) {
    if (bytes > max_header_bytes) {
        throw WeightsError("header has " + std::to_string(bytes) + " bytes, the limit is " +
                           std::to_string(max_header_bytes));
    }
}

void read_bytes(std::istream &in, void *data, std::uint64_t bytes) {
    if (!in.read(static_cast<char *>(data), static_cast<std::streamsize>(bytes))) {
        throw WeightsError("can't be read");
    }
}

/// Nothing is allocated before it is known that the file has as many bytes.
SafetensorsFile read(const std::string &path) {
    std::error_code error;
    if (!fs::is_regular_file(path, error)) {
        throw WeightsError(error ? error.message() : "not a regular file");
    }
    std::ifstream in(path, std::ios::binary);
    const std::uint64_t file_bytes = fs::file_size(path, error);
    if (!in || error) {
        throw WeightsError("can't be opened");
    }
    std::uint64_t header_bytes = 0;
    if (file_bytes < sizeof(header_bytes)) {
        throw WeightsError("has " + std::to_string(file_bytes) + " bytes, too few for a safetensors file");
    }
    read_bytes(in, &header_bytes, sizeof(header_bytes));
    check_header_bytes(header_bytes);
    const std::uint64_t rest = file_bytes - sizeof(header_bytes);
    if (header_bytes > rest) {
        throw WeightsError("header has " + std::to_string(header_bytes) + " bytes, the file only " +
                           std::to_string(rest) + " after its length");
    }
    std::string text(header_bytes, '\0');
    read_bytes(in, text.data(), header_bytes);
    if (text.empty() || text[0] != '{') {
        throw WeightsError("header doesn't start with '{'");
    }
    SafetensorsHeader header = parse_header(text, rest - header_bytes);

    SafetensorsFile file{{}, std::move(header.metadata), path};
    for (SafetensorsHeader::Tensor &tensor : header.tensors) {
        std::vector<std::byte> bytes(tensor.bytes);
        read_bytes(in, bytes.data(), bytes.size());
        file.tensors[tensor.name] = {std::move(tensor.dtype), std::move(tensor.extents), std::move(bytes)};
    }
    return file;
}

/// A new file beside `path`, which takes its place on commit() and is gone otherwise.
class ReplacementFile {
public:
    explicit ReplacementFile(const fs::path &path) : path_(path) {
        static std::atomic<int> count{0};
        temporary_ = path.string() + "." + std::to_string(getpid()) + "." + std::to_string(count++) + ".tmp";
        file_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file_ < 0) {
            fail();
        }
    }
    ReplacementFile(const ReplacementFile &) = delete;
    ReplacementFile &operator=(const ReplacementFile &) = delete;
    ~ReplacementFile() {
        if (file_ >= 0) {
            close(file_);
            unlink(temporary_.c_str());
        }
    }

    void write(const void *data, std::size_t bytes) {
        const char *next = static_cast<const char *>(data);
        while (bytes > 0) {
            const ssize_t written = ::write(file_, next, bytes);
            if (written >= 0) {
                next += written;
                bytes -= static_cast<std::size_t>(written);
            } else if (errno != EINTR) {
                fail();
            }
        }
    }
    void commit() {
        if (fsync(file_) != 0 || rename(temporary_.c_str(), path_.c_str()) != 0) {
            fail();
        }
        close(std::exchange(file_, -1));
    }

private:
    [[noreturn]] static void fail() {
        throw WeightsError(std::string("can't be written: ") + std::strerror(errno));
    }

    fs::path path_;
    std::string temporary_;
    int file_ = -1;
};

void write(const std::string &path, const SafetensorsFile &file) {
    SafetensorsHeader header{{}, file.metadata};
    for (const auto &[name, stored] : file.tensors) {
        const std::uint64_t element = element_bytes(stored.dtype);
        if (name == metadata_key || element == 0 || tensor_bytes(stored.extents, element) != stored.bytes.size()) {
            throw WeightsError("tensor " + in_quotes(name) + " can't be stored: dtype " + in_quotes(stored.dtype) +
                               " with " + std::to_string(stored.bytes.size()) + " bytes");
        }
        header.tensors.push_back({name, stored.dtype, stored.extents, stored.bytes.size()});
    }
    // The widest elements first, from a multiple of 8 on: then every tensor is aligned.
    std::stable_sort(header.tensors.begin(), header.tensors.end(),
                     [](const auto &a, const auto &b) { return element_bytes(a.dtype) > element_bytes(b.dtype); });
    std::string text = header_text(header);
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const std::uint64_t header_bytes = text.size();
    check_header_bytes(header_bytes);

    std::error_code missing;
    fs::path target = fs::canonical(path, missing);  // the file behind a link, not the link
    if (missing) {
        target = path;
    } else if (!fs::is_regular_file(target)) {
        throw WeightsError("can't be written: not a regular file");
    }
    ReplacementFile replacement(target);
    replacement.write(&header_bytes, sizeof(header_bytes));
    replacement.write(text.data(), text.size());
    for (const SafetensorsHeader::Tensor &tensor : header.tensors) {
        const std::vector<std::byte> &bytes = file.tensors.at(tensor.name).bytes;
        replacement.write(bytes.data(), bytes.size());
    }
    replacement.commit();
}

/// The values of a tensor of `Stored`, each converted.
template<typename Stored, typename Convert>
auto values(const StoredTensor &tensor, Convert convert) {
    std::vector<decltype(convert(Stored()))> result(tensor.bytes.size() / sizeof(Stored));
    for (std::size_t i = 0; i < result.size(); i++) {
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
    throw WeightsError("dtype is " + in_quotes(dtype) + ", must be F32, F16, BF16 or F64");
}

std::vector<double> StoredTensor::as_double() const {
    if (dtype != "F64") {
        throw WeightsError("dtype is " + in_quotes(dtype) + ", must be F64");
    }
    return values<double>(*this, [](double value) { return value; });
}

SafetensorsFile read_safetensors(const std::string &path) {
    const FloatEnvironment during;
    try {
        return read(path);
    } catch (const WeightsError &problem) {
        throw WeightsError(path + ": " + problem.what());
    }
}

void write_safetensors(const std::string &path, const SafetensorsFile &file) {
    const FloatEnvironment during;
    try {
        write(path, file);
    } catch (const WeightsError &problem) {
        throw WeightsError(path + ": " + problem.what());
    }
}

StoredTensor stored_tensor(const std::vector<std::int64_t> &extents, const std::vector<float> &values) {
    const std::size_t bytes = values.size() * sizeof(float);
    if (tensor_bytes(extents, sizeof(float)) != bytes) {
        throw WeightsError("a tensor can't have " + std::to_string(values.size()) + " values and other extents");
    }
    StoredTensor tensor{"F32", extents, std::vector<std::byte>(bytes)};
    if (bytes > 0) {
        std::memcpy(tensor.bytes.data(), values.data(), bytes);
    }
    return tensor;
}

}  // namespace aft
