// The module `tern`, an experiment: everything that `tern/tern.hpp`, `tern/core.hpp` and `tern/messaging` declare for
// users.
//
// It also exports what a program needs of Asio: Clang 19 does not find functions of Asio that a file declares by an
// include and by the import. Macros are not exported.
module;

#include "tern/core.hpp"
#include "tern/messaging/blocking_client.hpp"
#include "tern/messaging/blocking_router.hpp"
#include "tern/messaging/message_router.hpp"
#include "tern/messaging/online_state.hpp"
#include "tern/messaging/requester.hpp"
#include "tern/messaging/responder.hpp"
#include "tern/messaging/shared_client.hpp"
#include "tern/messaging/shared_router.hpp"
#include "tern/tern.hpp"
#include "tern/transport/tcp.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>

export module tern;

export namespace tern {

// ---- vocabulary

using tern::as_payload;
using tern::check_topic_filter;
using tern::check_topic_name;
using tern::errc;
using tern::message;
using tern::message_properties;
using tern::message_view;
using tern::owned;
using tern::packet_direction;
using tern::packet_id;
using tern::packet_type;
using tern::payload_format;
using tern::payload_view;
using tern::property_id;
using tern::protocol_category;
using tern::protocol_version;
using tern::qos;
using tern::reason_code;
using tern::refusal_category;
using tern::result;
using tern::retain_handling;
using tern::sequence;
using tern::subscription_identifiers_view;
using tern::topic_filter;
using tern::topic_map;
using tern::topic_name;
using tern::usage_category;
using tern::user_properties_view;
using tern::user_property;
using tern::version;

// ---- codec

using tern::ack_properties;
using tern::any_packet;
using tern::auth;
using tern::connack;
using tern::connack_properties;
using tern::connect;
using tern::connect_properties;
using tern::decode;
using tern::disconnect;
using tern::disconnect_properties;
using tern::encode;
using tern::filters_view;
using tern::frame;
using tern::next_frame;
using tern::pingreq;
using tern::pingresp;
using tern::puback;
using tern::pubcomp;
using tern::publish;
using tern::pubrec;
using tern::pubrel;
using tern::reason_codes_view;
using tern::suback;
using tern::subscribe;
using tern::subscribe_properties;
using tern::subscription;
using tern::subscriptions_view;
using tern::unsuback;
using tern::unsubscribe;
using tern::unsubscribe_properties;

// ---- session

using tern::ack_timeout_action;
using tern::acknowledgement;
using tern::acknowledgement_mode;
using tern::acknowledgement_view;
using tern::classify_failure;
using tern::completed;
using tern::connect_options;
using tern::connected;
using tern::connection_change;
using tern::connection_end;
using tern::connection_event;
using tern::connection_event_view;
using tern::connection_terms;
using tern::connection_terms_view;
using tern::connection_phase;
using tern::counters;
using tern::endpoint;
using tern::event;
using tern::failure_class;
using tern::filter_list;
using tern::full_queue_action;
using tern::invalid_message_action;
using tern::message_token;
using tern::op_id;
using tern::owned_connect_options;
using tern::publish_options;
using tern::queue_options;
using tern::received;
using tern::reconnect_policy;
using tern::session;
using tern::session_never_expires;
using tern::subscribe_options;
using tern::subscription_list;
using tern::subscription_state;
using tern::subscription_status;
using tern::time_point;
using tern::to_string;
using tern::transport_action;
using tern::unsubscribe_options;

// ---- transport

using tern::basic_tcp;
using tern::name_lookup;
using tern::tcp;
using tern::tcp_keep_alive;
using tern::tcp_options;
using tern::transport;
using tern::readable_transport;
using tern::seeded_transport;
using tern::writes_at_once;

// ---- client

using tern::basic_client;
using tern::client;
using tern::authentication_purpose;
using tern::authentication_request;
using tern::authentication_stage;
using tern::authentication_step;
using tern::connect_attempt;
using tern::connect_result;
using tern::event_position;
using tern::client_end;
using tern::log_level;
using tern::message_route;
using tern::message_sink;
using tern::received_message;

// ---- messaging

using tern::basic_blocking_client;
using tern::basic_blocking_inbox;
using tern::basic_blocking_router;
using tern::basic_shared_client;
using tern::basic_shared_inbox;
using tern::basic_shared_router;
using tern::blocking_client;
using tern::blocking_inbox;
using tern::blocking_router;
using tern::call_result;
using tern::full_inbox_action;
using tern::inbox_options;
using tern::matched_levels;
using tern::message_router;
using tern::online_state;
using tern::online_state_options;
using tern::request_options;
using tern::requester;
using tern::requester_counters;
using tern::requester_options;
using tern::responder;
using tern::responder_counters;
using tern::responder_options;
using tern::response_error;
using tern::router_change;
using tern::router_counters;
using tern::router_event;
using tern::router_options;
using tern::shared_client;
using tern::shared_controls;
using tern::shared_inbox;
using tern::shared_router;
using tern::subscription_inbox;
using tern::subscription_message;
using tern::unmatched_action;

} // namespace tern

// Of constants of Asio, such as `asio::use_awaitable`, a module can export the types only.
export namespace asio {

using asio::any_io_executor;
using asio::awaitable;
using asio::co_spawn;
using asio::detached_t;
using asio::io_context;
using asio::make_strand;
using asio::steady_timer;
using asio::strand;
using asio::use_awaitable_t;
using asio::use_future_t;

namespace this_coro {
using asio::this_coro::executor_t;
} // namespace this_coro

} // namespace asio
