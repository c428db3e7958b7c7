// The bytes of a negotiation with a proxy that wait: those to be written, and those that arrived after its end.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace tern::detail {

class proxy_dialog {
public:
    std::string_view output() const noexcept { return std::string_view(output_).substr(written_); }

    /// Always 0: none of the bytes are the caller's.
    std::size_t commit_output(std::size_t count) noexcept {
        written_ += count;
        if (written_ == output_.size()) { // it may contain a password
            std::string().swap(output_);
            written_ = 0;
        }
        return 0;
    }

    /// Follows the previous request, of which nothing is left.
    void send(std::string request) noexcept {
        output_ = std::move(request);
        written_ = 0;
    }

    std::string_view leftover() const noexcept { return leftover_; }
    void keep(std::string_view bytes) { leftover_ += bytes; }

private:
    std::string output_;
    std::size_t written_ = 0;
    std::string leftover_;
};

} // namespace tern::detail
