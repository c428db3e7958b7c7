// What one gathered write takes: a sequence of buffers, as Asio wants it, that can be copied without memory.
#pragma once

#include <asio/buffer.hpp>

#include <array>
#include <cstddef>
#include <string_view>

namespace tern::detail {

class write_buffers {
public:
    using value_type = asio::const_buffer;
    using const_iterator = const asio::const_buffer*;

    template <class Pieces>
    explicit write_buffers(const Pieces& pieces) noexcept {
        for (const std::string_view piece : pieces) {
            if (size_ == buffers_.size()) break;
            buffers_[size_++] = asio::const_buffer(piece.data(), piece.size());
        }
    }
    const_iterator begin() const noexcept { return buffers_.data(); }
    const_iterator end() const noexcept { return buffers_.data() + size_; }

private:
    std::array<asio::const_buffer, 8> buffers_; // it is copied a few times on its way
    std::size_t size_ = 0;
};

} // namespace tern::detail
