# Checks the includes of every header against the rooms of the architecture: cmake -DROOT=<include/tern> -P <this file>
#
# A room is a folder; the vocabulary is what lies in include/tern itself and in include/tern/detail. A room includes only
# rooms below it, and a detail/ folder is for its own room alone, except the vocabulary's, which every room may use.
# "top" stands for tern.hpp, core.hpp and format.hpp.
cmake_minimum_required(VERSION 3.24)

# Inside session and client the sub-rooms obey the same rule. No headers include each other in a circle.

set(may_include_vocabulary vocabulary)
set(may_include_codec codec vocabulary)
set(may_include_session session codec vocabulary)
set(may_include_store store session/snapshot.hpp vocabulary)
set(may_include_transport transport vocabulary)
set(may_include_client client session transport codec vocabulary)
set(may_include_testing testing client transport store session codec vocabulary)
set(may_include_top core.hpp testing client transport store session codec vocabulary)

# The sub-rooms of a room, and which others of the same room each of them may include. "words" are the room's public
# headers that hold types and options, "door" is the class that users make. "detail" are the headers directly in detail/:
# the classes that own those of the folders in it.
set(may_include_session_memory session_memory)
set(may_include_session_words session_words session_memory)
set(may_include_session_send session_send session_words session_memory)
set(may_include_session_receive session_receive session_words session_memory)
set(may_include_session_subscribe session_subscribe session_words session_memory)
set(may_include_session_detail
    session_detail session_send session_receive session_subscribe session_words session_memory
)
set(may_include_session_door session_door ${may_include_session_detail})

set(may_include_client_words client_words)
set(may_include_client_operations client_operations)
set(may_include_client_delivery client_delivery client_operations client_words)
set(may_include_client_transport client_transport client_words)
set(may_include_client_detail
    client_detail client_delivery client_transport client_operations client_words
)
set(may_include_client_door client_door ${may_include_client_detail})

# Includes that break these rules until the headers are rebuilt: "header>included header".
set(tolerated
    "client/detail/opening.hpp>client/detail/link.hpp"
    "session/detail/handshake.hpp>session/session.hpp"
    "session/detail/incoming.hpp>session/session.hpp"
    "session/detail/publishing.hpp>session/detail/sender.hpp"
    "session/detail/requests.hpp>session/session.hpp"
    "session/detail/resume.hpp>session/detail/sender.hpp"
    "session/reconnect.hpp>session/detail/box.hpp"
)

set(asio_in_testing "broker|pipe|virtual_clock|network|link|scripted_peer")
set(asio_in_testing_detail "broker_timer|waiting|pipe_wire|clock_state|link_flow|network_state|peer_script")
set(may_include_asio
    "^(transport|client)/|^testing/((${asio_in_testing})|detail/(${asio_in_testing_detail}))\\.hpp$|^tern\\.hpp$"
)
set(may_include_fmt "^format\\.hpp$")

function(room_of header result)
    if(header MATCHES "^(tern|core|format)\\.hpp$")
        set(room top)
    elseif(header MATCHES "^([a-z0-9_]+)/" AND NOT CMAKE_MATCH_1 STREQUAL "detail")
        set(room "${CMAKE_MATCH_1}")
    else()
        set(room vocabulary)
    endif()
    set(${result} "${room}" PARENT_SCOPE)
endfunction()

# The sub-room of a header of session or client; empty in other rooms.
function(sub_room_of header result)
    set(sub_room "")
    if(header MATCHES "^session/session\\.hpp$|^client/(basic_)?client\\.hpp$")
        set(sub_room door)
    elseif(header STREQUAL "session/detail/topic_aliases.hpp") # for both directions
        set(sub_room memory)
    elseif(header MATCHES "^(session|client)/detail/([a-z0-9_]+)/")
        set(sub_room "${CMAKE_MATCH_2}")
    elseif(header MATCHES "^(session|client)/detail/")
        set(sub_room detail)
    elseif(header MATCHES "^(session|client)/")
        set(sub_room words)
    endif()
    if(sub_room)
        room_of("${header}" room)
        set(sub_room "${room}_${sub_room}")
        if(NOT DEFINED may_include_${sub_room})
            message(FATAL_ERROR "${header}: the sub-room '${sub_room}' is not in the architecture")
        endif()
    endif()
    set(${result} "${sub_room}" PARENT_SCOPE)
endfunction()

set(violations 0)
macro(violation why)
    math(EXPR violations "${violations} + 1")
    message(NOTICE "${header}: includes ${include}: ${why}")
endmacro()

file(GLOB_RECURSE headers RELATIVE "${ROOT}" "${ROOT}/*.hpp")
if(NOT headers)
    message(FATAL_ERROR "No headers in '${ROOT}'")
endif()
foreach(header IN LISTS headers)
    room_of("${header}" room)
    if(NOT DEFINED may_include_${room})
        message(FATAL_ERROR "${header}: the room '${room}' is not in the architecture")
    endif()
    sub_room_of("${header}" sub_room)
    file(STRINGS "${ROOT}/${header}" lines REGEX "^[ \t]*#[ \t]*include")
    foreach(line IN LISTS lines)
        string(REGEX REPLACE "^[^<\"]*([<\"][^>\"]*[>\"]).*" "\\1" include "${line}")
        if(include MATCHES "^[<\"]tern/(.*)[>\"]$")
            set(target "${CMAKE_MATCH_1}")
            if("${header}>${target}" IN_LIST tolerated)
                continue()
            endif()
            list(APPEND "includes_of_${header}" "${target}")
            room_of("${target}" target_room)
            sub_room_of("${target}" target_sub_room)
            if(NOT target_room IN_LIST may_include_${room} AND NOT target IN_LIST may_include_${room})
                violation("${room} must not know ${target_room}")
            elseif(target MATCHES "/detail/" AND NOT target_room STREQUAL room)
                violation("detail/ is for its own room alone")
            elseif(header MATCHES "^(core|format)\\.hpp$" AND target MATCHES "${may_include_asio}")
                violation("this header is without Asio")
            elseif(target_room STREQUAL room AND sub_room AND NOT target_sub_room IN_LIST may_include_${sub_room})
                violation("${sub_room} must not know ${target_sub_room}")
            endif()
        elseif(include MATCHES "^\"")
            violation("a path starts at tern/")
        elseif(include MATCHES "^<asio[/.]" AND NOT header MATCHES "${may_include_asio}")
            violation("this header is without Asio")
        elseif(include MATCHES "^<fmt/" AND NOT header MATCHES "${may_include_fmt}")
            violation("only format.hpp needs fmt")
        endif()
    endforeach()
endforeach()

# Takes away every header that includes none of the rest, until only those are left that lead to a circle.
list(LENGTH headers count)
set(rest ${headers})
set(before)
while(NOT "${rest}" STREQUAL "${before}")
    set(before "${rest}")
    foreach(header IN LISTS before)
        set(includes_rest FALSE)
        foreach(target IN LISTS "includes_of_${header}")
            if(target IN_LIST rest)
                set(includes_rest TRUE)
                break()
            endif()
        endforeach()
        if(NOT includes_rest)
            list(REMOVE_ITEM rest "${header}")
        endif()
    endforeach()
endwhile()
if(rest)
    math(EXPR violations "${violations} + 1")
    list(JOIN rest " " names)
    message(NOTICE "These headers include each other in a circle, or lead to one: ${names}")
endif()

if(violations)
    message(FATAL_ERROR "${violations} violations in ${count} headers")
endif()
message(STATUS "${count} headers, no violation")
