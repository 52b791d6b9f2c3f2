#include "ptx.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>

// The lanes of a loop are independent of each other, also where its result overwrites an operand. Clang finds out when
// the loop runs, and would warn of those that it can't vectorise.
#if defined(__GNUC__) && !defined(__clang__)
#define INDEPENDENT _Pragma("GCC ivdep")
#else
#define INDEPENDENT
#endif

namespace aft::ptx {
namespace {

// --- Values -----------------------------------------------------------------------------------------------------

/// The value of a register. 8 and 16 bits are kept in words.
enum class Kind { predicate, word, wide };

template<typename T>
constexpr Kind kind_of = std::is_same_v<T, bool> ? Kind::predicate
                         : sizeof(T) == 8        ? Kind::wide
                                                 : Kind::word;

template<typename T>
using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;

/// Integers are extended by their sign, as a load or a conversion to a wider register has to.
template<typename T>
Bits<T> to_bits(T value) {
    if constexpr (std::is_floating_point_v<T>) {
        Bits<T> bits;
        std::memcpy(&bits, &value, sizeof(bits));
        return bits;
    } else {
        return static_cast<Bits<T>>(value);
    }
}

template<typename T>
T from_bits(Bits<T> bits) {
    if constexpr (std::is_floating_point_v<T>) {
        T value;
        std::memcpy(&value, &bits, sizeof(value));
        return value;
    } else {
        return static_cast<T>(bits);
    }
}

// --- Instructions -----------------------------------------------------------------------------------------------

/// Threads of a block that run an instruction together, in ascending order.
struct Lanes {
    std::vector<std::uint16_t> list;

    template<typename Function>
    void each(Function function) const {
        if (list.empty()) {
            return;
        }
        const int first = list.front(), last = list.back();
        if (last - first + 1 == static_cast<int>(list.size())) {
            INDEPENDENT
            for (int lane = first; lane <= last; ++lane) {
                function(lane);
            }
        } else {
            for (const int lane : list) {
                function(lane);
            }
        }
    }
};

class Grid;
struct Instruction;
using Handler = void (*)(Grid &, const Instruction &, const Lanes &);

enum class Flow { next, branch, barrier, exit };
enum class Space { generic, global, shared, local, param };

struct Instruction {
    Handler handler = nullptr;
    Flow flow = Flow::next;
    int target = -1;                          // of a branch
    int guard = -1;                           // the predicate's row
    bool guard_value = true;                  // where the instruction runs
    std::array<std::uint32_t, 5> operands{};  // rows of the register file, the destination first
    int line = 0;

    // Loads, stores and atomics: operands[0] is the address, the others are data.
    Space space = Space::generic;
    std::uint64_t offset = 0;
    unsigned count = 1;      // of a vector's elements
    unsigned bytes = 0;      // of all of them
    bool ordered = false;    // atomic or volatile: not part of a race
    bool read_only = false;  // .nc
};

struct Special {
    enum { tid, ctaid, ntid, nctaid } what;
    int axis;
    std::uint32_t row;
};

/// Where shared and local memory are in the generic address space: where no pointer of the host is.
constexpr std::uint64_t window_bytes = std::uint64_t(1) << 32;
constexpr std::uint64_t shared_window = std::uint64_t(1) << 62, local_window = shared_window + window_bytes;

}  // namespace

/// A register file has a row for every register, constant and special register, and a column for every thread.
class Kernel {
public:
    struct Parameter {
        std::size_t offset, bytes;
    };

    std::string name;
    std::vector<Parameter> parameters;
    std::size_t parameter_bytes = 0, shared_bytes = 0, local_bytes = 0;
    Dim required{0, 0, 0}, maximum{0, 0, 0};  // threads of a block; 0: any
    std::vector<Instruction> code;
    std::shared_ptr<const std::vector<std::string>> lines;  // of the module
    std::uint32_t word_rows = 0, wide_rows = 0;
    std::map<std::uint32_t, std::uint32_t> words;  // the constants, by value
    std::map<std::uint64_t, std::uint32_t> wides;
    std::vector<Special> specials;
};

namespace {

std::string hexadecimal(std::uint64_t value) {
    std::ostringstream text;
    text << "0x" << std::hex << value;
    return text.str();
}

std::string to_string(const Dim &dim) {
    return "(" + std::to_string(dim.x) + ", " + std::to_string(dim.y) + ", " + std::to_string(dim.z) + ")";
}

unsigned &axis_of(Dim &dim, int axis) {
    return axis == 0 ? dim.x : axis == 1 ? dim.y : dim.z;
}

Dim position(std::size_t index, const Dim &extent) {
    return {static_cast<unsigned>(index % extent.x), static_cast<unsigned>(index / extent.x % extent.y),
            static_cast<unsigned>(index / extent.x / extent.y)};
}

// --- Data races -------------------------------------------------------------------------------------------------

/// Who accessed the words of a memory last. Time goes in intervals: a barrier starts one, and so does a block. Blocks
/// run one after the other here but not on a GPU, so that what is from before the block's first interval is unordered.
class Accesses {
public:
    static constexpr std::uint32_t several = ~0u;  // threads

    struct Access {
        std::uint32_t interval = 0;  // 0: never
        std::uint32_t thread = 0;
    };

    void start_interval() {
        ++interval_;
    }
    void start_block() {
        block_start_ = ++interval_;
    }
    bool is_of_block(const Access &access) const {
        return access.interval >= block_start_;
    }
    void clear() {
        pages_.clear();
        cache_ = {};
    }

    /// The write that a read races with, or null.
    const Access *read(std::uint64_t address, std::uint32_t thread, bool read_only) {
        Word &word = at(address);
        if (read_only ? word.write.interval != 0 : word.write.thread != several && races(word.write, thread)) {
            return &word.write;
        }
        if (word.read.interval == interval_) {
            word.read.thread = word.read.thread == thread ? thread : several;
        } else if (word.read.interval == 0 || is_of_block(word.read)) {
            word.read = {interval_, thread};  // and else, the read of another block stays: it orders with none of this
        }
        return nullptr;
    }

    /// The access that a write races with, or null. Threads may write what is there already: Halide lets the last two
    /// tiles of a loop overlap.
    const Access *write(std::uint64_t address, std::uint32_t thread, bool changes) {
        Word &word = at(address);
        if (!changes) {
            if (races(word.write, thread)) {
                word.write.thread = several;  // any of which may read it
            }
            return nullptr;
        }
        if (races(word.write, thread)) {
            return &word.write;
        }
        if (races(word.read, thread)) {
            return &word.read;
        }
        word.write = {interval_, thread};
        return nullptr;
    }

private:
    struct Word {
        Access write, read;
    };
    static constexpr std::uint64_t page_words = 1024;
    using Page = std::array<Word, page_words>;

    std::uint32_t interval_ = 0, block_start_ = 0;
    std::unordered_map<std::uint64_t, std::unique_ptr<Page>> pages_;
    std::array<std::pair<std::uint64_t, Page *>, 256> cache_{};

    bool races(const Access &access, std::uint32_t thread) const {
        return access.interval == interval_ ? access.thread != thread : access.interval != 0 && !is_of_block(access);
    }

    Word &at(std::uint64_t address) {
        const std::uint64_t number = address / 4 / page_words;
        auto &[cached_number, page] = cache_[number % cache_.size()];
        if (!page || cached_number != number) {
            std::unique_ptr<Page> &owner = pages_[number];
            if (!owner) {
                owner = std::make_unique<Page>();
            }
            cached_number = number;
            page = owner.get();
        }
        return (*page)[address / 4 % page_words];
    }
};

// --- Execution --------------------------------------------------------------------------------------------------

/// A launch. The threads of a block at the same instruction run it together. Those furthest behind go first, which
/// brings threads that went different ways together again.
class Grid {
public:
    Grid(const Kernel &kernel, Dim grid, Dim block, std::size_t dynamic_shared_bytes, void **params,
         const MemoryCheck &check)
        : kernel_(kernel), extent_(grid), block_(block), check_(check) {
        const std::size_t shared_bytes = kernel.shared_bytes + dynamic_shared_bytes;
        check_limits(shared_bytes);
        threads_ = block.x * block.y * block.z;
        words_.assign(std::size_t(kernel.word_rows) * threads_, ~std::uint32_t(0));
        wides_.assign(std::size_t(kernel.wide_rows) * threads_, ~std::uint64_t(0));
        for (const auto &[value, row] : kernel.words) {
            std::fill_n(registers<std::uint32_t>(row), threads_, value);
        }
        for (const auto &[value, row] : kernel.wides) {
            std::fill_n(registers<std::uint64_t>(row), threads_, value);
        }
        parameters_.resize(kernel.parameter_bytes);
        for (std::size_t p = 0; p < kernel.parameters.size(); ++p) {
            std::memcpy(&parameters_[kernel.parameters[p].offset], params[p], kernel.parameters[p].bytes);
        }
        shared_.resize(shared_bytes);
        local_.resize(kernel.local_bytes * threads_);
    }

    std::uint64_t run() {
        const std::size_t blocks = std::size_t(extent_.x) * extent_.y * extent_.z;
        for (std::size_t b = 0; b < blocks; ++b) {
            current_ = position(b, extent_);
            run_block();
        }
        return executed_;
    }

    /// The registers of a row, by thread.
    template<typename T>
    Bits<T> *registers(std::uint32_t row) {
        if constexpr (sizeof(T) == 8) {
            return &wides_[std::size_t(row) * threads_];
        } else {
            return &words_[std::size_t(row) * threads_];
        }
    }

    /// Calls access(lane, memory) for every lane, once their addresses are known to be right.
    template<typename Access>
    void each_address(const Instruction &instruction, const Lanes &lanes, Access access) {
        if (instruction.space == Space::generic) {
            each_generic(instruction, lanes);
            return;
        }
        const std::uint64_t *addresses = registers<std::uint64_t>(instruction.operands[0]), offset = instruction.offset;
        std::uint64_t lowest = ~std::uint64_t(0), highest = 0, all = 0;
        lanes.each([&](int lane) {
            const std::uint64_t address = addresses[lane] + offset;
            lowest = std::min(lowest, address);
            highest = std::max(highest, address);
            all |= address;
        });
        // Each on its own only where they aren't within one allocation
        if (all % instruction.bytes != 0 || highest - lowest > window_bytes ||
            !is_inside(instruction.space, lowest, highest - lowest + instruction.bytes)) {
            for (const int lane : lanes.list) {
                check_address(instruction, lane, addresses[lane] + offset);
            }
        }

        const bool is_local = instruction.space == Space::local;
        const std::uintptr_t base = base_of(instruction.space) + offset;
        for (const int lane : lanes.list) {
            access(lane,
                   reinterpret_cast<char *>(base + addresses[lane] + (is_local ? lane * kernel_.local_bytes : 0)));
        }
    }

    void track_read(const Instruction &instruction, int lane, const char *memory) {
        if (is_tracked(instruction)) {
            for (unsigned i = 0; i < instruction.bytes; i += 4) {
                const std::uint64_t address = address_of(instruction, memory + i);
                if (auto *other = accesses(instruction).read(address, lane, instruction.read_only)) {
                    fail_race(instruction, lane, address, *other, "reads");
                }
            }
        }
    }

    void track_write(const Instruction &instruction, int lane, const char *memory, const char *value) {
        if (is_tracked(instruction)) {
            for (unsigned i = 0; i < instruction.bytes; i += 4) {
                const std::uint64_t address = address_of(instruction, memory + i);
                const bool changes = std::memcmp(memory + i, value + i, 4) != 0;
                if (auto *other = accesses(instruction).write(address, lane, changes)) {
                    fail_race(instruction, lane, address, *other, "changes");
                }
            }
        }
    }

private:
    const Kernel &kernel_;
    Dim extent_, block_, current_;
    const MemoryCheck &check_;
    std::uint32_t threads_;
    std::vector<std::uint32_t> words_;
    std::vector<std::uint64_t> wides_;
    std::vector<char> parameters_, shared_, local_;
    Accesses global_accesses_, shared_accesses_;
    std::uint64_t executed_ = 0;

    void check_limits(std::size_t shared_bytes) const {
        const auto refuse = [&](const std::string &what) {
            throw std::runtime_error("kernel " + kernel_.name + ": " + what + " for a launch of blocks " +
                                     to_string(extent_) + " of threads " + to_string(block_));
        };
        const auto product = [](const Dim &dim) { return std::uint64_t(dim.x) * dim.y * dim.z; };
        const auto is_larger = [](const Dim &dim, const Dim &limit) {
            return dim.x > limit.x || dim.y > limit.y || dim.z > limit.z;
        };
        if (product(extent_) == 0 || is_larger(extent_, {0x7fffffff, 65535, 65535})) {
            refuse("too many blocks, or none,");
        }
        if (product(block_) == 0 || product(block_) > 1024 || is_larger(block_, {1024, 1024, 64})) {
            refuse("too many threads, or none,");
        }
        if (shared_bytes > 48 * 1024) {
            refuse(std::to_string(shared_bytes) + " bytes of shared memory, above 48 KiB,");
        }
        if (kernel_.required.x != 0 && (is_larger(block_, kernel_.required) || is_larger(kernel_.required, block_))) {
            refuse(".reqntid " + to_string(kernel_.required));
        }
        if (kernel_.maximum.x != 0 && product(block_) > product(kernel_.maximum)) {
            refuse(".maxntid " + to_string(kernel_.maximum));
        }
    }

    using Groups = std::map<int, Lanes>;  // by the index of the instruction that they are at

    static void add(Groups &groups, int at, Lanes &&lanes) {
        if (lanes.list.empty()) {
            return;
        }
        Lanes &there = groups[at];
        if (there.list.empty()) {
            there = std::move(lanes);
        } else {
            add_in_order(there, lanes);
        }
    }

    void run_block() {
        std::fill(shared_.begin(), shared_.end(), '\xff');
        std::fill(local_.begin(), local_.end(), '\xff');
        set_special_registers();
        global_accesses_.start_block();
        shared_accesses_.clear();  // it's the block's own
        shared_accesses_.start_block();
        Groups ready, waiting;
        ready[0].list.resize(threads_);
        std::iota(ready[0].list.begin(), ready[0].list.end(), 0);
        while (!ready.empty()) {
            const auto first = ready.extract(ready.begin());
            run_lanes(first.key(), std::move(first.mapped()), ready, waiting);
            if (ready.empty()) {  // every thread that hasn't left is at the barrier
                ready.swap(waiting);
                global_accesses_.start_interval();
                shared_accesses_.start_interval();
            }
        }
    }

    /// Until they part, meet others or have to wait for them.
    void run_lanes(int at, Lanes lanes, Groups &ready, Groups &waiting) {
        const int next_group = ready.empty() ? static_cast<int>(kernel_.code.size()) : ready.begin()->first;
        for (; at < next_group; ++at) {
            const Instruction &instruction = kernel_.code[at];
            if (instruction.guard < 0 && instruction.flow == Flow::next) {
                instruction.handler(*this, instruction, lanes);
                executed_ += lanes.list.size();
                continue;
            }
            Lanes others = take_unguarded(instruction, lanes);
            executed_ += lanes.list.size();
            if (lanes.list.empty()) {
                lanes = std::move(others);
            } else if (instruction.flow == Flow::next) {
                instruction.handler(*this, instruction, lanes);
                add_in_order(lanes, others);
            } else if (instruction.flow == Flow::branch && others.list.empty()) {
                at = instruction.target - 1;
            } else {
                if (instruction.flow != Flow::exit) {
                    add(instruction.flow == Flow::branch ? ready : waiting,
                        instruction.flow == Flow::branch ? instruction.target : at + 1, std::move(lanes));
                }
                add(ready, at + 1, std::move(others));
                return;
            }
        }
        add(ready, at, std::move(lanes));
    }

    static void add_in_order(Lanes &lanes, const Lanes &others) {
        const auto middle = lanes.list.insert(lanes.list.end(), others.list.begin(), others.list.end());
        std::inplace_merge(lanes.list.begin(), middle, lanes.list.end());
    }

    /// Leaves the lanes whose guard lets them run the instruction, and returns the others.
    Lanes take_unguarded(const Instruction &instruction, Lanes &lanes) {
        Lanes others;
        if (instruction.guard < 0) {
            return others;
        }
        const std::uint32_t *guard = registers<bool>(instruction.guard), value = instruction.guard_value;
        std::size_t running = 0;
        lanes.each([&](int lane) { running += guard[lane] == value; });
        if (running == 0) {
            lanes.list.swap(others.list);
        } else if (running < lanes.list.size()) {
            const auto middle = std::stable_partition(lanes.list.begin(), lanes.list.end(),
                                                      [&](int lane) { return guard[lane] == value; });
            others.list.assign(middle, lanes.list.end());
            lanes.list.erase(middle, lanes.list.end());
        }
        return others;
    }

    void set_special_registers() {
        for (const Special &special : kernel_.specials) {
            std::uint32_t *row = registers<std::uint32_t>(special.row);
            for (std::uint32_t lane = 0; lane < threads_; ++lane) {
                Dim values[] = {position(lane, block_), current_, block_, extent_};
                row[lane] = axis_of(values[special.what], special.axis);
            }
        }
    }

    std::uintptr_t base_of(Space space) const {
        const auto number = [](const std::vector<char> &bytes) {
            return reinterpret_cast<std::uintptr_t>(bytes.data());
        };
        switch (space) {
            case Space::shared: return number(shared_);
            case Space::local: return number(local_);
            case Space::param: return number(parameters_);
            default: return 0;
        }
    }

    bool is_inside(Space space, std::uint64_t address, std::uint64_t bytes) const {
        const auto fits = [&](std::size_t size) { return address <= size && bytes <= size - address; };
        switch (space) {
            case Space::shared: return fits(shared_.size());
            case Space::local: return fits(kernel_.local_bytes);
            case Space::param: return fits(parameters_.size());
            default: return check_(address, bytes);
        }
    }

    void check_address(const Instruction &instruction, int lane, std::uint64_t address) const {
        const std::string access = std::to_string(instruction.bytes) + " bytes at " + hexadecimal(address);
        if (!is_inside(instruction.space, address, instruction.bytes)) {
            fail(instruction, lane, "accesses " + access + ", which are out of bounds");
        }
        if (address % instruction.bytes != 0) {
            fail(instruction, lane, "accesses " + access + ", which are misaligned");
        }
    }

    /// A generic address tells by itself which space it is of.
    void each_generic(Instruction instruction, const Lanes &lanes) {
        const std::uint64_t offset = instruction.offset;
        for (const std::uint16_t lane : lanes.list) {
            const std::uint64_t address = registers<std::uint64_t>(instruction.operands[0])[lane] + offset;
            instruction.space = Space::global;
            instruction.offset = offset;
            for (const auto &[space, window] :
                 {std::pair(Space::shared, shared_window), {Space::local, local_window}}) {
                if (address - window < window_bytes) {
                    instruction.space = space;
                    instruction.offset = offset - window;
                }
            }
            instruction.handler(*this, instruction, Lanes{{lane}});
        }
    }

    static bool is_tracked(const Instruction &instruction) {
        return !instruction.ordered && instruction.bytes / instruction.count >= 4 &&
               (instruction.space == Space::global || instruction.space == Space::shared);
    }

    Accesses &accesses(const Instruction &instruction) {
        return instruction.space == Space::shared ? shared_accesses_ : global_accesses_;
    }

    std::uint64_t address_of(const Instruction &instruction, const char *memory) {
        return reinterpret_cast<std::uintptr_t>(memory) - base_of(instruction.space);
    }

    [[noreturn]] void fail(const Instruction &instruction, int lane, const std::string &what) const {
        throw std::runtime_error("kernel " + kernel_.name + ", line " + std::to_string(instruction.line) + " \"" +
                                 (*kernel_.lines)[instruction.line - 1] + "\": thread " +
                                 to_string(position(lane, block_)) + " of block " + to_string(current_) + " " + what);
    }

    [[noreturn]] void fail_race(const Instruction &instruction, int lane, std::uint64_t address,
                                const Accesses::Access &other, const std::string &what) {
        const std::string by =
            other.thread == Accesses::several ? "others" : "thread " + to_string(position(other.thread, block_));
        fail(instruction, lane,
             what + " the word at " + hexadecimal(address) + ", a race with " + by +
                 (accesses(instruction).is_of_block(other) ? "" : " of another block"));
    }
};

// --- Arithmetic -------------------------------------------------------------------------------------------------

template<typename T>
using Unsigned = std::make_unsigned_t<T>;

template<typename T>
constexpr unsigned width = 8 * sizeof(T);

/// Integers wrap around. The detour through 64 bits keeps short ones from being promoted to int.
template<typename T>
T add(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
        return static_cast<T>(std::uint64_t(a) + std::uint64_t(b));
    } else {
        return a + b;
    }
}

template<typename T>
T subtract(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
        return static_cast<T>(std::uint64_t(a) - std::uint64_t(b));
    } else {
        return a - b;
    }
}

template<typename T>
T multiply(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
        return static_cast<T>(std::uint64_t(a) * std::uint64_t(b));
    } else {
        return a * b;
    }
}

template<typename T>
T multiply_add(T a, T b, T c) {
    return add(multiply(a, b), c);
}

template<typename T, typename Wide>
Wide multiply_wide(T a, T b) {
    return multiply<Wide>(a, b);
}

template<typename T, typename Wide>
Wide multiply_add_wide(T a, T b, Wide c) {
    return add(multiply<Wide>(a, b), c);
}

template<typename T, typename Wide>
T multiply_high(T a, T b) {
    return static_cast<T>(multiply<Wide>(a, b) >> width<T>);
}

/// As a GPU does it: nothing traps.
template<typename T>
T divide(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
        if (b == 0) {
            return static_cast<T>(-1);
        }
        if (std::is_signed_v<T> && b == static_cast<T>(-1)) {
            return subtract<T>(0, a);
        }
    }
    return a / b;
}

template<typename T>
T remainder(T a, T b) {
    return b == 0 ? a : subtract(a, multiply(divide(a, b), b));
}

template<typename T>
T negative(T a) {
    if constexpr (std::is_integral_v<T>) {
        return subtract<T>(0, a);
    } else {
        return -a;
    }
}

template<typename T>
T absolute(T a) {
    if constexpr (std::is_integral_v<T>) {
        return a < 0 ? negative(a) : a;
    } else {
        return std::fabs(a);
    }
}

/// A number is chosen before a NaN, and -0 is less than 0.
template<typename T>
T minimum(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
        if (std::isnan(a) || std::isnan(b)) {
            return std::isnan(a) ? b : a;
        }
        if (a == b) {
            return std::signbit(a) ? a : b;
        }
    }
    return b < a ? b : a;
}

template<typename T>
T maximum(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
        if (std::isnan(a) || std::isnan(b)) {
            return std::isnan(a) ? b : a;
        }
        if (a == b) {
            return std::signbit(a) ? b : a;
        }
    }
    return a < b ? b : a;
}

template<typename T>
T fused_multiply_add(T a, T b, T c) {
    return std::fma(a, b, c);
}

template<typename T>
T reciprocal(T a) {
    return 1 / a;
}

template<typename T>
T square_root(T a) {
    return std::sqrt(a);
}

// A GPU's approximations are off by some units in the last place; these are as good as float32 can be.
float exponential2(float a) {
    return std::exp2(a);
}

float logarithm2(float a) {
    return std::log2(a);
}

template<typename T>
T conjunction(T a, T b) {
    return a & b;
}

template<typename T>
T disjunction(T a, T b) {
    return a | b;
}

template<typename T>
T exclusive(T a, T b) {
    return a ^ b;
}

template<typename T>
T complement(T a) {
    if constexpr (std::is_same_v<T, bool>) {
        return !a;
    } else {
        return ~a;
    }
}

template<typename T>
T shift_left(T a, std::uint32_t by) {
    return by < width<T> ? static_cast<T>(a << by) : 0;
}

/// Signed integers are filled with their sign.
template<typename T>
T shift_right(T a, std::uint32_t by) {
    if (by < width<T>) {
        return static_cast<T>(a >> by);
    }
    return a < 0 ? static_cast<T>(-1) : 0;
}

template<typename T>
bool equal(T a, T b) {
    return a == b;
}

template<typename T>
bool different(T a, T b) {
    return a < b || a > b;  // a NaN is neither
}

template<typename T>
bool less(T a, T b) {
    return a < b;
}

template<typename T>
bool less_equal(T a, T b) {
    return a <= b;
}

template<typename T>
bool greater(T a, T b) {
    return a > b;
}

template<typename T>
bool greater_equal(T a, T b) {
    return a >= b;
}

template<typename T>
bool both_numbers(T a, T b) {
    return !std::isnan(a) && !std::isnan(b);
}

template<typename T>
bool unordered(T a, T b) {
    return !both_numbers(a, b);
}

/// Where `compare` is false for NaN, this is true.
template<typename T, bool (*compare)(T, T)>
bool or_unordered(T a, T b) {
    return unordered(a, b) || compare(a, b);
}

template<typename T>
T select(T a, T b, bool condition) {
    return condition ? a : b;
}

template<typename T>
T same(T a) {
    return a;
}

std::uint64_t pack(std::uint32_t low, std::uint32_t high) {
    return low | std::uint64_t(high) << 32;
}

std::uint32_t low_half(std::uint64_t both) {
    return static_cast<std::uint32_t>(both);
}

std::uint32_t high_half(std::uint64_t both) {
    return both >> 32;
}

template<std::uint64_t window>
std::uint64_t to_generic(std::uint64_t address) {
    return address + window;
}

template<std::uint64_t window>
std::uint64_t from_generic(std::uint64_t address) {
    return address - window;
}

template<typename To, typename From>
To convert(From a) {
    return static_cast<To>(a);
}

template<typename T>
T to_nearest(T a) {
    return std::nearbyint(a);
}

template<typename T>
T to_zero(T a) {
    return std::trunc(a);
}

template<typename T>
T down(T a) {
    return std::floor(a);
}

template<typename T>
T up(T a) {
    return std::ceil(a);
}

/// With subnormal numbers taken as zero (.ftz).
template<float (*round)(float)>
float round_flushed(float a) {
    return round(std::fpclassify(a) == FP_SUBNORMAL ? std::copysign(0.0f, a) : a);
}

template<typename To, typename From, From (*round)(From)>
To to_integer(From a) {
    using Limits = std::numeric_limits<To>;
    if (std::isnan(a)) {
        return sizeof(From) == 8 || sizeof(To) == 8 ? static_cast<To>(std::uint64_t(1) << (width<To> - 1)) : 0;
    }
    a = round(a);
    // The largest integer may be rounded up to one that doesn't fit.
    return a <= static_cast<From>(Limits::min())   ? Limits::min()
           : a >= static_cast<From>(Limits::max()) ? Limits::max()
                                                   : static_cast<To>(a);
}

// --- Handlers ---------------------------------------------------------------------------------------------------

/// Does what `function` does in every thread.
template<auto function>
struct Elementwise;

template<typename Result, typename... Arguments, Result (*function)(Arguments...)>
struct Elementwise<function> {
    static std::vector<Kind> kinds() {
        return {kind_of<Result>, kind_of<Arguments>...};
    }
    static void run(Grid &grid, const Instruction &instruction, const Lanes &lanes) {
        run(grid, instruction, lanes, std::index_sequence_for<Arguments...>());
    }

private:
    template<std::size_t... i>
    static void run(Grid &grid, const Instruction &instruction, const Lanes &lanes, std::index_sequence<i...>) {
        Bits<Result> *result = grid.registers<Result>(instruction.operands[0]);
        const std::tuple<const Bits<Arguments> *...> arguments(
            grid.registers<Arguments>(instruction.operands[i + 1])...);
        lanes.each(
            [=](int lane) { result[lane] = to_bits(function(from_bits<Arguments>(std::get<i>(arguments)[lane])...)); });
    }
};

struct Operation {
    Handler handler;
    std::vector<Kind> kinds;  // of the operands
};

template<auto function>
Operation elementwise() {
    return {Elementwise<function>::run, Elementwise<function>::kinds()};
}

#if defined(__x86_64__) && !defined(__FMA__)
/// Most of what kernels do: not with a call of the C library for every thread, when the processor has the instruction.
__attribute__((target("avx2,fma"))) void fma_with_avx2(Grid &grid, const Instruction &instruction, const Lanes &lanes) {
    std::uint32_t *result = grid.registers<float>(instruction.operands[0]);
    const std::uint32_t *a = grid.registers<float>(instruction.operands[1]),
                        *b = grid.registers<float>(instruction.operands[2]),
                        *c = grid.registers<float>(instruction.operands[3]);
    const auto fma_lane = [=](int lane) __attribute__((target("avx2,fma"), always_inline)) {
        float values[3];
        std::memcpy(&values[0], &a[lane], sizeof(float));
        std::memcpy(&values[1], &b[lane], sizeof(float));
        std::memcpy(&values[2], &c[lane], sizeof(float));
        const float value = __builtin_fmaf(values[0], values[1], values[2]);
        std::memcpy(&result[lane], &value, sizeof(float));
    };
    const int first = lanes.list.front(), last = lanes.list.back();
    if (last - first + 1 == static_cast<int>(lanes.list.size())) {
        INDEPENDENT
        for (int lane = first; lane <= last; ++lane) {
            fma_lane(lane);
        }
    } else {
        for (const int lane : lanes.list) {
            fma_lane(lane);
        }
    }
}

Operation fma_float() {
    Operation operation = elementwise<fused_multiply_add<float>>();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        operation.handler = fma_with_avx2;
    }
    return operation;
}
#else
Operation fma_float() {
    return elementwise<fused_multiply_add<float>>();
}
#endif

template<typename Stored, typename Register>
void load(Grid &grid, const Instruction &instruction, const Lanes &lanes) {
    std::array<Bits<Register> *, 4> results{};
    for (unsigned i = 0; i < instruction.count; ++i) {
        results[i] = grid.registers<Register>(instruction.operands[i + 1]);
    }
    grid.each_address(instruction, lanes, [&](int lane, const char *memory) {
        grid.track_read(instruction, lane, memory);
        for (unsigned i = 0; i < instruction.count; ++i) {
            Stored value;
            std::memcpy(&value, memory + i * sizeof(Stored), sizeof(Stored));
            results[i][lane] = static_cast<Register>(value);
        }
    });
}

template<typename Stored, typename Register>
void store(Grid &grid, const Instruction &instruction, const Lanes &lanes) {
    std::array<const Bits<Register> *, 4> sources{};
    for (unsigned i = 0; i < instruction.count; ++i) {
        sources[i] = grid.registers<Register>(instruction.operands[i + 1]);
    }
    grid.each_address(instruction, lanes, [&](int lane, char *memory) {
        std::array<Stored, 4> values{};
        for (unsigned i = 0; i < instruction.count; ++i) {
            values[i] = static_cast<Stored>(sources[i][lane]);
        }
        grid.track_write(instruction, lane, memory, reinterpret_cast<const char *>(values.data()));
        std::memcpy(memory, values.data(), instruction.bytes);
    });
}

/// memory = function(memory, operands...), one thread after the other. The result is what was there.
template<auto function>
struct Atomic;

template<typename T, typename... Operands, T (*function)(T, Operands...)>
struct Atomic<function> {
    static void run(Grid &grid, const Instruction &instruction, const Lanes &lanes) {
        run(grid, instruction, lanes, std::index_sequence_for<Operands...>());
    }

private:
    template<std::size_t... i>
    static void run(Grid &grid, const Instruction &instruction, const Lanes &lanes, std::index_sequence<i...>) {
        Bits<T> *result = grid.registers<T>(instruction.operands[1]);
        const std::array<const Bits<T> *, sizeof...(i)> operands{grid.registers<T>(instruction.operands[i + 2])...};
        grid.each_address(instruction, lanes, [&](int lane, char *memory) {
            T before;
            std::memcpy(&before, memory, sizeof(T));
            const T after = function(before, from_bits<T>(operands[i][lane])...);
            std::memcpy(memory, &after, sizeof(T));
            result[lane] = to_bits(before);
        });
    }
};

template<auto function, typename T, typename... Operands>
Operation atomic_of(T (*)(T, Operands...)) {
    return {Atomic<function>::run, {kind_of<T>, kind_of<Operands>...}};
}

/// Its operands are the result and those of the function, but for the first.
template<auto function>
Operation atomic() {
    return atomic_of<function>(function);
}

template<typename T>
T exchange(T, T a) {
    return a;
}

template<typename T>
T compare_and_swap(T before, T expected, T a) {
    return before == expected ? a : before;
}

// --- What there is ----------------------------------------------------------------------------------------------

using Operations = std::unordered_map<std::string, Operation>;

template<typename T>
const std::string type_name = (std::is_floating_point_v<T> ? "f"
                               : std::is_signed_v<T>       ? "s"
                                                           : "u") +
                              std::to_string(width<T>);

/// By any of the types of its size, for what doesn't depend on the sign.
template<auto function, typename T>
void add_for_bits(Operations &operations, const std::string &name) {
    for (const char *type : {".b", ".u", ".s"}) {
        operations[name + type + std::to_string(width<T>)] = elementwise<function>();
    }
}

template<typename T>
void add_comparisons(Operations &operations) {
    const std::string type = "." + type_name<T>;
    operations["setp.eq" + type] = elementwise<equal<T>>();
    operations["setp.ne" + type] = elementwise<different<T>>();
    operations["setp.lt" + type] = elementwise<less<T>>();
    operations["setp.le" + type] = elementwise<less_equal<T>>();
    operations["setp.gt" + type] = elementwise<greater<T>>();
    operations["setp.ge" + type] = elementwise<greater_equal<T>>();
    operations["min" + type] = elementwise<minimum<T>>();
    operations["max" + type] = elementwise<maximum<T>>();
}

template<typename T>
void add_integer(Operations &operations) {
    const std::string type = "." + type_name<T>;
    add_comparisons<T>(operations);
    operations["add" + type] = elementwise<add<T>>();
    operations["sub" + type] = elementwise<subtract<T>>();
    operations["mul.lo" + type] = elementwise<multiply<T>>();
    operations["mad.lo" + type] = elementwise<multiply_add<T>>();
    operations["div" + type] = elementwise<divide<T>>();
    operations["rem" + type] = elementwise<remainder<T>>();
    operations["shr" + type] = elementwise<shift_right<T>>();
    if constexpr (std::is_signed_v<T>) {
        operations["neg" + type] = elementwise<negative<T>>();
        operations["abs" + type] = elementwise<absolute<T>>();
    }
}

template<typename T, typename Wide>
void add_widening(Operations &operations) {
    const std::string type = "." + type_name<T>;
    operations["mul.wide" + type] = elementwise<multiply_wide<T, Wide>>();
    operations["mad.wide" + type] = elementwise<multiply_add_wide<T, Wide>>();
    operations["mul.hi" + type] = elementwise<multiply_high<T, Wide>>();
}

template<typename T>
void add_bits(Operations &operations) {
    const std::string type = ".b" + std::to_string(width<T>);
    operations["and" + type] = elementwise<conjunction<T>>();
    operations["or" + type] = elementwise<disjunction<T>>();
    operations["xor" + type] = elementwise<exclusive<T>>();
    operations["not" + type] = elementwise<complement<T>>();
    operations["shl" + type] = elementwise<shift_left<T>>();
    operations["shr" + type] = elementwise<shift_right<T>>();
    operations["setp.eq" + type] = elementwise<equal<T>>();
    operations["setp.ne" + type] = elementwise<different<T>>();
    add_for_bits<select<T>, T>(operations, "selp");
    add_for_bits<same<T>, T>(operations, "mov");
}

template<typename T>
void add_float(Operations &operations) {
    const std::string type = "." + type_name<T>;
    add_comparisons<T>(operations);
    operations["setp.num" + type] = elementwise<both_numbers<T>>();
    operations["setp.nan" + type] = elementwise<unordered<T>>();
    operations["setp.equ" + type] = elementwise<or_unordered<T, equal<T>>>();
    operations["setp.neu" + type] = elementwise<or_unordered<T, different<T>>>();
    operations["setp.ltu" + type] = elementwise<or_unordered<T, less<T>>>();
    operations["setp.leu" + type] = elementwise<or_unordered<T, less_equal<T>>>();
    operations["setp.gtu" + type] = elementwise<or_unordered<T, greater<T>>>();
    operations["setp.geu" + type] = elementwise<or_unordered<T, greater_equal<T>>>();
    for (const char *rounding : {"", ".rn"}) {
        operations["add" + (rounding + type)] = elementwise<add<T>>();
        operations["sub" + (rounding + type)] = elementwise<subtract<T>>();
        operations["mul" + (rounding + type)] = elementwise<multiply<T>>();
    }
    operations["fma.rn" + type] = elementwise<fused_multiply_add<T>>();
    operations["div.rn" + type] = elementwise<divide<T>>();
    operations["rcp.rn" + type] = elementwise<reciprocal<T>>();
    operations["sqrt.rn" + type] = elementwise<square_root<T>>();
    operations["neg" + type] = elementwise<negative<T>>();
    operations["abs" + type] = elementwise<absolute<T>>();
    operations["selp" + type] = elementwise<select<T>>();
    operations["mov" + type] = elementwise<same<T>>();
    operations["cvt.rmi" + type + type] = elementwise<down<T>>();
    operations["cvt.rpi" + type + type] = elementwise<up<T>>();
    operations["cvt.rni" + type + type] = elementwise<to_nearest<T>>();
    operations["cvt.rzi" + type + type] = elementwise<to_zero<T>>();
}

template<typename To, typename... From>
void add_conversions(Operations &operations) {
    const std::string to = "cvt." + type_name<To> + ".";
    ((operations[to + type_name<From>] = elementwise<convert<To, From>>()), ...);
}

template<typename Real, typename... Integers>
void add_real_conversions(Operations &operations) {
    const std::string real = "." + type_name<Real>;
    ((operations["cvt.rn" + real + "." + type_name<Integers>] = elementwise<convert<Real, Integers>>()), ...);
    ((operations["cvt.rmi." + type_name<Integers> + real] = elementwise<to_integer<Integers, Real, down<Real>>>()),
     ...);
    ((operations["cvt.rpi." + type_name<Integers> + real] = elementwise<to_integer<Integers, Real, up<Real>>>()), ...);
    ((operations["cvt.rni." + type_name<Integers> + real] =
          elementwise<to_integer<Integers, Real, to_nearest<Real>>>()),
     ...);
    ((operations["cvt.rzi." + type_name<Integers> + real] = elementwise<to_integer<Integers, Real, to_zero<Real>>>()),
     ...);
}

template<typename... T>
void add_integers(Operations &operations) {
    (add_integer<T>(operations), ...);
    (add_conversions<T, T..., std::int8_t, std::uint8_t>(operations), ...);
    add_real_conversions<float, T...>(operations);
    add_real_conversions<double, T...>(operations);
}

Operations make_operations() {
    Operations operations;
    add_integers<std::int16_t, std::uint16_t, std::int32_t, std::uint32_t, std::int64_t, std::uint64_t>(operations);
    add_widening<std::int16_t, std::int32_t>(operations);
    add_widening<std::uint16_t, std::uint32_t>(operations);
    add_widening<std::int32_t, std::int64_t>(operations);
    add_widening<std::uint32_t, std::uint64_t>(operations);
    add_bits<std::uint16_t>(operations);
    add_bits<std::uint32_t>(operations);
    add_bits<std::uint64_t>(operations);
    add_float<float>(operations);
    add_float<double>(operations);

    operations["and.pred"] = elementwise<conjunction<bool>>();
    operations["or.pred"] = elementwise<disjunction<bool>>();
    operations["xor.pred"] = elementwise<exclusive<bool>>();
    operations["not.pred"] = elementwise<complement<bool>>();
    operations["mov.pred"] = elementwise<same<bool>>();

    operations["fma.rn.f32"] = fma_float();
    operations["ex2.approx.f32"] = elementwise<exponential2>();
    operations["lg2.approx.f32"] = elementwise<logarithm2>();
    operations["cvt.f64.f32"] = elementwise<convert<double, float>>();
    operations["cvt.rn.f32.f64"] = elementwise<convert<float, double>>();
    operations["cvt.rmi.ftz.f32.f32"] = elementwise<round_flushed<down<float>>>();
    operations["cvt.rpi.ftz.f32.f32"] = elementwise<round_flushed<up<float>>>();
    operations["cvt.rni.ftz.f32.f32"] = elementwise<round_flushed<to_nearest<float>>>();
    operations["cvt.rzi.ftz.f32.f32"] = elementwise<round_flushed<to_zero<float>>>();

    for (const char *space : {"", ".to"}) {
        const std::string cvta = "cvta" + std::string(space);
        operations[cvta + ".global.u64"] = operations[cvta + ".const.u64"] = elementwise<same<std::uint64_t>>();
    }
    operations["cvta.shared.u64"] = elementwise<to_generic<shared_window>>();
    operations["cvta.local.u64"] = elementwise<to_generic<local_window>>();
    operations["cvta.to.shared.u64"] = elementwise<from_generic<shared_window>>();
    operations["cvta.to.local.u64"] = elementwise<from_generic<local_window>>();
    return operations;
}

template<typename T>
void add_atomics(Operations &operations) {
    const std::string type = "." + type_name<T>, bits = ".b" + std::to_string(width<T>);
    operations["add" + type] = atomic<add<T>>();
    if constexpr (std::is_integral_v<T>) {
        operations["min" + type] = atomic<minimum<T>>();
        operations["max" + type] = atomic<maximum<T>>();
        operations["and" + bits] = atomic<conjunction<T>>();
        operations["or" + bits] = atomic<disjunction<T>>();
        operations["xor" + bits] = atomic<exclusive<T>>();
        operations["exch" + bits] = atomic<exchange<T>>();
        operations["cas" + bits] = atomic<compare_and_swap<T>>();
    }
}

Operations make_atomics() {
    Operations operations;
    add_atomics<std::int32_t>(operations);
    add_atomics<std::uint32_t>(operations);
    add_atomics<std::int64_t>(operations);
    add_atomics<std::uint64_t>(operations);
    add_atomics<float>(operations);
    add_atomics<double>(operations);
    return operations;
}

// --- Parser -----------------------------------------------------------------------------------------------------

struct Token {
    std::string text;
    int line;
};

struct ElementType {
    unsigned bytes;
    bool is_signed;
};

/// "s32" and the like.
bool parse_type(const std::string &text, ElementType &type) {
    static const std::map<std::string, unsigned> sizes{{"8", 1}, {"16", 2}, {"32", 4}, {"64", 8}};
    const auto size = text.empty() ? sizes.end() : sizes.find(text.substr(1));
    if (size == sizes.end() || std::string("busf").find(text[0]) == std::string::npos) {
        return false;
    }
    type = {size->second, text[0] == 's'};
    return true;
}

template<typename Register>
Handler load_of(const ElementType &type) {
    switch (type.bytes) {
        case 1: return type.is_signed ? load<std::int8_t, Register> : load<std::uint8_t, Register>;
        case 2: return type.is_signed ? load<std::int16_t, Register> : load<std::uint16_t, Register>;
        case 4: return type.is_signed ? load<std::int32_t, Register> : load<std::uint32_t, Register>;
        default: return load<std::uint64_t, Register>;
    }
}

template<typename Register>
Handler store_of(const ElementType &type) {
    switch (type.bytes) {
        case 1: return store<std::uint8_t, Register>;
        case 2: return store<std::uint16_t, Register>;
        case 4: return store<std::uint32_t, Register>;
        default: return store<std::uint64_t, Register>;
    }
}

class Parser {
public:
    explicit Parser(const std::string &text) {
        std::vector<std::string> trimmed;
        std::istringstream stream(text);
        for (std::string line; std::getline(stream, line);) {
            trimmed.push_back(line.erase(0, line.find_first_not_of(" \t")));
        }
        lines_ = std::make_shared<const std::vector<std::string>>(std::move(trimmed));
        tokenize(text);
    }

    std::map<std::string, std::shared_ptr<const Kernel>> parse() {
        std::map<std::string, std::shared_ptr<const Kernel>> kernels;
        while (at_ < tokens_.size()) {
            const std::string word = next();
            if (word == ".version" || word == ".target" || word == ".address_size" || word == ".file") {
                skip_line();
            } else if (word == ".entry") {
                const std::shared_ptr<const Kernel> parsed = parse_kernel();
                kernels[parsed->name] = parsed;
            } else if (word == ".shared") {
                parse_variable(Space::shared, module_symbols_, module_shared_bytes_);
            } else if (word != ".visible" && word != ".extern" && word != ".weak") {
                fail("isn't supported");
            }
        }
        return kernels;
    }

private:
    struct Register {
        Kind kind;
        std::uint32_t row;
    };
    using Symbols = std::map<std::string, std::uint64_t>;

    std::shared_ptr<const std::vector<std::string>> lines_;
    std::vector<Token> tokens_;
    std::size_t at_ = 0;
    Symbols module_symbols_;
    std::size_t module_shared_bytes_ = 0;

    // State of the kernel that is being parsed
    Kernel kernel_;
    std::unordered_map<std::string, Register> registers_;
    Symbols symbols_;
    std::map<std::string, int> labels_;
    std::vector<std::pair<std::size_t, std::size_t>> jumps_;  // the instruction, and the token of its label

    /// About the line of the last token that was taken.
    [[noreturn]] void fail(const std::string &what) const {
        const int line = tokens_.empty() ? 1 : tokens_[at_ == 0 ? 0 : at_ - 1].line;
        throw std::runtime_error("PTX, line " + std::to_string(line) + " \"" + (*lines_)[line - 1] + "\": " + what);
    }

    void tokenize(const std::string &text) {
        const auto is_of_word = [](char c) {
            return std::isalnum(static_cast<unsigned char>(c)) || std::strchr("_.$%", c);
        };
        int line = 1;
        for (std::size_t i = 0; i < text.size() && text[i] != '\0';) {
            const std::size_t start = i;
            if (text[i] == '\n') {
                ++line;
                ++i;
            } else if (std::isspace(static_cast<unsigned char>(text[i]))) {
                ++i;
            } else if (text.compare(i, 2, "//") == 0) {
                i = std::min(text.find('\n', i), text.size());
            } else if (text[i] == '"') {
                i = std::min(text.find('"', i + 1), text.size() - 1) + 1;
                tokens_.push_back({text.substr(start, i - start), line});
            } else {
                ++i;
                if (is_of_word(text[start]) || text[start] == '-') {
                    while (i < text.size() && (is_of_word(text[i]) || text.compare(i, 2, "::") == 0)) {
                        i += text[i] == ':' ? 2 : 1;
                    }
                }
                tokens_.push_back({text.substr(start, i - start), line});
            }
        }
    }

    const std::string &next() {
        if (at_ == tokens_.size()) {
            fail("ends too early");
        }
        return tokens_[at_++].text;
    }

    bool peek(const std::string &text, std::size_t ahead = 0) const {
        return at_ + ahead < tokens_.size() && tokens_[at_ + ahead].text == text;
    }

    bool accept(const std::string &text) {
        const bool is_next = peek(text);
        at_ += is_next;
        return is_next;
    }

    void expect(const std::string &text) {
        if (next() != text) {
            fail("expected '" + text + "', not '" + tokens_[at_ - 1].text + "'");
        }
    }

    void skip_line() {
        const int line = tokens_[at_ - 1].line;
        while (at_ < tokens_.size() && tokens_[at_].line == line) {
            ++at_;
        }
    }

    /// An integer, or a float as 0f and its bits.
    std::uint64_t number(const std::string &text) const {
        const bool is_float = text.size() > 2 && text[0] == '0' && std::strchr("fFdD", text[1]);
        std::size_t used = 0;
        std::uint64_t value = 0;
        try {
            value = is_float         ? std::stoull(text.substr(2), &used, 16)
                    : text[0] == '-' ? static_cast<std::uint64_t>(std::stoll(text, &used, 0))
                                     : std::stoull(text, &used, 0);
        } catch (const std::logic_error &) {
            fail("'" + text + "' is unknown");
        }
        const std::size_t rest = text.size() - used - (is_float ? 2 : 0);
        if (rest != 0 && !(rest == 1 && text.back() == 'U')) {
            fail("'" + text + "' is unknown");
        }
        return value;
    }

    std::shared_ptr<const Kernel> parse_kernel() {
        kernel_ = {};
        registers_.clear();
        symbols_ = module_symbols_;
        labels_.clear();
        jumps_.clear();
        kernel_.name = next();
        kernel_.lines = lines_;
        kernel_.shared_bytes = module_shared_bytes_;
        if (accept("(") && !accept(")")) {
            do {
                expect(".param");
                const std::size_t end = parse_variable(Space::param, symbols_, kernel_.parameter_bytes);
                kernel_.parameters.push_back({end, kernel_.parameter_bytes - end});
            } while (!accept(")") && (expect(","), true));
        }
        while (!accept("{")) {
            parse_kernel_directive();
        }
        while (!accept("}")) {
            parse_statement();
        }
        kernel_.code.emplace_back().flow = Flow::exit;
        for (const auto &[instruction, label] : jumps_) {
            const auto target = labels_.find(tokens_[label].text);
            if (target == labels_.end()) {
                at_ = label + 1;
                fail("'" + tokens_[label].text + "' is no label");
            }
            kernel_.code[instruction].target = target->second;
        }
        return std::make_shared<const Kernel>(std::move(kernel_));
    }

    void parse_kernel_directive() {
        const std::string directive = next();
        if (directive == ".reqntid" || directive == ".maxntid") {
            Dim &dim = directive == ".reqntid" ? kernel_.required : kernel_.maximum;
            dim = {1, 1, 1};
            int axis = 0;
            do {
                axis_of(dim, axis++) = number(next());
            } while (axis < 3 && accept(","));
        } else if (directive == ".minnctapersm" || directive == ".maxnreg") {
            next();
        } else {
            fail("'" + directive + "' isn't supported");
        }
    }

    /// The rest of ".align 4 .b8 name[64]" after its space. Returns where it starts; `end` is where those before it do.
    std::size_t parse_variable(Space space, Symbols &in, std::size_t &end) {
        std::size_t alignment = 1;
        ElementType type{0, false};
        std::string word = next();
        for (; word[0] == '.'; word = next()) {
            if (word == ".ptr") {  // what it points to is aligned like this, not the pointer
                while (peek(".global") || peek(".shared")) {
                    next();
                }
                if (accept(".align")) {
                    next();
                }
            } else if (word == ".align") {
                alignment = number(next());
            } else if (!parse_type(word.substr(1), type)) {
                fail("'" + word + "' isn't supported");
            }
        }
        std::size_t bytes = type.bytes;
        if (accept("[")) {
            const bool is_dynamic = peek("]");  // as much as the launch gives
            bytes *= is_dynamic ? 0 : number(next());
            alignment = is_dynamic ? 16 : alignment;
            expect("]");
        }
        alignment = std::max<std::size_t>(alignment, type.bytes);
        const std::size_t start = (end + alignment - 1) / alignment * alignment;
        end = start + bytes;
        in[word] = start;
        if (space != Space::param) {
            expect(";");
        }
        return start;
    }

    void parse_statement() {
        const std::string word = next();
        if (accept(":")) {
            labels_[word] = static_cast<int>(kernel_.code.size());
        } else if (word == ".reg") {
            parse_registers();
        } else if (word == ".shared") {
            parse_variable(Space::shared, symbols_, kernel_.shared_bytes);
        } else if (word == ".local") {
            parse_variable(Space::local, symbols_, kernel_.local_bytes);
        } else if (word == ".loc") {
            skip_line();
        } else if (word == ".pragma") {
            next();
            expect(";");
        } else {
            parse_instruction(word);
        }
    }

    /// ".b32 %r<5>" or ".b64 %SP, %SPL"
    void parse_registers() {
        const std::string type = next();
        ElementType element{4, false};
        if (type != ".pred" && !parse_type(type.substr(1), element)) {
            fail("'" + type + "' isn't supported");
        }
        const Kind kind = type == ".pred" ? Kind::predicate : element.bytes == 8 ? Kind::wide : Kind::word;
        do {
            const std::string name = next();
            if (accept("<")) {
                const std::uint64_t count = number(next());
                expect(">");
                for (std::uint64_t i = 0; i < count; ++i) {
                    registers_[name + std::to_string(i)] = {kind, new_row(kind)};
                }
            } else {
                registers_[name] = {kind, new_row(kind)};
            }
        } while (accept(","));
        expect(";");
    }

    std::uint32_t new_row(Kind kind) {
        return kind == Kind::wide ? kernel_.wide_rows++ : kernel_.word_rows++;
    }

    std::uint32_t constant(Kind kind, std::uint64_t value) {
        if (kind == Kind::wide) {
            const auto [row, is_new] = kernel_.wides.try_emplace(value, kernel_.wide_rows);
            kernel_.wide_rows += is_new;
            return row->second;
        }
        const auto [row, is_new] = kernel_.words.try_emplace(static_cast<std::uint32_t>(value), kernel_.word_rows);
        kernel_.word_rows += is_new;
        return row->second;
    }

    /// The row of %tid.x and the like.
    std::uint32_t special(const std::string &name) {
        static const std::map<std::string, decltype(Special::what)> names{{"%tid", Special::tid},
                                                                          {"%ctaid", Special::ctaid},
                                                                          {"%ntid", Special::ntid},
                                                                          {"%nctaid", Special::nctaid}};
        const auto what = names.find(name.substr(0, name.find('.')));
        if (what == names.end() || name.size() != what->first.size() + 2 || name.back() < 'x' || name.back() > 'z') {
            fail("'" + name + "' is unknown");
        }
        const auto [found, is_new] = registers_.try_emplace(name, Register{Kind::word, kernel_.word_rows});
        if (is_new) {
            kernel_.specials.push_back({what->second, name.back() - 'x', new_row(Kind::word)});
        }
        return found->second.row;
    }

    bool is_wide(const std::string &operand) const {
        const auto found = registers_.find(operand);
        return found != registers_.end() && found->second.kind == Kind::wide;
    }

    /// A register, special register, number or variable.
    std::uint32_t operand(Kind kind) {
        const std::string name = next();
        if (const auto found = registers_.find(name); found != registers_.end()) {
            if (found->second.kind != kind) {
                fail("'" + name + "' is of another size than the instruction");
            }
            return found->second.row;
        }
        if (name[0] == '%' && kind == Kind::word) {
            return special(name);
        }
        if (const auto found = symbols_.find(name); found != symbols_.end() && kind == Kind::wide) {
            return constant(kind, found->second);
        }
        if (name[0] == '%') {
            fail("'" + name + "' is unknown");
        }
        return kind == Kind::predicate ? constant(Kind::word, number(name) != 0) : constant(kind, number(name));
    }

    std::uint32_t destination(Kind kind) {
        if (!registers_.count(tokens_[at_].text)) {
            fail("'" + tokens_[at_].text + "' is no register");
        }
        return operand(kind);
    }

    void parse_instruction(std::string opcode) {
        Instruction instruction;
        instruction.line = tokens_[at_ - 1].line;
        if (opcode == "@") {
            instruction.guard_value = !accept("!");
            instruction.guard = static_cast<int>(operand(Kind::predicate));
            opcode = next();
        }
        static const Operations operations = make_operations();
        const std::string stem = opcode.substr(0, opcode.find('.'));
        if (opcode == "bra" || opcode == "bra.uni") {
            instruction.flow = Flow::branch;
            jumps_.emplace_back(kernel_.code.size(), at_);
            next();
        } else if (opcode == "ret" || opcode == "exit") {
            instruction.flow = Flow::exit;
        } else if (opcode == "bar.sync" || opcode == "barrier.sync") {
            instruction.flow = Flow::barrier;
            expect("0");
        } else if (stem == "ld" || stem == "st" || stem == "atom" || stem == "red") {
            parse_access(instruction, stem, opcode);
        } else if (opcode == "mov.b64" && peek("{")) {
            parse_unpack(instruction);
        } else if (opcode == "mov.b64" && peek("{", 2)) {
            parse_operands(instruction, elementwise<pack>());
        } else if (const auto operation = operations.find(opcode); operation != operations.end()) {
            parse_operands(instruction, operation->second);
        } else {
            fail("instruction '" + opcode + "' isn't supported");
        }
        expect(";");
        kernel_.code.push_back(instruction);
    }

    void parse_operands(Instruction &instruction, const Operation &operation) {
        instruction.handler = operation.handler;
        for (std::size_t i = 0; i < operation.kinds.size(); ++i) {
            if (i > 0) {
                expect(",");
            }
            accept("{");
            instruction.operands[i] = i == 0 ? destination(operation.kinds[i]) : operand(operation.kinds[i]);
            accept("}");
        }
    }

    /// mov.b64 {low, high}, both: two instructions
    void parse_unpack(Instruction &instruction) {
        expect("{");
        Instruction low = instruction;
        low.operands[0] = destination(Kind::word);
        expect(",");
        instruction.operands[0] = destination(Kind::word);
        expect("}");
        expect(",");
        low.operands[1] = instruction.operands[1] = operand(Kind::wide);
        low.handler = Elementwise<low_half>::run;
        instruction.handler = Elementwise<high_half>::run;
        kernel_.code.push_back(low);
    }

    /// ld, st, atom and red
    void parse_access(Instruction &instruction, const std::string &stem, const std::string &opcode) {
        static const std::map<std::string, Space> spaces{{"global", Space::global},
                                                         {"const", Space::global},
                                                         {"shared", Space::shared},
                                                         {"local", Space::local},
                                                         {"param", Space::param}};
        const bool is_atomic = stem == "atom" || stem == "red";
        ElementType type{0, false};
        std::string atomic_operation;
        std::istringstream parts(opcode.substr(stem.size() + 1));
        for (std::string part; std::getline(parts, part, '.');) {
            if (const auto space = spaces.find(part); space != spaces.end()) {
                instruction.space = space->second;
            } else if (part == "nc") {
                instruction.read_only = true;
            } else if (part == "relaxed" || part == "acquire" || part == "release" || part == "acq_rel" ||
                       part == "volatile") {
                instruction.ordered = true;
            } else if (part == "v2" || part == "v4") {
                instruction.count = part[1] - '0';
            } else if (part == "weak" || part == "sys" || part == "gpu" || part == "cta" || part == "ca" ||
                       part == "cg" || part == "cs" || part == "cv" || part == "wb" || part == "wt") {
                continue;
            } else if (!parse_type(part, type)) {
                if (!is_atomic || !atomic_operation.empty()) {
                    fail("instruction '" + opcode + "' isn't supported");
                }
                atomic_operation = part;
            }
        }
        instruction.bytes = type.bytes * instruction.count;
        if (type.bytes == 0 || instruction.bytes > 16) {
            fail("instruction '" + opcode + "' isn't supported");
        }

        if (is_atomic) {
            parse_atomic(instruction, stem, opcode, atomic_operation + opcode.substr(opcode.rfind('.')));
        } else if (stem == "ld") {
            const bool wide = parse_elements(instruction, type, true);
            instruction.handler = wide ? load_of<std::uint64_t>(type) : load_of<std::uint32_t>(type);
            expect(",");
            parse_address(instruction);
        } else {
            parse_address(instruction);
            expect(",");
            const bool wide = parse_elements(instruction, type, false);
            instruction.handler = wide ? store_of<std::uint64_t>(type) : store_of<std::uint32_t>(type);
        }
    }

    /// A register, or as many as the vector has. Returns whether they are of 64 bits, whatever is loaded into them.
    bool parse_elements(Instruction &instruction, const ElementType &type, bool is_load) {
        const bool in_braces = accept("{");
        const bool wide = type.bytes == 8 || is_wide(tokens_[at_].text);
        const Kind kind = wide ? Kind::wide : Kind::word;
        for (unsigned i = 0; i < instruction.count; ++i) {
            if (i > 0) {
                expect(",");
            }
            instruction.operands[i + 1] = is_load ? destination(kind) : operand(kind);
        }
        if (in_braces) {
            expect("}");
        }
        return wide;
    }

    /// "[%rd1+4]" or "[name]"
    void parse_address(Instruction &instruction) {
        expect("[");
        instruction.operands[0] = operand(Kind::wide);
        if (accept("+")) {
            instruction.offset = number(next());
        }
        expect("]");
    }

    void parse_atomic(Instruction &instruction, const std::string &stem, const std::string &opcode,
                      const std::string &name) {
        static const Operations atomics = make_atomics();
        const auto operation = atomics.find(name);
        if (operation == atomics.end()) {
            fail("instruction '" + opcode + "' isn't supported");
        }
        const std::vector<Kind> &kinds = operation->second.kinds;
        instruction.handler = operation->second.handler;
        instruction.ordered = true;
        if (stem == "red") {
            instruction.operands[1] = new_row(kinds[0]);
        } else {
            instruction.operands[1] = destination(kinds[0]);
            expect(",");
        }
        parse_address(instruction);
        for (std::size_t i = 1; i < kinds.size(); ++i) {
            expect(",");
            instruction.operands[i + 1] = operand(kinds[i]);
        }
    }
};

}  // namespace

Module::Module(const std::string &text) : kernels_(Parser(text).parse()) {}

const Kernel *Module::find(const std::string &name) const {
    const auto kernel = kernels_.find(name);
    return kernel == kernels_.end() ? nullptr : kernel->second.get();
}

std::vector<std::string> Module::names() const {
    std::vector<std::string> names;
    for (const auto &[name, kernel] : kernels_) {
        names.push_back(name);
    }
    return names;
}

std::uint64_t launch(const Kernel &kernel, Dim grid, Dim block, unsigned dynamic_shared_bytes, void **params,
                     const MemoryCheck &check) {
    return Grid(kernel, grid, block, dynamic_shared_bytes, params, check).run();
}

}  // namespace aft::ptx
