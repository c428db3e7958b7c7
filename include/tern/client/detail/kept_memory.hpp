// The memory of an asynchronous operation, kept for the next of its kind. It is as large as it has to be; what Asio
// gives out has been left by any other operation, and may be much larger.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>

namespace tern::detail {

/// For one operation at a time; what its completion takes besides is not kept.
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
    void deallocate(void* p) noexcept {
        if (p == memory_)
            in_use_ = false;
        else
            ::operator delete(p);
    }

    /// The allocator of a handler. It keeps the memory alive: whoever has it may destroy the handler first.
    template <class T>
    struct allocator {
        using value_type = T;

        explicit allocator(std::shared_ptr<kept_memory> m) noexcept : memory(std::move(m)) {}
        template <class U>
        allocator(const allocator<U>& other) noexcept // NOLINT(google-explicit-constructor)
            : memory(other.memory) {}

        T* allocate(std::size_t count) { return static_cast<T*>(memory->allocate(count * sizeof(T))); }
        void deallocate(T* p, std::size_t) noexcept { memory->deallocate(p); }

        template <class U>
        friend bool operator==(const allocator& a, const allocator<U>& b) noexcept {
            return a.memory == b.memory;
        }

        std::shared_ptr<kept_memory> memory;
    };

private:
    void* memory_ = nullptr;
    std::size_t size_ = 0;
    bool in_use_ = false;
};

} // namespace tern::detail
