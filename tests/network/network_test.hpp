// Shared by the tests of the network: the ends of a connection, and the bytes that they read.
#pragma once

#include "outcome.hpp"
#include "tern/testing/network.hpp"

#include <asio.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using tern::testing::basic_link;
using tern::testing::cut;
using tern::testing::ending;
using tern::testing::link_options;
using tern::testing::network;
using tern::testing::pieces;
using tern::testing::step;
using tern::testing::virtual_clock;
using tern::testing::virtual_timer;
using tern_link = tern::testing::link;

// Reads until an error, and stores the bytes.
struct sink {
    explicit sink(tern_link& s) : stream(s) { read(); }

    void read() {
        stream.async_read_some(asio::buffer(buffer), [this](std::error_code e, std::size_t size) {
            text.append(buffer.data(), size);
            if (size != 0) sizes.push_back(size);
            if (e)
                error = e;
            else
                read();
        });
    }

    tern_link& stream;
    std::array<char, 1000> buffer = {};
    std::string text;
    std::vector<std::size_t> sizes;
    std::error_code error;
};

// A client, and all connections that its host has accepted.
struct link_fixture {
    explicit link_fixture(std::uint64_t seed = 1) : net(seed) {
        net.listen("host",
                   [this](tern_link stream) { accepted.push_back(std::make_unique<tern_link>(std::move(stream))); });
    }

    std::error_code open(std::string_view host = "host", const tern::open_timeouts& timeouts = {}) {
        outcome opened;
        client.async_open({.host = host}, timeouts, *opened);
        CHECK_FALSE(opened.done);
        REQUIRE(net.run_until([&] { return opened.done; }));
        net.run_ready();
        return opened.error;
    }
    // Opens a new connection.
    void connected() {
        client.close();
        REQUIRE_FALSE(open());
    }
    tern_link& server() { return *accepted.back(); }

    static std::error_code write(network& net, tern_link& stream, std::string_view text) {
        outcome written;
        asio::async_write(stream, asio::buffer(text), *written);
        REQUIRE(net.run_until([&] { return written.done; }));
        return written.error;
    }
    std::error_code write(std::string_view text) { return write(net, client, text); }
    std::error_code answer(std::string_view text) { return write(net, server(), text); }

    network net;
    tern_link client{net};
    std::vector<std::unique_ptr<tern_link>> accepted;
};
