#include "driver.h"

#include <dlfcn.h>

namespace aft {

DriverLibrary::DriverLibrary(const char *name, int flags) : name_(name), handle_(dlopen(name, flags)) {
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
