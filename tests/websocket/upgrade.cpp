// The opening handshake (RFC 6455 §4).
#include "websocket_test.hpp"

#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace upgrade_test {

using namespace websocket_test;
using tern::endpoint;
using tern::http_header;

std::string request_for(const endpoint& where) {
    return client(settings_with({}), where).request();
}

std::string with_headers(const std::vector<http_header>& headers) {
    return client(settings_with({.headers = headers})).request();
}

// The error with which a connection is refused before anything is sent.
std::error_code refusal_of(const endpoint& where, const std::vector<http_header>& headers = {}) {
    try {
        client(settings_with({.headers = headers}), where);
        return {};
    } catch (const std::system_error& e) {
        return e.code();
    }
}

std::error_code refusal_of_headers(const std::vector<http_header>& headers) {
    return refusal_of(usual, headers);
}

TEST_CASE("the request is that of the standard, with the subprotocol mqtt [RFC 6455 §4.1] [v311:MQTT-6.0.0-3, "
          "v5:MQTT-6.0.0-3]") {
    const std::string request = request_for(usual);
    const std::string key = header_of(request, "Sec-WebSocket-Key");
    CHECK(key.size() == 24);
    CHECK(request == "GET /mqtt HTTP/1.1\r\n"
                     "Host: broker.example:8080\r\n"
                     "Upgrade: websocket\r\n"
                     "Connection: Upgrade\r\n"
                     "Sec-WebSocket-Key: " +
                         key +
                         "\r\n"
                         "Sec-WebSocket-Version: 13\r\n"
                         "Sec-WebSocket-Protocol: mqtt\r\n"
                         "\r\n");
}

TEST_CASE("the key is random [RFC 6455 §4.1]") {
    const client seeded, other({.seed = {{1}}}, usual), first(tern::detail::websocket_settings{}),
        second(tern::detail::websocket_settings{});
    std::set<std::string> keys;
    for (const client* const c : {&seeded, &other, &first, &second})
        keys.insert(header_of(c->request(), "Sec-WebSocket-Key"));
    CHECK(keys.size() == 4);
}

TEST_CASE("the accept value of the standard's example belongs to its key [RFC 6455 §1.3]") {
    CHECK(accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST_CASE("Host contains the port unless it is the default one [RFC 6455 §4.1]") {
    auto host = [](std::string_view name, std::uint16_t port, std::uint16_t default_port) {
        const client c({.default_port = default_port, .seed = seed}, {.host = name, .port = port});
        return header_of(c.request(), "Host");
    };
    CHECK(host("example.com", 80, 80) == "example.com");
    CHECK(host("example.com", 443, 443) == "example.com");
    CHECK(host("example.com", 443, 80) == "example.com:443");
    CHECK(host("example.com", 80, 443) == "example.com:80");
    CHECK(host("192.0.2.1", 1, 80) == "192.0.2.1:1");
    CHECK(host("::1", 80, 80) == "[::1]");
    CHECK(host("2001:db8::1", 8080, 80) == "[2001:db8::1]:8080");
    CHECK(host("fe80::1%eth0", 8080, 80) == "[fe80::1]:8080");
    CHECK(host("/run/broker.sock", 0, 80) == "localhost");
    CHECK(host("@broker", 0, 80) == "localhost");
}

TEST_CASE("the path and the query are those of the endpoint") {
    auto target = [](std::string_view path) {
        const std::string request = request_for({.host = "h", .port = 80, .path = path});
        return request.substr(0, request.find("\r\n"));
    };
    CHECK(target("") == "GET /mqtt HTTP/1.1");
    CHECK(target("/") == "GET / HTTP/1.1");
    CHECK(target("/a/b%20c?token=x&y=z") == "GET /a/b%20c?token=x&y=z HTTP/1.1");
    CHECK(target("?token=x") == "GET /mqtt?token=x HTTP/1.1");
    CHECK(target("ws") == "GET /ws HTTP/1.1");
}

TEST_CASE("extra headers are added, and may replace Host") {
    const std::string request =
        with_headers({{"Authorization", "Bearer abc=="}, {"X-Empty", ""}, {"host", "other.example"}});
    CHECK(header_of(request, "Authorization") == "Bearer abc==");
    CHECK(header_of(request, "X-Empty").empty());
    CHECK(header_of(request, "host") == "other.example");
    CHECK(header_of(request, "Host") == "(absent)");
    CHECK(request.substr(request.size() - 4) == "\r\n\r\n");
}

TEST_CASE("no text of the application becomes another header or request") {
    for (const char c : "\r\n\0\t \x7F\x80#<>"s) {
        const std::string text = "a"s + c + "b";
        const bool is_separator = c == '<' || c == '>'; // servers accept them in a path
        INFO(static_cast<int>(c));
        CHECK(refusal_of(endpoint{.host = text, .port = 80}) == websocket_errc::invalid_host);
        CHECK((refusal_of(endpoint{.host = "h", .port = 80, .path = text}) == websocket_errc::invalid_path) !=
              is_separator);
        CHECK(refusal_of_headers({{text, "x"}}) == (c == '#' ? std::error_code() : websocket_errc::invalid_header));
    }
    for (const char c : "\r\n\0\x1B\x7F"s)
        CHECK(refusal_of_headers({{"A", "a"s + c + "b"}}) == websocket_errc::invalid_header);
    CHECK_FALSE(refusal_of_headers({{"A", "a\tb \x80"}}));
    CHECK(refusal_of_headers({{"", "a"}}) == websocket_errc::invalid_header);
    CHECK(refusal_of_headers({{"A:", "a"}}) == websocket_errc::invalid_header);
    CHECK(refusal_of(endpoint{.host = "user@host", .port = 80}) == websocket_errc::invalid_host);
    CHECK(refusal_of(endpoint{.host = "host/path", .port = 80}) == websocket_errc::invalid_host);
    CHECK(refusal_of(endpoint{.host = "[::1]", .port = 80}) == websocket_errc::invalid_host);
}

TEST_CASE("extra headers do not contradict the upgrade") {
    for (const char* const name : {"Upgrade", "connection", "Sec-WebSocket-Key", "sec-websocket-protocol",
                                   "Sec-WebSocket-Extensions", "Content-Length", "Transfer-Encoding"})
        CHECK(refusal_of_headers({{name, "x"}}) == websocket_errc::reserved_header);
    CHECK(refusal_of_headers({{"Host", "a"}, {"Host", "b"}}) == websocket_errc::reserved_header);
    CHECK_FALSE(refusal_of_headers({{"Origin", "https://example.com"}, {"Cookie", "a=b"}}));
}

TEST_CASE("a request that cannot be sent is a permanent failure, a refused upgrade a lasting one") {
    using tern::failure_class;
    auto error = [](websocket_errc e) { return make_error_code(e); };
    CHECK(error(websocket_errc::invalid_host) == failure_class::permanent);
    CHECK(error(websocket_errc::reserved_header) == failure_class::permanent);
    CHECK(error(websocket_errc::not_upgraded) == failure_class::lasting);
    CHECK(error(websocket_errc::unrequested_extension) == failure_class::lasting);
    CHECK(error(websocket_errc::reserved_bits) != failure_class::lasting);
    for (const int code : {302, 400, 401, 403, 404, 426})
        CHECK(tern::http_status_error(code) == failure_class::lasting);
    for (const int code : {408, 429, 500, 502, 503}) {
        CHECK(tern::http_status_error(code) != failure_class::lasting);
        CHECK(tern::http_status_error(code) != failure_class::permanent);
    }
    CHECK(make_error_code(tern::http_errc::malformed_response) == failure_class::lasting);
}

TEST_CASE("each error has a message of its own") {
    std::set<std::string> messages;
    for (int e = 0; e <= static_cast<int>(websocket_errc::invalid_close_reason); ++e)
        messages.insert(make_error_code(static_cast<websocket_errc>(e)).message());
    CHECK(messages.size() == static_cast<std::size_t>(websocket_errc::invalid_close_reason) + 1);
    CHECK(messages.count("unknown error") == 0);
}

// ----- answers -----

// An answer to a request: {key} stands for the accept value.
std::string answer_to(const std::string& request, std::string answer) {
    const std::size_t at = answer.find("{key}");
    if (at != std::string::npos) answer.replace(at, 5, accept_of(header_of(request, "Sec-WebSocket-Key")));
    return answer;
}

struct outcome {
    bool is_ready = false;
    std::error_code error;
    std::string plain;
    std::string location;

    friend bool operator==(const outcome&, const outcome&) = default;
};

outcome upgrade_in(const std::vector<std::size_t>& cuts, const std::string& answer) {
    client c;
    c.sent();
    const std::string bytes = answer_to(c.request(), answer);
    outcome result;
    std::size_t begin = 0;
    for (std::size_t i = 0; i <= cuts.size() && !c.error; ++i) {
        const std::size_t end = i < cuts.size() ? cuts[i] : bytes.size();
        result.plain += c.receive(std::string_view(bytes).substr(begin, end - begin));
        begin = end;
    }
    if (!c.machine.is_ready()) CHECK(c.sent().empty()); // nothing follows a failed handshake
    result.is_ready = c.machine.is_ready();
    result.error = c.error;
    result.location = c.machine.refusal().location;
    CHECK(c.machine.refusal().status == tern::http_status(c.error));
    return result;
}

// In one piece, byte by byte, and cut at each byte.
outcome upgrade_all_ways(const std::string& answer) {
    const outcome whole = upgrade_in({}, answer);
    const std::size_t size = answer_to("\r\nSec-WebSocket-Key: \r\n", answer).size();
    std::vector<std::size_t> every;
    for (std::size_t cut = 1; cut < size; ++cut) {
        every.push_back(cut);
        if (!(upgrade_in({cut}, answer) == whole)) FAIL_CHECK("cut at " << cut);
    }
    CHECK(upgrade_in(every, answer) == whole);
    return whole;
}

const std::string status = "HTTP/1.1 101 Switching Protocols\r\n";
const std::string upgrade = "Upgrade: websocket\r\n";
const std::string connection = "Connection: Upgrade\r\n";
const std::string accept = "Sec-WebSocket-Accept: {key}\r\n";
const std::string protocol = "Sec-WebSocket-Protocol: mqtt\r\n";

void accepts(const std::string& answer) {
    INFO(answer);
    const outcome o = upgrade_all_ways(answer);
    CHECK(o.is_ready);
    CHECK_FALSE(o.error);
}

void refuses(const std::string& answer, std::error_code error) {
    INFO(answer);
    const outcome o = upgrade_all_ways(answer + data("plain"));
    CHECK_FALSE(o.is_ready);
    CHECK(o.error == error);
    CHECK(o.plain.empty());
}

TEST_CASE("an answer that accepts the upgrade is recognised in every form [RFC 6455 §4.1]") {
    accepts(status + upgrade + connection + accept + protocol + "\r\n");
    accepts(status + protocol + accept + connection + upgrade + "\r\n");
    accepts(status + "upgrade:WebSocket\r\nCONNECTION:upgrade\r\nsec-websocket-accept:{key} \r\n" +
            "sec-webSocket-protocol: \tmqtt\t\r\n\r\n");
    accepts(status + upgrade + "Connection: keep-alive, Upgrade\r\n" + accept + protocol + "\r\n");
    accepts(status + upgrade + "Connection: keep-alive\r\nConnection: upgrade\r\n" + accept + protocol + "\r\n");
    accepts(status + upgrade + connection + accept + protocol + "Server: x\r\nDate: y\r\nSet-Cookie: z\r\n\r\n");
    accepts("HTTP/1.1 101\n" + upgrade + connection + accept + protocol + "Sec-WebSocket-Extensions:\r\n\r\n");
    accepts("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + status + upgrade + connection + accept + protocol + "\r\n");
}

TEST_CASE("an answer without the headers of an upgrade is refused [RFC 6455 §4.1]") {
    const std::error_code missing = websocket_errc::not_upgraded;
    refuses(status + connection + accept + protocol + "\r\n", missing);
    refuses(status + upgrade + accept + protocol + "\r\n", missing);
    refuses(status + "Upgrade: h2c\r\n" + connection + accept + protocol + "\r\n", missing);
    refuses(status + "Upgrade: websockets\r\n" + connection + accept + protocol + "\r\n", missing);
    refuses(status + upgrade + "Connection: close\r\n" + accept + protocol + "\r\n", missing);
}

TEST_CASE("a wrong Sec-WebSocket-Accept is refused [RFC 6455 §4.1]") {
    const std::error_code wrong = websocket_errc::wrong_accept;
    refuses(status + upgrade + connection + protocol + "\r\n", wrong);
    refuses(status + upgrade + connection + "Sec-WebSocket-Accept:\r\n" + protocol + "\r\n", wrong);
    refuses(status + upgrade + connection + "Sec-WebSocket-Accept: x{key}\r\n" + protocol + "\r\n", wrong);
    refuses(status + upgrade + connection + "Sec-WebSocket-Accept: {key}x\r\n" + protocol + "\r\n", wrong);
    refuses(status + upgrade + connection + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" + protocol +
                "\r\n",
            wrong);
    refuses(status + upgrade + connection + accept + "Sec-WebSocket-Accept: x\r\n" + protocol + "\r\n", wrong);
}

TEST_CASE("a server that does not select exactly mqtt is refused [v311:MQTT-6.0.0-4, v5:MQTT-6.0.0-4]") {
    const std::error_code refused = websocket_errc::subprotocol_refused;
    const std::string rest = status + upgrade + connection + accept;
    refuses(rest + "\r\n", refused);
    for (const char* const other : {"", "mqttv3.1", "MQTT", "mqtt, mqttv3.1", "mqtt5", "chat"})
        refuses(rest + "Sec-WebSocket-Protocol: " + other + "\r\n\r\n", refused);
    refuses(rest + protocol + protocol + "\r\n", refused);
}

TEST_CASE("an extension that was not requested is refused [RFC 6455 §4.1, §9.1]") {
    refuses(status + upgrade + connection + accept + protocol + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            websocket_errc::unrequested_extension);
}

TEST_CASE("a refusal is reported with its status, a redirect with its location [RFC 6455 §4.1]") {
    for (const int code : {200, 204, 300, 400, 401, 403, 404, 407, 426, 429, 500, 503}) {
        refuses("HTTP/1.1 " + std::to_string(code) + " x\r\nContent-Length: 5\r\n\r\nHello",
                tern::http_status_error(code));
    }
    const std::string moved = "HTTP/1.1 302 Found\r\nLocation: wss://other.example/mqtt\r\n\r\n";
    CHECK(upgrade_all_ways(moved).error == tern::http_status_error(302));
    CHECK(upgrade_all_ways(moved).location == "wss://other.example/mqtt");
    CHECK(upgrade_all_ways("HTTP/1.1 401 x\r\n\r\n").location.empty());
}

TEST_CASE("a server of another protocol is refused at its first wrong byte") {
    for (const std::string& bytes : {"SSH-2.0-OpenSSH_9.2\r\n"s, "\x20\x02\x00\x00"s, "\x15\x03\x01\x00\x02\x02\x46"s})
        refuses(bytes, tern::http_errc::malformed_response);
    refuses("HTTP/1.1 101 x\r\nA: " + std::string(500, 'x') + "\r\nB C\r\n\r\n", tern::http_errc::malformed_response);
    client c;
    c.receive(status + std::string(20'000, 'x'));
    CHECK(c.error == tern::http_errc::response_too_large);
}

TEST_CASE("bytes after the answer are the first frames") {
    const std::string answer = status + upgrade + connection + accept + protocol + "\r\n";
    CHECK(upgrade_all_ways(answer + data("\x20\x02"s) + data(std::string("\0\0", 2))).plain == "\x20\x02\0\0"s);
    CHECK(upgrade_all_ways(answer + ping("p")).plain.empty());
    CHECK(upgrade_all_ways(answer + data("x") + frame{.opcode = 3}.bytes()).error == websocket_errc::reserved_opcode);
    CHECK(upgrade_all_ways(answer + data("x") + close_frame(1000)).error == asio::error::eof);
}

TEST_CASE("bytes after the answer wait for room") {
    client c;
    c.sent();
    const std::string bytes = acceptance(c.request()) + data("abc") + ping("p") + data("def");
    CHECK(c.read(bytes, 0).empty());
    CHECK(c.machine.is_ready());
    CHECK_FALSE(c.error);
    REQUIRE(c.machine.has_plain());
    CHECK(c.read({}, 2) == "ab");
    CHECK(c.read(data("ghi"), 2) == "cd"); // received bytes are kept in their order
    CHECK(c.receive({}) == "efghi");
    CHECK_FALSE(c.machine.has_plain());
    CHECK(client_frames(c.sent()).at(0).payload == "p");
}

TEST_CASE("nothing is sent before the answer, not even Close") {
    client c;
    c.sent();
    c.machine.shutdown();
    CHECK(c.machine.output().empty());
    CHECK_FALSE(c.machine.has_plain());
    CHECK_FALSE(c.machine.is_ready());
}

} // namespace upgrade_test
