#include "files/unfinished_file.h"

#include "files/output_file.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/random.h>

namespace aft {
namespace {

constexpr int most_collisions = 10;  // of random numbers of 64 bits: the system's must be broken
constexpr int slot_count = 64;       // more files at a time are written, and stay when a signal ends the process
constexpr int free_slot = -1, claimed_slot = -2;

/// A file that is being written. A handler of signals may read it at any time, also in the middle of a change.
struct Slot {
    std::atomic<int> folder{free_slot};
    std::atomic<std::uint64_t> number{0};
    std::atomic<pid_t> process{0};  // a child of fork() has its parent's slots, which aren't its files
};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<std::uint64_t>::is_always_lock_free &&
                  std::atomic<pid_t>::is_always_lock_free,
              "handlers of signals take no locks");

Slot slots[slot_count];

int claim_slot(int folder, std::uint64_t number) {
    for (int i = 0; i < slot_count; ++i) {
        int expected = free_slot;
        if (slots[i].folder.compare_exchange_strong(expected, claimed_slot)) {
            slots[i].number = number;
            slots[i].process = getpid();
            slots[i].folder = folder;
            return i;
        }
    }
    return slot_count;
}

void release_slot(int slot) {
    if (slot < slot_count) {
        slots[slot].folder = free_slot;
    }
}

/// ".aft-0123456789abcdef.tmp": short enough beside a file whose name has 255 bytes.
struct TemporaryName {
    explicit TemporaryName(std::uint64_t number) noexcept {
        std::memcpy(text, ".aft-0000000000000000.tmp", sizeof(text));
        for (char *digit = text + 20; number != 0; number /= 16) {
            *digit-- = "0123456789abcdef"[number % 16];
        }
    }
    char text[26];
};

std::uint64_t random_number() {
    std::uint64_t number = 0;
    if (getrandom(&number, sizeof(number), 0) != sizeof(number)) {
        fail_writing("no random number: ");
    }
    return number;
}

}  // namespace

void fail_writing(const std::string &what) {
    const int error = errno;
    refuse_writing(what + std::strerror(error));
}

UnfinishedFile::UnfinishedFile(int folder, mode_t mode) : folder_(folder) {
    for (int collisions = 0; !file_.is_open(); ++collisions) {
        number_ = random_number();
        slot_ = claim_slot(folder_, number_);  // before it is there, so that no signal comes between
        const TemporaryName name(number_);
        file_ = FileDescriptor(::openat(folder_, name.text, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
        if (!file_.is_open()) {
            release_slot(slot_);
            if (errno != EEXIST || collisions == most_collisions) {
                fail_writing(std::string("temporary file ") + name.text + " beside it: ");
            }
        }
    }
}

UnfinishedFile::~UnfinishedFile() {
    if (!has_place_) {
        unlinkat(folder_, TemporaryName(number_).text, 0);
    }
    release_slot(slot_);
}

void UnfinishedFile::take_place(const std::string &name) {
    if (renameat(folder_, TemporaryName(number_).text, folder_, name.c_str()) != 0) {
        fail_writing();
    }
    has_place_ = true;
}

// Calls only functions that POSIX allows in handlers of signals.
void UnfinishedFile::remove_all() noexcept {
    const int error = errno;
    const pid_t process = getpid();
    for (const Slot &slot : slots) {
        const int folder = slot.folder;
        if (folder >= 0 && slot.process == process) {
            unlinkat(folder, TemporaryName(slot.number).text, 0);
        }
    }
    errno = error;
}

}  // namespace aft
