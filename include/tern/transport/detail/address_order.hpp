// The order in which the addresses of a host are tried (RFC 8305 §4).
//
// The families alternate, beginning with that of the first address. The address on which a broker answered last comes
// first. Addresses that accepted a connection on which nothing was read come last, until something is read: an address
// without a responding broker does not hide the others.
#pragma once

#include "tern/detail/inline.hpp"
#include "tern/transport/detail/lookup.hpp"

#include <asio/ip/tcp.hpp>

#include <cstddef>

namespace tern::detail {

class address_order {
public:
    using address = asio::ip::tcp::endpoint;

    TERN_COLD void sort(address_list& list) const {
        list = alternating(list);
        for (std::size_t i = silent_begin(); i != known_.size(); ++i)
            if (remove(list, known_[i], 0)) list.push_back(known_[i]);
        if (has_answered_ && remove(list, known_[0], 0)) {
            list.push_back(known_[0]);
            for (std::size_t i = list.size() - 1; i != 0; --i)
                list[i] = list[i - 1];
            list[0] = known_[0];
        }
    }

    /// One of several addresses has accepted a connection. It counts as silent until `on_read`.
    TERN_COLD void on_connected(const address& a) {
        known_.reserve(known_.size() + 1);
        if (has_answered_ && known_[0] == a) has_answered_ = false;
        remove(known_, a, 0);
        if (known_.size() == most_known) known_.erase(&known_[silent_begin()]);
        known_.push_back(a);
        awaits_bytes_ = true;
    }

    /// A connection that is not recorded, since its host has no other address. Bytes that are read on it do not concern
    /// the others.
    void on_other_connected() noexcept { awaits_bytes_ = false; }

    /// Something was read on the connection.
    void on_read() noexcept {
        if (awaits_bytes_) [[unlikely]]
            on_answer();
    }

private:
    static constexpr std::size_t most_known = 16;

    std::size_t silent_begin() const noexcept { return has_answered_ ? 1 : 0; }

    // False if the list does not contain the address.
    TERN_COLD static bool remove(address_list& list, const address& a, std::size_t from) noexcept {
        for (std::size_t i = from; i != list.size(); ++i) {
            if (list[i] != a) continue;
            list.erase(&list[i]);
            return true;
        }
        return false;
    }

    TERN_COLD static address_list alternating(const address_list& list) {
        address_list sorted;
        address_list rest = list;
        while (!rest.empty()) {
            std::size_t next = 0; // of the other family, if there is one
            if (!sorted.empty())
                while (next != rest.size() && rest[next].protocol() == sorted.back().protocol())
                    ++next;
            if (next == rest.size()) next = 0;
            sorted.push_back(rest[next]);
            rest.erase(&rest[next]);
        }
        return sorted;
    }

    TERN_COLD void on_answer() noexcept {
        known_[0] = known_.back();
        while (known_.size() != 1)
            known_.pop_back();
        has_answered_ = true;
        awaits_bytes_ = false;
    }

    address_list known_;        // the address that answered last, if there is one, then silent ones
    bool has_answered_ = false; // the first of `known_`
    bool awaits_bytes_ = false; // the last of `known_` is connected, and nothing was read
};

} // namespace tern::detail
