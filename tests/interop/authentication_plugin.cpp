// A plugin of Mosquitto for enhanced authentication: the method TERN-TEST has one challenge.
#include <cstddef> // the broker's headers use its names
#include <cstdint>
#include <cstring>
#include <string_view>

extern "C" {
#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
}

namespace {

bool is_text(const mosquitto_evt_extended_auth& e, std::string_view text) {
    return std::string_view(static_cast<const char*>(e.data_in), e.data_in_len) == text;
}

int answer(mosquitto_evt_extended_auth& e, std::string_view text, int code) {
    e.data_out_len = static_cast<std::uint16_t>(text.size());
    e.data_out = mosquitto_malloc(text.size()); // the broker frees it
    if (!e.data_out) return MOSQ_ERR_NOMEM;
    std::memcpy(e.data_out, text.data(), text.size());
    return code;
}

int on_start(int, void* data, void*) {
    auto& e = *static_cast<mosquitto_evt_extended_auth*>(data);
    if (std::string_view(e.auth_method) != "TERN-TEST") return MOSQ_ERR_NOT_SUPPORTED;
    return is_text(e, "hello") ? answer(e, "challenge", MOSQ_ERR_AUTH_CONTINUE) : MOSQ_ERR_AUTH;
}

int on_continue(int, void* data, void*) {
    auto& e = *static_cast<mosquitto_evt_extended_auth*>(data);
    return is_text(e, "response") ? answer(e, "welcome", MOSQ_ERR_SUCCESS) : MOSQ_ERR_AUTH;
}

} // namespace

extern "C" {

int mosquitto_plugin_version(int count, const int* versions) {
    for (int i = 0; i != count; ++i)
        if (versions[i] == 5) return 5;
    return -1;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t* id, void**, mosquitto_opt*, int) {
    const int error = mosquitto_callback_register(id, MOSQ_EVT_EXT_AUTH_START, on_start, nullptr, nullptr);
    return error ? error : mosquitto_callback_register(id, MOSQ_EVT_EXT_AUTH_CONTINUE, on_continue, nullptr, nullptr);
}

int mosquitto_plugin_cleanup(void*, mosquitto_opt*, int) {
    return MOSQ_ERR_SUCCESS;
}

} // extern "C"
