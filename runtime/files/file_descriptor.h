#pragma once

#include <unistd.h>
#include <utility>

namespace aft {

/// An open file of the system, closed at the end.
class FileDescriptor {
public:
    explicit FileDescriptor(int number = -1) : number_(number) {}
    FileDescriptor(FileDescriptor &&other) noexcept : number_(std::exchange(other.number_, -1)) {}
    FileDescriptor &operator=(FileDescriptor &&other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~FileDescriptor() {
        if (is_open()) {
            close(number_);
        }
    }

    int number() const {
        return number_;
    }
    bool is_open() const {
        return number_ >= 0;
    }

private:
    int number_;
};

}  // namespace aft
