#include "files/output_file.h"

#include "files/file_descriptor.h"
#include "files/unfinished_file.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <linux/magic.h>
#include <optional>
#include <sys/stat.h>
#include <sys/statfs.h>

namespace aft {
namespace {

namespace fs = std::filesystem;

constexpr int most_links = 40;  // in a row, as in Linux
constexpr mode_t mode_bits = S_ISUID | S_ISGID | S_ISVTX | S_IRWXU | S_IRWXG | S_IRWXO;

bool is_on_proc(const fs::path &link) {
    const FileDescriptor file(::open(link.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct statfs system = {};
    return file.is_open() && fstatfs(file.number(), &system) == 0 && system.f_type == PROC_SUPER_MAGIC;
}

/// The path at the end of links, which may not exist. Nothing if one of the links is in /proc: it leads to an open
/// file, and its text is no path.
std::optional<fs::path> behind_links(fs::path path) {
    std::error_code error;
    for (int links = 0; links <= most_links; ++links) {
        if (!fs::is_symlink(fs::symlink_status(path, error))) {
            return path;
        }
        if (is_on_proc(path)) {
            return std::nullopt;
        }
        const fs::path target = fs::read_symlink(path, error);
        if (error) {
            refuse_writing(error.message());
        }
        path = path.parent_path() / target;
    }
    errno = ELOOP;
    fail_writing();
}

void check_writable(const std::string &path, const struct stat &status) {
    if (S_ISDIR(status.st_mode)) {
        refuse_writing("it is a directory");
    }
    if (S_ISBLK(status.st_mode)) {
        refuse_writing("it is a block device");
    }
    if (S_ISREG(status.st_mode)) {
        if ((status.st_mode & (S_IWUSR | S_IWGRP | S_IWOTH)) == 0) {  // which wouldn't stop root
            refuse_writing("it is read-only");
        }
        if (faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) != 0) {
            fail_writing();
        }
    }
}

/// Another descriptor of a socket that this process has open. open() refuses paths of /proc to sockets.
int copy_of_socket(const struct stat &socket) {
    std::error_code error;
    for (const fs::directory_entry &entry : fs::directory_iterator("/proc/self/fd", error)) {
        const int number = std::atoi(entry.path().filename().c_str());
        struct stat status = {};
        if (fstat(number, &status) == 0 && status.st_ino == socket.st_ino && status.st_dev == socket.st_dev) {
            return fcntl(number, F_DUPFD_CLOEXEC, 0);
        }
    }
    errno = ENXIO;
    return -1;
}

/// write(2), except that a pipe without a reader is an error and not a signal that ends the process.
ssize_t write_some(int file, const char *data, std::size_t bytes) {
    sigset_t pipe, before, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    const ssize_t written = ::write(file, data, bytes);
    const int error = errno;
    if (written < 0 && error == EPIPE && sigismember(&pending, SIGPIPE) == 0) {
        const timespec at_once = {};
        sigtimedwait(&pipe, nullptr, &at_once);
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    errno = error;
    return written;
}

/// A pipe, a socket, a character device and any target of a link in /proc, such as /dev/stdout, are written directly.
class LinuxFile final : public OutputFile {
public:
    explicit LinuxFile(const std::string &path);

    void write(const void *data, std::size_t bytes) override;
    void commit() override;

private:
    void open_in_place(const std::string &path);
    void create_beside(const std::string &target);
    int descriptor() const {
        return unfinished_ ? unfinished_->descriptor() : in_place_.number();
    }

    std::optional<struct stat> old_;  // the file that was there
    FileDescriptor in_place_;
    FileDescriptor folder_;  // of the place that it takes
    std::string name_;       // there
    std::optional<UnfinishedFile> unfinished_;
};

LinuxFile::LinuxFile(const std::string &path) {
    struct stat status = {};
    if (stat(path.c_str(), &status) == 0) {
        check_writable(path, status);
        old_ = status;
    } else if (errno != ENOENT) {
        fail_writing();
    }
    const std::optional<fs::path> target = behind_links(path);
    if (!target || (old_ && !S_ISREG(old_->st_mode))) {
        open_in_place(path);
    } else {
        create_beside(target->string());
    }
}

void LinuxFile::open_in_place(const std::string &path) {
    int number = -1;
    do {
        number = ::open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY);
    } while (number < 0 && errno == EINTR);
    if (number < 0 && errno == ENXIO && old_ && S_ISSOCK(old_->st_mode)) {
        number = copy_of_socket(*old_);
    }
    in_place_ = FileDescriptor(number);
    if (!in_place_.is_open()) {
        fail_writing();
    }
}

void LinuxFile::create_beside(const std::string &target) {
    const fs::path folder = fs::path(target).parent_path();
    name_ = fs::path(target).filename().string();
    folder_ = FileDescriptor(::open(folder.empty() ? "." : folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!folder_.is_open() || name_.empty()) {
        errno = name_.empty() ? ENOENT : errno;
        fail_writing();
    }
    // The umask cuts the mode of a new file. That of an old one is set at the end: writing clears some of its bits.
    unfinished_.emplace(folder_.number(), old_ ? S_IRUSR | S_IWUSR : 0666);
    struct stat made = {};
    if (old_ && (fstat(descriptor(), &made) != 0 || ((made.st_uid != old_->st_uid || made.st_gid != old_->st_gid) &&
                                                     fchown(descriptor(), old_->st_uid, old_->st_gid) != 0))) {
        fail_writing("its owner " + std::to_string(old_->st_uid) + ":" + std::to_string(old_->st_gid) +
                     " can't be kept: ");
    }
}

void LinuxFile::write(const void *data, std::size_t bytes) {
    const char *next = static_cast<const char *>(data);
    while (bytes > 0) {
        const ssize_t written = write_some(descriptor(), next, bytes);
        if (written >= 0) {
            next += written;
            bytes -= static_cast<std::size_t>(written);
        } else if (errno != EINTR) {
            fail_writing();
        }
    }
}

void LinuxFile::commit() {
    struct stat made = {};
    if (unfinished_ && old_ &&
        (fstat(descriptor(), &made) != 0 || ((made.st_mode & mode_bits) != (old_->st_mode & mode_bits) &&
                                             fchmod(descriptor(), old_->st_mode & mode_bits) != 0))) {
        fail_writing("its mode can't be kept: ");
    }
    const bool has_disk = unfinished_ || S_ISREG(old_->st_mode);
    if (has_disk && fsync(descriptor()) != 0) {
        fail_writing();
    }
    if (unfinished_) {
        unfinished_->take_place(name_);
    }
}

}  // namespace

std::unique_ptr<OutputFile> OutputFile::open(const std::string &path) {
    return std::make_unique<LinuxFile>(path);
}

void OutputFile::remove_unfinished() noexcept {
    UnfinishedFile::remove_all();
}

}  // namespace aft
