// A pending asynchronous operation: the base class that the engine uses, with space for a result.
//
// `handler_operation` adds the handler. The compiler instantiates it for each handler of a user, so all code that does
// not depend on the handler is here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <system_error>
#include <utility>

namespace tern {
struct received_message;
}

namespace tern::detail {

/// The location of an operation until its handler is called.
enum class location : std::uint8_t {
    none,       ///< The operation is new: the engine has not added it yet.
    slot,       ///< It is in the slot `operation::slot`: the session identifies it by an id.
    connect,    ///< It waits for the first connection.
    disconnect, ///< It waits for the end of the connection.
    receive,    ///< It waits for a message.
    next_event, ///< It waits for a connection event.
    done,       ///< It has ended, and its handler has not been called yet.
};

/// The action that ends an operation.
enum class finish_action : std::uint8_t {
    call_handler, ///< Free the operation, then call its handler.
    drop_handler, ///< Free the operation and its handler.
};

/// The part of every operation that the engine uses. It is in a list or in a slot of the engine.
struct operation {
    operation* next = nullptr;
    void (*finish)(operation*, finish_action) = nullptr; // not a virtual function, because it frees the memory
    std::error_code error;
    std::uint32_t slot = 0; // valid if `where` is `location::slot`
    location where = location::none;
    bool takes_acknowledgement = false; // the result is an `acknowledgement`
    bool is_batch = false;              // the operation waits for several messages
    bool has_result = false;

    /// Frees the operation, then calls the handler on its executor. Call this on the client's executor.
    void deliver() { finish(this, finish_action::call_handler); }
    /// Frees the operation and its handler without calling the handler.
    void destroy() { finish(this, finish_action::drop_handler); }

protected:
    operation() = default;
    ~operation() = default;
};

// The destination of the messages of an operation whose result is their number.
template <class Result>
struct batch_target {};
template <>
struct batch_target<std::size_t> {
    std::span<received_message> target;
};

/// An operation with space for a result. Most operations succeed without details, so the result is constructed only
/// when it is used.
template <class... Result>
class operation_of;

template <class Result>
class operation_of<Result> : public operation, public batch_target<Result> {
public:
    using result_type = Result;

    Result& result() {
        if (!has_result) {
            ::new (static_cast<void*>(&result_)) Result();
            has_result = true;
        }
        return result_;
    }

protected:
    operation_of() noexcept {} // NOLINT(modernize-use-equals-default): leaves the result unconstructed
    ~operation_of() {
        if (has_result) result_.~Result();
    }

    Result take_result() {
        if (has_result) return std::move(result_);
        return Result();
    }

private:
    union {
        Result result_;
    };
};

/// The result type of an operation that has only an error.
struct no_result {};

template <>
class operation_of<> : public operation {
public:
    using result_type = no_result;

protected:
    operation_of() = default;
    ~operation_of() = default;

    static no_result take_result() noexcept { return {}; }
};

/// Owns an operation until the engine adds it. A `std::unique_ptr` takes longer to compile.
template <class Operation>
class operation_ptr {
public:
    using pointer = Operation*;

    explicit operation_ptr(Operation* op) noexcept : op_(op) {}
    operation_ptr(operation_ptr&& other) noexcept : op_(other.release()) {}
    operation_ptr& operator=(operation_ptr&&) = delete;
    ~operation_ptr() {
        if (op_) op_->destroy();
    }

    Operation* operator->() const noexcept { return op_; }
    Operation* get() const noexcept { return op_; }
    Operation* release() noexcept { return std::exchange(op_, nullptr); }

private:
    Operation* op_;
};

/// Operations in the order of their arrival.
class operation_list {
public:
    bool empty() const noexcept { return first_ == nullptr; }
    operation* front() const noexcept { return first_; }

    void push_back(operation* op) noexcept {
        op->next = nullptr;
        *last_ = op;
        last_ = &op->next;
    }

    operation* pop_front() noexcept {
        operation* const op = first_;
        first_ = op->next;
        if (!first_) last_ = &first_;
        return op;
    }

    void remove(operation* op) noexcept {
        operation** link = &first_;
        while (*link != op)
            link = &(*link)->next;
        *link = op->next;
        if (last_ == &op->next) last_ = link;
    }

    operation_list() = default;
    operation_list(const operation_list&) = delete;
    operation_list& operator=(const operation_list&) = delete;
    ~operation_list() = default;

private:
    operation* first_ = nullptr;
    operation** last_ = &first_;
};

} // namespace tern::detail
