// An executor that says which allocations may fail: those of the functions that it calls.
#pragma once

#include "heap.hpp"

#include <asio/execution.hpp>
#include <asio/prefer.hpp>
#include <asio/query.hpp>
#include <asio/require.hpp>
#include <asio/version.hpp>

#include <type_traits>
#include <utility>

namespace heap {

/// Calls functions in sections of tested code. `Passing` is the section in which it passes them to the other executor.
/// It is small enough for `any_io_executor` to hold it without an allocation.
template <class Passing, class Inner>
struct tested_executor {
    Inner inner;

    template <class F>
    void execute(F f) const {
        const Passing passing;
        auto marked = [f = std::move(f)]() mutable {
            const tested section;
            std::move(f)();
        };
#if ASIO_VERSION < 102800 // its executors have no public `execute`
        asio::execution::execute(inner, std::move(marked));
#else
        inner.execute(std::move(marked));
#endif
    }
    template <class Property>
    auto require(const Property& p) const -> tested_executor<Passing, std::decay_t<decltype(asio::require(inner, p))>> {
        return {asio::require(inner, p)};
    }
    template <class Property>
    auto prefer(const Property& p) const -> tested_executor<Passing, std::decay_t<decltype(asio::prefer(inner, p))>> {
        return {asio::prefer(inner, p)};
    }
    template <class Property>
    auto query(const Property& p) const -> decltype(asio::query(inner, p)) {
        return asio::query(inner, p);
    }
    bool operator==(const tested_executor&) const noexcept = default;
};

} // namespace heap
