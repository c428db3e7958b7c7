// Access control: user names, passwords and access control lists.
#include "interop_client.hpp"

#include <array>

namespace {

using namespace interop;
using tern::protocol_version;
using tern::reason_code;

// Mosquitto answers 5 in 3.1.1 and 0x87 in 5.0.
void require_refused(interop_client& client) {
    const auto answer = client.connect();
    CHECK(answer.error == reason_code::not_authorized);
    CHECK(answer.error.category() == tern::refusal_category());
    CHECK(answer.value.reason_code == reason_code::not_authorized);
    CHECK_FALSE(answer.value.session_present);
    CHECK_FALSE(client.is_connected());
}

void passwords(protocol_version version) {
    mosquitto restricted("allow_anonymous false\npassword_file @/password\n",
                         {{"password", "tern:$7$101$MNOZPEqtmtsvMSjN$JNZXN0Hhe8NCm294CyovjfMHpK9N8zirxsRAwzTk+ezo"
                                       "LqhAjDSGUvb+IF/5JM6rS+8aY/HY5tWPPdghz/gixg==\n"}}); // s3cret
    test_environment w(restricted);
    interop_client client(w, version, "client");
    require_refused(client);

    client.options.user_name = "tern";
    client.options.password = "wrong";
    require_refused(client);
    client.options.password = "";
    require_refused(client);
    client.options.user_name = "gull";
    client.options.password = "s3cret";
    require_refused(client);

    client.options.user_name = "tern";
    client.connects();
    client.pings();
}
INTEROP_CASE_BOTH(passwords, "the broker refuses a wrong password and accepts the right one",
                  "[v311:MQTT-3.1.4-4] [v311:MQTT-3.2.2-4] [v311:MQTT-3.2.2-5]",
                  "[v5:MQTT-3.1.4-2] [v5:MQTT-3.1.4-5] [v5:MQTT-3.2.2-7]")

void access_control(protocol_version version) {
    mosquitto restricted("allow_anonymous true\nacl_file @/acl\n",
                         {{"acl", "topic readwrite tern/#\ntopic write writeonly/#\ntopic read readonly/#\n"}});
    test_environment w(restricted);
    const std::string denied = "readonly/" + w.unique("t");
    const std::string silent = "writeonly/" + w.unique("t");
    const std::string allowed = w.unique("t");
    for (const qos level : {qos::at_least_once, qos::exactly_once}) {
        // 3.1.1 cannot refuse a message. Some brokers close the connection; Mosquitto 2.0.11 acknowledges and closes.
        auto intruder = connected(w, version, "intruder");
        const auto answer = intruder.publish({.topic = denied, .payload = "x", .qos = level});
        if (version == v5) {
            CHECK(answer.error == reason_code::not_authorized);
            CHECK(answer.value.reason_code == reason_code::not_authorized);
        } else if (answer.error) {
            CHECK_FALSE(intruder.is_connected());
        }
    }
    auto client = connected(w, version, "client");
    const std::array filters{tern::subscription{.filter = denied}, tern::subscription{.filter = silent},
                             tern::subscription{.filter = allowed}};
    REQUIRE_FALSE(client.subscribe(filters).error);
    for (const std::string& topic : {silent, allowed})
        client.publishes({.topic = topic, .payload = "x", .qos = qos::exactly_once});
    CHECK(client.receives().topic == allowed);
    client.receives_nothing();
}
INTEROP_CASE_BOTH(access_control, "a publish without permission is refused", "[v311:MQTT-3.3.5-2]",
                  "[v5:MQTT-3.4.2-1] [v5:MQTT-3.5.2-1]")

// Mosquitto refuses subscriptions only with a plugin.
std::filesystem::path find_dynamic_security() {
    constexpr std::string_view name = "mosquitto_dynamic_security.so";
    for (const std::filesystem::path root :
         {"/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib", "/opt/local/lib"}) {
        if (exists(root / name)) return root / name;
        std::error_code ignored;
        for (const auto& folder : std::filesystem::directory_iterator(root, ignored))
            if (exists(folder.path() / name)) return folder.path() / name;
    }
    return {};
}

void mixed_subscriptions(protocol_version version) {
    const auto plugin = find_dynamic_security();
    if (plugin.empty()) {
        WARN("SKIPPED: Mosquitto's dynamic security plugin is not installed");
        return;
    }
    constexpr std::string_view rules = R"({
        "defaultACLAccess": {"publishClientSend": true, "publishClientReceive": true,
                             "subscribe": true, "unsubscribe": true},
        "anonymousGroup": "all",
        "groups": [{"groupname": "all", "roles": [{"rolename": "guest"}]}],
        "roles": [{"rolename": "guest",
                   "acls": [{"acltype": "subscribePattern", "topic": "secret/#", "allow": false}]}]
    })";
    mosquitto restricted("plugin " + plugin.string() +
                             "\nplugin_opt_config_file @/rules\nlog_type warning\n"
                             "log_type information\nlog_type error\nallow_anonymous true\n",
                         {{"rules", rules}});
    test_environment w(restricted);
    auto client = connected(w, version, "client");
    const std::array filters{
        tern::subscription{.filter = "open/1", .max_qos = qos::exactly_once},
        tern::subscription{.filter = "secret/2", .max_qos = qos::exactly_once},
        tern::subscription{.filter = "open/3", .max_qos = qos::at_most_once},
        tern::subscription{.filter = "secret/#", .max_qos = qos::at_least_once},
        tern::subscription{.filter = "open/5", .max_qos = qos::at_least_once},
    };
    const auto answer = client.subscribe(filters);
    const reason_code refusal = version == v5 ? reason_code::not_authorized : reason_code::unspecified_error;
    CHECK(answer.error == refusal);
    CHECK(answer.value.reason_code == refusal);
    const std::array expected{reason_code::granted_qos_2, refusal, reason_code::granted_qos_0, refusal,
                              reason_code::granted_qos_1};
    CHECK(answer.value.reason_codes == tern::reason_codes_view(expected));

    // The other filters are subscribed.
    client.publishes({.topic = "secret/2", .payload = "x", .qos = qos::exactly_once});
    for (const std::string_view topic : {"open/1", "open/3", "open/5"}) {
        client.publishes({.topic = topic, .payload = "x", .qos = qos::exactly_once});
        CHECK(client.receives().topic == topic);
    }
    client.receives_nothing();
}
INTEROP_CASE_BOTH(mixed_subscriptions, "each of several filters gets its own result",
                  "[v311:MQTT-3.8.4-1] [v311:MQTT-3.8.4-4] [v311:MQTT-3.8.4-5] [v311:MQTT-3.9.3-1]",
                  "[v5:MQTT-3.8.4-5] [v5:MQTT-3.8.4-6] [v5:MQTT-3.8.4-7] [v5:MQTT-3.9.3-1]")

} // namespace
