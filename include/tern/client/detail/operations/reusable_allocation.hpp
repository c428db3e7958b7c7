// The memory of one asynchronous operation, kept for the next of its kind. It is as large as that operation needs;
// the blocks that Asio recycles come from any other operation and may be much larger.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

namespace tern::detail {

/// For one operation at a time, which may end in any thread. Further memory that its completion needs is not kept.
class reusable_allocation {
public:
    reusable_allocation() = default;
    reusable_allocation(const reusable_allocation&) = delete;
    reusable_allocation& operator=(const reusable_allocation&) = delete;
    ~reusable_allocation() { ::operator delete(memory_); }

    void* allocate(std::size_t size) {
        if (in_use_) return ::operator new(size);
        if (size > size_) {
            ::operator delete(std::exchange(memory_, nullptr));
            size_ = 0;
            memory_ = ::operator new(size);
            size_ = size;
        }
        in_use_ = true;
        return memory_;
    }
    void deallocate(void* p, std::size_t) noexcept {
        if (p == memory_)
            in_use_ = false;
        else
            ::operator delete(p);
    }

private:
    void* memory_ = nullptr;
    std::size_t size_ = 0;
    bool in_use_ = false;
};

} // namespace tern::detail
