#include "devices/driver.h"

#include <dlfcn.h>
#include <link.h>

namespace aft {
namespace {

/// Whether the program has no dynamic linker. Libraries that dlopen() loads into such a program bring a C library of
/// their own, which isn't set up. The first object is the program.
bool is_statically_linked() {
    const auto has_no_interpreter = [](dl_phdr_info *object, std::size_t, void *) {
        for (int i = 0; i < object->dlpi_phnum; ++i) {
            if (object->dlpi_phdr[i].p_type == PT_INTERP) {
                return 2;
            }
        }
        return 1;
    };
    return dl_iterate_phdr(has_no_interpreter, nullptr) == 1;
}

}  // namespace

std::string why_no_libraries() {
    return is_statically_linked() ? "a statically linked program can't load libraries" : "";
}

DriverLibrary::DriverLibrary(const char *name, bool global)
    : name_(name), handle_(nullptr), problem_(why_no_libraries()) {
    if (!problem_.empty()) {
        return;
    }
    handle_ = dlopen(name, RTLD_NOW | (global ? RTLD_GLOBAL : RTLD_LOCAL));
    if (!handle_) {
        const char *why = dlerror();
        problem_ = why ? why : std::string(name) + " can't be loaded";
    }
}

void *DriverLibrary::symbol(const char *name) {
    void *found = handle_ ? dlsym(handle_, name) : nullptr;
    if (!found && problem_.empty()) {
        problem_ = std::string(name_) + " has no " + name;
    }
    return found;
}

}  // namespace aft
