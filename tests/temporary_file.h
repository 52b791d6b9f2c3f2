#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace aft {

/// A path in a folder of its own, which goes away with the test.
class TemporaryFile {
public:
    TemporaryFile() {
        std::string pattern = (std::filesystem::temp_directory_path() / "aft_XXXXXX").string();
        folder_ = mkdtemp(pattern.data());
    }
    explicit TemporaryFile(const std::string &content) : TemporaryFile() {
        std::ofstream(path(), std::ios::binary) << content;
    }
    ~TemporaryFile() {
        std::filesystem::remove_all(folder_);
    }
    TemporaryFile(const TemporaryFile &) = delete;
    TemporaryFile &operator=(const TemporaryFile &) = delete;

    std::string path() const {
        return (folder_ / "file.safetensors").string();
    }
    const std::filesystem::path &folder() const {
        return folder_;
    }

private:
    std::filesystem::path folder_;
};

}  // namespace aft
