// The terms of a client's connections.
#include "network_test.hpp"

namespace {

TEST_CASE("A client shows the terms of its newest connection, which it owns [v5:MQTT-3.2.2-21]") {
    virtual_time_fixture w;
    CHECK(w.client.connection().receive_maximum == 65'535); // before any connection
    auto options = virtual_time_fixture::lasting();
    options.client_id = "";
    options.properties.request_response_information = true;
    w.server.connected_as(w.client, options,
                          {.properties = {.receive_maximum = 10,
                                          .assigned_client_identifier = "yours",
                                          .server_keep_alive = 30s,
                                          .response_information = "answers/"}});
    const connection_terms first = w.client.connection();
    CHECK(first.receive_maximum == 10);
    CHECK(first.client_id == "yours");
    CHECK(first.keep_alive == 30s);
    CHECK(first.response_information == "answers/");
    CHECK_FALSE(first.session_present);
    w.cut();
    w.server.accepts({.session_present = true, .properties = {.topic_alias_maximum = 3}});
    w.net.run_for(1s);
    const connection_terms second = w.client.connection();
    CHECK(second.session_present);
    CHECK(second.receive_maximum == 65'535);
    CHECK(second.topic_alias_maximum == 3);
    CHECK(second.client_id == "yours"); // also on later connections
    CHECK(first.response_information == "answers/");
}

TEST_CASE("A client whose broker assigns no identifier says so once, and works [v5:MQTT-3.2.2-16]") {
    virtual_time_fixture w;
    std::vector<std::string> lines;
    w.client.set_log(log_level::warning, [&](log_level, std::string_view line) { lines.push_back(std::string(line)); });
    auto options = virtual_time_fixture::lasting();
    options.client_id = "";
    w.connect(options);
    CHECK(w.next_event(connection_change::client_id_not_assigned).error == errc::missing_assigned_client_id);
    REQUIRE_FALSE(w.client.try_publish("t", "x", qos::at_least_once));
    CHECK(w.server.expect<publish>().message.topic == "t");
    w.server.send(puback{1});
    w.net.run_for(1s);
    CHECK(lines.size() == 1);
}

} // namespace
