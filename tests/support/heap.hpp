// Counts the allocations of a test, and makes chosen ones fail. A test that links `tern_test_heap` uses it instead of
// the heap of the standard library.
//
// All numbers refer to the calling thread. A block that another thread frees stays counted.
#pragma once

#include <cstddef>
#include <cstdint>

namespace heap {

/// The number of successful allocations since the thread started.
std::size_t allocations() noexcept;

/// The number of blocks in use, and the number of bytes in them.
std::size_t live_blocks() noexcept;
std::size_t live_bytes() noexcept;

/// The maximum of `live_bytes` since `reset_peak`.
std::size_t peak_bytes() noexcept;
void reset_peak() noexcept;

/// Makes `count` allocations fail, starting with the `nth` further one. 1 is the next one.
void fail(std::size_t nth, std::size_t count = SIZE_MAX) noexcept;
void stop_failing() noexcept;

/// The number of allocations since `fail` that could have failed, and the number of those that failed.
std::size_t attempts() noexcept;
std::size_t failures() noexcept;

/// Allocates a block and frees it. An optimiser may remove a `new` with its `delete`, but not this.
void touch();

/// Marks which part of the program allocates. Only allocations of the tested code fail.
class section {
public:
    section(const section&) = delete;
    section& operator=(const section&) = delete;

protected:
    enum class part : std::uint8_t {
        tested, ///< allocations fail as set by `fail`, and likewise outside of all sections
        test,   ///< allocations never fail
    };

    explicit section(part p) noexcept;
    ~section();

private:
    bool could_fail_before_;
};
struct tested : section {
    tested() noexcept : section(part::tested) {}
};
struct untested : section {
    untested() noexcept : section(part::test) {}
};

} // namespace heap
