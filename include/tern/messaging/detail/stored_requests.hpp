// Copies of what the caller of a request passes by view.
#pragma once

#include "tern/detail/fields.hpp"
#include "tern/message.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tern::detail {

/// Properties as an owner of their strings.
template <class Properties>
struct visited_properties : Properties {
    template <class F>
    static void visit(visited_properties& view, F&& f) {
        visit_borrowed(static_cast<Properties&>(view), f, typename Properties::fields{});
    }
};
template <class Properties>
using stored_properties = owned<visited_properties<Properties>>;

template <class Properties>
stored_properties<Properties> store_properties(const Properties& properties) {
    return stored_properties<Properties>(visited_properties<Properties>{properties});
}

/// Topic filters.
class stored_filters {
public:
    explicit stored_filters(std::span<const std::string_view> from)
        : texts_(from.begin(), from.end())
        , filters_(texts_.begin(), texts_.end()) {}
    stored_filters(stored_filters&&) noexcept = default; // the texts stay where they are
    stored_filters& operator=(stored_filters&&) noexcept = default;
    stored_filters(const stored_filters&) = delete;
    stored_filters& operator=(const stored_filters&) = delete;
    ~stored_filters() = default;

    std::span<const std::string_view> view() const noexcept { return filters_; }

private:
    std::vector<std::string> texts_;
    std::vector<std::string_view> filters_;
};

} // namespace tern::detail
