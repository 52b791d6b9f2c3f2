#include "signals.h"

#include <aft/safetensors.h>

#include <unistd.h>

#include <csignal>

namespace aft::cli {

void on_signal(int signal, void (*handler)(int)) noexcept {
    struct sigaction action = {};
    if (sigaction(signal, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) {
        action = {};
        action.sa_handler = handler;
        action.sa_flags = SA_RESTART;
        sigfillset(&action.sa_mask);  // another signal shall not end the process before the files are removed
        sigaction(signal, &action, nullptr);
    }
}

void end_by(int signal) noexcept {
    remove_unfinished_files();
    std::signal(signal, SIG_DFL);
    sigset_t this_one;
    sigemptyset(&this_one);
    sigaddset(&this_one, signal);
    sigprocmask(SIG_UNBLOCK, &this_one, nullptr);
    raise(signal);
    _exit(128 + signal);  // the first process of a container, which no default action ends
}

void remove_unfinished_files_on_signals() noexcept {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        on_signal(signal, end_by);
    }
}

}  // namespace aft::cli
