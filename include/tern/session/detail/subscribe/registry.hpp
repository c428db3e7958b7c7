// The subscriptions by filter: what the program wants, what is requested, and what the broker has granted. Lasting
// state.
//
// Requests have numbers. The newest one that has an effect decides about a filter: an answer to an older one changes
// nothing. If an older one is unanswered when the connection ends, it is sent again, behind the one that has decided,
// and then the broker may have something else: that is corrected when it is answered. What is due for a filter, if no
// request for it is unanswered:
//
//     standing    due          set by
//     none        (forgotten)  UNSUBACK; a lost session, if the filter is not wanted
//     granted     nothing      SUBACK; UNSUBACK >= 0x80
//     lost        SUBSCRIBE    a lost session
//     uncertain   SUBSCRIBE    doubt about the session; a lost answer to SUBSCRIBE, if the filter was granted before;
//                              an older request that is sent again; no answer to a renewal
//     refused     nothing      SUBACK >= 0x80 for a renewal; a limit of the broker
//     unwanted    UNSUBSCRIBE  a lost answer to UNSUBSCRIBE
//     stray       UNSUBSCRIBE  a lost answer to SUBSCRIBE; an older request that is sent again
#pragma once

#include "tern/codec/subscribe.hpp"
#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/session/detail/send/exchange_table.hpp"
#include "tern/session/detail/send/resend.hpp"
#include "tern/session/detail/subscribe/filter_table.hpp"
#include "tern/session/event.hpp"
#include "tern/session/subscription_state.hpp"
#include "tern/types.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace tern::detail {

/// The filters of a request, whether it is SUBSCRIBE or UNSUBSCRIBE.
class requested_filters {
public:
    explicit requested_filters(const subscribe& packet) noexcept : subscriptions_(packet.subscriptions) {}
    explicit requested_filters(const unsubscribe& packet) noexcept : filters_(packet.filters) {}

    TERN_COLD std::size_t size() const noexcept { return subscriptions_.size() + filters_.size(); }
    TERN_COLD std::string_view front() const noexcept {
        return filters_.empty() ? subscriptions_.front().filter : filters_.front();
    }
    template <class F>
    TERN_COLD void for_each(F f) const {
        for (const subscription& s : subscriptions_)
            f(s.filter);
        for (const std::string_view filter : filters_)
            f(filter);
    }

private:
    subscriptions_view subscriptions_; // one of the two is empty
    filters_view filters_;
};

class subscription_registry {
public:
    void clear() noexcept { data_.reset(); }

    // ---- requests

    /// Makes room for a request: `begin` does not allocate. Whatever happens in between, `settle` follows.
    TERN_COLD void reserve(const exchange_table& exchanges, const requested_filters& filters) {
        reserve_request(exchanges);
        add(filters);
    }
    /// Returns the number of the request.
    TERN_COLD std::uint32_t begin(const requested_filters& filters, packet_id id, op_id op) noexcept {
        data_->requests.next_reserved() = id;
        if (op == own_request) ++data_->own_requests;
        for_each(filters, 0, [](filter_entry& e, std::uint32_t) { ++e.unanswered; });
        return ++data_->last_number;
    }
    TERN_COLD void settle(const requested_filters& filters) noexcept {
        for_each(filters, 0, [](filter_entry&, std::uint32_t) {});
    }
    /// The request is not unanswered any longer.
    TERN_COLD void end(const requested_filters& filters, op_id op) noexcept {
        if (op == own_request) --data_->own_requests;
        for_each(filters, 0, [](filter_entry& e, std::uint32_t) {
            if (e.unanswered != 0) --e.unanswered; // the run may have ended before
        });
    }

    /// Calls `f(exchange)` for each unfinished request, the oldest first. `f` may end it.
    template <class F>
    TERN_COLD void for_each_request(const exchange_table& exchanges, F f) {
        for (std::size_t i = 0; data_ && i != data_->requests.size(); ++i)
            if (const exchange* const e = request_at(exchanges, i)) f(*e);
    }
    /// How many requests of the session itself are unanswered.
    std::size_t own_requests() const noexcept { return data_ ? (*data_).own_requests : 0; }
    /// Frees the memory that ended requests have used.
    TERN_COLD void trim(const exchange_table& exchanges) noexcept {
        if (!data_) return;
        while (!data_->requests.empty() && !request_at(exchanges, 0))
            data_->requests.drop_front();
        if (data_->requests.empty() && data_->filters.size() == 0) data_.reset();
    }

    // ---- answers, filter by filter, before the request ends. They do nothing if a newer request has decided.

    /// Whether the answer to the request with this number decides about the filter.
    TERN_COLD bool can_decide(std::string_view filter, std::uint32_t number) noexcept {
        return find_undecided(filter, number) != nullptr;
    }
    TERN_COLD void grant(const subscription& s, std::optional<std::uint32_t> identifier,
                         std::uint32_t number) noexcept {
        filter_entry* const e = find(s.filter);
        if (!e || (number < e->decided && !e->needs_unsubscribe())) return;
        e->options = options_of(s);
        e->identifier = identifier.value_or(0);
        if (number < e->decided)
            e->standing = standing::unwanted; // the broker has it, but UNSUBSCRIBE is newer
        else
            decide(*e, standing::granted, number);
    }
    /// The same for a renewal, whose options may differ from those that the program has asked for.
    TERN_COLD void renew(std::string_view filter, std::uint32_t number) noexcept {
        decide(filter, standing::granted, number);
    }
    /// What the broker has granted, after one of the two.
    TERN_COLD void record_answer(std::string_view filter, reason_code answer, std::uint32_t number) noexcept {
        filter_entry* const e = find_undecided(filter, number);
        if (!e || e->standing != standing::granted) return;
        e->granted_qos = static_cast<qos>(answer); // 0 to 2 are success
        e->connection = connection_;
    }
    TERN_COLD void refuse_renewal(std::string_view filter, std::uint32_t number) noexcept {
        decide(filter, standing::refused, number);
    }
    TERN_COLD void remove(std::string_view filter, std::uint32_t number) noexcept {
        decide(filter, standing::none, number);
    }
    /// The broker has refused UNSUBSCRIBE: what was granted is wanted again.
    TERN_COLD void restore(std::string_view filter, std::uint32_t number) noexcept {
        filter_entry* const e = find_undecided(filter, number);
        if (!e) return;
        if (number == e->decided) e->decided = 0; // it has had no effect
        if (e->needs_unsubscribe())
            e->standing = e->standing == standing::unwanted ? standing::granted : standing::none;
    }

    // ---- connections

    /// The broker has accepted this connection.
    void set_connection(std::uint64_t number) noexcept { connection_ = static_cast<std::uint32_t>(number); }

    /// The connection ended before SUBSCRIBE was answered, which the broker may have received.
    TERN_COLD void doubt_subscribed(std::string_view filter, std::uint32_t number) noexcept {
        if (filter_entry* const e = find_undecided(filter, number)) doubt(*e);
    }
    /// The same for UNSUBSCRIBE. The program does not want the subscription, whatever the broker has.
    TERN_COLD void doubt_unsubscribed(std::string_view filter, std::uint32_t number) noexcept {
        filter_entry* const e = find_undecided(filter, number);
        if (!e) return;
        const bool was_granted = e->standing != standing::none && e->standing != standing::stray;
        decide(*e, was_granted ? standing::unwanted : e->standing, number);
    }

    /// The broker has not answered a renewal, but may have done it.
    TERN_COLD void doubt_renewed(const requested_filters& filters) noexcept {
        for_each(filters, 0, [](filter_entry& e, std::uint32_t) {
            if (e.standing == standing::lost) e.standing = standing::uncertain;
        });
    }

    /// The broker has no session, and therefore no subscriptions.
    TERN_COLD void on_session_lost() noexcept {
        for_each_filter([](filter_entry& e) {
            e.standing = e.standing == standing::none || e.needs_unsubscribe() ? standing::none : standing::lost;
        });
    }
    /// The broker has a session, which may be a new one.
    void on_session_doubted() noexcept {
        for_each_filter([](filter_entry& e) {
            if (e.standing == standing::granted || e.standing == standing::refused) e.standing = standing::uncertain;
        });
    }
    /// Forgets the filters that the broker has lost.
    void forget_lost() noexcept {
        for_each_filter([](filter_entry& e) {
            if (e.standing == standing::lost) e.standing = standing::none;
        });
    }
    /// No request counts as unanswered until `expect` is called for it. `settle_all` follows.
    void expect_nothing() noexcept {
        for (std::uint32_t i = 0; data_ && i != data_->filters.size(); ++i)
            data_->filters[i].unanswered = 0;
    }
    /// The request with this number is going to be sent.
    void expect(const requested_filters& filters, std::uint32_t number) noexcept {
        for_each(filters, number, [](filter_entry& e, std::uint32_t expected) {
            ++e.unanswered;
            if (expected < e.decided) doubt(e);
        });
    }
    void settle_all() noexcept {
        for_each_filter([](filter_entry&) {});
    }

    /// The unfinished requests have other identifiers now. `expect_nothing` follows.
    TERN_COLD void renumber(const exchange_table& exchanges) noexcept {
        if (!data_) return;
        ring<packet_id>& requests = data_->requests;
        for (std::size_t n = requests.size(); n != 0; --n)
            requests.drop_front();
        for (const exchange* e = exchanges.first(); e; e = exchanges.next(*e))
            if (e->is_request() && !e->is_withheld()) requests.next_reserved() = e->id;
    }

    // ---- what is due

    /// Lists it in the order in which it is requested.
    void sort_due() {
        if (has_due()) data_->filters.sort_due();
    }
    bool has_due() const noexcept { return data_ && (*data_).filters.has_due(); }
    const filter_entry* first_due() noexcept { return data_->filters.first_due(); }
    const filter_entry* next_due(const filter_entry& e) const noexcept { return (*data_).filters.next_due(e); }
    bool is_due(std::string_view filter) noexcept {
        const filter_entry* const e = find(filter);
        return e && e->unanswered == 0 && (e->needs_subscribe() || e->needs_unsubscribe());
    }
    /// The broker refuses what is due for the filter, if anything is. Returns whether that is SUBSCRIBE.
    TERN_COLD bool refuse_due(std::string_view filter) noexcept {
        if (!is_due(filter)) return false;
        const filter_entry& e = *find(filter);
        const bool is_wanted = e.needs_subscribe();
        skip_due(e);
        return is_wanted;
    }
    /// The broker cannot do what is due for the filter. A filter that cannot be unsubscribed is forgotten.
    void skip_due(const filter_entry& due) noexcept {
        filter_entry& e = *find(due.filter);
        e.standing = e.needs_subscribe() ? standing::refused : standing::none;
        settle(e);
    }

    // ---- all filters

    TERN_COLD static void set_wanted(subscription_state& state, const subscription& s,
                                     std::optional<std::uint32_t> identifier) noexcept {
        state.max_qos = s.max_qos;
        state.no_local = s.no_local;
        state.retain_as_published = s.retain_as_published;
        state.retain_handling = s.retain_handling;
        state.identifier = identifier;
    }
    /// Appends the state of each filter.
    TERN_COLD void list(std::vector<subscription_state>& to) const {
        for (std::uint32_t i = 0; data_ && i != (*data_).filters.size(); ++i)
            to.push_back(state_of((*data_).filters[i]));
    }

private:
    friend struct session_inspector;

    struct data {
        filter_table filters;
        ring<packet_id> requests; // oldest first. Some of them may have ended
        std::size_t compact_at = smallest_to_compact;
        std::size_t own_requests = 0; // unanswered
        std::uint32_t last_number = 0;
    };
    static constexpr std::size_t smallest_to_compact = 16;

    TERN_COLD static subscription_state state_of(const filter_entry& e) {
        subscription_state state{.filter = e.filter, .status = status_of(e.standing)};
        const std::optional<std::uint32_t> none;
        set_wanted(state, make_subscription(e.filter, e.options), e.identifier == 0 ? none : e.identifier);
        if (e.standing != standing::granted) return state;
        state.granted_qos = e.granted_qos;
        state.connection = e.connection;
        return state;
    }
    TERN_COLD static subscription_status status_of(standing s) noexcept {
        switch (s) {
        case standing::none: break;
        case standing::granted: return subscription_status::granted;
        case standing::lost:
        case standing::uncertain: return subscription_status::renewing;
        case standing::refused: return subscription_status::refused;
        case standing::unwanted:
        case standing::stray: return subscription_status::ending;
        }
        return subscription_status::requested;
    }

    filter_entry* find(std::string_view filter) noexcept { return data_ ? data_->filters.find(filter) : nullptr; }
    filter_entry* find_undecided(std::string_view filter, std::uint32_t number) noexcept {
        filter_entry* const e = find(filter);
        return e && number >= e->decided ? e : nullptr;
    }
    void decide(std::string_view filter, standing s, std::uint32_t number) noexcept {
        if (filter_entry* const e = find_undecided(filter, number)) decide(*e, s, number);
    }
    static void decide(filter_entry& e, standing s, std::uint32_t number) noexcept {
        e.standing = s;
        e.decided = number;
    }
    // The broker may have something else than what holds.
    static void doubt(filter_entry& e) noexcept {
        if (e.standing == standing::none) e.standing = standing::stray;
        if (e.standing == standing::granted || e.standing == standing::refused) e.standing = standing::uncertain;
    }

    const exchange* request_at(const exchange_table& exchanges, std::size_t index) const noexcept {
        const exchange* const e = exchanges.find((*data_).requests[index]);
        return e && e->is_request() && !e->is_withheld() ? e : nullptr;
    }
    TERN_COLD void reserve_request(const exchange_table& exchanges) {
        if (!data_) data_.emplace();
        ring<packet_id>& requests = data_->requests;
        if (requests.size() >= data_->compact_at) {
            for (std::size_t n = requests.size(); n != 0; --n) {
                const bool is_unfinished = request_at(exchanges, 0) != nullptr;
                const packet_id id = requests.pop_front();
                if (is_unfinished) requests.push_back(id); // there is room
            }
            data_->compact_at = (std::max)(smallest_to_compact, requests.size() * 2);
        }
        requests.reserve(1);
    }

    void add(const requested_filters& filters) {
        filters.for_each([&](std::string_view filter) { data_->filters.add(filter); });
    }

    // Makes the list of what is due agree with an entry, or removes the entry.
    TERN_COLD void settle(filter_entry& e) noexcept {
        if (e.unanswered == 0) e.decided = 0;
        if (e.unanswered == 0 && e.standing == standing::none) return data_->filters.erase(e);
        if (e.unanswered == 0 && (e.needs_subscribe() || e.needs_unsubscribe()))
            data_->filters.add_due(e);
        else
            data_->filters.remove_due(e);
    }
    // Calls `change(entry, number)` for each of the filters.
    TERN_COLD void for_each(const requested_filters& filters, std::uint32_t number,
                            void (*change)(filter_entry&, std::uint32_t)) noexcept {
        filters.for_each([&](std::string_view filter) {
            filter_entry* const e = find(filter);
            if (!e) return;
            change(*e, number);
            settle(*e);
        });
    }
    TERN_COLD void for_each_filter(void (*change)(filter_entry&)) noexcept {
        for (std::uint32_t i = data_ ? data_->filters.size() : 0; i-- != 0;) {
            change(data_->filters[i]);
            settle(data_->filters[i]);
        }
    }

    heap_optional<data> data_;
    std::uint32_t connection_ = 0; // the number of the present connection
};

} // namespace tern::detail
