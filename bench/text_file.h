#pragma once

#include <filesystem>
#include <string>

namespace aft::bench {

/// Writes a file whole or not at all, as write_safetensors() does. Throws std::runtime_error that names it.
void write_text(const std::filesystem::path &path, const std::string &text);

}  // namespace aft::bench
