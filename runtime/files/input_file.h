#pragma once

#include "files/file_descriptor.h"

#include <aft/error.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace aft {

/// A regular file that is read in pieces. Its errors, WeightsErrors, don't name it (with_path).
class InputFile {
public:
    explicit InputFile(const std::string &path);

    std::uint64_t bytes() const {
        return bytes_;
    }
    /// Throws when the file has become shorter than it was.
    void read(std::uint64_t begin, void *data, std::size_t bytes) const;
    /// begin + bytes is at most bytes().
    std::string text(std::uint64_t begin, std::size_t bytes) const;

private:
    FileDescriptor file_;
    std::uint64_t bytes_;
};

/// The problem with a file that isn't safetensors, by its first bytes: "is an HTML page, ...". "": they say nothing.
std::string_view other_kind(const InputFile &file);

/// Whether the file is JSON. None is a safetensors file, whose first 8 bytes are a length with zeros in it.
bool is_json(const InputFile &file);

/// Does f(), whose WeightsErrors then begin with the path.
template<typename Function>
auto with_path(const std::string &path, const Function &f) {
    try {
        return f();
    } catch (const WeightsError &problem) {
        throw WeightsError(path + ": " + problem.what());
    }
}

}  // namespace aft
