#pragma once

#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <system_error>

namespace aft {

/// A folder of this user alone that goes away with the test.
class Folder {
public:
    Folder() {
        std::random_device random;
        do {
            path_ = std::filesystem::temp_directory_path() / ("aft_" + std::to_string(random()));
        } while (!std::filesystem::create_directory(path_));
        std::filesystem::permissions(path_, std::filesystem::perms::owner_all);
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

/// Makes a link to a file. Returns whether the system has links.
inline bool make_link(const std::filesystem::path &file, const std::filesystem::path &link) {
    std::error_code error;
    std::filesystem::create_symlink(file, link, error);
    return !error;
}

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
