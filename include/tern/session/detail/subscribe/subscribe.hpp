// SUBSCRIBE and UNSUBSCRIBE, from the request to SUBACK and UNSUBACK, and what the session requests by itself: the
// renewal of subscriptions that the broker has lost, and the end of those that it should not have.
//
// A request that is made while there is no connection, or that is unanswered when it is lost, is sent on the next one,
// unless it was cancelled. A filter for which a request of the program is unanswered is left to that: if it ends
// without a grant, the filter is renewed after all.
//
// Up to 64 requests of the session itself are unanswered at a time. The others follow as answers arrive.
#pragma once

#include "tern/codec/packet.hpp"
#include "tern/codec/subscribe.hpp"
#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/detail/send/operation_error.hpp"
#include "tern/session/detail/send/outgoing.hpp"
#include "tern/session/detail/send/resend.hpp"
#include "tern/session/detail/send/transmission.hpp"
#include "tern/session/detail/subscribe/registry.hpp"
#include "tern/session/event.hpp"
#include "tern/session/subscription_state.hpp"
#include "tern/session/time.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

namespace tern::detail {

/// SUBACK or UNSUBACK.
struct filter_answer {
    exchange_state state; ///< of the exchange that it ends
    tern::packet_id packet_id = 0;
    reason_codes_view reason_codes = {};
    ack_properties properties = {};
};

/// What SUBACK or UNSUBACK has ended.
struct filter_ack_outcome {
    ack_effect effect = ack_effect::none;
    errc violation = errc::none;
    completed done = {};
    time_point sent_at = {};
};

/// What the broker may have done with the subscriptions of the last connection.
enum class subscriptions_fate : std::uint8_t {
    kept,
    lost,
    unknown, ///< the session is present, but it may be a new one
};

/// What the session does about subscriptions that the broker has lost, or may have lost.
enum class lost_subscriptions : std::uint8_t {
    renewed,
    forgotten, ///< the program subscribes again if it likes
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
        if (is_connected())
            if (const errc error = link_->limits.check_subscribe(list, properties); error != errc::none) return error;
        return request(tern::subscribe{.subscriptions = list, .properties = properties}, op, now);
    }

    TERN_COLD errc unsubscribe(const filters_view& filters, const unsubscribe_properties& properties, op_id op,
                               time_point now) {
        return request(tern::unsubscribe{.filters = filters, .properties = properties}, op, now);
    }

    /// Takes back a request that was never sent. True if that succeeded. Otherwise it goes on, but it is not sent on
    /// another connection. `fail_cursor` must not stay at an exchange that ends here.
    TERN_COLD bool cancel(op_id op, packet_id& fail_cursor) noexcept {
        const exchange* const e = out_.find(op);
        if (!e || !e->is_request()) return false;
        if (e->was_offered() || e->is_sent()) {
            out_.cancel(*e);
            return false;
        }
        if (fail_cursor == e->id) fail_cursor = e->next;
        end(*e);
        registry_.trim(out_.exchanges());
        return true;
    }

    /// SUBACK or UNSUBACK. `refused(filter, error)` is called for each subscription that was not renewed. If the result
    /// is `finished`, `end_request` follows: until then nothing is lost if an allocation fails.
    template <class Refused>
    TERN_COLD filter_ack_outcome on_ack(const filter_answer& packet, Refused refused) {
        const bool is_suback = packet.state == exchange_state::subscribe;
        const ack_outcome outcome = expect_ack(out_, packet.state, packet.packet_id);
        if (outcome.effect != ack_effect::finished) return {.effect = outcome.effect};
        filter_ack_outcome result{.effect = outcome.effect, .sent_at = outcome.sent_at};
        result.done = {outcome.op, {}, {.reason_codes = packet.reason_codes, .properties = packet.properties}};
        const exchange& e = *out_.exchanges().find(packet.packet_id);
        const bool has_codes = is_suback || out_.version() == protocol_version::v5;
        if (has_codes && packet.reason_codes.size() != filters_of(e).size()) {
            result.violation = errc::reason_count_mismatch;
            result.done.error = tern::violation(result.violation);
            doubt(e);
            return result;
        }
        if (has_codes) set_first_refusal(result.done, packet.reason_codes);
        if (is_suback)
            record_subscribed(e, packet.reason_codes, refused);
        else
            record_unsubscribed(e, packet.reason_codes);
        return result;
    }
    TERN_COLD void end_request(const filter_answer& packet, time_point now) {
        release(*out_.exchanges().find(packet.packet_id));
        (void)finish_exchange(out_, *link_, packet.state, packet.packet_id, now);
        registry_.trim(out_.exchanges());
    }

    /// A request will not be answered rightly, and ends: the broker may have done what it asks for.
    TERN_COLD void abandon(const exchange& e) noexcept {
        if (e.is_withheld()) return;
        doubt(e);
        release(e);
    }

    /// A request of the session itself has no answer: what it asks for is due again. The identifier stays in use until
    /// the connection ends. If its answer comes after all, a success counts; a refusal is left to the repeated request.
    TERN_COLD void repeat(const exchange& e) noexcept {
        release(e);
        registry_.doubt_renewed(filters_of(e));
        out_.disown(e);
    }

    // ---- connections

    /// The broker has accepted the connection: ends the requests that it cannot do, or that were cancelled. There must
    /// be room for the end of all exchanges. If this throws, it is to be called again on the next connection.
    TERN_COLD void start(subscriptions_fate fate, lost_subscriptions lost) {
        if (fate == subscriptions_fate::lost) registry_.on_session_lost();
        const bool renews = lost == lost_subscriptions::renewed;
        if (fate == subscriptions_fate::unknown && renews) registry_.on_session_doubted();
        if (!renews) registry_.forget_lost();
        registry_.expect_nothing();
        registry_.for_each_request(out_.exchanges(), [&](const exchange& e) {
            const errc error = e.owner == exchange_owner::cancelled ? errc::disconnected : limit_of(e);
            if (error == errc::none) return registry_.expect(filters_of(e), e.request_number);
            out_.queue().add_completion(e.op, end_error(e.was_offered(), error));
            link_->end(out_, e);
        });
        registry_.settle_all();
        registry_.trim(out_.exchanges());
        registry_.sort_due();
    }

    /// Requests what is due, as far as possible now. `refused(filter, error)` is called for what the broker cannot do.
    template <class Refused>
    TERN_COLD void request_due(std::size_t most_filters, time_point now, Refused refused) {
        while (is_open() && registry_.has_due() && registry_.own_requests() < most_own_requests &&
               !out_.exchanges().full()) {
            const filter_entry& first = *registry_.first_due();
            const errc error = first.needs_subscribe() ? subscribe_due(first, most_filters, now)
                                                       : unsubscribe_due(first, most_filters, now);
            if (error == errc::none) continue;
            if (first.needs_subscribe()) refused(first.filter, misuse(error));
            registry_.skip_due(first);
        }
    }

    /// Requests what is due for the first filter that is wanted. Returns the identifier; 0: there is nothing to
    /// request.
    template <class IsWanted, class Refused>
    TERN_COLD packet_id request_one(time_point now, IsWanted is_wanted, Refused refused) {
        while (registry_.has_due() && !out_.exchanges().full()) {
            const filter_entry* e = registry_.first_due();
            while (e && !is_wanted(e->filter))
                e = registry_.next_due(*e);
            if (!e) return 0;
            const errc error = e->needs_subscribe() ? subscribe_due(*e, 1, now) : unsubscribe_due(*e, 1, now);
            if (error == errc::none) return out_.exchanges().last()->id;
            if (e->needs_subscribe()) refused(e->filter, misuse(error));
            registry_.skip_due(*e);
        }
        return 0;
    }
    /// By which a request is known.
    TERN_COLD std::string_view first_filter(const exchange& e) const noexcept { return filters_of(e).front(); }

    /// The connection is lost. Requests of the program wait for the next one.
    TERN_COLD void end_connection() noexcept {
        registry_.for_each_request(out_.exchanges(), [&](const exchange& e) {
            if (e.op == own_request) return end(e);
            if (e.earlier != reach::unsent) doubt(e);
            if (e.owner == exchange_owner::gone) end(e); // its answer did not come in time
        });
        registry_.trim(out_.exchanges());
    }

    /// The state of each filter. Of a filter that is requested, the newest request counts.
    TERN_COLD std::vector<subscription_state> list() {
        std::vector<subscription_state> all;
        registry_.list(all);
        registry_.for_each_request(out_.exchanges(), [&](const exchange& e) {
            if (e.state != exchange_state::subscribe || e.op == own_request) return;
            const auto request = request_of<tern::subscribe>(e);
            for (const subscription& s : request.subscriptions)
                for (subscription_state& state : all)
                    if (state.filter == s.filter)
                        registry_.set_wanted(state, s, request.properties.subscription_identifier);
        });
        return all;
    }

    /// The run is over: the exchanges of all requests end.
    TERN_COLD void end_run() noexcept {
        registry_.expect_nothing();
        registry_.settle_all();
    }

private:
    /// How many requests of the session itself may be unanswered.
    static constexpr std::size_t most_own_requests = 64;

    bool is_connected() const noexcept { return link_ && is_accepted(link_->state); }
    bool is_open() const noexcept { return link_ && link_->state <= send_state::open; }

    template <class Packet>
    TERN_COLD errc request(Packet packet, op_id op, time_point now) {
        if (out_.exchanges().full()) return errc::packet_ids_exhausted;
        packet.packet_id = 1; // any, because it does not change the length
        const auto length = measure(packet, out_.version());
        if (!length) return length.error();
        if (is_connected())
            if (const errc error = link_->limits.check_size(with_header(*length)); error != errc::none) return error;
        const struct settling {
            subscription_registry& registry;
            const requested_filters filters;
            ~settling() { registry.settle(filters); }
        } after{registry_, requested_filters(packet)};
        reserve(after.filters);
        packet.packet_id = out_.exchanges().next_id();
        begin(out_.log().encode(packet, out_.version(), *length), packet.packet_id, after.filters,
              Packet::type == packet_type::subscribe ? exchange_state::subscribe : exchange_state::unsubscribe, op,
              now);
        return errc::none;
    }
    TERN_COLD void reserve(const requested_filters& filters) {
        registry_.reserve(out_.exchanges(), filters);
        out_.log().reserve();
        out_.reserve_exchange();
        if (link_) link_->unwritten_packets.reserve(1);
    }
    TERN_COLD void begin(const packet_slice& slice, packet_id id, const requested_filters& filters,
                         exchange_state state, op_id op, time_point now) {
        const exchange& e = out_.begin_request(slice, id, state, registry_.begin(filters, id, op), op);
        const bool is_careful = is_connected() && !is_open(); // then only what the session requests itself has its turn
        if (is_open() || (is_careful && op == own_request))
            link_->send(out_, slice, e, transmission_state::first, now);
        else if (is_careful && link_->resend_cursor == 0)
            link_->resend_cursor = id;
    }

    template <class Packet>
    TERN_COLD Packet request_of(const exchange& e) const noexcept {
        return *decode<Packet>(next_frame(out_.log().view(e.packet))->frame, out_.version());
    }
    TERN_COLD requested_filters filters_of(const exchange& e) const noexcept {
        return e.state == exchange_state::subscribe ? requested_filters(request_of<tern::subscribe>(e))
                                                    : requested_filters(request_of<tern::unsubscribe>(e));
    }

    // Why the connection cannot carry a request that has waited for it.
    TERN_COLD errc limit_of(const exchange& e) const noexcept {
        if (const errc error = link_->limits.check_size(e.packet.size); error != errc::none) return error;
        if (e.state != exchange_state::subscribe) return errc::none;
        const auto packet = request_of<tern::subscribe>(e);
        return link_->limits.check_subscribe(packet.subscriptions, packet.properties);
    }

    // Ends the exchange of a request without an answer.
    TERN_COLD void end(const exchange& e) noexcept {
        release(e);
        if (link_)
            link_->end(out_, e);
        else
            out_.end(e);
    }
    TERN_COLD void release(const exchange& e) noexcept {
        if (is_repeated(e)) return; // it was released then
        registry_.end(filters_of(e), e.op);
    }
    static bool is_repeated(const exchange& e) noexcept {
        return e.owner == exchange_owner::gone && e.op == own_request;
    }
    // The broker may have done what the program requests, and the answer is lost.
    TERN_COLD void doubt(const exchange& e) noexcept {
        if (e.op == own_request) return;
        filters_of(e).for_each([&](std::string_view filter) {
            if (e.state == exchange_state::subscribe)
                registry_.doubt_subscribed(filter, e.request_number);
            else
                registry_.doubt_unsubscribed(filter, e.request_number);
        });
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
    TERN_COLD void record_subscribed(const exchange& e, const reason_codes_view& codes, Refused& refused) {
        const auto request = request_of<tern::subscribe>(e);
        const bool renewed = e.op == own_request;
        const std::uint32_t number = e.request_number;
        auto code = codes.begin();
        for (const subscription& s : request.subscriptions) {
            const reason_code answer = *code++;
            if (is_repeated(e) && is_failure(answer)) continue;
            if (renewed && is_failure(answer)) {
                if (registry_.can_decide(s.filter, number)) refused(s.filter, make_error_code(answer));
                registry_.refuse_renewal(s.filter, number);
            } else if (renewed) {
                registry_.renew(s.filter, number);
            } else if (!is_failure(answer)) {
                registry_.grant(s, request.properties.subscription_identifier, number);
            }
            if (!is_failure(answer)) registry_.record_answer(s.filter, answer, number);
        }
    }
    TERN_COLD void record_unsubscribed(const exchange& e, const reason_codes_view& codes) noexcept {
        auto code = codes.begin(); // 3.1.1 has none
        filters_of(e).for_each([&](std::string_view filter) {
            if (codes.empty() || !is_failure(*code++))
                registry_.remove(filter, e.request_number);
            else if (!is_repeated(e))
                registry_.restore(filter, e.request_number);
        });
    }

    TERN_COLD errc subscribe_due(const filter_entry& first, std::size_t most, time_point now) {
        subscribe_properties properties;
        if (first.identifier != 0) properties.subscription_identifier = first.identifier;
        const auto list = due_filters<subscription>(first, most, [&](const filter_entry& e) { return renewal_of(e); });
        return subscribe(std::span<const subscription>(list.data(), list.size()), properties, own_request, now);
    }
    TERN_COLD errc unsubscribe_due(const filter_entry& first, std::size_t most, time_point now) {
        const auto list = due_filters<std::string_view>(
            first, most, [](const filter_entry& e) { return std::string_view(e.filter); });
        return unsubscribe(std::span<const std::string_view>(list.data(), list.size()), {}, own_request, now);
    }
    // Retained messages that may have come before must not come again.
    TERN_COLD subscription renewal_of(const filter_entry& e) const noexcept {
        subscription s = make_subscription(e.filter, e.options);
        const bool may_exist = e.standing == standing::uncertain && out_.version() == protocol_version::v5;
        if (may_exist && s.retain_handling == retain_handling::send) s.retain_handling = retain_handling::send_if_new;
        return s;
    }

    // The items of one request, from the first filter that is due on. `make` gives the item of an entry.
    template <class Item, class Make>
    TERN_COLD growing_array<Item> due_filters(const filter_entry& first, std::size_t most, Make make) const {
        constexpr std::size_t most_bytes = 8'192, overhead = 16;
        growing_array<Item> list;
        std::size_t bytes = overhead;
        for (const filter_entry* e = &first; e && list.size() != most; e = registry_.next_due(*e)) {
            bytes += e->filter.size() + 3;
            const bool fits = bytes <= std::min<std::size_t>(most_bytes, link_->limits.maximum_packet_bytes);
            const bool is_alike = first.needs_subscribe() ? e->needs_subscribe() && e->identifier == first.identifier
                                                          : e->needs_unsubscribe();
            if (e != &first && (!fits || !is_alike)) break;
            const bool can_do = !e->needs_subscribe() || link_->limits.check_filter(e->filter) == errc::none;
            if (e == &first || can_do) list.push_back(make(*e));
        }
        return list;
    }

    outgoing& out_;
    transmission* link_;
    subscription_registry& registry_;
};

} // namespace tern::detail
