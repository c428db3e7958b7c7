// Which topics get one of the client's own topic aliases: those that are published most often.
//
// A sketch counts how often each topic was published lately. A topic gets a free alias when it comes for the second
// time. It takes the alias of another topic only if it came more often than that one, and if aliases have saved more
// bytes than the change costs. So with more topics than aliases, topics of the same frequency do not displace each
// other, and aliases never cost more than the few bytes with which each was set for the first time.
//
// A policy knows topics by their hashes. Two topics with the same hash share an alias, which is set again when the
// topic changes.
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tern::detail {

class alias_policy {
public:
    TERN_COLD explicit alias_policy(std::uint16_t aliases) {
        ways_ = (std::min)(aliases, most_ways);
        sets_ = aliases < most_ways ? 1U : aliases / most_ways;
        slots_.resize(sets_ * ways_);
        std::size_t counters = least_counters;
        while (counters < slots_.size() * 8)
            counters *= 2;
        counts_.resize(counters);
    }

    /// The hash of a topic, which is not 0 (FNV-1a).
    TERN_COLD static std::uint32_t hash_of(std::string_view topic) noexcept {
        std::uint32_t hash = 2'166'136'261U;
        for (const char c : topic)
            hash = (hash ^ static_cast<unsigned char>(c)) * 16'777'619U;
        return hash == 0 ? 1 : hash;
    }

    /// Counts a message with this topic. Returns its alias, or the one that it gets with `assign`, or 0.
    TERN_COLD std::uint16_t choose(std::uint32_t hash) noexcept {
        const unsigned frequency = count(hash);
        const std::size_t first = hash % sets_ * ways_;
        std::size_t rarest = first;
        unsigned least = UINT32_MAX;
        for (std::size_t i = first; i != first + ways_; ++i) {
            if (slots_[i] == hash) return number_of_slot(i);
            const unsigned other = slots_[i] == 0 ? 0 : 1 + frequency_of(slots_[i]);
            if (other < least) rarest = i;
            least = (std::min)(least, other);
        }
        const bool is_free = least == 0;
        const bool may_have = is_free ? frequency >= 2 : frequency > least && saved_bytes_ > most_cost;
        return may_have ? number_of_slot(rarest) : std::uint16_t{0};
    }
    /// The broker is told that the alias stands for the topic.
    void assign(std::uint16_t number, std::uint32_t hash) noexcept { slots_[number - std::size_t{1}] = hash; }

    /// A packet with an alias has this size instead of that.
    void count_bytes(std::size_t size, std::size_t without_alias) noexcept {
        saved_bytes_ += static_cast<std::int64_t>(without_alias) - static_cast<std::int64_t>(size);
    }

private:
    static constexpr std::uint16_t most_ways = 64; // so many aliases are compared for a message
    static constexpr std::size_t least_counters = 1'024;
    static constexpr std::int64_t most_cost = 5; // bytes with which an alias is set

    static std::uint16_t number_of_slot(std::size_t index) noexcept { return static_cast<std::uint16_t>(index + 1); }

    // Each topic has two counters, which it shares with others: the smaller one is nearer to the truth.
    std::uint8_t& first_count(std::uint32_t hash) noexcept { return counts_[hash & (counts_.size() - 1)]; }
    std::uint8_t& second_count(std::uint32_t hash) noexcept {
        return counts_[(hash * 0x9E37'79B1U >> 7U) & (counts_.size() - 1)];
    }
    unsigned frequency_of(std::uint32_t hash) noexcept { return (std::min)(first_count(hash), second_count(hash)); }

    unsigned count(std::uint32_t hash) noexcept {
        if (++counted_ == counts_.size() * 4) { // halves all, so that old messages count less
            counted_ /= 2;
            for (std::uint8_t& each : counts_)
                each /= 2;
        }
        std::uint8_t& one = first_count(hash);
        std::uint8_t& other = second_count(hash);
        if (one != UINT8_MAX) ++one;
        if (&one != &other && other != UINT8_MAX) ++other;
        return frequency_of(hash);
    }

    growing_array<std::uint32_t> slots_; // the hash of each alias's topic; 0: the alias is free
    growing_array<std::uint8_t> counts_;
    std::size_t counted_ = 0;
    std::int64_t saved_bytes_ = 0;
    std::size_t sets_ = 1; // a topic's alias is in one set, by its hash
    std::size_t ways_ = 0; // aliases in a set
};

} // namespace tern::detail
