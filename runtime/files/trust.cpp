#include "files/trust.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <sys/stat.h>
#include <unistd.h>

namespace aft {

std::string why_not_trusted(const std::string &path) {
    struct stat status = {};
    if (lstat(path.c_str(), &status) != 0) {
        return std::string("can't be opened: ") + std::strerror(errno);
    }
    if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) {
        return "is neither a file nor a folder";
    }
    if (status.st_uid != 0 && status.st_uid != geteuid()) {
        return "belongs to user " + std::to_string(status.st_uid) + ", must be of user " + std::to_string(geteuid()) +
               " or root";
    }
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        char mode[8];
        std::snprintf(mode, sizeof(mode), "%04o", static_cast<unsigned>(status.st_mode) & 07777);
        return std::string("may be written by ") + ((status.st_mode & S_IWOTH) != 0 ? "everybody" : "its group") +
               " (mode " + mode + "): chmod go-w";
    }
    return "";
}

}  // namespace aft
