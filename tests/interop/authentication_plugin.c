/* A plugin of Mosquitto for enhanced authentication: the method TERN-TEST has one challenge. */
#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>

#include <string.h>

static int is_text(const struct mosquitto_evt_extended_auth* e, const char* text) {
    return e->data_in_len == strlen(text) && memcmp(e->data_in, text, e->data_in_len) == 0;
}

static int answer(struct mosquitto_evt_extended_auth* e, const char* text, int code) {
    e->data_out_len = (uint16_t)strlen(text);
    e->data_out = mosquitto_malloc(e->data_out_len); /* the broker frees it */
    if (!e->data_out) return MOSQ_ERR_NOMEM;
    memcpy(e->data_out, text, e->data_out_len);
    return code;
}

static int on_start(int event, void* data, void* user) {
    struct mosquitto_evt_extended_auth* e = data;
    (void)event;
    (void)user;
    if (strcmp(e->auth_method, "TERN-TEST") != 0) return MOSQ_ERR_NOT_SUPPORTED;
    return is_text(e, "hello") ? answer(e, "challenge", MOSQ_ERR_AUTH_CONTINUE) : MOSQ_ERR_AUTH;
}

static int on_continue(int event, void* data, void* user) {
    struct mosquitto_evt_extended_auth* e = data;
    (void)event;
    (void)user;
    return is_text(e, "response") ? answer(e, "welcome", MOSQ_ERR_SUCCESS) : MOSQ_ERR_AUTH;
}

int mosquitto_plugin_version(int count, const int* versions) {
    for (int i = 0; i != count; ++i)
        if (versions[i] == 5) return 5;
    return -1;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t* id, void** user, struct mosquitto_opt* options, int count) {
    (void)user;
    (void)options;
    (void)count;
    const int error = mosquitto_callback_register(id, MOSQ_EVT_EXT_AUTH_START, on_start, NULL, NULL);
    return error ? error : mosquitto_callback_register(id, MOSQ_EVT_EXT_AUTH_CONTINUE, on_continue, NULL, NULL);
}

int mosquitto_plugin_cleanup(void* user, struct mosquitto_opt* options, int count) {
    (void)user;
    (void)options;
    (void)count;
    return MOSQ_ERR_SUCCESS;
}
