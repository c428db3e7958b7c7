# Compiles calls of a client with arguments that do not fit, and checks that the compiler names the signature, or says
# that Boost.Asio is another library.
#
#     cmake -DCOMPILER=... -DFLAGS=... -DINCLUDES=... -DSOURCE=... -P completion_tokens.cmake
include("${CMAKE_CURRENT_LIST_DIR}/refused_code.cmake")

set(sentence "Tern uses standalone Asio: include <asio.hpp>, and replace boost::asio by asio")

compile()
foreach(signature IN ITEMS CONNECT:connect_result PUBLISH:acknowledgement SUBSCRIBE:acknowledgement
                           UNSUBSCRIBE:acknowledgement RECEIVE:received_message EVENT:connection_event)
    string(REPLACE ":" ";" signature ${signature})
    list(GET signature 0 function)
    list(GET signature 1 result)
    compile(WRONG_${function}_HANDLER "(std::error_code, tern::${result})" "(std::error_code, ${result})")
endforeach()
compile(WRONG_PING_HANDLER "void(std::error_code)" "void (std::error_code)")
compile(NO_TOKEN "no matching")
compile(BRACED_FILTERS "no matching")
compile(BOOST_TOKEN "${sentence}")
compile(BOOST_CALLABLE_TOKEN "${sentence}")
compile(BOOST_CONTEXT "${sentence}")
compile(BOOST_EXECUTOR "${sentence}")
compile(BOOST_CLIENT "${sentence}")
compile(SHARED_BOOST_TOKEN "${sentence}")
compile(SHARED_BOOST_CONTEXT "${sentence}")
compile(SHARED_WRONG_CALL_HANDLER "void(std::error_code, int)" "void (std::error_code, int)")
