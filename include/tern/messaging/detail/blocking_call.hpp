// A call that waits in one thread for an operation that completes in another.
#pragma once

#include <asio/cancellation_signal.hpp>
#include <asio/cancellation_type.hpp>
#include <asio/error.hpp>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <utility>

namespace tern::detail {

/// The result of an operation, when there is one. The thread that waits and the operation's handler share it.
template <class Result>
class blocking_call {
public:
    void complete(std::error_code error, Result result) {
        {
            const std::lock_guard lock(mutex_);
            error_ = error;
            result_ = std::move(result);
            is_complete_ = true;
        }
        completed_.notify_one();
    }
    void wait() {
        std::unique_lock lock(mutex_);
        completed_.wait(lock, [this] { return is_complete_; });
    }
    /// False if the time is over first.
    bool wait_for(std::chrono::milliseconds timeout) {
        std::unique_lock lock(mutex_);
        return completed_.wait_for(lock, timeout, [this] { return is_complete_; });
    }
    /// After a wait.
    std::error_code error() const noexcept { return error_; }
    Result take_result() { return std::move(result_); }

    /// Cancels the operation. For the handler's executor.
    void cancel() { signal_.emit(asio::cancellation_type::terminal); }
    asio::cancellation_slot slot() noexcept { return signal_.slot(); }

private:
    std::mutex mutex_;
    std::condition_variable completed_;
    bool is_complete_ = false;
    std::error_code error_;
    Result result_{};
    asio::cancellation_signal signal_;
};

/// The result of an operation that has only an error.
struct no_value {};

/// The handler. If it is destroyed instead of called, because the client was destroyed, the call is aborted.
template <class Result>
class blocking_handler {
public:
    using cancellation_slot_type = asio::cancellation_slot;

    explicit blocking_handler(std::shared_ptr<blocking_call<Result>> call) noexcept : call_(std::move(call)) {}
    blocking_handler(blocking_handler&&) noexcept = default;
    blocking_handler& operator=(blocking_handler&&) = delete;
    ~blocking_handler() {
        if (call_) call_->complete(asio::error::operation_aborted, Result());
    }

    cancellation_slot_type get_cancellation_slot() const noexcept { return call_->slot(); }
    void operator()(std::error_code error, Result result = {}) {
        std::exchange(call_, nullptr)->complete(error, std::move(result));
    }

private:
    std::shared_ptr<blocking_call<Result>> call_;
};

} // namespace tern::detail
