// The pump of a router calls the handlers of its operations, on the client's executor. It is posted when something is
// due, and never runs inside a function of the application or of the client.
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/messaging/detail/handler_queue.hpp"
#include "tern/messaging/subscription_message.hpp"

#include <asio/error.hpp>
#include <asio/post.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

namespace tern::detail {

/// An object with work for the pump.
class pumped {
public:
    bool is_due = false; // it is in the list of the pump

    pumped() = default;
    pumped(const pumped&) = delete;
    pumped& operator=(const pumped&) = delete;

    /// Does one piece of the work, which may call a function of the application. Returns whether there is more.
    virtual bool step() = 0;
    /// The object, which lives as long as the result.
    virtual std::shared_ptr<pumped> keep_alive() noexcept = 0;

protected:
    ~pumped() = default;
};

template <class Executor>
class router_pump : public message_holder, public std::enable_shared_from_this<router_pump<Executor>> {
public:
    using executor_type = Executor;

    explicit router_pump(const Executor& executor) : executor_(executor) {}
    const Executor& executor() const noexcept { return executor_; }

    /// Has the pump run. Throws if allocation fails.
    void schedule() {
        if (state_ != pump_state::idle) return;
        asio::post(executor_, posted_run(this->shared_from_this()));
        state_ = pump_state::scheduled;
    }
    /// The same. Returns false if allocation fails: then the work waits until the next call.
    bool try_schedule() noexcept {
        try {
            schedule();
            return true;
        } catch (const std::bad_alloc&) {
            return false;
        }
    }
    /// A handler that the client or the executor has called ends with this: work that could not be scheduled is done.
    void run_unscheduled() {
        if (state_ == pump_state::idle && has_work()) run();
    }
    /// Makes room for one more object with work.
    void add_object() {
        due_.reserve(objects_ + 1);
        ++objects_;
    }
    void remove_object() noexcept { --objects_; }
    /// The object has work.
    void add_due(pumped& object) noexcept {
        if (is_shut_down()) return;
        try_schedule();
        if (std::exchange(object.is_due, true)) return;
        due_.push_back(object.keep_alive()); // there is room
    }
    /// Ends an operation that is in no list. The pump calls its handler.
    void end(waiting_handler& op, std::error_code error) noexcept {
        op.owner = nullptr;
        if (is_shut_down()) return op.drop();
        op.error = error;
        ended_.push_back(op);
        try_schedule();
    }
    /// The execution context is destroyed: operations that end are dropped.
    void shut_down() noexcept {
        const auto self = this->shared_from_this(); // a handler may own the router
        state_ = pump_state::shut_down;
        while (waiting_handler* const op = ended_.pop_front())
            op->drop();
        while (!due_.empty())
            (void)due_.pop_front();
    }
    bool is_shut_down() const noexcept { return state_ == pump_state::shut_down; }

    /// A subscription object is destroyed.
    virtual void remove(pumped& inbox) noexcept = 0;

protected:
    ~router_pump() {
        while (waiting_handler* const op = ended_.pop_front())
            op->drop();
    }

    /// Reports events to the application, after the handlers.
    virtual void report() = 0;

private:
    enum class pump_state : std::uint8_t {
        idle,      ///< Nothing is due.
        scheduled, ///< It is posted.
        shut_down, ///< The execution context is destroyed.
    };
    static constexpr int steps_per_run = 256; // bounds the delay of other work on the executor

    // Runs the pump. It is destroyed instead with the execution context, after the client perhaps.
    class posted_run {
    public:
        explicit posted_run(std::shared_ptr<router_pump> pump) noexcept : pump_(std::move(pump)) {}
        posted_run(posted_run&&) noexcept = default;
        posted_run& operator=(posted_run&&) = delete;
        posted_run(const posted_run&) = delete;
        posted_run& operator=(const posted_run&) = delete;
        ~posted_run() {
            if (pump_ && pump_->state_ == pump_state::scheduled) pump_->shut_down();
        }
        void operator()() { std::exchange(pump_, nullptr)->run(); }

    private:
        std::shared_ptr<router_pump> pump_;
    };

    void run() {
        do
            run_once();
        while (has_work() && !try_schedule()); // without memory it goes on at once
    }
    void run_once() {
        if (is_shut_down()) return;
        state_ = pump_state::idle;
        struct rescue { // the rest follows, also if a function of the application throws
            router_pump& pump;
            bool has_ended = false;
            ~rescue() {
                if (!has_ended) pump.try_schedule();
            }
        } guard{*this};
        for (int steps = 0; steps != steps_per_run; ++steps) {
            if (waiting_handler* const op = ended_.pop_front())
                op->finish();
            else if (!step())
                break;
        }
        report();
        guard.has_ended = true;
    }
    bool has_work() const noexcept { return !is_shut_down() && (!ended_.empty() || !due_.empty()); }
    // Objects with work take turns.
    bool step() {
        if (due_.empty()) return false;
        const std::shared_ptr<pumped> object = due_.pop_front();
        object->is_due = false;
        if (object->step()) add_due(*object);
        return true;
    }

    Executor executor_;
    handler_list ended_;
    ring<std::shared_ptr<pumped>> due_;
    std::size_t objects_ = 0;
    pump_state state_ = pump_state::idle;
};

} // namespace tern::detail
