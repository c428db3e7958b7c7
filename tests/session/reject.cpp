// Received messages that the application refuses.
#include "dialog.hpp"

#include <algorithm>
#include <array>
#include <string>

using tern::errc;
using tern::puback;
using tern::pubcomp;
using tern::pubrec;
using tern::pubrel;
using tern::reason_code;
using tern::user_property;

namespace {

namespace reject_test {

constexpr std::array user_said{user_property{"k", "v"}};
constexpr std::array codes{reason_code::unspecified_error, reason_code::implementation_specific_error,
                           reason_code::not_authorized,    reason_code::topic_name_invalid,
                           reason_code::quota_exceeded,    reason_code::payload_format_invalid};

errc reject(dialog& d, std::size_t index, reason_code code = reason_code::quota_exceeded,
            const tern::ack_properties& said = {}) {
    d.events_so_far(); // what the broker has sent is delivered
    REQUIRE(index < d.tokens.size());
    const errc error = d.session.reject(d.tokens[index], code, said);
    d.events_so_far();
    return error;
}

} // namespace reject_test

using reject_test::reject;

} // namespace

DIALOG("a refused message is answered by PUBACK or PUBREC with the reason "
       "[v5:MQTT-3.4.2-1, v5:MQTT-3.5.2-1, v5:MQTT-4.3.2-4, v5:MQTT-4.3.3-8]") {
    if (!d.v5()) return;
    d.open();
    const tern::ack_properties why{.reason_string = "full", .user_properties = reject_test::user_said};
    tern::packet_id id = 1;
    std::size_t index = 0;
    for (const reason_code code : reject_test::codes) {
        d.broker(publish_of("a", 1, id));
        CHECK(reject(d, index++, code, why) == errc::none);
        d.sends(puback{id, code, why});
        d.broker(publish_of("b", 2, id));
        CHECK(reject(d, index++, code) == errc::none);
        d.sends(pubrec{id, code});
        ++id;
    }
    d.stays();
}

DIALOG("refusals are sent in the order of arrival, like other acknowledgements [v5:MQTT-4.6.0-2, v5:MQTT-4.6.0-3]") {
    if (!d.v5()) return;
    // All orders in which the application answers five messages, of which it refuses the second, fourth and fifth.
    std::array<std::size_t, 5> order{0, 1, 2, 3, 4};
    d.open();
    d.broker(publish_of("1", 1, 1), publish_of("2", 2, 2), publish_of("3", 2, 3), publish_of("4", 1, 4),
             publish_of("5", 2, 5));
    d.events_so_far();
    do {
        dialog one(d);
        for (const std::size_t index : order) {
            if (index == 0 || index == 2)
                one.release(index);
            else
                CHECK(reject(one, index) == errc::none);
        }
        one.sends(puback{1}, pubrec{2, reason_code::quota_exceeded}, pubrec{3}, puback{4, reason_code::quota_exceeded},
                  pubrec{5, reason_code::quota_exceeded});
        one.stays();
    } while (std::next_permutation(order.begin(), order.end()));
}

DIALOG("a refused QoS 2 message ends its exchange: its identifier stands for a new message [v5:MQTT-4.3.3-9]") {
    if (!d.v5()) return;
    d.open();
    d.broker(publish_of("a", 2, 1));
    CHECK(reject(d, 0) == errc::none);
    d.sends(pubrec{1, reason_code::quota_exceeded});
    d.broker(publish_of("b", 2, 1));
    d.events({got(message("b", "x", 2))});
    d.release(1);
    d.sends(pubrec{1});
    d.broker(pubrel{1});
    d.sends(pubcomp{1});
    dialog unknown_id(d); // a PUBREL that the broker should not send
    unknown_id.broker(publish_of("c", 2, 2));
    CHECK(reject(unknown_id, 2) == errc::none);
    unknown_id.sends(pubrec{2, reason_code::quota_exceeded});
    unknown_id.broker(pubrel{2});
    unknown_id.sends(pubcomp{2, reason_code::packet_identifier_not_found});
}

DIALOG("properties that would exceed the broker's Maximum Packet Size are left out of a refusal "
       "[v5:MQTT-3.4.2-2, v5:MQTT-3.4.2-3, v5:MQTT-3.5.2-2, v5:MQTT-3.5.2-3]") {
    if (!d.v5()) return;
    const tern::ack_properties all{.reason_string = "full", .user_properties = reject_test::user_said};
    const tern::ack_properties reason{.reason_string = "full"};
    const auto size_with = [](const tern::ack_properties& p) {
        return *tern::encoded_size(puback{1, reason_code::quota_exceeded, p}, tern::protocol_version::v5);
    };
    for (std::uint32_t limit = 5; limit != size_with(all) + 2; ++limit) {
        INFO("limit " << limit);
        const tern::ack_properties& fits = limit >= size_with(all)      ? all
                                           : limit >= size_with(reason) ? reason
                                                                        : tern::ack_properties{};
        dialog one(d);
        one.open(tern::connack{.properties = {.maximum_packet_size = limit}});
        one.broker(publish_of("a", 1, 1), publish_of("b", 2, 2));
        CHECK(reject(one, 0, reason_code::quota_exceeded, all) == errc::none);
        CHECK(reject(one, 1, reason_code::quota_exceeded, all) == errc::none);
        one.sends(puback{1, reason_code::quota_exceeded, fits}, pubrec{2, reason_code::quota_exceeded, fits});
        one.stays();
    }
}

DIALOG("a refusal with another code, of QoS 0 or in 3.1.1 is an error, and changes nothing [v5:MQTT-3.4.2-1]") {
    d.open();
    d.broker(publish_of("a", 0, 0), publish_of("b", 1, 1));
    if (!d.v5()) {
        CHECK(reject(d, 1) == errc::requires_v5);
    } else {
        CHECK(reject(d, 0) == errc::no_acknowledgement);
        for (unsigned value = 0; value != 256; ++value) {
            const auto code = static_cast<reason_code>(value);
            const bool allowed =
                std::find(reject_test::codes.begin(), reject_test::codes.end(), code) != reject_test::codes.end();
            if (!allowed) CHECK(reject(d, 1, code) == errc::invalid_reason_code);
        }
        CHECK(reject(d, 1, reason_code::quota_exceeded, {.reason_string = "\xff"}) == errc::malformed_utf8);
        const std::string long_text(65'536, 'x');
        CHECK(reject(d, 1, reason_code::quota_exceeded, {.reason_string = long_text}) == errc::string_too_long);
    }
    d.sends();
    d.release(1);
    d.sends(puback{1});
}

DIALOG("a message is acknowledged or refused once, the first call counts") {
    if (!d.v5()) return;
    d.open();
    d.broker(publish_of("a", 1, 1), publish_of("b", 1, 2), publish_of("c", 2, 3), publish_of("d", 1, 4));
    CHECK(reject(d, 1) == errc::none);
    CHECK(reject(d, 1, reason_code::not_authorized) == errc::already_acknowledged);
    d.release(1);
    d.release(2);
    CHECK(reject(d, 2) == errc::already_acknowledged);
    d.sends(); // the first message holds them up
    d.release(0);
    d.sends(puback{1}, puback{2, reason_code::quota_exceeded}, pubrec{3});
    CHECK(reject(d, 0) == errc::already_acknowledged);
    CHECK(reject(d, 1) == errc::already_acknowledged);
    CHECK(reject(d, 2) == errc::already_acknowledged);
    d.release(3);
    d.sends(puback{4});
}

DIALOG("a refused message whose refusal was not sent comes again [v5:MQTT-4.4.0-1, v5:MQTT-4.3.3-9]") {
    if (!d.v5()) return;
    d.resumable();
    d.open();
    d.broker(publish_of("a", 1, 1), publish_of("b", 1, 2), publish_of("c", 2, 3));
    CHECK(reject(d, 1) == errc::none);
    CHECK(reject(d, 2) == errc::none);
    d.sends();
    d.lost();
    d.events_so_far();
    d.reopen();
    d.broker(publish_of("a", 1, 1, true), publish_of("b", 1, 2, true), publish_of("c", 2, 3, true));
    d.events({got(message("a", "x", 1), true), got(message("b", "x", 1), true), got(message("c", "x", 2), true)});
    d.release(3);
    CHECK(reject(d, 4) == errc::none);
    CHECK(reject(d, 5) == errc::none);
    d.sends(puback{1}, puback{2, reason_code::quota_exceeded}, pubrec{3, reason_code::quota_exceeded});
}

DIALOG("a message of an earlier connection can be refused [v5:MQTT-4.3.3-9, v5:MQTT-4.3.3-10]") {
    if (!d.v5()) return;
    d.resumable();
    d.open();
    d.broker(publish_of("a", 1, 1), publish_of("b", 2, 2), publish_of("c", 2, 3), publish_of("d", 2, 4));
    d.lost();
    CHECK(reject(d, 1) == errc::none); // between two connections
    d.events_so_far();
    d.reopen();
    CHECK(reject(d, 0) == errc::none); // QoS 1: nothing to do, it comes again
    CHECK(reject(d, 2) == errc::none); // before it comes again
    d.broker(publish_of("b", 2, 2, true), publish_of("c", 2, 3, true), publish_of("d", 2, 4, true));
    d.events({got(message("b", "x", 2), true), got(message("c", "x", 2), true)});
    CHECK(reject(d, 3) == errc::none); // after it has come again
    d.release(3);                      // too late
    d.sends();
    d.release(4);
    CHECK(reject(d, 5) == errc::none);
    d.sends(pubrec{2}, pubrec{3, reason_code::quota_exceeded}, pubrec{4, reason_code::quota_exceeded});
    d.broker(publish_of("e", 2, 4));
    d.events({got(message("e", "x", 2))});
}

DIALOG("refusing makes room in the window of the client [v5:MQTT-3.3.4-9]") {
    if (!d.v5()) return;
    d.options.properties.receive_maximum = 2;
    d.open();
    for (tern::packet_id id = 1; id != 21; id += 2) {
        d.broker(publish_of("a", 1, id), publish_of("b", 2, static_cast<tern::packet_id>(id + 1)));
        CHECK(reject(d, id) == errc::none);
        CHECK(reject(d, id - 1U) == errc::none);
        d.sends(puback{id, reason_code::quota_exceeded},
                pubrec{static_cast<tern::packet_id>(id + 1), reason_code::quota_exceeded});
    }
    d.stays();
}
