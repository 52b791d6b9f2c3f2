#pragma once

#include <dlfcn.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace aft::bench {

/// A library that the build doesn't know and that may not be there. Never unloaded: drivers don't like it.
class SharedLibrary {
public:
    /// The first of `names` that loads. Throws std::runtime_error with the loader's words about the first.
    explicit SharedLibrary(const std::vector<std::string> &names) {
        std::string reason;
        for (const std::string &name : names) {
            handle_ = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
            if (handle_) {
                return;
            }
            const char *const error = dlerror();
            if (reason.empty()) {
                reason = error ? error : "cannot load " + name;
            }
        }
        throw std::runtime_error(reason);
    }

    bool has(const char *name) const {
        return dlsym(handle_, name) != nullptr;
    }

    /// Throws std::runtime_error when the library doesn't have it.
    template<typename Function>
    void find(Function *&function, const char *name) const {
        function = reinterpret_cast<Function *>(dlsym(handle_, name));
        if (!function) {
            throw std::runtime_error(std::string("no function ") + name);
        }
    }

private:
    void *handle_ = nullptr;
};

}  // namespace aft::bench
