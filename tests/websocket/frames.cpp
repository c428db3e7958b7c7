// Frames from the server (RFC 6455 §5, §7).
#include "websocket_test.hpp"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace frames_test {

using namespace websocket_test;

struct outcome {
    std::string plain;
    std::error_code error;
    std::vector<frame> closes; // without their masks

    friend bool operator==(const outcome&, const outcome&) = default;
};

// Receives the pieces between the cuts.
outcome receive_in(const std::vector<std::size_t>& cuts, const std::string& bytes, std::size_t room,
                   std::uint64_t max_message_bytes) {
    ready_client c(max_message_bytes);
    outcome result;
    std::string sent;
    std::size_t begin = 0;
    for (std::size_t i = 0; i <= cuts.size(); ++i) {
        const std::size_t end = i < cuts.size() ? cuts[i] : bytes.size();
        result.plain += c.receive(std::string_view(bytes).substr(begin, end - begin), room);
        sent += c.sent();
        begin = end;
    }
    result.error = c.error;
    for (frame& f : client_frames(sent)) {
        f.mask.clear();
        if (f.opcode == 8) result.closes.push_back(f);
        CHECK((f.opcode == 8 || f.opcode == 10)); // there is nothing else to answer
    }
    return result;
}

// In one piece, byte by byte, cut at each byte, and with little room.
outcome receive_all_ways(const std::string& bytes, std::uint64_t max_message_bytes = 0) {
    const outcome whole = receive_in({}, bytes, 4096, max_message_bytes);
    std::vector<std::size_t> every;
    for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
        every.push_back(cut);
        if (!(receive_in({cut}, bytes, 4096, max_message_bytes) == whole)) FAIL_CHECK("cut at " << cut);
    }
    CHECK(receive_in(every, bytes, 4096, max_message_bytes) == whole);
    CHECK(receive_in(every, bytes, 1, max_message_bytes) == whole);
    CHECK(receive_in({}, bytes, 1, max_message_bytes) == whole);
    CHECK(receive_in({}, bytes, 3, max_message_bytes) == whole);
    return whole;
}

void passes(const std::string& bytes, const std::string& plain) {
    const outcome o = receive_all_ways(bytes);
    CHECK(o.plain == plain);
    CHECK_FALSE(o.error);
    CHECK(o.closes.empty());
}

// The violation ends the connection with the code. Correct frames before it are received, and nothing after it.
void fails(const std::string& bytes, websocket_errc error, unsigned code, std::uint64_t max_message_bytes = 0) {
    const outcome o = receive_all_ways(data("before") + bytes + data("after"), max_message_bytes);
    CHECK(o.plain.substr(0, 6) == "before");
    CHECK(o.plain.find("after") == std::string::npos);
    CHECK(o.error == error);
    REQUIRE(o.closes.size() == 1);
    CHECK(o.closes[0].payload == close_payload(code));
}

TEST_CASE("binary messages are received with every form of length [RFC 6455 §5.2]") {
    passes(data(""), "");
    passes(data("x"), "x");
    for (const std::size_t size : {2U, 124U, 125U, 126U, 127U, 300U})
        passes(data(std::string(size, 'x')) + data("y"), std::string(size, 'x') + "y");
    for (const std::size_t size : {65'535U, 65'536U, 100'000U}) {
        const std::string bytes = data(std::string(size, 'x')) + data("y");
        for (const std::size_t cut : {1U, 2U, 3U, 4U, 9U, 10U, 11U, 50'000U})
            CHECK(receive_in({cut}, bytes, 4096, 0).plain == std::string(size, 'x') + "y");
    }
}

TEST_CASE("a message may be fragmented, with empty fragments [RFC 6455 §5.4]") {
    passes(first("a") + last("b"), "ab");
    passes(first("a") + more("b") + more("c") + last("d") + data("e"), "abcde");
    passes(first("") + more("") + last(""), "");
    passes(first("") + last("a") + first("b") + last(""), "ab");
    passes(first("abc"), "abc"); // the rest of the message need not exist yet
}

TEST_CASE("a message may contain part of a packet or several packets [v311:MQTT-6.0.0-2, v5:MQTT-6.0.0-2]") {
    const std::string packets = "\xD0\0\x40\2\0\1\x30\5\0\1tab"s; // PINGRESP, PUBACK, PUBLISH
    passes(data(packets), packets);
    for (std::size_t cut = 0; cut <= packets.size(); ++cut) {
        const std::string head = packets.substr(0, cut), tail = packets.substr(cut);
        CHECK(receive_in({}, data(head) + data(tail), 4096, 0).plain == packets);
        CHECK(receive_in({}, first(head) + last(tail), 4096, 0).plain == packets);
    }
    std::string bytes;
    for (const char c : packets)
        bytes += data({c});
    passes(bytes, packets);
}

TEST_CASE("control frames may be between the fragments of a message [RFC 6455 §5.4]") {
    passes(first("a") + ping("1") + more("b") + pong("2") + ping("") + last("c"), "abc");
    const outcome o = receive_all_ways(first("a") + close_frame(1000) + last("b"));
    CHECK(o.plain == "a");
    CHECK(o.error == asio::error::eof);
}

TEST_CASE("a text frame is refused with 1003 [v311:MQTT-6.0.0-1, v5:MQTT-6.0.0-1]") {
    fails(frame{.opcode = 1, .payload = "text"}.bytes(), websocket_errc::text_frame, 1003);
    fails(frame{.opcode = 1, .payload = "text", .flags = 0}.bytes(), websocket_errc::text_frame, 1003);
    fails(frame{.opcode = 1}.bytes(), websocket_errc::text_frame, 1003);
}

TEST_CASE("a masked frame from the server is refused [RFC 6455 §5.1]") {
    fails(frame{.payload = "x", .mask = "abcd"}.bytes(), websocket_errc::masked_frame, 1002);
    fails(frame{.opcode = 9, .mask = "\0\0\0\0"s}.bytes(), websocket_errc::masked_frame, 1002);
    fails(frame{.opcode = 8, .mask = "abcd"}.bytes(), websocket_errc::masked_frame, 1002);
}

TEST_CASE("reserved bits are refused [RFC 6455 §5.2]") {
    for (const unsigned bits : {0x40U, 0x20U, 0x10U, 0x70U})
        for (const unsigned opcode : {2U, 8U, 9U, 10U})
            fails(frame{.opcode = opcode, .flags = 0x80U | bits}.bytes(), websocket_errc::reserved_bits, 1002);
    fails(first("a") + frame{.opcode = 0, .flags = 0xC0U}.bytes(), websocket_errc::reserved_bits, 1002);
}

TEST_CASE("reserved opcodes are refused [RFC 6455 §5.2]") {
    for (const unsigned opcode : {3U, 4U, 5U, 6U, 7U, 11U, 12U, 13U, 14U, 15U})
        fails(frame{.opcode = opcode}.bytes(), websocket_errc::reserved_opcode, 1002);
}

TEST_CASE("a fragmented control frame is refused [RFC 6455 §5.5]") {
    for (const unsigned opcode : {8U, 9U, 10U})
        fails(frame{.opcode = opcode, .flags = 0}.bytes(), websocket_errc::fragmented_control_frame, 1002);
}

TEST_CASE("a control frame has at most 125 bytes [RFC 6455 §5.5]") {
    passes(ping(std::string(125, 'x')) + pong(std::string(125, 'y')), "");
    for (const unsigned opcode : {8U, 9U, 10U}) {
        fails(frame{.opcode = opcode, .payload = std::string(126, 'x')}.bytes(), websocket_errc::control_frame_too_long,
              1002);
        fails(frame{.opcode = opcode, .length = 1ULL << 62U}.bytes(), websocket_errc::control_frame_too_long, 1002);
        fails(frame{.opcode = opcode, .payload = "x", .length_bytes = 2}.bytes(),
              websocket_errc::control_frame_too_long, 1002);
    }
}

TEST_CASE("a length has the least number of bytes [RFC 6455 §5.2]") {
    for (const std::uint64_t length : {0U, 1U, 125U})
        fails(frame{.length_bytes = 2, .length = length}.bytes(), websocket_errc::length_not_minimal, 1002);
    for (const std::uint64_t length : {0U, 125U, 126U, 65'535U})
        fails(frame{.length_bytes = 8, .length = length}.bytes(), websocket_errc::length_not_minimal, 1002);
}

TEST_CASE("a length of 2^63 or more is refused [RFC 6455 §5.2]") {
    for (const std::uint64_t length : {1ULL << 63U, ~0ULL})
        fails(frame{.length_bytes = 8, .length = length}.bytes(), websocket_errc::length_out_of_range, 1002);
}

TEST_CASE("a frame of any lesser length is passed on while it arrives") {
    passes(frame{.payload = "abc", .length = (1ULL << 63U) - 1}.bytes(), "abc");
}

TEST_CASE("a continuation without a message is refused [RFC 6455 §5.4]") {
    fails(last("x"), websocket_errc::unexpected_continuation, 1002);
    fails(more("x"), websocket_errc::unexpected_continuation, 1002);
    fails(first("a") + last("b") + last("c"), websocket_errc::unexpected_continuation, 1002);
}

TEST_CASE("a message does not begin within another [RFC 6455 §5.4]") {
    fails(first("a") + data("b"), websocket_errc::unfinished_message, 1002);
    fails(first("a") + more("b") + first("c"), websocket_errc::unfinished_message, 1002);
}

TEST_CASE("a message above the limit is refused with 1009 before its payload [RFC 6455 §7.4.1]") {
    CHECK(receive_all_ways(data("before") + data(std::string(10, 'x')), 10).plain == "before" + std::string(10, 'x'));
    CHECK(receive_all_ways(data("before") + first("12345") + more("678") + last("90") + data("x"), 10).error ==
          std::error_code());
    const auto too_large = websocket_errc::message_too_large;
    fails(frame{.length = 11}.bytes(), too_large, 1009, 10);
    fails(frame{.length = (1ULL << 63U) - 1}.bytes(), too_large, 1009, 10);
    fails(first("12345") + frame{.opcode = 0, .length = 6}.bytes(), too_large, 1009, 10);
    fails(first("12345") + more("6789") + frame{.opcode = 0, .length = (1ULL << 63U) - 1}.bytes(), too_large, 1009, 10);
}

TEST_CASE("Close is answered with its code, and ends the stream [RFC 6455 §5.5.1]") {
    for (const std::string& payload :
         {""s, close_payload(1000), close_payload(1001, "going away"), close_payload(1008, "\xC3\xA4 \xF0\x9F\x98\x80"),
          close_payload(4999), close_payload(1011, std::string(123, 'x')), close_payload(1000, "\0"s)}) {
        const outcome o = receive_all_ways(data("a") + close_frame(payload) + data("b") + frame{.opcode = 3}.bytes());
        CHECK(o.plain == "a");
        CHECK(o.error == asio::error::eof);
        REQUIRE(o.closes.size() == 1);
        CHECK(o.closes[0].payload == payload.substr(0, 2));
    }
}

TEST_CASE("only codes that may be sent are valid in Close [RFC 6455 §7.4]") {
    for (unsigned code = 0; code != 65'536; ++code) {
        const bool is_valid = (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
                              (code >= 3000 && code <= 4999);
        if (tern::detail::is_valid_close_code(code) != is_valid) FAIL(code);
    }
    for (const unsigned code : {0U, 999U, 1004U, 1005U, 1006U, 1015U, 1016U, 2999U, 5000U, 65'535U})
        fails(close_frame(code), websocket_errc::invalid_close_frame, 1002);
    fails(close_frame("x"s), websocket_errc::invalid_close_frame, 1002);
    fails(ping(close_payload(1000)) + close_frame("\x03"s), websocket_errc::invalid_close_frame, 1002);
}

TEST_CASE("the reason of Close is UTF-8 [RFC 6455 §5.5.1, §8.1]") {
    for (const char* const reason : {"\x80", "\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "ok\xFF"})
        fails(close_frame(1000, reason), websocket_errc::invalid_close_reason, 1007);
}

TEST_CASE("a ping is answered with its payload [RFC 6455 §5.5.2]") {
    for (const std::size_t size : {0U, 1U, 124U, 125U}) {
        ready_client c;
        CHECK(c.receive(ping(std::string(size, 'p'))).empty());
        const std::vector<frame> sent = client_frames(c.sent());
        REQUIRE(sent.size() == 1);
        CHECK(sent[0].opcode == 10);
        CHECK(sent[0].payload == std::string(size, 'p'));
    }
}

TEST_CASE("each ping is answered while output is written in time") {
    ready_client c;
    for (const char* const payload : {"1", "2", "3"}) {
        c.receive(ping(payload));
        CHECK(client_frames(c.sent()).at(0).payload == payload);
    }
}

TEST_CASE("a pong is ignored [RFC 6455 §5.5.3]") {
    ready_client c;
    CHECK(c.receive(pong("x") + pong("")).empty());
    CHECK_FALSE(c.error);
    CHECK(c.machine.output().empty());
    CHECK_FALSE(c.machine.has_plain());
}

TEST_CASE("the error stays, and all later bytes are ignored") {
    ready_client c;
    c.receive(frame{.opcode = 3}.bytes());
    CHECK(client_frames(c.sent()).size() == 1);
    for (int i = 0; i != 3; ++i) {
        CHECK(c.machine.has_plain());
        CHECK(c.receive(data("x") + ping("y") + close_frame(1000)).empty());
        CHECK(c.error == websocket_errc::reserved_opcode);
        CHECK(c.machine.output().empty());
    }
}

TEST_CASE("bytes before an error are returned first, also without room for all of them") {
    ready_client c;
    CHECK(c.read(data("abcd") + frame{.opcode = 3}.bytes(), 2) == "ab");
    CHECK_FALSE(c.error);
    CHECK(c.machine.has_plain());
    CHECK(c.read({}, 2) == "cd");
    CHECK_FALSE(c.error);
    CHECK(c.machine.has_plain());
    CHECK(c.read({}, 2).empty());
    CHECK(c.error == websocket_errc::reserved_opcode);
}

TEST_CASE("a ping behind kept bytes waits for them, one before them is answered at once") {
    ready_client c;
    CHECK(c.read(ping("1") + data("abcd") + ping("2") + data("e"), 1) == "a");
    CHECK(client_frames(c.sent()).at(0).payload == "1");
    CHECK(c.read({}, 3) == "bcd");
    CHECK(client_frames(c.sent()).at(0).payload == "2");
    CHECK(c.receive({}) == "e");
}

// Frames of a correct server, and the payload of its data frames.
struct conversation {
    std::string bytes;
    std::string plain;
};

conversation random_conversation(std::mt19937& random) {
    conversation result;
    bool is_open = false;
    for (auto frames = random() % 8; frames-- != 0;) {
        if (random() % 4 == 0) {
            result.bytes += random() % 2 == 0 ? ping(std::string(random() % 126, 'p')) : pong("x");
            continue;
        }
        const std::size_t sizes[] = {0, 1, random() % 126, 125, 126, 127, random() % 1'000, 65'535, 65'536, 70'000};
        std::string payload(sizes[random() % 10], '\0');
        for (char& c : payload)
            c = static_cast<char>(random());
        const bool is_final = random() % 2 == 0;
        result.bytes += frame{.opcode = is_open ? 0U : 2U, .payload = payload, .flags = is_final ? 0x80U : 0U}.bytes();
        result.plain += payload;
        is_open = !is_final;
    }
    return result;
}

TEST_CASE("random conversations give their payload for every split and room") {
    std::mt19937 random(1);
    for (int round = 0; round != 150; ++round) {
        const conversation expected = random_conversation(random);
        ready_client c;
        std::string plain;
        for (std::size_t at = 0; at != expected.bytes.size();) {
            const std::size_t piece = 1 + random() % (random() % 2 == 0 ? 10 : 50'000);
            const std::size_t count = std::min(piece, expected.bytes.size() - at);
            plain += c.receive(std::string_view(expected.bytes).substr(at, count),
                               1 + random() % (count < 20 ? 10 : 100'000));
            at += count;
            if (random() % 2 == 0) client_frames(c.sent());
        }
        CHECK_FALSE(c.error);
        CHECK(plain == expected.plain);
    }
}

TEST_CASE("received bytes may lie in the room for decoded ones") {
    std::mt19937 random(4);
    std::vector<char> room(100'000);
    for (int round = 0; round != 100; ++round) {
        const conversation expected = random_conversation(random);
        ready_client c;
        std::string plain;
        for (std::size_t at = 0; at != expected.bytes.size();) {
            const std::size_t count =
                std::min<std::size_t>(1 + random() % (random() % 2 == 0 ? 300 : 100'000), expected.bytes.size() - at);
            std::copy_n(expected.bytes.data() + at, count, room.data());
            plain.append(room.data(), c.machine.read({room.data(), count}, room, c.error));
            CHECK_FALSE(c.machine.has_plain());
            at += count;
        }
        CHECK_FALSE(c.error);
        CHECK(plain == expected.plain);
    }
}

TEST_CASE("random bytes end the connection or are frames, for every split alike") {
    std::mt19937 random(2);
    for (int round = 0; round != 2'000; ++round) {
        std::string bytes;
        while (bytes.size() < 40) {
            const auto kind = random() % 8;
            if (kind < 3)
                bytes += frame{.opcode = static_cast<unsigned>(random() % 3) * 2 % 5,
                               .payload = std::string(random() % 5, 'x'),
                               .flags = random() % 2 == 0 ? 0U : 0x80U}
                             .bytes();
            else if (kind < 6)
                bytes += frame{.opcode = 8 + static_cast<unsigned>(random() % 3), .payload = "x"}.bytes();
            else
                bytes += static_cast<char>(random());
        }
        const outcome whole = receive_in({}, bytes, 4096, 20);
        const std::size_t a = random() % bytes.size(), b = a + random() % (bytes.size() - a);
        CHECK(receive_in({a, b}, bytes, 1 + random() % 10, 20) == whole);
    }
}

} // namespace frames_test
