#include "child.h"
#include "files/output_file.h"
#include "temporary_file.h"

#include <aft/error.h>
#include <aft/safetensors.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <csignal>
#include <fcntl.h>
#include <iterator>
#include <memory>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

using namespace aft;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

SafetensorsFile some_file() {
    SafetensorsFile file;
    file.tensors["a"] = stored_tensor({2}, {1, 2});
    return file;
}

std::string content_of(const fs::path &path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

std::string written_content() {
    const TemporaryFile at;
    write_safetensors(at.path(), some_file());
    return content_of(at.path());
}

/// All that comes from a file until its end.
std::string read_all(int file) {
    std::string all(1 << 16, '\0');
    std::size_t size = 0;
    for (ssize_t count = 1; count > 0; size += static_cast<std::size_t>(count)) {
        count = read(file, all.data() + size, all.size() - size);
        REQUIRE(count >= 0);
    }
    return all.substr(0, size);
}

struct stat status_of(const fs::path &path) {
    struct stat status = {};
    REQUIRE(lstat(path.c_str(), &status) == 0);
    return status;
}

mode_t mode_of(const fs::path &path) {
    return status_of(path).st_mode & 07777;
}

std::ptrdiff_t files_in(const fs::path &folder) {
    return std::distance(fs::directory_iterator(folder), {});
}

std::string path_of(int file) {
    return "/proc/self/fd/" + std::to_string(file);
}

void check_refused(const std::string &path, const std::string &why) {
    CHECK_THROWS_AS(write_safetensors(path, some_file()), WeightsError);
    CHECK_THROWS_WITH(write_safetensors(path, some_file()), path + ": can't be written: " + why);
}

/// While it lives, this thread has the rights of a user who owns nothing here.
class AnotherUser {
public:
    AnotherUser() {
        setfsgid(65533);
        setfsuid(65533);
    }
    ~AnotherUser() {
        setfsuid(geteuid());
        setfsgid(getegid());
    }
    AnotherUser(const AnotherUser &) = delete;
    AnotherUser &operator=(const AnotherUser &) = delete;
};

}  // namespace

TEST_CASE("pipes and devices are written to", "[safetensors]") {
    CHECK_NOTHROW(write_safetensors("/dev/null", some_file()));
    check_refused("/dev/full", "No space left on device");
    CHECK(fs::is_character_file("/dev/null"));

    const TemporaryFile pipe;
    REQUIRE(mkfifo(pipe.path().c_str(), 0600) == 0);
    std::thread writer([&] { write_safetensors(pipe.path(), some_file()); });
    CHECK(content_of(pipe.path()) == written_content());
    writer.join();
    CHECK(fs::is_fifo(pipe.path()));
    CHECK(files_in(pipe.folder()) == 1);
}

TEST_CASE("the file behind a link of /proc is written to, and the link stays", "[safetensors]") {
    const TemporaryFile at;
    const std::string link = (at.folder() / "stdout").string();
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    fs::create_symlink(path_of(ends[1]), link);
    write_safetensors(link, some_file());
    close(ends[1]);
    CHECK(read_all(ends[0]) == written_content());
    CHECK(fs::is_symlink(link));
    close(ends[0]);

    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    write_safetensors(path_of(ends[1]), some_file());
    close(ends[1]);
    CHECK(read_all(ends[0]) == written_content());
    close(ends[0]);

    std::ofstream(at.path()) << std::string(5000, 'x');
    const fs::path other_name = at.folder() / "other";
    fs::create_hard_link(at.path(), other_name);
    const int file = open(at.path().c_str(), O_RDONLY | O_CLOEXEC);
    write_safetensors(path_of(file), some_file());
    close(file);
    CHECK(content_of(other_name) == written_content());
    CHECK(files_in(at.folder()) == 3);
}

TEST_CASE("a pipe without a reader is an error, and no signal", "[safetensors]") {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    close(ends[0]);
    const auto before = std::signal(SIGPIPE, SIG_DFL);
    check_refused(path_of(ends[1]), "Broken pipe");
    sigset_t pending;
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGPIPE) == 0);
    std::signal(SIGPIPE, before);
    close(ends[1]);
}

TEST_CASE("a socket that nobody has open, and a block device, are refused", "[safetensors]") {
    const TemporaryFile at;
    const int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    at.path().copy(address.sun_path, sizeof(address.sun_path) - 1);
    REQUIRE(bind(server, reinterpret_cast<const sockaddr *>(&address), sizeof(address)) == 0);
    check_refused(at.path(), "No such device or address");
    close(server);

    const std::string disk = (at.folder() / "disk").string();
    if (mknod(disk.c_str(), S_IFBLK | 0600, makedev(7, 77)) == 0) {
        check_refused(disk, "it is a block device");
    }
}

TEST_CASE("links are followed to where no file is yet", "[safetensors]") {
    const TemporaryFile at;
    const fs::path folder = at.folder() / "folder";
    fs::create_directory(folder);
    fs::create_symlink("folder/second", at.folder() / "first");
    fs::create_symlink("later.safetensors", folder / "second");
    write_safetensors((at.folder() / "first").string(), some_file());
    CHECK(content_of(folder / "later.safetensors") == written_content());
    CHECK(fs::is_symlink(at.folder() / "first"));
    CHECK(fs::is_symlink(folder / "second"));
    CHECK(files_in(folder) == 2);

    const fs::path absolute = at.folder() / "absolute";
    fs::create_symlink(folder / "third", absolute);
    write_safetensors(absolute.string(), some_file());
    CHECK(content_of(folder / "third") == written_content());

    fs::create_symlink("loop", at.folder() / "loop");
    check_refused((at.folder() / "loop").string(), "Too many levels of symbolic links");
    fs::create_symlink("missing/file", at.folder() / "nowhere");
    check_refused((at.folder() / "nowhere").string(), "No such file or directory");
    fs::create_symlink("folder", at.folder() / "to_folder");
    check_refused((at.folder() / "to_folder").string(), "it is a directory");
}

TEST_CASE("a file that is replaced keeps its mode, a new one has what the umask leaves", "[safetensors]") {
    const TemporaryFile at("old content");
    for (const mode_t mode : {0600, 0640, 0664, 0755, 0200, 04711, 02770}) {
        INFO(mode);
        REQUIRE(chmod(at.path().c_str(), mode) == 0);
        write_safetensors(at.path(), some_file());
        CHECK(mode_of(at.path()) == mode);
    }
    const fs::path fresh = at.folder() / "new";
    const mode_t mask = umask(027);
    write_safetensors(fresh.string(), some_file());
    umask(mask);
    CHECK(mode_of(fresh) == 0640);
    CHECK(files_in(at.folder()) == 2);
}

TEST_CASE("a read-only file is refused", "[safetensors]") {
    const TemporaryFile at("old content");
    REQUIRE(chmod(at.path().c_str(), 0444) == 0);
    check_refused(at.path(), "it is read-only");
    CHECK(content_of(at.path()) == "old content");
    CHECK(files_in(at.folder()) == 1);
}

TEST_CASE("a file keeps its owner, or is refused", "[safetensors]") {
    if (geteuid() != 0) {
        SKIP("only root has files of others");
    }
    const TemporaryFile at("old content");
    REQUIRE(chown(at.path().c_str(), 1234, 4321) == 0);
    write_safetensors(at.path(), some_file());
    CHECK(status_of(at.path()).st_uid == 1234);
    CHECK(status_of(at.path()).st_gid == 4321);

    REQUIRE(chmod(at.path().c_str(), 0666) == 0);
    REQUIRE(chmod(at.folder().c_str(), 0777) == 0);
    const std::string before = content_of(at.path());
    {
        const AnotherUser user;
        check_refused(at.path(), "its owner 1234:4321 can't be kept: Operation not permitted");
    }
    CHECK(content_of(at.path()) == before);
    CHECK(files_in(at.folder()) == 1);
    REQUIRE(chmod(at.path().c_str(), 0644) == 0);
    {
        const AnotherUser user;
        check_refused(at.path(), "Permission denied");
    }
    REQUIRE(chmod(at.folder().c_str(), 0755) == 0);
    {
        const AnotherUser user;
        CHECK_THROWS_WITH(write_safetensors((at.folder() / "new").string(), some_file()),
                          ContainsSubstring("/new: can't be written: temporary file .aft-") &&
                              ContainsSubstring(" beside it: Permission denied"));
    }
}

TEST_CASE("a file that may not be read says so", "[safetensors]") {
    const TemporaryFile at("content");
    REQUIRE(chmod(at.path().c_str(), 0) == 0);
    REQUIRE(chmod(at.folder().c_str(), 0755) == 0);
    const AnotherUser user;
    CHECK_THROWS_WITH(read_safetensors(at.path()), at.path() + ": can't be opened: Permission denied");
}

TEST_CASE("a name of 255 bytes can be written", "[safetensors]") {
    const TemporaryFile at;
    const fs::path path = at.folder() / std::string(255, 'n');
    write_safetensors(path.string(), some_file());
    write_safetensors(path.string(), some_file());
    CHECK(content_of(path) == written_content());
    check_refused((at.folder() / std::string(256, 'n')).string(), "File name too long");
    check_refused("", "No such file or directory");
}

TEST_CASE("many files may be written at a time, and a child of fork() removes none", "[safetensors]") {
    const TemporaryFile at;
    std::vector<std::unique_ptr<OutputFile>> files;
    for (int i = 0; i < 100; ++i) {
        files.push_back(OutputFile::open((at.folder() / std::to_string(i)).string()));
        files.back()->write("content", 7);
    }
    CHECK(files_in(at.folder()) == 100);
    CHECK(holds_in_child([] {
        remove_unfinished_files();
        return true;
    }));
    CHECK(files_in(at.folder()) == 100);
    for (const auto &file : files) {
        file->commit();
    }
    files.clear();
    CHECK(files_in(at.folder()) == 100);
    for (int i = 0; i < 100; ++i) {
        CHECK(content_of(at.folder() / std::to_string(i)) == "content");
    }
}
