// A layer: opening, negotiating, reading, writing and ending, with a machine for tests, in memory and over TCP.
#include "tern/transport/detail/layer.hpp"

#include "network_test.hpp"
#include "record_machine.hpp"
#include "tern/testing/run_until.hpp"
#include "tern/transport/tcp.hpp"

namespace {

template <class Next>
class basic_records : public tern::detail::layer<Next, record_machine> {
public:
    using base = tern::detail::layer<Next, record_machine>;
    using base::base;
    using base::machine;
    using base::settings;

    template <class Other>
    struct rebind_executor {
        using other = basic_records<typename Next::template rebind_executor<Other>::other>;
    };
};

using link_records = basic_records<tern_link>;
using tcp_records = basic_records<tern::tcp>;
static_assert(tern::timed_transport<basic_records<link_records>>);
static_assert(tern::seeded_transport<basic_records<link_records>>);
static_assert(tern::transport<link_records> && !tern::readable_transport<link_records>);
static_assert(!tern::writes_at_once<link_records>);
static_assert(tern::readable_transport<basic_records<tcp_records>>);
static_assert(tern::writes_at_once<basic_records<tcp_records>>);
static_assert(!tern::timed_transport<tcp_records>);

// A layer over a link, and the server's end of that link.
struct layer_fixture {
    layer_fixture() {
        net.listen("host",
                   [this](tern_link stream) { accepted.push_back(std::make_unique<tern_link>(std::move(stream))); });
    }

    void start(outcome& opened, const tern::open_timeouts& timeouts = {}) {
        client.async_open({.host = "host"}, timeouts, *opened);
        CHECK_FALSE(opened.done);
        net.run_ready();
    }
    // Opens the layer. The server accepts the greeting, and sends the rest after it.
    void opened(std::string_view rest = {}) {
        outcome opening;
        start(opening);
        CHECK(take(record('g', "hello@host").size()) == record('g', "hello@host"));
        answer(record('g', "hello") + std::string(rest));
        REQUIRE(net.run_until([&] { return opening.done; }));
        REQUIRE_FALSE(opening.error);
        CHECK(client.opening_phase() == tern::connection_phase::securing);
    }
    // What the server reads, at most so many bytes.
    std::string take(std::size_t most) {
        std::string bytes(most, '\0');
        outcome read;
        accepted.back()->async_read_some(asio::buffer(bytes), *read);
        net.run_ready();
        if (!read.done) return "nothing";
        bytes.resize(read.size);
        return read.error ? read.error.message() : bytes;
    }
    void answer(std::string_view bytes) {
        REQUIRE_FALSE(link_fixture::write(net, *accepted.back(), bytes));
        net.run_ready();
    }
    void read(outcome& result) {
        client.async_read_some(asio::buffer(buffer), *result);
        CHECK_FALSE(result.done);
        net.run_ready();
    }
    std::string_view text(const outcome& result) const { return {buffer.data(), result.size}; }
    void write(outcome& result, std::string_view bytes) {
        client.async_write_some(asio::buffer(bytes), *result);
        CHECK_FALSE(result.done);
        net.run_ready();
    }

    network net;
    link_records client{tern_link{net}};
    std::vector<std::unique_ptr<tern_link>> accepted;
    std::array<char, 1000> buffer = {};
};

TEST_CASE("A layer negotiates, and reports bytes that follow the negotiation") {
    layer_fixture f;
    f.opened(record('d', "first"));
    outcome read;
    f.read(read);
    CHECK(f.text(read) == "first");
}

TEST_CASE("A layer negotiates again on each connection") {
    layer_fixture f;
    for (int i = 0; i != 3; ++i) {
        f.opened();
        f.client.close();
        f.net.run_ready();
    }
}

TEST_CASE("A layer reports why its negotiation failed, after the answer of the machine has left") {
    layer_fixture f;
    outcome opening;
    f.start(opening);
    f.take(100);
    SECTION("the server does not accept") {
        f.answer(record('g', "bye"));
        CHECK(opening.error == std::errc::protocol_error);
    }
    SECTION("the server breaks the protocol") {
        f.answer(record('z', ""));
        CHECK(f.take(100) == record('x', "why"));
        CHECK(opening.error == std::errc::protocol_error);
    }
    SECTION("the server hangs up") {
        f.accepted.back()->close();
        f.net.run_ready();
        CHECK(opening.error == asio::error::eof);
    }
    CHECK(f.client.opening_phase() == tern::connection_phase::securing);
    f.client.close();
    f.opened();
}

TEST_CASE("A layer reports why its negotiation failed, although the server takes no answer") {
    layer_fixture f;
    f.net.next({.to_server = {.capacity = record('g', "hello@host").size()}});
    outcome opening;
    f.start(opening, {.tls = 3s});
    f.answer(record('z', ""));
    CHECK_FALSE(opening.done);
    REQUIRE(f.net.run_until([&] { return opening.done; }));
    CHECK(opening.error == std::errc::protocol_error);
}

TEST_CASE("The negotiation of a layer has a time limit of its own") {
    layer_fixture f;
    outcome opening;
    f.start(opening, {.tls = 3s});
    const auto begin = f.net.now();
    REQUIRE(f.net.run_until([&] { return opening.done; }));
    CHECK(opening.error == tern::violation(tern::errc::tls_timeout));
    CHECK(f.net.now() - begin == 3s);
    f.client.close();
    f.opened();
}

TEST_CASE("A layer reports the error and the phase of the transport below") {
    layer_fixture f;
    outcome opening;
    f.client.async_open({.host = "unknown"}, {}, *opening);
    f.net.run_ready();
    CHECK(opening.error == asio::error::host_not_found);
    CHECK(f.client.opening_phase() == tern::connection_phase::resolving);
    f.client.close(); // the client asks for the phase afterwards
    CHECK(f.client.opening_phase() == tern::connection_phase::resolving);
}

TEST_CASE("A layer whose settings cannot be used does not connect") {
    layer_fixture f;
    f.client.settings().is_unusable = true;
    outcome opening;
    f.start(opening);
    CHECK(opening.error == std::errc::invalid_argument);
    CHECK(f.client.opening_phase() == tern::connection_phase::securing);
    CHECK(f.accepted.empty());
    f.client.settings().is_unusable = false;
    f.client.close();
    f.opened();
}

TEST_CASE("A layer reads on until something is decoded") {
    layer_fixture f;
    f.opened();
    outcome read;
    f.read(read);
    const std::string bytes = record('d', "hello") + record('d', "again");
    for (std::size_t i = 0; i != 6; ++i) {
        f.answer(bytes.substr(i, 1));
        CHECK_FALSE(read.done);
    }
    f.answer(bytes.substr(6));
    CHECK(f.text(read) == "helloagain");
    outcome end;
    f.read(end);
    f.answer(record('e', ""));
    CHECK(end.error == asio::error::eof);
}

TEST_CASE("Decoded bytes that did not fit are read at once") {
    layer_fixture f;
    f.opened();
    f.answer(record('d', "0123456789"));
    std::array<char, 4> few{};
    for (const std::string_view part : {"0123", "4567", "89"}) {
        outcome read;
        f.client.async_read_some(asio::buffer(few), *read);
        CHECK_FALSE(read.done);
        f.net.run_ready();
        CHECK(std::string_view(few.data(), read.size) == part);
    }
}

TEST_CASE("A read or a write of no bytes completes, and later") {
    layer_fixture f;
    f.opened();
    outcome read;
    f.client.async_read_some(asio::mutable_buffer(), *read);
    outcome written;
    f.client.async_write_some(asio::const_buffer(), *written);
    CHECK_FALSE(read.done);
    CHECK_FALSE(written.done);
    f.net.run_ready();
    CHECK(read.done);
    CHECK(written.done);
    CHECK_FALSE(read.error);
    CHECK_FALSE(written.error);
}

TEST_CASE("A layer answers by itself, while it reads") {
    layer_fixture f;
    f.opened();
    outcome read;
    f.read(read);
    f.answer(record('p', "1") + record('p', "2"));
    CHECK_FALSE(read.done);
    CHECK(f.take(100) == record('q', "1") + record('q', "2"));
}

TEST_CASE("Bytes count as written when the whole record is passed on") {
    layer_fixture f;
    f.net.next({.to_server = {.capacity = 100}});
    f.client.settings().record_bytes = 60;
    f.opened();
    const std::string bytes = std::string(60, 'a') + std::string(60, 'b');
    outcome first;
    f.write(first, bytes);
    CHECK(first.size == 60);
    outcome second;
    f.write(second, std::string_view(bytes).substr(60));
    CHECK_FALSE(second.done); // 38 of 62 bytes have left
    CHECK(f.take(200) == record('d', std::string(60, 'a')) + record('d', std::string(60, 'b')).substr(0, 38));
    CHECK(second.size == 60);
    CHECK(f.take(200) == record('d', std::string(60, 'b')).substr(38));
}

TEST_CASE("An answer does not come between the records of the client, nor does a write between answers") {
    layer_fixture f;
    f.net.next({.to_server = {.capacity = 100}});
    f.opened();
    outcome written;
    f.write(written, std::string(100, 'a'));
    outcome read;
    f.read(read);
    f.answer(record('p', std::string(50, '1')));
    f.answer(record('p', std::string(50, '2')));
    CHECK_FALSE(written.done);
    CHECK(f.take(200) == record('d', std::string(100, 'a')).substr(0, 100));
    CHECK(written.size == 100);
    outcome next;
    f.write(next, "next");
    const std::string expected = record('d', std::string(100, 'a')).substr(100) + record('q', std::string(50, '1')) +
                                 record('q', std::string(50, '2')) + record('d', "next");
    std::string rest;
    while (rest.size() < expected.size())
        rest += f.take(60);
    CHECK(rest == expected);
    CHECK(next.size == 4);
}

TEST_CASE("A write that has to wait for bytes of the server leaves once they are read") {
    layer_fixture f;
    f.opened();
    outcome read;
    f.read(read);
    f.answer(record('s', ""));
    outcome written;
    f.write(written, "later");
    CHECK_FALSE(written.done);
    f.answer(record('p', "1"));
    CHECK_FALSE(written.done);
    f.answer(record('r', ""));
    CHECK(written.done);
    CHECK(written.size == 5);
    CHECK(f.take(100) == record('q', "1") + record('d', "later"));
    CHECK_FALSE(read.done);
}

TEST_CASE("A write that has to wait ends when the layer is closed, and is not tried again") {
    layer_fixture f;
    f.opened();
    outcome read;
    f.read(read);
    f.answer(record('s', ""));
    outcome written;
    f.write(written, "never");
    f.client.close();
    f.net.run_ready();
    CHECK(written.error == asio::error::operation_aborted);
    f.opened();
    f.read(read = {});
    f.answer(record('d', "next"));
    CHECK(f.text(read) == "next");
    CHECK(f.take(100) == "nothing");
}

TEST_CASE("The sending direction ends after all answers, and reading continues") {
    layer_fixture f;
    f.net.next({.to_server = {.capacity = 20}});
    f.opened();
    outcome read;
    f.read(read);
    f.answer(record('p', std::string(30, '1')));
    f.client.shutdown_send();
    f.net.run_ready();
    std::string last = f.take(100);
    last += f.take(100);
    CHECK(last == record('q', std::string(30, '1')) + record('e', ""));
    CHECK(f.take(100) == "End of file");
    f.answer(record('d', "late"));
    CHECK(f.text(read) == "late");
}

TEST_CASE("close() ends the operations of a layer in every stage, and it can open again") {
    layer_fixture f;
    const auto closed = [&](const outcome& o) {
        f.client.close();
        CHECK_FALSE(o.done);
        f.net.run_ready();
        CHECK(o.error == asio::error::operation_aborted);
    };
    outcome opening;
    f.client.async_open({.host = "host"}, {}, *opening);
    closed(opening);
    outcome negotiating;
    f.start(negotiating, {.tls = 3s});
    closed(negotiating);
    f.net.next({.to_server = {.capacity = 20}});
    f.opened();
    outcome reading;
    f.read(reading);
    outcome writing;
    f.write(writing, std::string(100, 'a'));
    closed(reading);
    CHECK(writing.error == asio::error::operation_aborted);
    f.opened();
}

TEST_CASE("A layer that is destroyed or replaced closes the connection") {
    layer_fixture f;
    f.opened();
    f.client = link_records{tern_link{f.net}};
    f.net.run_ready();
    CHECK(f.take(1) == "End of file");
    f.opened();
    {
        const link_records last = std::move(f.client);
    }
    CHECK(f.take(1) == "End of file");
}

// A layer over TCP, and the server's socket.
struct tcp_layer_fixture {
    void opened() {
        outcome opening;
        client.async_open({.host = "127.0.0.1", .port = acceptor.local_endpoint().port()}, {}, *opening);
        acceptor.async_accept(peer, [this](const std::error_code& failure) {
            CHECK_FALSE(failure);
            answer(record('g', "hello"));
        });
        REQUIRE(tern::testing::run_until(io, [&] { return opening.done; }));
        REQUIRE_FALSE(opening.error);
        take(record('g', "hello@127.0.0.1").size());
    }
    void answer(std::string_view bytes) { asio::write(peer, asio::buffer(bytes)); }
    std::string take(std::size_t count) {
        std::string bytes(count, '\0');
        asio::read(peer, asio::buffer(bytes));
        return bytes;
    }
    void wait() {
        outcome waited;
        client.async_wait_read(*waited);
        CHECK_FALSE(waited.done);
        REQUIRE(tern::testing::run_until(io, [&] { return waited.done; }));
        CHECK_FALSE(waited.error);
    }

    asio::io_context io;
    asio::ip::tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
    asio::ip::tcp::socket peer{io};
    tcp_records client{io.get_executor()};
    std::array<char, 4> few = {};
    std::error_code error;
};

TEST_CASE("A wait for bytes ends at once while decoded bytes wait") {
    tcp_layer_fixture f;
    f.opened();
    f.answer(record('d', "012345"));
    f.wait();
    CHECK(f.client.read_some(asio::buffer(f.few), f.error) == 4);
    f.wait();
    CHECK(f.client.read_some(asio::buffer(f.few), f.error) == 2);
    CHECK_FALSE(f.error);
    CHECK(f.client.read_some(asio::buffer(f.few), f.error) == 0);
    CHECK(f.error == asio::error::would_block);
}

TEST_CASE("A part of a record does not make a layer readable, and answers leave at once") {
    tcp_layer_fixture f;
    f.opened();
    f.answer(record('p', "ping") + record('d', "0").substr(0, 1));
    f.wait();
    CHECK(f.client.read_some(asio::buffer(f.few), f.error) == 0);
    CHECK(f.error == asio::error::would_block);
    CHECK(f.take(6) == record('q', "ping"));
}

TEST_CASE("A layer that could not write at once keeps the record, and writes the rest of it first") {
    tcp_layer_fixture f;
    f.opened();
    const std::string bytes(300, 'a');
    std::size_t written = 0;
    while (!f.error)
        written += f.client.write_some(asio::buffer(bytes), f.error);
    REQUIRE(f.error == asio::error::would_block);
    const std::size_t total = written + 300;
    std::string expected;
    for (std::size_t i = 0; i != total; i += 100)
        expected += record('d', std::string(100, 'a'));
    std::string read(expected.size(), '\0');
    outcome all;
    asio::async_read(f.peer, asio::buffer(read), *all);
    while (written != total) {
        outcome rest;
        f.client.async_write_some(asio::buffer(bytes.data(), total - written), *rest);
        REQUIRE(tern::testing::run_until(f.io, [&] { return rest.done; }));
        REQUIRE_FALSE(rest.error);
        written += rest.size;
    }
    REQUIRE(tern::testing::run_until(f.io, [&] { return all.done; }));
    CHECK(read == expected);
}

TEST_CASE("The end of a connection is read through a layer") {
    tcp_layer_fixture f;
    f.opened();
    f.answer(record('e', ""));
    f.wait();
    CHECK(f.client.read_some(asio::buffer(f.few), f.error) == 0);
    CHECK(f.error == asio::error::eof);
    f.client.shutdown_send();
    CHECK(f.take(2) == record('e', ""));
    std::error_code end;
    CHECK(asio::read(f.peer, asio::buffer(f.few), end) == 0);
    CHECK(end == asio::error::eof);
}

} // namespace
