// Look-ups of host names, as the opening of a transport sees them.
//
// A request is answered by the pool of threads that asks the system (lookup_pool.hpp), or by a resolver of the
// application. Both answer in any thread. The answer is posted to the executor of the opening.
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/detail/declare.hpp"

#include <asio/execution_context.hpp>
#include <asio/ip/tcp.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace tern::detail {

using address_list = growing_array<asio::ip::tcp::endpoint>;

/// A request for the addresses of a host.
class lookup_request {
public:
    lookup_request(std::string_view host, std::uint16_t port) : host_(host), port_(port) {}
    lookup_request(const lookup_request&) = delete;
    lookup_request& operator=(const lookup_request&) = delete;
    virtual ~lookup_request() = default;

    const std::string& host() const noexcept { return host_; }
    std::uint16_t port() const noexcept { return port_; }

    /// Answers the request. The answer to an opening that has ended has no effect. If this throws, the request is not
    /// answered.
    virtual void answer(std::error_code error, address_list addresses) const = 0;

private:
    std::string host_;
    std::uint16_t port_;
};

/// Passes the request to the pool of the context. Throws `std::system_error` if there can be no thread for it.
TERN_DECLARE void start_lookup(asio::execution_context& context, std::shared_ptr<const lookup_request> request);

/// Withdraws a request. The pool does not answer it any more, even if the system is still looking for the addresses.
TERN_DECLARE void abandon_lookup(asio::execution_context& context, const lookup_request& request) noexcept;

} // namespace tern::detail
