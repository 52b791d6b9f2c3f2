#include "temporary_file.h"
#include "threads/processors.h"

#include <aft/layer.h>

#include <catch2/catch_test_macros.hpp>

#include <filesystem>
#include <fstream>

using namespace aft;

namespace {

/// A root of a file system with files in it.
class Root {
public:
    Root &with(const std::string &path, const std::string &text) {
        const std::filesystem::path file = folder_ / path;
        std::filesystem::create_directories(file.parent_path());
        std::ofstream(file) << text;
        return *this;
    }
    Root &with_groups(const std::string &text) {
        return with("proc/self/cgroup", text);
    }
    Root &with_mounts(const std::string &text) {
        return with("proc/self/mountinfo", "23 28 0:21 / /proc rw,nosuid - proc proc rw\n" + text);
    }
    double quota() const {
        const std::string root = folder_ / "";
        return cpu_quota(root.substr(0, root.size() - 1));
    }

private:
    const Folder folder_;
};

const char *const version_2 = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
const char *const version_1 = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
                              "33 31 0:30 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n";

}  // namespace

TEST_CASE("without control groups there is no quota", "[processors]") {
    CHECK(Root().quota() == 0);
    CHECK(Root().with_groups("0::/\n").quota() == 0);
    CHECK(Root().with_mounts(version_2).quota() == 0);
    CHECK(Root().with_groups("0::/a\n").with_mounts(version_2).quota() == 0);
}

TEST_CASE("the quota of a group of version 2 is the least of its own and of those around it", "[processors]") {
    Root root;
    root.with_groups("0::/a/b\n").with_mounts(version_2);
    root.with("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    CHECK(root.quota() == 0);
    root.with("sys/fs/cgroup/a/cpu.max", "150000 100000\n");
    CHECK(root.quota() == 1.5);
    root.with("sys/fs/cgroup/a/b/cpu.max", "400000 100000\n");
    CHECK(root.quota() == 1.5);
    root.with("sys/fs/cgroup/a/b/cpu.max", "25000 50000\n");
    CHECK(root.quota() == 0.5);
    root.with("sys/fs/cgroup/other/cpu.max", "1000 100000\n");
    CHECK(root.quota() == 0.5);
}

TEST_CASE("the quota of a group of version 1 is the least of its own and of those around it", "[processors]") {
    Root root;
    root.with_groups("5:cpuset:/x\n4:cpu,cpuacct:/a/b\n1:name=systemd:/y\n0::/\n").with_mounts(version_1);
    root.with("sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
    root.with("sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n");
    CHECK(root.quota() == 0);
    root.with("sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "250000\n");
    CHECK(root.quota() == 2.5);
    root.with("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "50000\n");
    root.with("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "50000\n");
    CHECK(root.quota() == 1);
    // Where both versions are mounted, both hold.
    root.with_mounts(std::string(version_1) + "34 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    root.with("sys/fs/cgroup/unified/cpu.max", "75000 100000\n");
    CHECK(root.quota() == 0.75);
}

TEST_CASE("in a container the root of the mount is the process's group", "[processors]") {
    // With a namespace of its own, and with none: there the path isn't below the mount.
    for (const char *group : {"0::/\n", "0::/docker/0123\n", "0::/../../system.slice\n"}) {
        INFO(group);
        Root root;
        root.with_groups(group).with_mounts(version_2).with("sys/fs/cgroup/cpu.max", "50000 100000\n");
        CHECK(root.quota() == 0.5);
    }
    Root root;
    root.with_groups("4:cpu,cpuacct:/docker/0123/inner\n");
    root.with_mounts("32 31 0:29 /docker/0123 /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n");
    root.with("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n").with("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    CHECK(root.quota() == 3);
    root.with("sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "200000\n");
    root.with("sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "100000\n");
    CHECK(root.quota() == 2);
    root.with_groups("4:cpu,cpuacct:/docker/01234\n");
    CHECK(root.quota() == 3);
}

TEST_CASE("groups may be mounted anywhere", "[processors]") {
    Root root;
    root.with_groups("0::/my group\n").with_mounts("31 23 0:28 / /mnt/the\\040groups rw - cgroup2 none rw\n");
    root.with("mnt/the groups/my group/cpu.max", "50000 100000\n");
    CHECK(root.quota() == 0.5);
}

TEST_CASE("what isn't a quota says nothing", "[processors]") {
    for (const char *text : {"", "\n", "max", "max 100000", "0 100000", "-5 100000", "100000", "100000 0", "a b",
                             "50000 max", "nan 100000", "inf 100000", "50000 100000 1", "\x01\xff\x02 \x03"}) {
        INFO(text);
        Root root;
        root.with_groups("0::/a\n").with_mounts(version_2).with("sys/fs/cgroup/a/cpu.max", text);
        CHECK(root.quota() == 0);
    }
    for (const char *garbage :
         {"", ":", "::", "0:", "0::", ":::::", "a b c\n\n-\n", "- - - -\n", "x - cgroup2\n", "\\0\\04\\"}) {
        INFO(garbage);
        Root root;
        root.with_groups(garbage).with_mounts(garbage);
        CHECK(root.quota() == 0);
    }
    Root folders;  // where files should be
    folders.with("proc/self/cgroup/x", "").with("proc/self/mountinfo/x", "");
    CHECK(folders.quota() == 0);
    Root folder;
    folder.with_groups("0::/\n").with_mounts(version_2).with("sys/fs/cgroup/cpu.max/x", "");
    CHECK(folder.quota() == 0);
}

TEST_CASE("there is a processor at least", "[processors]") {
    CHECK(processors() >= 1);
}
