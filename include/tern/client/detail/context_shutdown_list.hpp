// The clients of an execution context. When the context shuts down, they destroy the handlers that can no longer be
// called, as Asio does for its own operations.
#pragma once

#include "tern/detail/inline.hpp"

#include <asio/execution_context.hpp>

#include <mutex>

namespace tern::detail {

class context_shutdown_list final : public asio::execution_context::service {
public:
    using key_type = context_shutdown_list;
    static inline asio::execution_context::id id;

    class entry {
    public:
        entry(const entry&) = delete;
        entry& operator=(const entry&) = delete;

    protected:
        entry() = default;
        virtual ~entry() = default;

        void join(context_shutdown_list& list) { list.add(*this); }
        /// Leaves the list. Call this before the derived object is destroyed.
        void leave() {
            if (list_) list_->remove(*this);
        }

    private:
        friend class context_shutdown_list;
        virtual void on_context_shutdown() = 0;
        context_shutdown_list* list_ = nullptr;
        entry* before_ = nullptr;
        entry* after_ = nullptr;
    };

    explicit context_shutdown_list(asio::execution_context& context) : asio::execution_context::service(context) {}

private:
    TERN_COLD void add(entry& e) {
        const std::lock_guard lock(mutex_);
        e.after_ = first_;
        if (first_) first_->before_ = &e;
        first_ = &e;
        e.list_ = this;
    }

    void remove(entry& e) {
        const std::lock_guard lock(mutex_);
        if (e.list_) unlink(e);
    }

    void shutdown() override {
        while (entry* const e = take_first())
            e->on_context_shutdown();
    }

    TERN_COLD entry* take_first() {
        const std::lock_guard lock(mutex_);
        entry* const e = first_;
        if (e) unlink(*e);
        return e;
    }

    TERN_COLD void unlink(entry& e) noexcept {
        if (e.before_)
            e.before_->after_ = e.after_;
        else
            first_ = e.after_;
        if (e.after_) e.after_->before_ = e.before_;
        e.before_ = e.after_ = nullptr;
        e.list_ = nullptr;
    }

    std::mutex mutex_; // clients of one context may run in several threads
    entry* first_ = nullptr;
};

} // namespace tern::detail
