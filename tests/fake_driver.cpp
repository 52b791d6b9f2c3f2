// A library that is no driver. Where it has the name of one, it tells that it was loaded: it makes the file that the
// environment's AFT_DRIVER_MARK names.
#include <cstdio>
#include <cstdlib>

namespace {

[[gnu::constructor]] void leave_mark() {
    if (const char *path = std::getenv("AFT_DRIVER_MARK")) {
        if (std::FILE *mark = std::fopen(path, "w")) {
            std::fclose(mark);
        }
    }
}

}  // namespace
