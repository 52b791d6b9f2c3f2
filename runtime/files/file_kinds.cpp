#include "files/input_file.h"

#include <algorithm>
#include <cctype>

namespace aft {
namespace {

constexpr std::size_t start_bytes = 512;  // that tell the kind of a file
constexpr std::string_view blanks = " \t\r\n";

std::string start_of(const InputFile &file) {
    return file.text(0, std::min<std::uint64_t>(file.bytes(), start_bytes));
}

bool has_start(std::string_view text, std::string_view start) {
    return text.substr(0, start.size()) == start;
}

/// From its first letter on, in lower case, without the mark of UTF-8.
std::string markup(std::string text) {
    text.erase(0, has_start(text, "\xef\xbb\xbf") ? 3 : 0);
    text.erase(0, text.find_first_not_of(blanks));
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
    return text;
}

}  // namespace

std::string InputFile::text(std::uint64_t begin, std::size_t bytes) const {
    std::string result(bytes, '\0');
    read(begin, result.data(), bytes);
    return result;
}

bool is_json(const InputFile &file) {
    const std::string text = start_of(file);
    const std::size_t first = text.find_first_not_of(blanks);
    return first != std::string::npos && (text[first] == '{' || text[first] == '[') &&
           std::string_view(text).substr(0, 8).find('\0') == std::string_view::npos;
}

std::string_view other_kind(const InputFile &file) {
    static constexpr struct {
        std::string_view start, problem;
    } kinds[] = {
        {"version https://git-lfs.github.com/spec/", "is a pointer file of Git LFS, not what it points to: run git lfs "
                                                     "pull"},
        {"PK\3\4", "is a zip archive, as torch.save() writes them, not a safetensors file"},
        {"GGUF", "is a GGUF file, not a safetensors file"},
        {"\x89HDF\r\n\x1a\n", "is an HDF5 file, not a safetensors file"},
        {"\x93NUMPY", "is an array of numpy, not a safetensors file"},
    };
    const std::string text = start_of(file);
    for (const auto &kind : kinds) {
        if (has_start(text, kind.start)) {
            return kind.problem;
        }
    }
    if (text.size() > 1 && text[0] == '\x80' && text[1] >= 2 && text[1] <= 5) {  // the protocol
        return "is a pickle, as torch.save() wrote them before PyTorch 1.6, not a safetensors file";
    }
    if (const std::string page = markup(text); has_start(page, "<!doctype html") || has_start(page, "<html")) {
        return "is an HTML page, not a safetensors file";
    }
    return is_json(file) ? "is JSON, not a safetensors file" : "";
}

}  // namespace aft
