// The memory of received messages, which comes back when the application is done with them: in whatever thread, and
// even when the client is gone. Then it is used for the next ones.
#pragma once

#include "tern/message.hpp"

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace tern::detail {

class message_memory {
public:
    message_memory() = default;
    message_memory(const message_memory&) = delete;
    message_memory& operator=(const message_memory&) = delete;
    ~message_memory() {
        if (pool_) pool_->close();
    }

    /// For the client's thread.
    owned_block allocate(std::size_t size) {
        if (!pool_) pool_ = new pool;
        return pool_->allocate(size);
    }

private:
    // It lives as long as the client or one of its pieces of memory does.
    class pool {
    public:
        pool() = default;
        pool(const pool&) = delete;
        pool& operator=(const pool&) = delete;

        owned_block allocate(std::size_t size) {
            const std::size_t kind = kind_of(size + sizeof(piece));
            if (kind >= spare_.size()) return allocate_block(size);
            if (!spare_[kind]) sort(returned_.exchange(nullptr, std::memory_order_acquire));
            piece* p = spare_[kind];
            if (p) {
                spare_[kind] = p->next;
                kept_ -= size_of(kind);
            } else {
                p = ::new (::operator new(size_of(kind))) piece{this, nullptr, kind, {&pool::free, 0}};
                users_.fetch_add(1, std::memory_order_relaxed);
            }
            p->header.size = size;
            return owned_block(p->header.bytes());
        }

        // The client is gone: what comes back from now on is not kept.
        void close() noexcept {
            std::size_t gone = 1 + destroy(returned_.exchange(closed(), std::memory_order_acq_rel));
            for (piece* const first : spare_)
                gone += destroy(first);
            leave(gone);
        }

    private:
        struct piece {
            pool* home;
            piece* next;
            std::size_t kind;
            block_header header; // and then the bytes
        };

        ~pool() = default;

        // Stands in `returned_` for a client that is gone.
        piece* closed() noexcept { return reinterpret_cast<piece*>(this); }

        static std::size_t destroy(piece* first) noexcept {
            std::size_t count = 0;
            for (; first; ++count)
                ::operator delete(std::exchange(first, first->next));
            return count;
        }

        void leave(std::size_t users) noexcept {
            if (users_.fetch_sub(users, std::memory_order_acq_rel) == users) delete this;
        }

        static void free(block_header* block) noexcept {
            auto* const p =
                reinterpret_cast<piece*>(reinterpret_cast<char*>(block) - offsetof(piece, header));
            pool* const home = p->home;
            p->next = home->returned_.load(std::memory_order_relaxed);
            while (p->next != home->closed())
                if (home->returned_.compare_exchange_weak(p->next, p, std::memory_order_release,
                                                          std::memory_order_relaxed))
                    return;
            ::operator delete(p);
            home->leave(1);
        }

        // What has come back is kept, within bounds.
        void sort(piece* first) noexcept {
            while (first) {
                piece* const p = std::exchange(first, first->next);
                if (kept_ + size_of(p->kind) > most_kept) {
                    ::operator delete(p);
                    users_.fetch_sub(1, std::memory_order_relaxed); // the client is still one
                    continue;
                }
                kept_ += size_of(p->kind);
                p->next = spare_[p->kind];
                spare_[p->kind] = p;
            }
        }

        static constexpr std::size_t most_kept = std::size_t{1} << 20U;
        static constexpr std::size_t smallest = 128;
        static constexpr std::size_t size_of(std::size_t kind) noexcept { return smallest << kind; }
        static constexpr std::size_t kind_of(std::size_t size) noexcept {
            return size <= smallest ? 0 : static_cast<std::size_t>(std::bit_width((size - 1) / smallest));
        }

        std::array<piece*, 11> spare_{}; // by their size: up to 128 KiB
        std::size_t kept_ = 0;
        std::atomic<piece*> returned_ = nullptr;
        std::atomic<std::size_t> users_ = 1; // the client, and the pieces that there are
    };

    pool* pool_ = nullptr; // until a message comes
};

} // namespace tern::detail
