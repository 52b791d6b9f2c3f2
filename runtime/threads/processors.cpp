#include "threads/processors.h"

#include "system/system.h"
#include "threads/float_environment.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

namespace aft {
namespace {

std::vector<std::string> lines_of(const std::string &path) {
    std::vector<std::string> lines;
    std::ifstream file(path);
    try {
        file.exceptions(std::ios::badbit);  // otherwise a lack of memory looks like the end of the file
        for (std::string line; std::getline(file, line);) {
            lines.push_back(line);
        }
    } catch (const std::ios::failure &) {  // keeps the lines before
    }
    return lines;
}

std::vector<std::string> split(const std::string &line) {
    std::istringstream text(line);
    return {std::istream_iterator<std::string>(text), {}};
}

bool is_listed(const std::string &word, const std::string &list) {
    return ("," + list + ",").find("," + word + ",") != std::string::npos;
}

/// A path of mountinfo: white space and backslashes stand there as \040, three octal digits.
std::string unescaped(const std::string &text) {
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto is_octal = [&](std::size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '7'; };
        if (text[i] == '\\' && is_octal(i + 1) && is_octal(i + 2) && is_octal(i + 3)) {
            result += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
            i += 3;
        } else {
            result += text[i];
        }
    }
    return result;
}

/// A hierarchy of control groups that counts CPU time, and where it is mounted.
struct Hierarchy {
    bool is_version_2;
    std::string mounted;  // the group that the mount shows as its root
    std::string at;
};

/// "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw": the mounted group, where, behind the dash
/// the type, the source and the options of the hierarchy.
std::vector<Hierarchy> hierarchies(const std::string &root) {
    std::vector<Hierarchy> result;
    for (const std::string &line : lines_of(root + "/proc/self/mountinfo")) {
        const std::vector<std::string> words = split(line);
        const auto dash = std::find(words.begin(), words.end(), "-");
        if (words.size() < 6 || words.end() - dash < 4) {
            continue;
        }
        const bool is_version_2 = dash[1] == "cgroup2";
        if (is_version_2 || (dash[1] == "cgroup" && is_listed("cpu", dash[3]))) {
            result.push_back({is_version_2, unescaped(words[3]), root + unescaped(words[4])});
        }
    }
    return result;
}

/// The process's group in a hierarchy, of "0::/path" (version 2) or "4:cpu,cpuacct:/path".
std::string group_in(const Hierarchy &hierarchy, const std::vector<std::string> &groups) {
    for (const std::string &line : groups) {
        const std::size_t first = line.find(':'), second = line.find(':', first + 1);
        if (second == std::string::npos) {
            continue;
        }
        const std::string controllers = line.substr(first + 1, second - first - 1);
        if (hierarchy.is_version_2 ? controllers.empty() : is_listed("cpu", controllers)) {
            return line.substr(second + 1);
        }
    }
    return "";
}

/// The path of a group below where the hierarchy is mounted. Containers show their own group as the root of the mount,
/// whatever path the process sees.
std::string below_mount(const Hierarchy &hierarchy, const std::string &group) {
    if (hierarchy.mounted == "/") {
        return group == "/" ? "" : group;
    }
    const bool is_within = group.rfind(hierarchy.mounted, 0) == 0;
    const std::string rest = is_within ? group.substr(hierarchy.mounted.size()) : "";
    return rest.empty() || rest[0] == '/' ? rest : "";
}

double quota_of(const std::string &quota, const std::string &period) {
    const double of = std::atof(quota.c_str()), in = std::atof(period.c_str());  // "max" and "-1" aren't above 0
    return of > 0 && in > 0 && std::isfinite(of / in) ? of / in : 0;
}

/// The quota of one group. In version 2, its file has "50000 100000" or "max 100000".
double quota_of_group(const std::string &folder, bool is_version_2) {
    const auto first_line = [&](const char *name) {
        const std::vector<std::string> lines = lines_of(folder + "/" + name);
        return lines.empty() ? "" : lines[0];
    };
    if (!is_version_2) {
        return quota_of(first_line("cpu.cfs_quota_us"), first_line("cpu.cfs_period_us"));
    }
    const std::vector<std::string> words = split(first_line("cpu.max"));
    return words.size() == 2 ? quota_of(words[0], words[1]) : 0;
}

}  // namespace

double cpu_quota(const std::string &root) {
    const std::vector<std::string> groups = lines_of(root + "/proc/self/cgroup");
    double least = 0;
    for (const Hierarchy &hierarchy : hierarchies(root)) {
        // The group's own quota, then its parents', up to the root of the mount.
        std::string group = below_mount(hierarchy, group_in(hierarchy, groups));
        while (true) {
            const double quota = quota_of_group(hierarchy.at + group, hierarchy.is_version_2);
            least = quota > 0 && (least == 0 || quota < least) ? quota : least;
            if (group.empty()) {
                break;
            }
            group.resize(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
        }
    }
    return least;
}

int processors() {
    const FloatEnvironment during;
    const int count = runnable_processors();
    const double quota = cpu_quota();
    const double least = quota > 0 ? std::min<double>(count, std::ceil(quota)) : count;
    return std::max(static_cast<int>(least), 1);
}

}  // namespace aft
