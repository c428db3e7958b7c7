// Declares the public types, for headers that only name them.
#pragma once

#include "tern/detail/compiler.hpp"

#include <cstdint>

namespace asio {
class any_io_executor;
}

namespace tern {

// ---- vocabulary

enum class errc : std::uint8_t;
enum class packet_type : std::uint8_t;
enum class payload_format : std::uint8_t;
enum class property_id : std::uint8_t;
enum class protocol_version : std::uint8_t;
enum class qos : std::uint8_t;
enum class reason_code : std::uint8_t;
enum class retain_handling : std::uint8_t;

struct message;
struct message_properties;
struct message_view;
struct user_property;
class payload_view;
class topic_filter;
class topic_name;
template <class T>
class topic_map;

// ---- codec

enum class packet_direction : std::uint8_t;

struct ack_properties;
struct auth;
struct connack;
struct connack_properties;
struct connect;
struct connect_properties;
struct disconnect;
struct disconnect_properties;
struct pingreq;
struct pingresp;
struct publish;
struct subscribe;
struct subscribe_properties;
struct subscription;
struct unsubscribe;
struct unsubscribe_properties;

// ---- session

enum class acknowledgement_mode : std::uint8_t;
enum class connection_change : std::uint8_t;
enum class connection_end : std::uint8_t;
enum class message_token : std::uint64_t;
enum class op_id : std::uint64_t;

struct acknowledgement;
struct acknowledgement_view;
struct connect_options;
struct connection_event;
struct connection_event_view;
struct connection_terms;
struct connection_terms_view;
struct counters;
struct publish_options;
struct queue_options;
struct received;
struct reconnect_policy;
class owned_connect_options;
struct subscribe_options;
struct unsubscribe_options;
class filter_list;
class session;
class subscription_list;

// ---- transport

template <class Executor = asio::any_io_executor>
class basic_tcp;

using tcp = basic_tcp<>;

template <class Executor = asio::any_io_executor>
class basic_local;

/// A Unix domain socket.
using local = basic_local<>;

template <class Next>
class basic_tls;

/// TLS over TCP.
using tls = basic_tls<tcp>;

template <class Next>
class basic_websocket;

/// WebSocket over TCP.
using websocket = basic_websocket<tcp>;

template <class Next>
class basic_proxy;

template <class Executor = asio::any_io_executor>
class basic_any_transport;

/// A transport that is chosen at run time, by the scheme of the endpoint.
using any_transport = basic_any_transport<>;

struct proxy_options;
struct tcp_keep_alive;
struct tcp_options;
struct tls_options;
struct websocket_options;
class name_lookup;

// ---- client

struct connect_result;
struct received_message;
enum class log_level : std::uint8_t;
class authentication_step;
class connect_attempt;
class event_position;
template <class Transport, class Executor = asio::any_io_executor>
class basic_client;

/// The client over TCP.
using client = basic_client<tcp>;

/// The client whose transport is chosen by the scheme of the endpoint.
using any_client = basic_client<any_transport>;

// ---- messaging

template <class Transport, class Executor = asio::any_io_executor>
class basic_shared_client;
template <class Transport, class Executor>
class shared_controls;

/// The client over TCP that any thread may call.
using shared_client = basic_shared_client<tcp>;

template <class Transport, class Executor = asio::any_io_executor>
class basic_shared_router;
template <class Transport, class Executor = asio::any_io_executor>
class basic_shared_inbox;

/// Its subscriptions with inboxes, and its requests.
using shared_router = basic_shared_router<tcp>;
using shared_inbox = basic_shared_inbox<tcp>;

template <class Transport>
class basic_blocking_client;
template <class Transport>
class basic_blocking_router;
template <class Transport>
class basic_blocking_inbox;
template <class T>
struct call_result;

/// The client over TCP whose calls wait for their results.
using blocking_client = basic_blocking_client<tcp>;
/// Its subscriptions with inboxes, and its requests.
using blocking_router = basic_blocking_router<tcp>;
using blocking_inbox = basic_blocking_inbox<tcp>;

enum class full_inbox_action : std::uint8_t;
enum class router_change : std::uint8_t;
enum class unmatched_action : std::uint8_t;
struct inbox_options;
struct online_state_options;
struct request_options;
struct requester_counters;
struct requester_options;
struct responder_counters;
struct responder_options;
struct router_counters;
struct router_event;
struct router_options;
class matched_levels;
class subscription_message;
template <class Executor = asio::any_io_executor>
class subscription_inbox;
template <class Client>
class message_router;
template <class Client>
class online_state;
template <class Client>
class requester;
template <class Client>
class responder;

} // namespace tern
