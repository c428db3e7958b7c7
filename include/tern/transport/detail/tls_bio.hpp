// A BIO between OpenSSL and a machine: reads come from received bytes without a copy, writes append to the output.
#pragma once

#include "tern/transport/detail/output_buffer.hpp"
#include "tern/transport/detail/tls_openssl.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <utility>

namespace tern::detail {

/// The bytes between OpenSSL and the next layer. Received bytes are borrowed during a call of the machine, and what
/// OpenSSL did not read is copied at its end.
///
/// A burst keeps its buffers, so that it does not allocate. Several small records in a row behind it free them.
class tls_bytes {
public:
    // ---- received

    void receive(std::string_view raw) noexcept {
        raw_ = raw;
        if (!raw.empty()) small_reads_ = raw.size() <= small_bytes ? small_reads_ + 1 : 0;
    }
    bool has_received() const noexcept { return rest_at_ != rest_.size() || !raw_.empty(); }

    std::size_t read(char* to, std::size_t count) noexcept {
        if (rest_at_ != rest_.size()) {
            count = (std::min)(count, rest_.size() - rest_at_);
            std::memcpy(to, rest_.data() + rest_at_, count);
            rest_at_ += count;
            return count;
        }
        count = (std::min)(count, raw_.size());
        if (count != 0) std::memcpy(to, raw_.data(), count);
        raw_.remove_prefix(count);
        return count;
    }

    /// Copies what was not read, because the caller's buffer ends with the call.
    void keep_rest() {
        const std::string_view raw = std::exchange(raw_, {});
        if (rest_at_ == rest_.size()) {
            rest_.clear();
            rest_at_ = 0;
            if (raw.empty() && small_reads_ >= most_small_uses && rest_.capacity() > large_bytes)
                std::string().swap(rest_);
        }
        if (!raw.empty()) rest_.append(raw);
    }

    // ---- output

    std::string_view output() noexcept { return output_.view(); }
    std::size_t unsent() const noexcept { return output_.size(); }

    /// The position in the stream of all output, behind what was appended last.
    std::uint64_t end() const noexcept { return end_; }
    /// The position behind the bytes that the next layer has taken.
    std::uint64_t committed() const noexcept { return end_ - output_.size(); }

    /// Appends bytes. If memory runs out, it only remembers that, because OpenSSL is C.
    bool append(std::string_view bytes) noexcept {
        try {
            output_.append(bytes);
        } catch (const std::bad_alloc&) {
            memory_is_exhausted_ = true;
            return false;
        }
        end_ += bytes.size();
        largest_output_ = (std::max)(largest_output_, output_.size());
        return true;
    }
    bool memory_is_exhausted() const noexcept { return memory_is_exhausted_; }

    void commit(std::size_t count) noexcept {
        output_.commit(count);
        burst_ += count;
        if (!output_.empty()) return;
        small_bursts_ = std::exchange(burst_, 0) <= small_bytes ? small_bursts_ + 1 : 0;
        if (small_bursts_ >= most_small_uses && largest_output_ > large_bytes) free_output();
    }

    /// Frees buffers that hold nothing.
    void trim() noexcept {
        if (output_.empty()) free_output();
        if (rest_at_ == rest_.size()) {
            std::string().swap(rest_);
            rest_at_ = 0;
        }
    }

private:
    static constexpr std::size_t small_bytes = 4096;
    static constexpr std::size_t large_bytes = 2 * small_bytes;
    // In a row, before a large buffer is freed: the records of a large message end with a small one.
    static constexpr unsigned most_small_uses = 8;

    void free_output() noexcept {
        output_.trim();
        largest_output_ = 0;
    }

    std::string_view raw_;    // received in the present call
    std::string rest_;        // received in earlier calls; precedes `raw_`
    std::size_t rest_at_ = 0; // how much of `rest_` was read
    output_buffer output_;    // not yet taken by the next layer
    std::uint64_t end_ = 0;   // how much was appended to it
    std::size_t burst_ = 0;   // how much of it was taken since it was empty
    std::size_t largest_output_ = 0;
    unsigned small_reads_ = 0;  // in a row
    unsigned small_bursts_ = 0; // in a row
    bool memory_is_exhausted_ = false;
};

inline int tls_bio_read(BIO* bio, char* to, int count) {
    BIO_clear_retry_flags(bio);
    auto& bytes = *static_cast<tls_bytes*>(BIO_get_data(bio));
    const std::size_t done = bytes.read(to, static_cast<std::size_t>((std::max)(count, 0)));
    if (done != 0) return static_cast<int>(done);
    BIO_set_retry_read(bio);
    return -1;
}

inline int tls_bio_write(BIO* bio, const char* from, int count) {
    BIO_clear_retry_flags(bio);
    auto& bytes = *static_cast<tls_bytes*>(BIO_get_data(bio));
    return bytes.append({from, static_cast<std::size_t>((std::max)(count, 0))}) ? count : -1;
}

inline long tls_bio_control(BIO*, int command, long, void*) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

inline bio_method_ptr make_tls_bio_method() {
    bio_method_ptr method =
        require_memory(bio_method_ptr(BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tern")));
    if (BIO_meth_set_read(method.get(), &tls_bio_read) != 1 || BIO_meth_set_write(method.get(), &tls_bio_write) != 1 ||
        BIO_meth_set_ctrl(method.get(), &tls_bio_control) != 1)
        throw std::bad_alloc();
    return method;
}

/// Makes a BIO on the bytes, which must outlive it.
inline bio_ptr make_tls_bio(tls_bytes& bytes) {
    // It is never freed, because a global client may outlive it.
    static const BIO_METHOD* const method = make_tls_bio_method().release();
    bio_ptr bio = require_memory(bio_ptr(BIO_new(method)));
    BIO_set_data(bio.get(), &bytes);
    BIO_set_init(bio.get(), 1);
    return bio;
}

} // namespace tern::detail
