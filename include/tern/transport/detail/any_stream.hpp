// A transport of any type behind an interface, with the options that it uses.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/detail/schemes.hpp"
#include "tern/endpoint.hpp"
#include "tern/fwd.hpp"
#include "tern/transport/concept.hpp"
#include "tern/transport/detail/any_handler.hpp"
#include "tern/transport/detail/first_buffers.hpp"
#include "tern/transport/proxy.hpp"
#include "tern/transport/tcp.hpp"
#include "tern/transport/websocket.hpp"

#include <asio/buffer.hpp>

#include <cstddef>
#include <memory>
#include <system_error>
#include <utility>

namespace tern::detail {

/// The options of all transports. Each uses those that it knows.
struct any_options {
    tcp_options tcp = {};
    proxy_options proxy = {};
    websocket_options websocket = {};
    std::shared_ptr<const void> tls = {}; // whatever `make_secure_stream` takes; null: the defaults
};

inline void set_option(any_options& all, tcp_options options) {
    all.tcp = std::move(options);
}
inline void set_option(any_options& all, proxy_options options) {
    all.proxy = std::move(options);
}

inline void set_option(any_options& all, websocket_options options) {
    all.websocket = std::move(options);
}

template <class Executor>
void configure(basic_tcp<Executor>& transport, const any_options& options) {
    transport.set_options(options.tcp);
}
template <class Next>
void configure(basic_proxy<Next>& transport, const any_options& options) {
    transport.set_options(options.proxy);
    configure(transport.next_layer(), options);
}
template <class Next>
void configure(basic_websocket<Next>& transport, const any_options& options) {
    transport.set_options(options.websocket);
    configure(transport.next_layer(), options);
}
template <class Executor>
void configure(basic_local<Executor>&, const any_options&) {}

/// The functions of a transport that can wait for bytes and write at once; see the concept `transport`.
template <class Executor>
class any_stream {
public:
    using opened_handler = any_handler<std::error_code>;
    using transfer_handler = any_handler<std::error_code, std::size_t>;

    any_stream() = default;
    any_stream(const any_stream&) = delete;
    any_stream& operator=(const any_stream&) = delete;
    virtual ~any_stream() = default;

    virtual void set_options(const any_options& options) = 0;
    virtual void open(const endpoint& where, const open_timeouts& timeouts, opened_handler handler) = 0;
    virtual connection_phase opening_phase() const noexcept = 0;
    virtual void start_wait_read(opened_handler handler) = 0;
    virtual void start_read(asio::mutable_buffer buffer, transfer_handler handler) = 0;
    virtual void start_write(const first_buffers& buffers, transfer_handler handler) = 0;
    virtual std::size_t read_some(asio::mutable_buffer buffer, std::error_code& error) noexcept = 0;
    virtual std::size_t write_some(const first_buffers& buffers, std::error_code& error) noexcept = 0;
    virtual void shutdown_send() noexcept = 0;
    virtual void close() noexcept = 0;
};

template <readable_transport Transport>
    requires writes_at_once<Transport>
class any_stream_of final : public any_stream<typename Transport::executor_type> {
    using base = any_stream<typename Transport::executor_type>;

public:
    explicit any_stream_of(const typename Transport::executor_type& executor) : transport_(executor) {}

    void set_options(const any_options& options) override { configure(transport_, options); }
    void open(const endpoint& where, const open_timeouts& timeouts, typename base::opened_handler handler) override {
        transport_.async_open(where, timeouts, std::move(handler));
    }
    connection_phase opening_phase() const noexcept override { return transport_.opening_phase(); }
    void start_wait_read(typename base::opened_handler handler) override {
        transport_.async_wait_read(std::move(handler));
    }
    void start_read(asio::mutable_buffer buffer, typename base::transfer_handler handler) override {
        transport_.async_read_some(buffer, std::move(handler));
    }
    void start_write(const first_buffers& buffers, typename base::transfer_handler handler) override {
        transport_.async_write_some(buffers, std::move(handler));
    }
    std::size_t read_some(asio::mutable_buffer buffer, std::error_code& error) noexcept override {
        return transport_.read_some(buffer, error);
    }
    std::size_t write_some(const first_buffers& buffers, std::error_code& error) noexcept override {
        return transport_.write_some(buffers, error);
    }
    void shutdown_send() noexcept override { transport_.shutdown_send(); }
    void close() noexcept override { transport_.close(); }

private:
    Transport transport_;
};

/// Makes a stream of a kind that needs TLS.
template <class Executor>
using secure_stream_factory = std::unique_ptr<any_stream<Executor>> (*)(scheme_kind kind, const Executor& executor);

/// Null in a program that has no TLS. Set before `main` begins, and never afterwards.
template <class Executor>
inline secure_stream_factory<Executor> make_secure_stream = nullptr;

} // namespace tern::detail
