#pragma once

#include <catch2/catch_test_macros.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace aft {

/// The exit code of a child that ends by exit() with whether f() is true, or minus the signal that ended it: that of
/// the alarm when it hangs.
template<typename F>
int exit_code_in_child(const F &f, void (*exit)(int) = std::exit) {
    std::fflush(nullptr);  // or the child writes it again
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        alarm(60);
        exit(f() ? 0 : 1);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/// Whether f() is true in a child that ends at once: its kernels and devices aren't those of this process.
template<typename F>
bool holds_in_child(const F &f) {
    return exit_code_in_child(f, std::_Exit) == 0;
}

}  // namespace aft
