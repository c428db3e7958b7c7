// Connect options that own what they borrow.
#pragma once

#include "tern/codec/connect.hpp"
#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/endpoint.hpp"
#include "tern/message.hpp"
#include "tern/session/options.hpp"

namespace tern {

/// A copy of `connect_options` that owns everything they point to: strings, will, properties and endpoints. Pass it to
/// an operation that starts later, when the strings of the caller no longer exist:
///
///     tern::owned_connect_options options({.host = host, .client_id = id});
///     auto connect = client.async_connect(std::move(options), asio::deferred);
class owned_connect_options {
public:
    TERN_COLD explicit owned_connect_options(const connect_options& from) {
        for (const endpoint& e : from.more_endpoints)
            texts_.push_back(detail::stored_endpoint(e));
        for (const detail::stored_endpoint& e : texts_)
            endpoints_.push_back(e.view());
        borrowing options{from};
        options.more_endpoints = endpoints_;
        options_ = owned<borrowing>(options);
    }
    TERN_COLD owned_connect_options(const owned_connect_options& other) : owned_connect_options(other.view()) {}
    owned_connect_options(owned_connect_options&&) noexcept = default;
    TERN_COLD owned_connect_options& operator=(const owned_connect_options& other) {
        return *this = owned_connect_options(other);
    }
    owned_connect_options& operator=(owned_connect_options&&) noexcept = default;
    ~owned_connect_options() = default;

    /// The options, which must not outlive this object.
    const connect_options& view() const& noexcept { return options_.view(); }
    const connect_options& view() && = delete;
    const connect_options& view() const&& = delete;

private:
    struct borrowing : connect_options {
        template <class F>
        static void visit(borrowing& view, F&& f) {
            f(view.host);
            f(view.path);
            f(view.scheme);
            f(view.client_id);
            f(view.user_name);
            f(view.password);
            if (view.will) message_view::visit(*view.will, f);
            detail::visit_borrowed(view.properties, f, connect_properties::fields{});
        }
    };

    detail::growing_array<detail::stored_endpoint> texts_; // moved with its memory: `endpoints_` stay valid
    detail::growing_array<endpoint> endpoints_;
    owned<borrowing> options_;
};

} // namespace tern
