// The memory of an asynchronous operation, kept for the next of its kind. It is as large as it has to be; what Asio
// gives out has been left by any other operation, and may be much larger.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

namespace tern::detail {

/// For one operation at a time, which may end in whatever thread; what its completion takes besides is not kept.
class kept_memory {
public:
    kept_memory() = default;
    kept_memory(const kept_memory&) = delete;
    kept_memory& operator=(const kept_memory&) = delete;
    ~kept_memory() { ::operator delete(memory_); }

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
