// The first buffers of a write, kept after the call that it was started with.
#pragma once

#include <asio/buffer.hpp>

#include <array>
#include <cstddef>

namespace tern::detail {

/// The first buffers of a write, as a sequence of one type that owns its elements.
class first_buffers {
public:
    using value_type = asio::const_buffer;
    using const_iterator = const asio::const_buffer*;

    first_buffers() = default;
    template <class Buffers>
    explicit first_buffers(const Buffers& all) noexcept {
        const auto last = asio::buffer_sequence_end(all);
        for (auto i = asio::buffer_sequence_begin(all); i != last && size_ != buffers_.size(); ++i)
            if (const asio::const_buffer each(*i); each.size() != 0) buffers_[size_++] = each;
    }
    const_iterator begin() const noexcept { return buffers_.data(); }
    const_iterator end() const noexcept { return buffers_.data() + size_; }

private:
    std::array<asio::const_buffer, 8> buffers_; // as many as the client writes at once
    std::size_t size_ = 0;
};

} // namespace tern::detail
