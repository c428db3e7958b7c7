// Checks each endpoint and prints a table. `./dev interop` runs it for all, ctest for those of Mosquitto alone.
//
// usage: test_interop_endpoints [--mosquitto] [word...]
//
// Of several endpoints, those are checked whose names contain all the words. The status is 1 if a check has failed.
#include "endpoints.hpp"

#include "process.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <exception>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace endpoint_table {
namespace {

using namespace interop;
using tern::protocol_version;

struct column {
    endpoint_check check;
    const char* title;
};
constexpr column columns[] = {
    {endpoint_check::small_messages, "64 B"},    {endpoint_check::large_messages, "1 MiB"},
    {endpoint_check::retained, "retained"},      {endpoint_check::will, "will"},
    {endpoint_check::session, "session"},        {endpoint_check::order, "5,000"},
    {endpoint_check::subscriptions, "200 subs"}, {endpoint_check::refusal, "refused"},
    {endpoint_check::restart, "restart"},        {endpoint_check::random_cuts, "cuts"},
};

const char* name_of(protocol_version version) {
    return version == protocol_version::v5 ? "5.0" : "3.1.1";
}

// One line of the table.
struct line {
    std::string endpoint;
    std::string version;
    std::array<std::string, std::size(columns)> cells = {};
    std::string remark = {}; // why something failed or was left out
};

std::string one_line(std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

void print(const line& l) {
    std::printf("%-34s %-6s", l.endpoint.c_str(), l.version.c_str());
    for (const std::string& cell : l.cells)
        std::printf(" %-8s", cell.c_str());
    std::printf(" %s\n", l.remark.c_str());
    std::fflush(stdout);
}

line left_out(const endpoint_row& row, protocol_version version, const std::string& reason) {
    line l{std::string(row.name), name_of(version), {}, "left out: " + reason};
    l.cells.fill("-");
    return l;
}

std::optional<std::string> why_left_out(const endpoint_row& row, protocol_version version) {
    for (const std::string_view program : row.programs)
        if (find_program(program).empty()) return std::string(program) + " is not installed";
    for (const endpoint_limit& each : row.limits)
        if (each.version == version) return std::string(each.reason);
    return std::nullopt;
}

line check(const endpoint_row& row, protocol_version version, running_endpoint& endpoint) {
    line l{std::string(row.name), name_of(version)};
    for (std::size_t i = 0; i != std::size(columns); ++i)
        try {
            run_check(columns[i].check, endpoint, version);
            l.cells[i] = "ok";
        } catch (const std::exception& e) {
            l.cells[i] = "FAILED";
            if (!l.remark.empty()) l.remark += "; ";
            l.remark += std::string(columns[i].title) + ": " + one_line(e.what());
        }
    return l;
}

bool has_failed(const line& l) {
    return std::find(l.cells.begin(), l.cells.end(), "FAILED") != l.cells.end();
}

// Starts the endpoint if it does not run yet.
line start_and_check(const endpoint_row& row, protocol_version version, std::optional<running_endpoint>& endpoint) {
    if (const auto reason = why_left_out(row, version)) return left_out(row, version, *reason);
    try {
        if (!endpoint) endpoint = row.start();
    } catch (const not_available& e) {
        return left_out(row, version, e.what());
    } catch (const std::exception& e) {
        line l{std::string(row.name), name_of(version), {}, one_line(e.what())};
        l.cells.fill("FAILED");
        return l;
    }
    return check(row, version, *endpoint);
}

// Checks an endpoint with both versions and prints the lines. Returns whether all is well.
bool check(const endpoint_row& row) {
    bool is_well = true;
    std::optional<running_endpoint> endpoint;
    for (const protocol_version version : {protocol_version::v3_1_1, protocol_version::v5}) {
        line result = start_and_check(row, version, endpoint);
        if (result.remark.empty()) result.remark = row.note;
        print(result);
        is_well = is_well && !has_failed(result);
    }
    return is_well;
}

bool is_chosen(const endpoint_row& row, const std::vector<std::string_view>& words) {
    return std::all_of(words.begin(), words.end(),
                       [&](std::string_view word) { return row.name.find(word) != std::string_view::npos; });
}

int run(std::vector<std::string_view> words) {
    std::vector<endpoint_row> rows(mosquitto_endpoints().begin(), mosquitto_endpoints().end());
    if (!words.empty() && words.front() == "--mosquitto")
        words.erase(words.begin());
    else
        rows.insert(rows.end(), other_endpoints().begin(), other_endpoints().end());
    std::erase_if(rows, [&](const endpoint_row& row) { return !is_chosen(row, words); });
    if (rows.empty()) {
        std::puts("no endpoint has these words in its name");
        return 2;
    }
    line header{"endpoint", "MQTT"};
    for (std::size_t i = 0; i != std::size(columns); ++i)
        header.cells[i] = columns[i].title;
    header.remark = "(each check with every QoS of the broker)";
    print(header);
    bool is_well = true;
    for (const endpoint_row& row : rows)
        is_well = check(row) && is_well;
    return is_well ? 0 : 1;
}

} // namespace
} // namespace endpoint_table

int main(int count, char** arguments) {
    return endpoint_table::run({arguments + 1, arguments + count});
}
