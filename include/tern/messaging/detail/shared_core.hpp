// The client of a shared client, its strand, and the queue of the calls that other threads make.
//
// A call appends a record to the queue and wakes the strand if it sleeps. The strand takes all records at once, makes
// their calls of the client, and takes the next ones when the client has written these: so all messages that were
// published meanwhile leave in one write, and a busy strand need not be woken.
//
//     asleep --a call--> scheduled --the pump has made all calls--> writing --written, and nothing waits--> asleep
//     writing --a call that must not wait for the write--> scheduled
//
// The mutex protects the queue alone. It is never held while the client, a handler or a function of the application
// runs.
#pragma once

#include "tern/client/basic_client.hpp"
#include "tern/detail/inline.hpp"
#include "tern/error.hpp"
#include "tern/message.hpp"
#include "tern/messaging/detail/record_queue.hpp"
#include "tern/messaging/detail/shared_inbox.hpp"
#include "tern/messaging/detail/shared_operation.hpp"
#include "tern/session/options.hpp"
#include "tern/topic.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/dispatch.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>
#include <asio/strand.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <type_traits>
#include <utility>

namespace tern::detail {

/// The executor of a client that is called in several threads: a strand. A polymorphic executor holds it without
/// another type of client.
template <class Executor>
using serial_executor =
    std::conditional_t<std::is_same_v<Executor, asio::any_io_executor>, asio::any_io_executor, asio::strand<Executor>>;

/// The checks of a message that need no connection.
constexpr errc check_queued(const message_view& m) noexcept {
    if (m.qos > qos::exactly_once) return errc::invalid_qos;
    if (m.topic.empty() && m.properties.topic_alias) return errc::none; // the client decides
    if (m.payload.size() > packet_size_max) return errc::packet_too_large;
    return check_topic_name(m.topic);
}

/// Whether an operation waits for a message.
enum class waiter : std::uint8_t { none, operation };

template <class Transport, class Executor>
class shared_core : public std::enable_shared_from_this<shared_core<Transport, Executor>> {
public:
    using default_executor = Executor;
    using executor_type = serial_executor<Executor>;
    using client_type = basic_client<Transport, executor_type>;
    using request = shared_request<shared_core>;
    using refusal_callback = std::function<void(std::error_code, const message_view&)>;

    explicit shared_core(const Executor& executor)
        : default_executor_(executor)
        , executor_(asio::strand<Executor>(executor))
        , client_(executor_)
        , inbox_(*this) {}
    shared_core(const shared_core&) = delete;
    shared_core& operator=(const shared_core&) = delete;
    ~shared_core() { refuse_all(); }

    // ---- in any thread

    Executor get_default_executor() const noexcept { return default_executor_; }
    executor_type get_executor() const noexcept { return executor_; }

    /// Queues a message without properties. No error: the strand passes it to the client.
    std::error_code try_publish(const message_view& message, const publish_options& options) {
        const std::size_t bytes = packet_bytes(message);
        const std::lock_guard lock(mutex_);
        if (!has_room(bytes, waiter::none)) [[unlikely]]
            return refuse_full();
        queue_.reserve(message.topic.size() + message.payload.size());
        wake_for(message.qos);
        queue_.append(message, options, nullptr);
        count(bytes);
        return {};
    }
    /// Queues a message without properties, and the request that waits for its end.
    void publish(request_ptr<request> r, const message_view& message, const publish_options& options) {
        {
            const std::size_t bytes = packet_bytes(message);
            const std::lock_guard lock(mutex_);
            if (has_room(bytes, waiter::operation)) [[likely]] {
                queue_.reserve(message.topic.size() + message.payload.size());
                wake(urgency::at_once);
                queue_.append(message, options, r.release());
                return count(bytes);
            }
        }
        r.release()->refuse(misuse(errc::queue_full));
    }
    /// Queues a request that contains a message of so many bytes. False if there is no room: then nothing has happened.
    bool publish_owned(request_ptr<request>& r, std::size_t bytes, waiter w) {
        const std::lock_guard lock(mutex_);
        if (!has_room(bytes, w)) return false;
        append(std::move(r));
        count(bytes);
        return true;
    }
    /// Queues another request. It starts on the strand, after all that was queued before.
    void push(request_ptr<request> r) {
        const std::lock_guard lock(mutex_);
        append(std::move(r));
    }
    /// At least the size of the packet of a message without properties.
    static std::size_t packet_bytes(const message_view& m) noexcept {
        constexpr std::size_t longest_rest = 16; // the header, two lengths and the packet identifier
        return m.topic.size() + m.payload.size() + longest_rest;
    }

    // ---- on the strand

    client_type& client() noexcept { return client_; }
    shared_inbox<shared_core>& inbox() noexcept { return inbox_; }

    void set_refusal_callback(refusal_callback callback) { on_refused_ = std::move(callback); }
    void set_limits(const queue_options& limits) {
        const std::lock_guard lock(mutex_);
        limits_ = limits;
    }
    /// The client's counters. Messages that wait here count as queued, and refused ones as dropped.
    tern::counters counters() const {
        tern::counters all = client_.counters();
        all.messages_dropped += refused_;
        const std::lock_guard lock(mutex_);
        all.queued += waiting_.messages - processed_.messages;
        all.queued_bytes += waiting_.bytes - processed_.bytes;
        return all;
    }
    /// Reports a message of `try_publish` that the client has not accepted.
    TERN_COLD void report(std::error_code error, const message_view& message) {
        ++refused_;
        const refusal_callback callback = on_refused_; // it may set another one
        if (callback) callback(error, message);
    }

    /// Counts a message that the client gets now.
    void count_processed(std::size_t bytes) noexcept {
        ++processed_.messages;
        processed_.bytes += bytes;
    }
    /// Publishes a message for which nothing waits.
    TERN_INLINE void publish(const message_view& message, const publish_options& options) {
        std::error_code error;
        try {
            error = client_.try_publish(message, options);
        } catch (const std::bad_alloc&) {
            error = std::make_error_code(std::errc::not_enough_memory);
        }
        if (error) [[unlikely]]
            report(error, message);
    }

private:
    enum class pump_state : std::uint8_t {
        asleep,    ///< Nothing waits.
        scheduled, ///< The pump is posted to the strand, or runs there.
        writing,   ///< The pump runs when the client has written. Messages of QoS 0 wait for that.
    };
    enum class urgency : std::uint8_t {
        after_write, ///< It can wait until the client has written.
        at_once,     ///< It starts as soon as the strand is free.
    };
    struct amount {
        std::size_t messages = 0;
        std::size_t bytes = 0;
    };
    using record = queued_record<request>;

    static constexpr std::size_t pump_bytes = 192 * std::size_t{1024}; // less than the client writes without a queue
    // How long the pump waits at most until the client has written, and how long if the client waits for
    // acknowledgements, too.
    static constexpr std::chrono::milliseconds longest_write{20};
    static constexpr std::chrono::milliseconds longest_exchange{1};

    // ---- the queue; the caller has locked the mutex

    bool has_room(std::size_t bytes, waiter w) const noexcept {
        const bool fits = waiting_.messages + in_client_.messages < limits_.messages &&
                          waiting_.bytes + in_client_.bytes + bytes <= limits_.bytes;
        if (fits) [[likely]]
            return true;
        switch (limits_.when_full) {
        case full_queue_action::refuse: return false;
        case full_queue_action::wait: return w == waiter::operation;
        case full_queue_action::drop_oldest_qos_0: // the client drops one
        case full_queue_action::drop_newest: break;
        }
        return waiting_.messages < limits_.messages && waiting_.bytes + bytes <= limits_.bytes;
    }
    TERN_COLD std::error_code refuse_full() {
        wake(urgency::after_write); // the client may have room by now
        return misuse(errc::queue_full);
    }
    void append(request_ptr<request>&& r) {
        queue_.reserve(0);
        wake(urgency::at_once);
        queue_.append(r.release());
    }
    void count(std::size_t bytes) noexcept {
        ++waiting_.messages;
        waiting_.bytes += bytes;
    }
    TERN_INLINE void wake_for(qos level) {
        if (state_ != pump_state::scheduled) [[unlikely]]
            wake(level == qos::at_most_once ? urgency::after_write : urgency::at_once);
        else if (level != qos::at_most_once)
            is_urgent_ = true;
    }
    void wake(urgency u) {
        if (u == urgency::at_once) is_urgent_ = true;
        if (state_ == pump_state::scheduled || (state_ == pump_state::writing && u == urgency::after_write)) return;
        post_pump();
    }
    void post_pump() {
        asio::post(executor_, [core = this->shared_from_this()] { core->pump(); });
        state_ = pump_state::scheduled;
    }

    // ---- the pump; on the strand

    void pump() {
        struct rescue { // the rest follows, also if a function of the application throws
            shared_core* core;
            ~rescue() {
                if (core) core->continue_later();
            }
        } guard{this};
        const bool has_records = take();
        if (has_records) make_calls();
        settle(has_records ? pump_state::writing : pump_state::asleep);
        guard.core = nullptr;
    }
    // Takes all records, unless some are left of the last time. False if there are none.
    bool take() {
        const std::lock_guard lock(mutex_);
        queue_.reuse(reader_.take_read());
        if (!reader_.empty()) return true;
        is_urgent_ = false;
        reader_.assign(queue_.take());
        return !reader_.empty();
    }
    void make_calls() {
        for (const std::size_t end = processed_.bytes + pump_bytes; processed_.bytes < end;) {
            record* const r = reader_.next();
            if (!r) break;
            make_call(*r);
        }
    }
    TERN_INLINE void make_call(record& r) {
        message_.topic = r.topic();
        message_.payload = r.payload();
        message_.qos = r.qos;
        message_.retain = r.retain;
        if (!message_.topic.empty()) count_processed(packet_bytes(message_));
        if (request* const waiting = std::exchange(r.request, nullptr))
            waiting->start(*this, message_, r.options);
        else
            publish(message_, r.options);
    }
    // Counts all that the client has now. After calls it waits until the client has written.
    void settle(pump_state next) {
        const tern::counters now = client_.counters();
        {
            const std::lock_guard lock(mutex_);
            waiting_.messages -= std::exchange(processed_.messages, 0);
            waiting_.bytes -= std::exchange(processed_.bytes, 0);
            in_client_ = {now.queued, now.queued_bytes};
            state_ = next == pump_state::asleep && !queue_.empty() ? pump_state::writing : next;
            if (is_urgent_ || (is_draining_ && !reader_.empty())) post_pump();
            if (state_ == pump_state::asleep) return queue_.trim();
        }
        if (is_draining_) return;
        client_.async_drain(now.in_flight == 0 ? longest_write : longest_exchange,
                            [core = this->weak_from_this()](std::error_code) {
                                if (const auto alive = core.lock()) alive->on_drained();
                            });
        is_draining_ = true;
    }
    void on_drained() {
        is_draining_ = false;
        pump();
    }
    TERN_COLD void continue_later() noexcept {
        const std::lock_guard lock(mutex_);
        state_ = pump_state::asleep; // so that the next call wakes the pump if allocation fails
        try {
            post_pump();
        } catch (const std::bad_alloc&) { // NOLINT(bugprone-empty-catch): the next call tries again
        }
    }

    // Nothing of the queue can be called any more. If memory fails, the request that needed it is dropped, and the rest
    // ends nevertheless.
    TERN_COLD void refuse_all() noexcept {
        while (!refuse_rest()) {
        }
    }
    TERN_COLD bool refuse_rest() noexcept {
        try {
            inbox_.fail_all(asio::error::operation_aborted);
            for (bool is_last = false; !is_last;) {
                while (record* const r = reader_.next())
                    if (r->request) std::exchange(r->request, nullptr)->refuse(asio::error::operation_aborted);
                reader_.assign(queue_.take());
                is_last = reader_.empty();
            }
        } catch (const std::bad_alloc&) {
            return false;
        }
        return true;
    }

    Executor default_executor_;
    executor_type executor_;

    mutable std::mutex mutex_;
    record_queue<request> queue_;
    pump_state state_ = pump_state::asleep;
    bool is_urgent_ = false; // the queue has something that must not wait for a write
    queue_options limits_;
    amount waiting_;   // here
    amount in_client_; // in the client's queue, after the last calls

    // On the strand alone.
    client_type client_;
    shared_inbox<shared_core> inbox_;
    record_reader<request> reader_;
    message_view message_;     // the present one, which is reused because it is large
    amount processed_;         // passed to the client, and still counted in `waiting_`
    bool is_draining_ = false; // the client reports when it has written
    std::uint64_t refused_ = 0;
    refusal_callback on_refused_;
};

/// Owns a core in any thread, and releases it on its strand: at once if that is in a message callback. So the client is
/// destroyed there, whichever owner is the last one.
template <class Core>
struct shared_owner {
    explicit shared_owner(std::shared_ptr<Core> c) noexcept : core(std::move(c)) {}
    shared_owner(const shared_owner&) = delete;
    shared_owner& operator=(const shared_owner&) = delete;
    ~shared_owner() {
        try {
            const auto executor = core->get_executor();
            asio::dispatch(executor, [released = std::move(core)]() mutable { released.reset(); });
        } catch (const std::bad_alloc&) { // NOLINT(bugprone-empty-catch): this thread has released it
        }
    }

    std::shared_ptr<Core> core;
};

} // namespace tern::detail
