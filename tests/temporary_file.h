#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace aft {

/// A folder that goes away with the test.
class Folder {
public:
    Folder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "aft_XXXXXX").string();
        path_ = mkdtemp(pattern.data());
    }
    ~Folder() {
        std::filesystem::remove_all(path_);
    }
    Folder(const Folder &) = delete;
    Folder &operator=(const Folder &) = delete;

    std::string operator/(const std::string &name) const {
        return (path_ / name).string();
    }
    bool empty() const {
        return std::filesystem::is_empty(path_);
    }
    const std::filesystem::path &path() const {
        return path_;
    }

private:
    std::filesystem::path path_;
};

/// A path in a folder of its own.
class TemporaryFile {
public:
    TemporaryFile() = default;
    explicit TemporaryFile(const std::string &content) {
        std::ofstream(path(), std::ios::binary) << content;
    }

    std::string path() const {
        return folder_ / "file.safetensors";
    }
    const std::filesystem::path &folder() const {
        return folder_.path();
    }

private:
    Folder folder_;
};

}  // namespace aft
