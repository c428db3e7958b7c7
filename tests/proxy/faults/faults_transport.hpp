// The transport of the runs with faults: through an HTTP proxy, at the host of each broker.
#pragma once

#include "network/faults_link.hpp"
#include "tern/testing/broker.hpp"
#include "tern/transport/proxy.hpp"

#include <asio/buffer.hpp>
#include <asio/read_until.hpp>
#include <asio/write.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

class faulty_transport : public tern::basic_proxy<faulty_link> {
public:
    using tern::basic_proxy<faulty_link>::basic_proxy;

    template <class>
    struct rebind_executor {
        using other = faulty_transport;
    };

    template <class Token>
    auto async_open(const tern::endpoint& where, const tern::open_timeouts& timeouts, Token&& token) {
        set_options({.protocol = tern::proxy_protocol::http_connect, .host = std::string(where.host)});
        return tern::basic_proxy<faulty_link>::async_open(where, timeouts, std::forward<Token>(token));
    }
};

/// Accepts connections of such transports for a broker.
inline auto acceptor_for(tern::testing::broker& broker) {
    return [to_broker = broker.acceptor()](tern::testing::link stream) {
        struct connection {
            tern::testing::link stream;
            std::string request = {};
        };
        const auto c = std::make_shared<connection>(connection{std::move(stream)});
        asio::async_read_until(c->stream, asio::dynamic_buffer(c->request), "\r\n\r\n",
                               [to_broker, c](std::error_code failed, std::size_t) {
                                   if (failed) return;
                                   asio::async_write(c->stream, asio::buffer("HTTP/1.1 200 OK\r\n\r\n", 19),
                                                     [to_broker, c](std::error_code error, std::size_t) mutable {
                                                         if (!error) to_broker(std::move(c->stream));
                                                     });
                               });
    };
}
