// Topic names and filters: the standard's examples, and a comparison with a reference that splits them into
// levels.
#include "tern/topic.hpp"

#include "catch.hpp"
#include "strings.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace {

using tern::check_topic_filter;
using tern::check_topic_name;
using tern::errc;
using tern::matches;
using topic_tests::all_strings;
using namespace tern::literals;

constexpr bool is_filter(std::string_view text) {
    return check_topic_filter(text) == errc::none;
}
constexpr bool is_name(std::string_view text) {
    return check_topic_name(text) == errc::none;
}

// §4.7.1.2, multi-level wildcard
static_assert(matches("sport/tennis/player1/#", "sport/tennis/player1"));
static_assert(matches("sport/tennis/player1/#", "sport/tennis/player1/ranking"));
static_assert(matches("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"));
static_assert(matches("sport/#", "sport"));
static_assert(is_filter("#") && matches("#", "sport/tennis") && matches("#", "/"));
static_assert(is_filter("sport/tennis/#"));
static_assert(!is_filter("sport/tennis#"));
static_assert(!is_filter("sport/tennis/#/ranking"));

// §4.7.1.3, single-level wildcard
static_assert(matches("sport/tennis/+", "sport/tennis/player1") && matches("sport/tennis/+", "sport/tennis/player2"));
static_assert(!matches("sport/tennis/+", "sport/tennis/player1/ranking"));
static_assert(!matches("sport/+", "sport") && matches("sport/+", "sport/"));
static_assert(is_filter("+"));
static_assert(is_filter("+/tennis/#"));
static_assert(!is_filter("sport+"));
static_assert(is_filter("sport/+/player1"));
static_assert(matches("+/+", "/finance") && matches("/+", "/finance") && !matches("+", "/finance"));

// §4.7.2, topics beginning with $
static_assert(!matches("#", "$SYS/monitor/Clients"));
static_assert(!matches("+/monitor/Clients", "$SYS/monitor/Clients"));
static_assert(matches("$SYS/#", "$SYS/monitor/Clients"));
static_assert(matches("$SYS/monitor/+", "$SYS/monitor/Clients"));
static_assert(matches("+/$SYS", "a/$SYS"), "only a leading $ is special");

// §4.7.3, semantics and usage
static_assert(!is_name("") && !is_filter(""));
static_assert(!matches("ACCOUNTS", "Accounts"));
static_assert(is_name("Accounts payable") && matches("Accounts payable", "Accounts payable"));
static_assert(!matches("/finance", "finance") && !matches("finance/", "finance"));
static_assert(is_name("/") && is_filter("/") && matches("/", "/") && matches("+/+", "/") && !matches("+", "/"));

// §4.8.2, shared subscriptions
static_assert(is_filter("$share/consumer1/sport/tennis/+"));
static_assert(matches("$share/consumer1/sport/tennis/+", "sport/tennis/player1"));
static_assert(!matches("$share/consumer1/sport/tennis/+", "$share/consumer1/sport/tennis/player1"));
static_assert(matches("$share/consumer1//finance", "/finance") && !matches("$share/consumer1//finance", "finance"));
static_assert(is_filter("$share/consumer1//") && matches("$share/consumer1//", "/"));
static_assert(!is_filter("$share/") && !is_filter("$share/consumer1") && !is_filter("$share/consumer1/"));
static_assert(!is_filter("$share//finance") && !is_filter("$share/con+/finance") && !is_filter("$share/#/finance"));
static_assert(is_filter("$share") && !tern::is_shared("$share"), "without a separator it is an ordinary filter");
static_assert(!matches("$share/g/#", "$SYS/load") && matches("$share/g/$SYS/#", "$SYS/load"));
static_assert(tern::share_name("$share/g/a/b") == "g" && tern::without_share("$share/g/a/b") == "a/b");
static_assert(tern::share_name("$share/g") == "g" && tern::without_share("$share/g").empty());
static_assert(tern::share_name("a/b").empty() && tern::without_share("a/b") == "a/b");

// The types
static_assert("home/+/light"_filter.matches("home/kitchen/light"_topic));
static_assert(!"home/+"_filter.matches("home"_topic));
static_assert("a/b"_topic == tern::topic_name::parse("a/b").value());
static_assert("a/b"_topic.text() == "a/b" && "a/#"_filter.text() == "a/#");
static_assert(tern::topic_name::parse("a/+").error() == errc::invalid_topic_name);
static_assert(tern::topic_filter::parse("a/#/b").error() == errc::invalid_topic_filter);
static_assert(noexcept(check_topic_name("")) && noexcept(check_topic_filter("")) && noexcept(matches("", "")));

// ---- the reference ----

using levels = std::vector<std::string>;

levels split(const std::string& topic) {
    levels all{""};
    for (const char c : topic) {
        if (c == '/')
            all.emplace_back();
        else
            all.back() += c;
    }
    return all;
}

bool contains(const std::string& text, char c) {
    return std::count(text.begin(), text.end(), c) != 0;
}

// The levels of the inner filter. None if the share is incomplete.
levels inner_levels(const std::string& filter) {
    levels all = split(filter);
    if (all.size() == 1 || all[0] != "$share") return all;
    const std::string& name = all[1];
    const bool complete = all.size() > 3 || (all.size() == 3 && all[2] != "");
    if (name.empty() || contains(name, '+') || contains(name, '#') || !complete) return {};
    return {all.begin() + 2, all.end()};
}

errc expected_filter_error(const std::string& filter) {
    if (filter.empty()) return errc::empty_topic;
    const levels all = inner_levels(filter);
    if (all.empty()) return errc::invalid_topic_filter;
    for (std::size_t i = 0; i != all.size(); ++i) {
        if (contains(all[i], '+') && all[i] != "+") return errc::invalid_topic_filter;
        if (contains(all[i], '#') && (all[i] != "#" || i + 1 != all.size())) return errc::invalid_topic_filter;
    }
    return errc::none;
}

errc expected_name_error(const std::string& name) {
    if (name.empty()) return errc::empty_topic;
    return contains(name, '+') || contains(name, '#') ? errc::invalid_topic_name : errc::none;
}

bool expected_match(const std::string& filter, const std::string& name) {
    const levels f = inner_levels(filter);
    const levels n = split(name);
    if (name[0] == '$' && (f[0] == "+" || f[0] == "#")) return false;
    for (std::size_t i = 0; i != f.size(); ++i) {
        if (f[i] == "#") return true;
        if (i == n.size() || (f[i] != "+" && f[i] != n[i])) return i == n.size() && i + 1 == f.size() && f[i] == "#";
    }
    return f.size() == n.size();
}

std::vector<std::string> valid_filters(std::size_t max_size) {
    std::vector<std::string> filters = all_strings("a/+#$", max_size);
    std::erase_if(filters, [](const std::string& text) { return expected_filter_error(text) != errc::none; });
    return filters;
}

} // namespace

TEST_CASE("all filters of up to 8 characters are checked as by the reference [v311:MQTT-4.7.1-1, "
          "v311:MQTT-4.7.1-2, v311:MQTT-4.7.1-3, v5:MQTT-4.7.1-1, v5:MQTT-4.7.1-2]",
          "[topic]") {
    std::size_t wrong = 0;
    std::size_t valid = 0;
    for (const std::string& text : all_strings("a/+#$", 8)) {
        const errc error = check_topic_filter(text);
        valid += error == errc::none;
        if (error != expected_filter_error(text) && ++wrong < 10)
            FAIL_CHECK("\"" << text << "\": " << tern::to_string(error));
    }
    CHECK(wrong == 0);
    CHECK(valid > 10'000); // the reference accepts many
}

TEST_CASE("all names of up to 8 characters are checked as by the reference [v311:MQTT-3.3.2-2, v5:MQTT-3.3.2-2, "
          "v5:MQTT-4.7.0-1]",
          "[topic]") {
    std::size_t wrong = 0;
    for (const std::string& text : all_strings("a/+#$", 8))
        if (check_topic_name(text) != expected_name_error(text) && ++wrong < 10) FAIL_CHECK("\"" << text << "\"");
    CHECK(wrong == 0);
}

TEST_CASE("a wildcard is refused at every position of a name of up to 40 bytes [v311:MQTT-3.3.2-2, v5:MQTT-3.3.2-2]",
          "[topic]") {
    for (std::size_t size = 1; size <= 40; ++size)
        for (std::size_t at = 0; at != size; ++at)
            for (int c = 1; c != 0x80; ++c) {
                std::string name(size, 'a');
                name[at] = static_cast<char>(c);
                const bool wildcard = c == '+' || c == '#';
                if (check_topic_name(name) != (wildcard ? errc::invalid_topic_name : errc::none))
                    FAIL_CHECK("character " << c << " at " << at << " of " << size);
            }
}

TEST_CASE("all shared filters of up to 6 characters after $share are checked as by the reference [v5:MQTT-4.8.2-1, "
          "v5:MQTT-4.8.2-2]",
          "[topic]") {
    std::size_t wrong = 0;
    std::size_t valid = 0;
    for (const std::string& rest : all_strings("a/+#$", 6)) {
        const std::string filter = "$share" + rest;
        const errc error = check_topic_filter(filter);
        valid += error == errc::none;
        if (error != expected_filter_error(filter) && ++wrong < 10) FAIL_CHECK("\"" << filter << "\"");
    }
    CHECK(wrong == 0);
    CHECK(valid > 1'000);
}

TEST_CASE("all filters match the same names as in the reference [v311:MQTT-4.7.2-1, v311:MQTT-4.7.3-4, "
          "v5:MQTT-4.7.2-1, v5:MQTT-4.7.3-4]",
          "[topic]") {
    std::vector<std::string> filters = valid_filters(5);
    for (const std::string& inner : valid_filters(4)) {
        filters.push_back("$share/a/" + inner);
        filters.push_back("$share/$/" + inner);
    }
    std::vector<std::string> names = all_strings("a/$", 5);
    names.erase(names.begin()); // without the empty one
    names.push_back("$share/a/a");

    std::size_t wrong = 0;
    std::size_t matched = 0;
    for (const std::string& filter : filters)
        for (const std::string& name : names) {
            const bool expected = expected_match(filter, name);
            matched += expected;
            if (matches(filter, name) != expected && ++wrong < 10)
                FAIL_CHECK("\"" << filter << "\" and \"" << name << "\"");
        }
    CHECK(wrong == 0);
    CHECK(matched > 5'000);
}

TEST_CASE("matching invalid strings has no undefined behaviour", "[topic]") {
    std::size_t matched = 0;
    const std::vector<std::string> all = all_strings("a/+#$", 4);
    for (const std::string& filter : all)
        for (const std::string& name : all)
            matched += matches(filter, name) + matches("$share" + filter, name);
    CHECK(matched > 0);
}

TEST_CASE("a name and a filter have at least one character [v311:MQTT-4.7.3-1, v5:MQTT-4.7.3-1]", "[topic]") {
    CHECK(check_topic_name("") == errc::empty_topic);
    CHECK(check_topic_filter("") == errc::empty_topic);
}

TEST_CASE("a name and a filter have no null character [v311:MQTT-4.7.3-2, v5:MQTT-4.7.3-2]", "[topic]") {
    using namespace std::string_view_literals;
    CHECK(check_topic_name("a\0b"sv) == errc::null_character);
    CHECK(check_topic_filter("a\0b"sv) == errc::null_character);
    CHECK(check_topic_filter("$share/g\0/b"sv) == errc::null_character);
}

TEST_CASE("a name and a filter have at most 65,535 bytes [v311:MQTT-4.7.3-3, v5:MQTT-4.7.3-3]", "[topic]") {
    for (const char c : {'a', '/'}) {
        const std::string longest(65'535, c);
        const std::string too_long(65'536, c);
        CHECK(check_topic_name(longest) == errc::none);
        CHECK(check_topic_filter(longest) == errc::none);
        CHECK(matches(longest, longest));
        CHECK(check_topic_name(too_long) == errc::string_too_long);
        CHECK(check_topic_filter(too_long) == errc::string_too_long);
    }
}

TEST_CASE("topics are not normalised [v311:MQTT-4.7.3-4, v5:MQTT-4.7.3-4]", "[topic]") {
    CHECK_FALSE(matches("\u00E9", "e\u0301")); // the same letter, composed and decomposed
    CHECK_FALSE(matches("\uFEFFa", "a"));
    CHECK_FALSE(matches("a//b", "a/b"));
    CHECK_FALSE(matches("a/./b", "a/b"));
    CHECK_FALSE(matches("a ", "a"));
}
