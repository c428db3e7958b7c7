// Helper functions of the codec tests.
#pragma once

#include "tern/codec/packet.hpp"

#include <array>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace codec_test {

using namespace tern;

/// Decodes bytes that must be exactly one packet.
constexpr result<any_packet> read(std::string_view bytes, protocol_version version) noexcept {
    const auto found = next_frame(bytes);
    if (!found) return found.error();
    if (!found->complete) return errc::truncated_packet;
    if (found->size != bytes.size()) return errc::trailing_bytes;
    return decode(found->frame, version);
}

constexpr result<std::size_t> write(const any_packet& packet, protocol_version version, std::span<char> out) noexcept {
    return std::visit([&](const auto& p) { return encode(p, version, out); }, packet);
}

constexpr result<std::size_t> size_of(const any_packet& packet, protocol_version version) noexcept {
    return std::visit([&](const auto& p) { return encoded_size(p, version); }, packet);
}

/// The encoded packet; empty if the standard forbids it.
inline std::string write(const any_packet& packet, protocol_version version) {
    std::string bytes(size_of(packet, version).value(), '\0');
    (void)write(packet, version, bytes);
    return bytes;
}

/// Whether a decoded packet is equal after it has been encoded and decoded again.
///
/// One rule binds senders only, and is no failure here: a payload declared UTF-8 must be UTF-8 [§3.3.2.3.2].
inline bool is_stable(const any_packet& packet, protocol_version version) {
    const auto size = size_of(packet, version);
    if (!size) return size.error() == errc::payload_format_invalid;
    static thread_local std::vector<char> buffer;
    buffer.resize(*size);
    if (write(packet, version, buffer).value() != *size) return false;
    const auto decoded = read({buffer.data(), buffer.size()}, version);
    return decoded && *decoded == packet;
}

/// Bytes in a block of exactly their size, so that a sanitizer reports a read before or after them.
class exact_copy {
public:
    explicit exact_copy(std::string_view bytes) : block_(new char[bytes.size()]), size_(bytes.size()) {
        if (!bytes.empty()) std::memcpy(block_.get(), bytes.data(), bytes.size());
    }
    std::string_view view() const { return {block_.get(), size_}; }
    char* data() { return block_.get(); }

private:
    std::unique_ptr<char[]> block_;
    std::size_t size_;
};

} // namespace codec_test
