// The machine after the handshake: records, what counts as passed on, what has been received, key updates, the end.
#include "catch.hpp"
#include "peer.hpp"
#include "support/heap.hpp"
#include "tern/transport/detail/tls_machine.hpp"
#include "tern/transport/tls_context.hpp"
#include "tern/transport/tls_error.hpp"

#include <asio/buffer.hpp>
#include <asio/error.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace tls_machine_tests {

using namespace tls_test;
using tern::tls_errc;

conversation established(int version, std::size_t piece = SIZE_MAX) {
    conversation talk(trusting_options(), {.version = version}, {.piece = piece});
    talk.run();
    REQUIRE(talk.is_ready());
    REQUIRE_FALSE(talk.error());
    return talk;
}

std::string pattern(std::size_t size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i != size; ++i)
        text[i] = static_cast<char>(i * 31 + i / 256);
    return text;
}

// Passes one record of the server to the client.
std::size_t read_all(tls_machine& client, std::string_view raw, std::string& plain, std::error_code& error,
                     std::size_t room = 1000) {
    std::vector<char> into(room);
    const std::size_t count = client.read(raw, into, error);
    plain.append(into.data(), count);
    return count;
}

constexpr std::array versions{TLS1_2_VERSION, TLS1_3_VERSION};

TEST_CASE("bytes arrive unchanged in both directions, in pieces of any size") {
    const std::string text = pattern(100'000);
    for (const int version : versions)
        for (const std::size_t piece : {std::size_t{1}, std::size_t{1000}, std::size_t{20'000}, SIZE_MAX}) {
            CAPTURE(version, piece);
            conversation talk = established(version, piece);
            CHECK(talk.send(text) == text.size());
            CHECK(talk.server().received() == text);
            talk.server().send(text);
            talk.run();
            CHECK(talk.received() == text);
            CHECK_FALSE(talk.error());
        }
}

TEST_CASE("a write waits while a session ticket was received in part") {
    const auto context = make_server_context({.version = TLS1_3_VERSION});
    SSL_CTX_set_num_tickets(context.get(), 0);
    conversation talk(tern::tls_context(trusting_options()), context);
    talk.run();
    REQUIRE(talk.is_ready());
    SSL* const server = talk.server().ssl();
    const std::string data(1200, 'd');
    REQUIRE(SSL_SESSION_set1_ticket_appdata(SSL_get_session(server), data.data(), data.size()) == 1);
    REQUIRE(SSL_set_max_send_fragment(server, 512) == 1);
    REQUIRE(SSL_new_session_ticket(server) == 1);
    REQUIRE(SSL_do_handshake(server) == 1);
    const std::string ticket = talk.server().output();
    const auto size = [&](std::size_t i) { return std::size_t{static_cast<unsigned char>(ticket[i])}; };
    const std::size_t record_size = 5 + size(3) * 256 + size(4);
    REQUIRE(ticket.size() > record_size);

    tls_machine& client = talk.client();
    std::string plain;
    std::error_code error;
    read_all(client, std::string_view(ticket).substr(0, record_size), plain, error);
    const std::string text = pattern(20'000); // two records
    const std::array pieces{asio::const_buffer(text.data(), text.size())};
    CHECK(client.write(pieces) == 0);
    CHECK(client.output().empty());
    read_all(client, std::string_view(ticket).substr(record_size), plain, error);
    CHECK_FALSE(error);
    CHECK(talk.send(text) == text.size());
    CHECK(talk.server().received() == text);
}

TEST_CASE("bytes count as passed on when the last byte of their record is") {
    for (const int version : versions) {
        conversation talk = established(version);
        tls_machine& client = talk.client();
        const std::string text = pattern(40'000);
        const std::array pieces{asio::const_buffer(text.data(), text.size())};
        CHECK(client.write(pieces) == text.size());
        std::size_t passed_on = 0;
        std::vector<std::size_t> steps;
        while (!client.output().empty()) {
            talk.server().receive(client.output().substr(0, 1));
            const std::size_t count = client.commit_output(1);
            if (count != 0) {
                steps.push_back(count);
                passed_on += count;
                CHECK(talk.server().received().size() == passed_on);
            }
        }
        CHECK(steps == std::vector<std::size_t>{16'384, 16'384, 7'232});
        CHECK(talk.server().received() == text);
    }
}

TEST_CASE("one write encrypts at most four records") {
    conversation talk = established(TLS1_3_VERSION);
    const std::string text = pattern(100'000);
    CHECK(talk.client().write(std::array{asio::const_buffer(text.data(), text.size())}) == 65'536);
    CHECK(talk.client().commit_output(talk.client().output().size()) == 65'536);
    CHECK(talk.client().output().empty());
}

TEST_CASE("small pieces share a record") {
    conversation talk = established(TLS1_3_VERSION);
    const std::string text = pattern(60'000);
    const auto records_of = [&](const std::vector<std::size_t>& sizes) {
        std::vector<asio::const_buffer> pieces;
        std::size_t at = 0;
        for (const std::size_t size : sizes) {
            pieces.emplace_back(text.data() + at, size);
            at += size;
        }
        const std::size_t before = talk.server().received().size();
        CHECK(talk.client().write(pieces) == at);
        std::vector<std::size_t> records;
        while (!talk.client().output().empty()) {
            talk.server().receive(talk.client().output().substr(0, 1));
            if (const std::size_t count = talk.client().commit_output(1)) records.push_back(count);
        }
        CHECK(talk.server().received().substr(before) == text.substr(0, at));
        return records;
    };
    using list = std::vector<std::size_t>;
    CHECK(records_of({2, 60}) == list{62});
    CHECK(records_of({0, 10, 0, 5, 0}) == list{15});
    CHECK(records_of({}).empty());
    CHECK(records_of({0}).empty());
    CHECK(records_of({20, 20'000}) == list{16'384, 3'636});
    CHECK(records_of({20'000, 20}) == list{16'384, 3'636});
    CHECK(records_of({16'384, 1}) == list{16'384, 1});
    CHECK(records_of({16'383, 1, 1}) == list{16'384, 1});
}

TEST_CASE("has_plain is exact while plain bytes wait") {
    for (const int version : versions) {
        conversation talk = established(version);
        const std::string text = pattern(50'000);
        talk.server().send(text);
        const std::string raw = talk.server().output();
        std::string plain;
        std::error_code error;
        std::string_view rest = std::string_view(raw).substr(0, raw.size() - 1); // the last record is not complete
        while (true) {
            const std::size_t count = read_all(talk.client(), rest, plain, error, 777);
            REQUIRE_FALSE(error);
            rest = {};
            if (!talk.client().has_plain()) break;
            REQUIRE(count != 0);
        }
        CHECK(plain == text.substr(0, 49'152)); // three whole records
        CHECK(read_all(talk.client(), {}, plain, error) == 0);
        CHECK_FALSE(error);
        read_all(talk.client(), std::string_view(raw).substr(raw.size() - 1), plain, error);
        CHECK(plain == text);
        CHECK_FALSE(talk.client().has_plain());
    }
}

TEST_CASE("bytes behind the handshake are kept until they are read") {
    conversation talk(trusting_options(), {.version = TLS1_3_VERSION});
    tls_machine& client = talk.client();
    std::error_code error;
    talk.server().receive(client.output());
    client.commit_output(client.output().size());
    // A server of TLS 1.3 may send before the client's Finished.
    client.read(talk.server().output(), {}, error);
    REQUIRE(client.is_ready());
    talk.server().receive(client.output());
    client.commit_output(client.output().size());
    talk.server().send("hello");
    client.read(talk.server().output(), {}, error); // tickets and data
    CHECK(client.has_plain());
    std::string plain;
    read_all(client, {}, plain, error);
    CHECK(plain == "hello");
    CHECK_FALSE(client.has_plain());
}

TEST_CASE("close_notify is the end of the stream, behind all bytes before it") {
    for (const int version : versions) {
        conversation talk = established(version);
        talk.server().send("last words");
        talk.server().shutdown();
        std::string plain;
        std::error_code error;
        CHECK(read_all(talk.client(), talk.server().output(), plain, error) == 10);
        CHECK_FALSE(error);
        CHECK(talk.client().has_plain());
        CHECK(read_all(talk.client(), {}, plain, error) == 0);
        CHECK(error == asio::error::eof);
        CHECK(read_all(talk.client(), "more", plain, error) == 0);
        CHECK(error == asio::error::eof);

        talk.client().shutdown();
        talk.server().receive(talk.client().output());
        CHECK(talk.server().has_seen_close_notify());
    }
}

TEST_CASE("shutdown sends close_notify, and reading continues") {
    for (const int version : versions) {
        conversation talk = established(version);
        talk.client().shutdown();
        talk.server().receive(talk.client().output());
        talk.client().commit_output(talk.client().output().size());
        CHECK(talk.server().has_seen_close_notify());
        talk.server().send("still here");
        std::string plain;
        std::error_code error;
        read_all(talk.client(), talk.server().output(), plain, error);
        CHECK(plain == "still here");
        talk.client().shutdown();
        CHECK(talk.client().output().empty());
    }
}

TEST_CASE("shutdown before the end of the handshake sends nothing") {
    conversation talk(trusting_options(), {});
    talk.client().commit_output(talk.client().output().size());
    talk.client().shutdown();
    CHECK(talk.client().output().empty());
}

TEST_CASE("a key update is accepted and answered [RFC 8446 §4.6.3]") {
    conversation talk = established(TLS1_3_VERSION);
    for (int i = 0; i != 3; ++i) {
        talk.server().update_keys();
        talk.server().send("new keys");
        talk.run();
        CHECK_FALSE(talk.error());
        CHECK(talk.send("answer") == 6);
    }
    CHECK(talk.received() == "new keysnew keysnew keys");
    CHECK(talk.server().received() == "answeransweranswer");
}

TEST_CASE("a key update is answered without a write") {
    conversation talk = established(TLS1_3_VERSION);
    talk.server().update_keys();
    std::error_code error;
    std::string plain;
    read_all(talk.client(), talk.server().output(), plain, error);
    CHECK_FALSE(error);
    CHECK_FALSE(talk.client().output().empty());
    CHECK_FALSE(talk.client().has_plain());
    // The answer contains no bytes of a write.
    CHECK(talk.client().commit_output(talk.client().output().size()) == 0);
}

TEST_CASE("a server that asks for answers and does not read them is refused") {
    conversation talk = established(TLS1_3_VERSION);
    std::error_code error;
    std::string plain;
    std::size_t requests = 0;
    while (!error && requests != 50'000) {
        talk.server().update_keys();
        read_all(talk.client(), talk.server().output(), plain, error, 1);
        ++requests;
    }
    CHECK(error == tls_errc::protocol_error);
    CHECK(talk.client().output().size() < 150'000);
}

TEST_CASE("an answer before a write does not change what counts as passed on") {
    conversation talk = established(TLS1_3_VERSION);
    talk.server().update_keys();
    std::error_code error;
    std::string plain;
    read_all(talk.client(), talk.server().output(), plain, error);
    CHECK_FALSE(talk.client().output().empty()); // the answer, of which a write may be outstanding
    CHECK(talk.client().write(std::array{asio::const_buffer("0123456789", 10)}) == 10);
    talk.server().receive(talk.client().output());
    CHECK(talk.client().commit_output(talk.client().output().size()) == 0);
    const std::size_t all = talk.client().output().size();
    CHECK(all > 10);
    talk.server().receive(talk.client().output());
    CHECK(talk.client().commit_output(all - 1) == 0);
    CHECK(talk.client().commit_output(1) == 10);
    CHECK(talk.server().received() == "0123456789");
}

TEST_CASE("a renegotiation is refused, and the connection continues [RFC 5746 §4.5]") {
    conversation talk = established(TLS1_2_VERSION);
    talk.server().renegotiate();
    std::string plain;
    std::error_code error;
    read_all(talk.client(), talk.server().output(), plain, error);
    CHECK_FALSE(error);
    CHECK_FALSE(talk.client().output().empty()); // the alert no_renegotiation
    CHECK(talk.client().commit_output(talk.client().output().size()) == 0);
    CHECK(talk.client().write(std::array{asio::const_buffer("x", 1)}) == 1);
}

TEST_CASE("a changed byte of a record ends the connection with an alert") {
    for (const int version : versions)
        for (const std::size_t at : {std::size_t{0}, std::size_t{1}, std::size_t{5}, std::size_t{30}}) {
            conversation talk = established(version);
            talk.server().send("0123456789012345678901234567890123456789");
            std::string raw = talk.server().output();
            raw[at] = static_cast<char>(raw[at] ^ 0x40);
            std::string plain;
            std::error_code error;
            read_all(talk.client(), raw, plain, error);
            CAPTURE(version, at, error.message());
            CHECK(plain.empty());
            CHECK((error == tls_errc::corrupted_record || error == tls_errc::protocol_error));
            CHECK(error == tern::failure_class::transient);
            CHECK_FALSE(talk.client().output().empty()); // the alert
            CHECK(talk.client().write(std::array{asio::const_buffer("x", 1)}) == 0);
            talk.server().receive(talk.client().output());
            CHECK(talk.server().has_failed());
        }
}

TEST_CASE("a record that claims more than the standard's maximum is refused at once [RFC 8446 §5.2]") {
    for (const int version : versions) {
        conversation talk = established(version);
        std::string plain;
        std::error_code error;
        read_all(talk.client(), std::string_view("\x17\x03\x03\xFF\xFF", 5), plain, error);
        CHECK(error == tls_errc::protocol_error);
    }
}

TEST_CASE("empty records without end are refused") {
    conversation talk = established(TLS1_2_VERSION);
    std::string plain;
    std::error_code error;
    for (int i = 0; i != 100 && !error; ++i) {
        read_all(talk.client(), std::string_view("\x17\x03\x03\x00\x00", 5), plain, error);
    }
    CHECK(error);
}

TEST_CASE("in the steady state the machine allocates nothing") {
    for (const int version : versions)
        for (const std::size_t size : {std::size_t{64}, std::size_t{60'000}}) {
            conversation talk = established(version);
            const std::string text = pattern(size);
            std::vector<char> plain(70'000);
            std::error_code error;
            std::size_t before = 0;
            for (int i = 0; i != 20; ++i) {
                if (i == 10) before = heap::allocations();
                const heap::tested only;
                const std::array pieces{asio::const_buffer(text.data(), text.size())};
                talk.client().write(pieces);
                talk.client().commit_output(talk.client().output().size());
                const std::size_t own = heap::allocations();
                {
                    const heap::untested peer;
                    talk.server().send(text);
                }
                const std::string raw = talk.server().output();
                before += heap::allocations() - own;
                CHECK(talk.client().read(raw, plain, error) == size);
            }
            CHECK(heap::allocations() - before <= 10); // those of the checks above
        }
}

TEST_CASE("a burst's buffer is freed by the eighth small record in a row after it, not by the end of a large message") {
    conversation talk = established(TLS1_3_VERSION);
    const std::string text = pattern(65'536);
    const std::size_t with_text = heap::live_bytes();
    talk.client().write(std::array{asio::const_buffer(text.data(), text.size())});
    talk.client().commit_output(talk.client().output().size());
    for (int i = 0; i != 8; ++i) {
        CHECK(heap::live_bytes() - with_text > 60'000);
        talk.client().write(std::array{asio::const_buffer(text.data(), 10)});
        talk.client().commit_output(talk.client().output().size());
    }
    CHECK(heap::live_bytes() < with_text + 4096);
}

TEST_CASE("without memory each function throws bad_alloc, or does without") {
    const tern::tls_context context(trusting_options());
    const std::string text = pattern(20'000);
    const std::string host = "broker-with-a-long-name.example";
    const identity own = issue(common().root, server_spec({host}));
    const auto keys = make_server_context({.own = &own, .version = TLS1_3_VERSION});
    std::size_t failures = 0;
    for (std::size_t n = 1;; ++n) {
        const heap::untested test;
        std::error_code error;
        const tls_machine::settings settings{context};
        tls_server peer(keys);
        bool is_done = false;
        std::optional<tls_machine> client;
        heap::fail(n, 1);
        try {
            const heap::tested machine_code;
            client.emplace(settings, tern::endpoint{.host = host, .port = 8883});
            std::array<char, 100> plain{};
            for (int i = 0; i != 5 && !error; ++i) {
                std::string raw;
                {
                    const heap::untested peer_code;
                    peer.receive(client->output());
                    if (i == 3) peer.send(text);
                    raw = peer.output();
                }
                client->commit_output(client->output().size());
                client->read(raw, client->is_ready() ? std::span<char>(plain) : std::span<char>(), error);
                if (client->is_ready()) client->write(std::array{asio::const_buffer(text.data(), text.size())});
            }
            is_done = true;
        } catch (const std::bad_alloc&) {
            ++failures;
        }
        const bool has_failed = heap::failures() != 0;
        heap::stop_failing();
        if (!is_done && client) { // what is unknown must not be used
            std::array<char, 100> plain{};
            CHECK(client->read({}, plain, error) == 0);
            CHECK(error == std::errc::not_enough_memory);
            CHECK(client->write(std::array{asio::const_buffer(text.data(), text.size())}) == 0);
            CHECK(client->commit_output(client->output().size()) == 0);
        }
        if (!has_failed) {
            CHECK(is_done);
            break;
        }
    }
    CHECK(failures > 3);
}

} // namespace tls_machine_tests
