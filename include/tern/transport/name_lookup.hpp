// A host name that a resolver of the application looks up.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/transport/detail/lookup.hpp"

#include <asio/ip/tcp.hpp>

#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace tern {

/// A host whose addresses an opening transport needs.
///
/// The resolver calls `complete` or `fail`, immediately or later, in any thread, while the context of the transport
/// exists. A look-up that is destroyed without an answer fails with `std::errc::operation_canceled`. The answer has no
/// effect once the opening has ended.
class name_lookup {
public:
    name_lookup(name_lookup&&) noexcept = default;
    name_lookup& operator=(name_lookup&& other) noexcept {
        name_lookup taken(std::move(other));
        request_.swap(taken.request_);
        return *this;
    }
    name_lookup(const name_lookup&) = delete;
    name_lookup& operator=(const name_lookup&) = delete;
    TERN_COLD ~name_lookup() {
        try {
            fail(std::make_error_code(std::errc::operation_canceled));
        } catch (const std::bad_alloc&) { // NOLINT(bugprone-empty-catch): the time limit of the opening ends it
        }
    }

    /// Returns the name to look up. It borrows from this object, which must not have answered.
    const std::string& host() const noexcept { return request_->host(); }
    std::uint16_t port() const noexcept { return request_->port(); }

    /// Passes the addresses on, in the order in which they are to be tried.
    void complete(const std::vector<asio::ip::tcp::endpoint>& addresses) {
        detail::address_list list;
        for (const asio::ip::tcp::endpoint& each : addresses)
            list.push_back(each);
        answer({}, std::move(list));
    }

    TERN_COLD void fail(std::error_code error) { answer(error, {}); }

    explicit name_lookup(std::shared_ptr<const detail::lookup_request> request) noexcept
        : request_(std::move(request)) {}

private:
    TERN_COLD void answer(std::error_code error, detail::address_list addresses) {
        if (const auto request = std::exchange(request_, {})) request->answer(error, std::move(addresses));
    }

    std::shared_ptr<const detail::lookup_request> request_; // null once it is answered, or moved from
};

} // namespace tern
