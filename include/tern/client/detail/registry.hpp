// Tells clients when their execution context is shut down, so that handlers which will never be called are
// destroyed, as Asio does with those of its own operations.
#pragma once

#include <asio/execution_context.hpp>

#include <mutex>

namespace tern::detail {

class registry final : public asio::execution_context::service {
public:
    using key_type = registry;
    static inline asio::execution_context::id id;

    /// One that wants to know.
    class member {
    public:
        member() = default;
        member(const member&) = delete;
        member& operator=(const member&) = delete;

    protected:
        virtual ~member() = default;

    private:
        friend class registry;
        virtual void on_context_shutdown() = 0;
        member* before_ = nullptr;
        member* after_ = nullptr;
        bool listed_ = false;
    };

    explicit registry(asio::execution_context& context) : asio::execution_context::service(context) {}

    void add(member& m) {
        const std::lock_guard lock(mutex_);
        m.after_ = first_;
        if (first_) first_->before_ = &m;
        first_ = &m;
        m.listed_ = true;
    }

    void remove(member& m) {
        const std::lock_guard lock(mutex_);
        if (m.listed_) unlink(m);
    }

private:
    void shutdown() override {
        while (member* const m = take_first())
            m->on_context_shutdown();
    }

    member* take_first() {
        const std::lock_guard lock(mutex_);
        member* const m = first_;
        if (m) unlink(*m);
        return m;
    }

    void unlink(member& m) noexcept {
        if (m.before_)
            m.before_->after_ = m.after_;
        else
            first_ = m.after_;
        if (m.after_) m.after_->before_ = m.before_;
        m.before_ = m.after_ = nullptr;
        m.listed_ = false;
    }

    std::mutex mutex_; // clients of one context may live in several threads
    member* first_ = nullptr;
};

} // namespace tern::detail
