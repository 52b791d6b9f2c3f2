#pragma once

#include "files/file_descriptor.h"

#include <aft/error.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace aft {

/// A regular file that is read in pieces. Its errors are WeightsErrors that don't name it (with_path).
class InputFile {
public:
    explicit InputFile(const std::string &path);

    std::uint64_t bytes() const {
        return bytes_;
    }
    /// Throws if the file has become shorter.
    void read(std::uint64_t begin, void *data, std::size_t bytes) const;
    /// begin + bytes is at most bytes().
    std::string text(std::uint64_t begin, std::size_t bytes) const;

private:
    FileDescriptor file_;
    std::uint64_t bytes_;
};

/// The message about a file that isn't safetensors, by its first bytes: "is an HTML page, ...". "" if they don't tell.
std::string_view other_kind(const InputFile &file);

/// Whether the file is JSON. A safetensors file isn't: it begins with a length in 8 bytes, with zeros in it.
bool is_json(const InputFile &file);

/// Calls f(), and puts the path before the messages of its WeightsErrors.
template<typename Function>
auto with_path(const std::string &path, const Function &f) {
    try {
        return f();
    } catch (const WeightsError &problem) {
        throw WeightsError(path + ": " + problem.what());
    }
}

}  // namespace aft
