// The memory of received messages.
#pragma once

#include "tern/message.hpp"

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <new>
#include <utility>

namespace tern::detail {

/// The application returns the memory when it destroys a message, in any thread, even after the client is destroyed.
/// The client reuses it for later messages.
class message_pool {
public:
    message_pool() = default;
    message_pool(const message_pool&) = delete;
    message_pool& operator=(const message_pool&) = delete;
    ~message_pool() {
        if (pool_) pool_->close();
    }

    /// Allocates a block. Call this only in the client's thread.
    owned_block allocate(std::size_t size) {
        if (!pool_) pool_ = new pool;
        return pool_->allocate(size);
    }

    /// Frees the blocks that are not in use.
    void trim() noexcept {
        if (pool_) pool_->trim();
    }

private:
    // It lives until the client and all of its blocks are destroyed.
    class pool {
    public:
        pool() = default;
        pool(const pool&) = delete;
        pool& operator=(const pool&) = delete;

        owned_block allocate(std::size_t size) {
            const std::size_t size_class = class_of(size + sizeof(pooled_block));
            if (size_class >= spare_.size()) return allocate_block(size);
            if (!spare_[size_class]) recycle(returned_.exchange(nullptr, std::memory_order_acquire));
            pooled_block* p = spare_[size_class];
            if (p) {
                spare_[size_class] = p->next;
                spare_bytes_ -= bytes_of(size_class);
            } else {
                p = ::new (::operator new(bytes_of(size_class)))
                    pooled_block{this, nullptr, size_class, {&pool::free, 0}};
                users_.fetch_add(1, std::memory_order_relaxed);
            }
            p->header.size = size;
            return owned_block(p->header.bytes());
        }

        void trim() noexcept {
            std::size_t freed = destroy(returned_.exchange(nullptr, std::memory_order_acquire));
            for (pooled_block*& first : spare_)
                freed += destroy(std::exchange(first, nullptr));
            spare_bytes_ = 0;
            users_.fetch_sub(freed, std::memory_order_relaxed); // the client is still a user
        }

        // Closes the pool when the client is destroyed. Blocks returned later are freed.
        void close() noexcept {
            std::size_t users = 1 + destroy(returned_.exchange(closed_mark(), std::memory_order_acq_rel));
            for (pooled_block* const first : spare_)
                users += destroy(first);
            remove_users(users);
        }

    private:
        struct pooled_block {
            pool* home;
            pooled_block* next;
            std::size_t size_class;
            block_header header; // the bytes follow it
        };

        ~pool() = default;

        // In `returned_`, this value marks that the client is destroyed.
        pooled_block* closed_mark() noexcept { return static_cast<pooled_block*>(static_cast<void*>(this)); }

        static std::size_t destroy(pooled_block* first) noexcept {
            std::size_t count = 0;
            for (; first; ++count)
                ::operator delete(std::exchange(first, first->next));
            return count;
        }

        void remove_users(std::size_t users) noexcept {
            if (users_.fetch_sub(users, std::memory_order_acq_rel) == users) delete this;
        }

        static void free(block_header* block) noexcept {
            auto* const p = static_cast<pooled_block*>(
                static_cast<void*>(reinterpret_cast<char*>(block) - offsetof(pooled_block, header)));
            pool* const home = p->home;
            p->next = home->returned_.load(std::memory_order_relaxed);
            while (p->next != home->closed_mark())
                if (home->returned_.compare_exchange_weak(p->next, p, std::memory_order_release,
                                                          std::memory_order_relaxed))
                    return;
            ::operator delete(p);
            home->remove_users(1);
        }

        // Stores the returned blocks for reuse, up to `most_spare_bytes`.
        void recycle(pooled_block* first) noexcept {
            while (first) {
                pooled_block* const p = std::exchange(first, first->next);
                if (spare_bytes_ + bytes_of(p->size_class) > most_spare_bytes) {
                    ::operator delete(p);
                    users_.fetch_sub(1, std::memory_order_relaxed); // the client is still a user
                    continue;
                }
                spare_bytes_ += bytes_of(p->size_class);
                p->next = spare_[p->size_class];
                spare_[p->size_class] = p;
            }
        }

        static constexpr std::size_t most_spare_bytes = std::size_t{1} << 20U;
        static constexpr std::size_t smallest_bytes = 128;
        static constexpr std::size_t bytes_of(std::size_t size_class) noexcept { return smallest_bytes << size_class; }
        static constexpr std::size_t class_of(std::size_t size) noexcept {
            return size <= smallest_bytes ? 0 : static_cast<unsigned>(std::bit_width((size - 1) / smallest_bytes));
        }

        std::array<pooled_block*, 11> spare_{}; // indexed by size class, up to 128 KiB
        std::size_t spare_bytes_ = 0;
        std::atomic<pooled_block*> returned_ = nullptr;
        std::atomic<std::size_t> users_ = 1; // the client and the blocks
    };

    pool* pool_ = nullptr; // null until the first message
};

} // namespace tern::detail
