// A set of packet identifiers: a bit for each of the 65,535, once there has been one.
#pragma once

#include "tern/types.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tern::detail {

class packet_id_set {
public:
    bool empty() const noexcept { return size_ == 0; }
    bool contains(packet_id id) const noexcept {
        return size_ != 0 && (words_[id / 64U] >> (id % 64U) & 1U) != 0;
    }

    void insert(packet_id id) {
        if (contains(id)) return;
        if (words_.empty()) words_.resize(65'536 / 64);
        words_[id / 64U] |= std::uint64_t{1} << (id % 64U);
        ++size_;
    }
    void erase(packet_id id) noexcept {
        if (!contains(id)) return;
        words_[id / 64U] &= ~(std::uint64_t{1} << (id % 64U));
        --size_;
    }
    void clear() noexcept {
        if (size_ != 0) std::fill(words_.begin(), words_.end(), 0);
        size_ = 0;
    }

private:
    std::vector<std::uint64_t> words_;
    std::size_t size_ = 0;
};

} // namespace tern::detail
