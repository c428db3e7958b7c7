// The bytes of a write over TLS, as the contents of records.
#pragma once

#include <asio/buffer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>

namespace tern::detail {

/// Goes through the pieces of a write in portions of a record each.
class tls_pieces {
public:
    static constexpr std::size_t record_bytes = 16 * 1024; // RFC 8446 §5.1

    explicit tls_pieces(std::span<const asio::const_buffer> pieces) noexcept : pieces_(pieces) {}

    /// The next portion; empty at the end. Small pieces are copied to `gathered`, which has room for a record.
    std::string_view next(char* gathered) noexcept {
        std::size_t count = 0;
        while (!pieces_.empty()) {
            const std::string_view piece = rest_of_first();
            const bool is_last = pieces_.size() == 1 || piece.size() >= record_bytes;
            if (count == 0 && is_last) return consume((std::min)(piece.size(), record_bytes));
            const std::string_view part = consume((std::min)(piece.size(), record_bytes - count));
            if (!part.empty()) std::memcpy(gathered + count, part.data(), part.size());
            count += part.size();
            if (count == record_bytes) break;
        }
        return {gathered, count};
    }

private:
    std::string_view rest_of_first() const noexcept {
        return std::string_view(static_cast<const char*>(pieces_.front().data()), pieces_.front().size()).substr(at_);
    }
    std::string_view consume(std::size_t count) noexcept {
        const std::string_view part = rest_of_first().substr(0, count);
        at_ += count;
        if (at_ == pieces_.front().size()) {
            pieces_ = pieces_.subspan(1);
            at_ = 0;
        }
        return part;
    }

    std::span<const asio::const_buffer> pieces_;
    std::size_t at_ = 0; // in the first piece
};

} // namespace tern::detail
