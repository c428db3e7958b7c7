// SUBSCRIBE and UNSUBSCRIBE, from the request to SUBACK and UNSUBACK, and the renewal of subscriptions.
//
// A request that is made while there is no connection, or that is unanswered when it is lost, is sent on the next one.
// The renewal sends one SUBSCRIBE at a time: the next one follows SUBACK.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/codec/subscribe.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/detail/send/outgoing.hpp"
#include "tern/session/detail/send/resend.hpp"
#include "tern/session/detail/send/transmission.hpp"
#include "tern/session/detail/subscribe/registry.hpp"
#include "tern/session/event.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

namespace tern::detail {

/// What SUBACK or UNSUBACK has ended.
struct filter_ack_outcome {
    ack_effect effect = ack_effect::none;
    errc violation = errc::none;
    completed done = {};
    time_point sent_at = {};
};

class subscribing {
public:
    /// `link`: null while there is no connection.
    subscribing(outgoing& out, transmission* link, subscription_registry& registry) noexcept
        : out_(out)
        , link_(link)
        , registry_(registry) {}

    TERN_COLD errc subscribe(const subscriptions_view& list, const subscribe_properties& properties, op_id op,
                             time_point now) {
        if (is_open())
            if (const errc error = link_->limits.check_subscribe(list, properties); error != errc::none) return error;
        return request(tern::subscribe{.subscriptions = list, .properties = properties}, list.size(), op, now);
    }

    TERN_COLD errc unsubscribe(const filters_view& filters, const unsubscribe_properties& properties, op_id op,
                               time_point now) {
        const errc error =
            request(tern::unsubscribe{.filters = filters, .properties = properties}, filters.size(), op, now);
        if (error == errc::none && is_open()) remove(filters); // already now: a renewal must not follow it
        return error;
    }

    /// Checks a request that has waited for the connection.
    TERN_COLD errc check_waiting(std::string_view packet) {
        const frame found = next_frame(packet)->frame;
        if (found.type() == packet_type::subscribe) {
            const auto s = *decode<tern::subscribe>(found, out_.version());
            return link_->limits.check_subscribe(s.subscriptions, s.properties);
        }
        remove(decode<tern::unsubscribe>(found, out_.version())->filters); // a renewal must not follow it
        return errc::none;
    }

    /// SUBACK or UNSUBACK. `refused(filter, error)` is called for each subscription that was not renewed. If the result
    /// is
    /// `finished`, `end_request` follows: until then nothing is lost if an allocation fails.
    template <class Packet, class Refused>
    TERN_COLD filter_ack_outcome on_ack(const Packet& packet, Refused refused) {
        constexpr bool is_suback = Packet::type == packet_type::suback;
        constexpr auto expected = is_suback ? exchange_state::subscribe : exchange_state::unsubscribe;
        const ack_outcome outcome = expect_ack(out_, expected, packet.packet_id);
        if (outcome.effect != ack_effect::finished)
            return {.effect = outcome.effect,
                    .violation =
                        outcome.effect == ack_effect::violation ? errc::unexpected_acknowledgement : errc::none};
        filter_ack_outcome result{.effect = outcome.effect, .sent_at = outcome.sent_at};
        result.done = {outcome.op, {}, {.reason_codes = packet.reason_codes, .properties = packet.properties}};
        const std::string request{out_.log().view(out_.exchanges().find(packet.packet_id)->packet)};
        const frame asked = next_frame(request)->frame;
        const bool has_codes = is_suback || out_.version() == protocol_version::v5;
        if (has_codes && packet.reason_codes.size() != outcome.reason_codes) {
            result.violation = errc::reason_count_mismatch;
            result.done.error = tern::violation(result.violation);
        } else if (has_codes) {
            set_first_refusal(result.done, packet.reason_codes);
            if constexpr (is_suback)
                record_granted(*decode<tern::subscribe>(asked, out_.version()), packet.reason_codes,
                               outcome.op == resubscribe_op, refused);
        }
        if constexpr (!is_suback) remove(decode<tern::unsubscribe>(asked, out_.version())->filters);
        return result;
    }
    template <class Packet>
    TERN_COLD void end_request(packet_id id, time_point now) {
        constexpr bool is_suback = Packet::type == packet_type::suback;
        constexpr auto expected = is_suback ? exchange_state::subscribe : exchange_state::unsubscribe;
        (void)finish_exchange(out_, *link_, expected, id, now);
    }

    /// Renews the next subscriptions. `refused(filter, error)` is called for those that the broker cannot do.
    template <class Refused>
    TERN_COLD void renew(renewal_cursor& cursor, time_point now, Refused refused) {
        constexpr std::size_t size = 8'192;
        while (registry_.has_more(cursor)) {
            std::vector<std::string> filters;
            errc error = errc::none;
            const std::size_t most = std::min<std::size_t>(size, link_->limits.maximum_packet_bytes / 2);
            registry_.next(cursor, most, [&](const subscriptions_view& list, const subscribe_properties& properties) {
                error = subscribe(list, properties, resubscribe_op, now);
                if (error == errc::none) return;
                for (const subscription& s : list)
                    filters.emplace_back(s.filter);
            });
            if (error == errc::none) return;
            for (const std::string& filter : filters) {
                registry_.remove(filter);
                refused(filter, misuse(error));
            }
        }
        registry_.set_renewal(renewal::none);
    }

private:
    bool is_open() const noexcept { return link_ && link_->state == send_state::open; }

    template <class Packet>
    TERN_COLD errc request(Packet packet, std::size_t filters, op_id op, time_point now) {
        if (out_.exchanges().full()) return errc::packet_ids_exhausted;
        packet.packet_id = 1; // any, because it does not change the length
        const auto length = measure(packet, out_.version());
        if (!length) return length.error();
        if (is_open())
            if (const errc error = link_->limits.check_size(with_header(*length)); error != errc::none) return error;
        out_.log().reserve();
        out_.reserve_exchange();
        if (link_) link_->unwritten_packets.reserve(1);
        const packet_id id = out_.exchanges().next_id();
        packet.packet_id = id;
        const packet_slice slice = out_.log().encode(packet, out_.version(), *length);
        constexpr auto state =
            Packet::type == packet_type::subscribe ? exchange_state::subscribe : exchange_state::unsubscribe;
        const exchange& e = out_.begin_request(slice, id, state, static_cast<std::uint32_t>(filters), op);
        if (is_open()) link_->send(out_, slice, e, transmission_state::first, now);
        return errc::none;
    }

    TERN_COLD static void set_first_refusal(completed& done, const reason_codes_view& codes) {
        done.answer.reason_code = codes.front();
        for (const reason_code code : codes) {
            if (!is_failure(code)) continue;
            done.error = done.answer.reason_code = code;
            return;
        }
    }

    template <class Refused>
    TERN_COLD void record_granted(const tern::subscribe& packet, const reason_codes_view& codes, bool renewed,
                                  Refused& refused) {
        auto code = codes.begin();
        for (const subscription& s : packet.subscriptions) {
            if (!is_failure(*code)) {
                registry_.record_granted(s, packet.properties.subscription_identifier);
            } else if (renewed) {
                registry_.remove(s.filter);
                refused(s.filter, make_error_code(*code));
            }
            ++code;
        }
    }
    void remove(const filters_view& filters) noexcept {
        for (const std::string_view filter : filters)
            registry_.remove(filter);
    }

    outgoing& out_;
    transmission* link_;
    subscription_registry& registry_;
};

} // namespace tern::detail
