// A list of topic filters that owns them.
#pragma once

#include "tern/detail/containers.hpp"
#include "tern/detail/inline.hpp"
#include "tern/message.hpp"

#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace tern {

/// Topic filters that own their texts. Pass it to an operation that starts later, when the strings of the caller no
/// longer exist:
///
///     tern::filter_list filters{"a/#", own_topic};
///     auto unsubscribe = client.async_unsubscribe(std::move(filters), asio::deferred);
class filter_list {
public:
    filter_list() = default;
    TERN_COLD explicit filter_list(std::span<const std::string_view> filters) { assign(filters); }
    TERN_COLD explicit filter_list(std::span<const std::string> filters) { assign(filters); }
    filter_list(std::initializer_list<std::string_view> filters)
        : filter_list(std::span<const std::string_view>(filters.begin(), filters.size())) {}
    TERN_COLD filter_list(const filter_list& other) : filter_list(other.view()) {}
    filter_list(filter_list&&) noexcept = default;
    TERN_COLD filter_list& operator=(const filter_list& other) { return *this = filter_list(other); }
    filter_list& operator=(filter_list&&) noexcept = default;
    ~filter_list() = default;

    /// The filters, which must not outlive this object.
    std::span<const std::string_view> view() const& noexcept { return {filters_.data(), filters_.size()}; }
    std::span<const std::string_view> view() && = delete;
    std::span<const std::string_view> view() const&& = delete;

private:
    template <class Text>
    void assign(std::span<const Text> filters) {
        std::size_t size = 0;
        for (const std::string_view each : filters)
            size += each.size();
        if (size != 0) text_ = detail::allocate_block(size);
        filters_.reserve(filters.size());
        char* p = text_.get();
        for (const std::string_view each : filters) {
            filters_.push_back({p, each.copy(p, each.size())});
            p += each.size();
        }
    }

    detail::growing_array<std::string_view> filters_;
    detail::owned_block text_;
};

} // namespace tern
