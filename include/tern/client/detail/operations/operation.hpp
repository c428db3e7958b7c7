// A pending asynchronous operation: the base class that the engine uses, with space for a result, and its memory.
//
// `handler_operation` adds the handler. The compiler instantiates it for each handler of a user, so all code that does
// not depend on the handler is here.
#pragma once

#include "tern/transport/requirements.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <system_error>
#include <utility>

namespace tern {
struct connection_event;
struct received_message;
} // namespace tern

namespace tern::detail {

/// The location of an operation until its handler is called.
enum class location : std::uint8_t {
    none,         ///< The operation is new: the engine has not added it yet.
    initiating,   ///< The same, but if it completes now, its initiation calls the handler.
    slot,         ///< It is in the slot `operation::slot`: the session identifies it by an id.
    connect,      ///< It waits for the first connection.
    next_connect, ///< It waits for the end of the present run, to connect then.
    disconnect,   ///< It waits for the end of the connection.
    receive,      ///< It waits for a message.
    next_event,   ///< It waits for a connection event.
    stopped,      ///< It waits for the end of the run.
    received,     ///< The same as `done`, but it has messages. They go back to the inbox if it is cancelled.
    event,        ///< The same as `done`, but an event is reserved for it. Its result is set when it is called.
    done,         ///< It has ended, and its handler has not been called yet.
};

/// The action that ends an operation.
enum class finish_action : std::uint8_t {
    call_handler, ///< Free the operation, then call its handler.
    drop_handler, ///< Free the operation and its handler.
};

/// The part of every operation that the engine uses. It is in a list or in a slot of the engine.
struct operation {
    operation* next = nullptr;
    operation* previous;                                 // valid in a list of operations that wait
    void (*finish)(operation*, finish_action) = nullptr; // not a virtual function, because it frees the memory
    std::error_code error;
    std::uint32_t slot = 0; // valid if `where` is `location::slot`
    location where = location::none;
    bool takes_acknowledgement = false; // the result is an `acknowledgement`
    bool is_batch = false;              // the operation waits for several messages
    bool has_result = false;

    /// Whether the operation has ended, and its handler has not been called yet.
    bool has_ended() const noexcept { return where >= location::received; }
    /// Frees the operation, then calls the handler on its executor. Call this on the client's executor.
    void deliver() { finish(this, finish_action::call_handler); }
    /// Frees the operation and its handler without calling the handler.
    void destroy() { finish(this, finish_action::drop_handler); }

protected:
    operation() = default;
    ~operation() = default;
};

struct event_cursor;

// The arguments that an operation keeps while it waits.
template <class Result>
struct operation_arguments {};
// The result is the number of messages that this span receives.
template <>
struct operation_arguments<std::size_t> {
    std::span<received_message> target;
};
// The result is the next event at this cursor.
template <>
struct operation_arguments<connection_event> {
    event_cursor* at = nullptr;
};

/// An operation with space for a result. Most operations succeed without details, so the result is constructed only
/// when it is used.
template <class... Result>
class operation_of;

template <class Result>
class operation_of<Result> : public operation, public operation_arguments<Result> {
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

    /// Calls `f` with each operation.
    template <class F>
    void for_each(F f) {
        for (operation* op = first_; op; op = op->next)
            f(op);
    }

    operation_list() = default;
    operation_list(const operation_list&) = delete;
    operation_list& operator=(const operation_list&) = delete;
    ~operation_list() = default;

private:
    operation* first_ = nullptr;
    operation** last_ = &first_;
};

/// Operations that wait, in the order of their arrival. Each of them can be removed at the same cost.
class waiting_list {
public:
    bool empty() const noexcept { return first_ == nullptr; }
    operation* front() const noexcept { return first_; }

    void push_back(operation* op) noexcept {
        op->next = nullptr;
        op->previous = last_;
        (last_ ? last_->next : first_) = op;
        last_ = op;
    }

    operation* pop_front() noexcept {
        operation* const op = first_;
        remove(op);
        return op;
    }

    void remove(operation* op) noexcept {
        (op->previous ? op->previous->next : first_) = op->next;
        (op->next ? op->next->previous : last_) = op->previous;
    }

    /// Calls `f` with each operation. `f` may remove it.
    template <class F>
    void for_each(F f) {
        for (operation* op = first_; op;) {
            operation* const next = op->next;
            f(op);
            op = next;
        }
    }

    waiting_list() = default;
    waiting_list(const waiting_list&) = delete;
    waiting_list& operator=(const waiting_list&) = delete;
    ~waiting_list() = default;

private:
    operation* first_ = nullptr;
    operation* last_ = nullptr;
};

// ---- memory

/// The memory of operations. The pool stores a freed block for the next operation of its size. A client in a steady
/// state thus allocates nothing. Only one thread may use a pool at a time.
class operation_pool {
public:
    operation_pool() = default;
    operation_pool(const operation_pool&) = delete;
    operation_pool& operator=(const operation_pool&) = delete;
    ~operation_pool() { trim(); }

    /// Frees the blocks that are not in use.
    void trim() noexcept {
        for (spare*& first : spare_)
            while (first)
                ::operator delete(std::exchange(first, first->next));
    }

    void* allocate(std::size_t size) {
        const std::size_t grains = grains_of(size);
        if (grains > spare_.size()) return ::operator new(size);
        spare*& first = spare_[grains - 1];
        if (!first) return ::operator new(grains * grain);
        return std::exchange(first, first->next);
    }

    void deallocate(void* p, std::size_t size) noexcept {
        const std::size_t grains = grains_of(size);
        if (grains > spare_.size()) return ::operator delete(p);
        spare*& first = spare_[grains - 1];
        first = ::new (p) spare{first};
    }

private:
    struct spare {
        spare* next;
    };

    static constexpr std::size_t grain = 64;
    static constexpr std::size_t grains_of(std::size_t size) noexcept { return (size + grain - 1) / grain; }

    std::array<spare*, 8> spare_{}; // indexed by size in grains; larger operations are rare
};

/// Whether memory from `operator new(std::size_t)` is aligned for a type. Only such memory is reused.
template <class T>
inline constexpr bool has_usual_alignment = alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__;

/// Allocates from a pool.
template <class T>
struct pool_allocator {
    using value_type = T;

    explicit pool_allocator(operation_pool* p) noexcept : pool(p) {}
    template <class U>
    // NOLINTNEXTLINE(google-explicit-constructor)
    pool_allocator(const pool_allocator<U>& other) noexcept : pool(other.pool) {}

    T* allocate(std::size_t count) {
        if constexpr (has_usual_alignment<T>)
            return static_cast<T*>(pool->allocate(count * sizeof(T)));
        else
            return std::allocator<T>().allocate(count);
    }
    void deallocate(T* p, std::size_t count) noexcept {
        if constexpr (has_usual_alignment<T>)
            pool->deallocate(p, count * sizeof(T));
        else
            std::allocator<T>().deallocate(p, count);
    }

    template <class U>
    friend bool operator==(const pool_allocator& a, const pool_allocator<U>& b) noexcept {
        return a.pool == b.pool;
    }

    operation_pool* pool;
};

/// A block of a pool. The destructor returns it to the pool unless it was released.
class pool_block {
public:
    pool_block(operation_pool& pool, std::size_t size) : pool_(pool), memory_(pool.allocate(size)), size_(size) {}
    pool_block(const pool_block&) = delete;
    pool_block& operator=(const pool_block&) = delete;
    ~pool_block() {
        if (memory_) pool_.deallocate(memory_, size_);
    }

    void* get() const noexcept { return memory_; }
    void release() noexcept { memory_ = nullptr; }

private:
    operation_pool& pool_;
    void* memory_;
    std::size_t size_;
};

} // namespace tern::detail
