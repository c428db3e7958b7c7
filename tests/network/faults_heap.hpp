// An operator new that fails when a test wants it to: inside what is tested, and nowhere else.
#pragma once

#include <cstddef>

namespace heap {

/// How many blocks are in use.
std::size_t live() noexcept;

/// From now on the `nth` allocation of what is tested fails, 1 is the next one, and so do those after it, `count`
/// altogether.
void fail(std::size_t nth, std::size_t count = 1) noexcept;
void fail_no_more() noexcept;

/// How many allocations of what is tested there were since `fail`, and how many of them failed.
std::size_t allocations() noexcept;
std::size_t failures() noexcept;

/// Allocates a little and frees it, as the network of the system might.
void touch();

/// A part of the program in which allocations are those of what is tested, or those of the test.
class section {
public:
    explicit section(bool tested) noexcept;
    ~section();
    section(const section&) = delete;
    section& operator=(const section&) = delete;

private:
    bool before_;
};
struct tested : section {
    tested() noexcept : section(true) {}
};
struct untested : section {
    untested() noexcept : section(false) {}
};

} // namespace heap
