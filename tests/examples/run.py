"""Runs an example and checks its output: run.py DIRECTORY CASE [ARGUMENT...]

Exit code 0: passed, 1: failed, 77: skipped. Each case is a function of this file.
"""

import atexit
import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TIMEOUT = 20  # seconds for anything that a test waits for
MOSQUITTO_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"])

EMULATOR = shlex.split(os.environ.get("TERN_EMULATOR", ""))  # of a cross build, with its arguments

directory = ""


def program(name):
    path = os.path.join(directory, name)
    return path if os.path.exists(path) else path + ".exe"


def command_of(words):
    """Returns the command that runs a program: those of a cross build need an emulator."""
    return [*EMULATOR, *words] if EMULATOR and words[0].startswith(directory) else words


def check(condition, text):
    if not condition:
        sys.exit("FAILED: " + text)


def run(*command, code=0, stdin="", env=None):
    """Runs a program to its end and returns its standard output."""
    done = subprocess.run(
        command_of(command), input=stdin.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT, env=env
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    if done.returncode != code:
        sys.stdout.write(out + err)
        sys.exit("FAILED: exit code %d, not %d: %s" % (done.returncode, code, " ".join(command)))
    return out if code == 0 else out + err


class Background:
    """A program that runs concurrently with the test."""

    def __init__(self, *command):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command_of(command), stdout=subprocess.PIPE, stderr=self.errors, stdin=subprocess.PIPE)
        atexit.register(self.process.kill)  # if a check fails

    def printed(self):
        self.errors.seek(0)
        return self.errors.read().decode()

    def wait_for(self, text):
        """Waits until standard error contains the text."""
        end = time.monotonic() + TIMEOUT
        while text not in self.printed():
            check(self.process.poll() is None, "the program ended before it printed " + text + "\n" + self.printed())
            check(time.monotonic() < end, "timed out waiting for " + text)
            time.sleep(0.01)
        return self

    def end(self, code=0):
        out, _ = self.process.communicate(timeout=TIMEOUT)
        check(self.process.returncode == code, "exit code %d, not %d" % (self.process.returncode, code))
        return out.decode().replace("\r\n", "\n")


def tool(name):
    found = shutil.which(name, path=MOSQUITTO_PATH)
    if not found:
        print("SKIPPED: %s is not installed" % name)
        sys.exit(77)
    return found


@contextlib.contextmanager
def mosquitto(restarts=False, configuration=""):
    """Runs Mosquitto on a free port of the loopback interface and yields the port. With `restarts` it also yields a
    function that kills and restarts the broker. `configuration` are further lines."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        configuration += "user root\n"  # another user cannot use the directory
    broker = tool("mosquitto")
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(5):  # another process may take the port first
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            config = os.path.join(folder, "mosquitto.conf")
            with open(config, "w") as file:
                file.write("listener %d 127.0.0.1\nallow_anonymous true\npersistence false\n" % port)
                file.write(configuration)
            process = subprocess.Popen([broker, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if answers(process, port):
                break
        else:
            sys.exit("FAILED: mosquitto does not start")

        def restart():
            nonlocal process
            process.kill()
            process.wait(TIMEOUT)
            process = subprocess.Popen([broker, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            check(answers(process, port), "mosquitto does not restart")

        try:
            yield (str(port), restart) if restarts else str(port)
        finally:
            process.terminate()
            process.wait(TIMEOUT)


def answers(process, port):
    end = time.monotonic() + TIMEOUT
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return process.poll() is None
        time.sleep(0.01)
    return False


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


# ---- WebSocket


def websocket_on_mosquitto():
    """Mosquitto does not start with listeners for WebSocket alone."""
    broker = tool("mosquitto")
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(5):  # another process may take a port first
            plain, port = free_port(), free_port()
            config = os.path.join(folder, "mosquitto.conf")
            with open(config, "w") as file:
                file.write("allow_anonymous true\nlistener %d 127.0.0.1\n" % plain)
                file.write("listener %d 127.0.0.1\nprotocol websockets\nsocket_domain ipv4\n" % port)
            process = subprocess.Popen([broker, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                if answers(process, port):
                    out = run(program("websocket"), "127.0.0.1", str(port), "/mqtt", "token")
                    check(out.splitlines()[:3] == ["connected", "received hello", "disconnected"], out)
                    return
            finally:
                process.terminate()
                process.wait(TIMEOUT)
        sys.exit("FAILED: mosquitto does not start")


def websocket_is_refused():
    """A server of HTTP that refers to another place."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = Background(program("websocket"), "127.0.0.1", str(listener.getsockname()[1]))
        connection, _ = listener.accept()
        with connection:
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                request += connection.recv(1000)
            check(request.startswith(b"GET /mqtt HTTP/1.1\r\n"), repr(request))
            connection.sendall(b"HTTP/1.1 307 Moved\r\nLocation: wss://other.example/mqtt\r\n\r\n")
        client.end(code=1)
        check("refers to wss://other.example/mqtt" in client.printed(), client.printed())
        check("HTTP status 307" in client.printed(), client.printed())


# ---- the short programs


def compile_time():
    check("home/kitchen/light = on" in run(program("compile_time")), "the message is not printed")


def core_only():
    lines = run(program("core_only")).splitlines()
    for line in ("connected: accepted", "received: home/door = open", "operation 2 completed: success",
                 "connections of the copy: 2, of the original: 1", "stopped: on request"):
        check(line in lines, "not printed: " + line)


EXPECTED_OUTPUT = """\
connected
subscribed, granted QoS 2
received hello with QoS 0
received hello with QoS 1
received hello with QoS 2
the broker answered the ping
disconnected
"""


def check_output(name, *address):
    out = run(program(name), *address).replace("\r\n", "\n")
    check(out == EXPECTED_OUTPUT, "unexpected output:\n" + out)


def callbacks():
    check_output("callbacks")


def coroutine():
    check_output("coroutine")


def futures():
    check_output("futures")


def callbacks_on_mosquitto():
    with mosquitto() as port:
        check_output("callbacks", "127.0.0.1", port)


def coroutine_on_mosquitto():
    with mosquitto() as port:
        check_output("coroutine", "127.0.0.1", port)


def futures_on_mosquitto():
    with mosquitto() as port:
        check_output("futures", "127.0.0.1", port)


def check_subscriptions(*address):
    out = run(program("subscriptions"), *address).replace("\r\n", "\n")
    check(
        out
        == """\
doors: granted QoS 2
the door in the hall: open
temperature in the kitchen: 21.5
temperature in the bath: 24
kitchen, temperature: 21.5
disconnected
""",
        "unexpected output:\n" + out,
    )


def subscriptions():
    check_subscriptions()


def subscriptions_on_mosquitto():
    with mosquitto() as port:
        check_subscriptions("127.0.0.1", port)


def check_request_response(*address):
    out = run(program("request_response"), *address).replace("\r\n", "\n")
    check(
        out == "response: 3\nresponse: 42\nerror: two numbers are needed\ndisconnected\n", "unexpected output:\n" + out
    )


def request_response():
    check_request_response()


def request_response_on_mosquitto():
    with mosquitto() as port:
        check_request_response("127.0.0.1", port)


def blocking_on_mosquitto():
    with mosquitto() as port:
        check_output("blocking", "127.0.0.1", port)


def enhanced_auth():
    name = program("enhanced_auth")
    known = "the broker knows the password, too"
    lines = run(name).splitlines()
    check(lines == [known, "connected", known, "authenticated again"], "wrong output: %s" % lines)
    refused = run(name, "wrong password", code=1)
    check("not authorized" in refused and "connected" not in refused, "not refused: %s" % refused)
    impostor = run(name, "--impostor", code=1)
    check("authenticator has not accepted" in impostor and known not in impostor, "accepted: %s" % impostor)
    lines = run(name, "--vector").splitlines()  # RFC 7677 section 3
    check(lines[0] == "n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "wrong first message: %s" % lines)
    check(lines[1].endswith(",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), "wrong proof: %s" % lines)


def check_serial_line(*arguments):
    lines = run(program("custom_transport"), *arguments).splitlines()
    check(len(lines) == 3 and lines[0].startswith("connected over the line /dev/"), "not connected: %s" % lines)
    check(lines[1:] == ["received 20000 bytes", "disconnected"], "wrong output: %s" % lines)


def custom_transport():
    check_serial_line()


def custom_transport_on_mosquitto():
    with mosquitto() as port:
        check_serial_line("127.0.0.1", port)


def tls_by_url():
    """publish, subscribe and the demo over TLS."""
    with tempfile.TemporaryDirectory() as folder:
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls", "certificates.sh")
        tool("openssl")
        run(script, folder)
        path = lambda name: os.path.join(folder, name)
        lines = "cafile %s\ncertfile %s\nkeyfile %s\n" % (path("ca.pem"), path("server.pem"), path("server.key"))
        with mosquitto(configuration=lines + "require_certificate true\n") as port:
            where = ["--url", "mqtts://localhost:" + port]
            keys = ["--cafile", path("ca.pem"), "--cert", path("client.pem"), "--key", path("client.key")]
            run(program("publish"), *where, *keys, "-t", "a", "-m", "hello", "-q", "1", "-r")
            out = run(program("subscribe"), *where, "--insecure", *keys[2:], "-t", "a", "-C", "1", "-W", "10")
            check(out == "hello\n", "subscribe printed: " + out)
            out = run(program("publish"), *where, "-t", "a", "-m", "x", code=2)
            check("is not trusted" in out, "publish printed: " + out)
            check_demo(run(program("demo"), "--packets", *keys, where[1]), "5.0")


def tls_on_mosquitto():
    with tempfile.TemporaryDirectory() as folder:
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls", "certificates.sh")
        tool("openssl")
        run(script, folder)
        os.chmod(folder, 0o755)
        os.chmod(os.path.join(folder, "server.key"), 0o644)  # the broker runs as another user
        path = lambda name: os.path.join(folder, name)
        lines = "cafile %s\ncertfile %s\nkeyfile %s\n" % (path("ca.pem"), path("server.pem"), path("server.key"))
        with mosquitto(configuration=lines) as port:
            for host in ("localhost", "127.0.0.1"):
                out = run(program("tls"), host, port, path("ca.pem"))
                check(out.splitlines() == ["connected", "received hello", "disconnected"], "tls printed: " + out)
            out = run(program("tls"), "localhost", port, code=1)
            check("is not trusted (another attempt would fail too)" in out, "tls printed: " + out)
        with mosquitto(configuration=lines + "require_certificate true\n") as port:
            run(program("tls"), "localhost", port, path("ca.pem"), path("client.pem"), path("client.key"))
            out = run(program("tls"), "localhost", port, path("ca.pem"), code=1)
            check("requires a client certificate" in out, "tls printed: " + out)


# ---- the demo


def check_demo(out, version):
    check("on MQTT " + version in out, "the version is missing")
    check("FAIL" not in out, "a check of the demo failed")
    check("\033" not in out, "the output to a pipe is coloured")
    for number in range(1, 10):
        check("\n%d. " % number in out, "scene %d is missing" % number)
    for packet in ("CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK",
                   "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT"):
        check(re.search(r"(-->|<--) %s\b" % packet, out), packet + " is missing")


def demo():
    out = run(program("demo"), "--packets")
    check_demo(out, "5.0")
    check("refuses it: bad user name or password" in out, "the refused password is missing")
    without_packets = run(program("demo"))
    check("-->" not in without_packets, "packets are printed without --packets")
    check("--packets" in without_packets, "the hint to --packets is missing")


def demo_3_1_1():
    check_demo(run(program("demo"), "--packets", "--version", "3.1.1"), "3.1.1")


def demo_on_mosquitto():
    with mosquitto() as port:
        check_demo(run(program("demo"), "--packets", "mqtt://127.0.0.1:" + port), "5.0")
        check_demo(run(program("demo"), "--packets", "--version=3.1.1", "mqtt://me:secret@127.0.0.1:" + port), "3.1.1")
        left = run(tool("mosquitto_sub"), "-h", "127.0.0.1", "-p", port, "-t", "#", "-W", "1", "-v", code=27)
        check("tern-" not in left, "the demo leaves retained messages: " + left)


def demo_without_broker():
    with socket.socket() as closed:  # bound but not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        out = run(program("demo"), "mqtt://127.0.0.1:%d" % closed.getsockname()[1], code=1)
    check("FAIL" in out, "the failure is not printed")


def demo_arguments():
    check("usage:" in run(program("demo"), "--help"), "the help is missing")
    for wrong in (["--version", "4"], ["--what"], ["mqtt://"], ["mqtt://host:port"], ["http://host/"],
                  ["--proxy", "ftp://host"], ["unix:"]):
        check("usage:" in run(program("demo"), *wrong, code=2), "the demo accepts %s" % wrong)


# ---- publish and subscribe


def publish_to_mosquitto_sub():
    with mosquitto() as port:
        where = ["-h", "127.0.0.1", "-p", port]
        for version in ("mqttv311", "mqttv5"):
            for qos in ("0", "1", "2"):
                receiver = Background(tool("mosquitto_sub"), *where, "-t", "home/#", "-q", "2", "-C", "1", "-W", "10",
                                      "-F", "%t %p %q %r")
                # The message is retained, so that it arrives even if mosquitto_sub subscribes later.
                run(program("publish"), *where, "-V", version, "-t", "home/a", "-m", "hello", "-q", qos, "-r")
                out = receiver.end()
                check(re.search(r"^home/a hello %s [01]$" % qos, out, re.M), "mosquitto_sub received: " + out)
                run(program("publish"), *where, "-t", "home/a", "-n", "-r", "-q", "1")
        receiver = Background(tool("mosquitto_sub"), *where, "-V", "mqttv5", "-t", "p", "-C", "1", "-W", "10",
                              "-F", "%P")
        run(program("publish"), *where, "-t", "p", "-m", "m", "-r", "-D", "publish", "user-property", "unit", "°C")
        check("unit:°C" in receiver.end(), "the user property did not arrive")


def subscriber(port, *options):
    """Starts the subscribe example and waits until it is subscribed."""
    where = ["-h", "127.0.0.1", "-p", port]
    return Background(program("subscribe"), *where, "-d", "-W", str(TIMEOUT), *options).wait_for("SUBACK")


def subscribe_to_mosquitto_pub():
    with mosquitto() as port:
        where = ["-h", "127.0.0.1", "-p", port]
        for version in ("mqttv311", "mqttv5"):
            for qos in ("0", "1", "2"):
                receiver = subscriber(port, "-V", version, "-t", "home/+", "-q", "2", "-C", "1", "-F", "%t %p %q")
                run(tool("mosquitto_pub"), *where, "-t", "home/a", "-m", "hello", "-q", qos)
                check(receiver.end() == "home/a hello %s\n" % qos, "subscribe printed another message")


def utf8():
    """Arguments, file names, topics and payloads in UTF-8."""
    with mosquitto() as port, tempfile.TemporaryDirectory() as folder:
        where = ["-h", "127.0.0.1", "-p", port]
        topic, payload = "Grüße/温度", "21 °C ☃ 🐦"
        file = os.path.join(folder, "Übersicht.txt")
        with open(file, "wb") as stream:
            stream.write(payload.encode())
        for source in (["-m", payload], ["-f", file]):
            receiver = subscriber(port, "-t", "Grüße/+", "-C", "1", "-v")
            run(program("publish"), *where, "-t", topic, *source)
            out = receiver.end()
            check(out == topic + " " + payload + "\n", "subscribe printed: " + out)
        out = run(program("demo"), "mqtt://grüße.invalid", code=1)
        check("the broker at grüße.invalid:1883" in out, "demo printed: " + out)


def unix_socket():
    """publish and subscribe by URL over a Unix socket."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "broker.sock")
        with mosquitto(configuration="listener 0 " + path + "\n") as port:
            url = "mqtt+unix://" + path.replace("broker", "%62roker")
            receiver = Background(program("subscribe"), "--url", url, "-d", "-W", str(TIMEOUT), "-t", "a", "-C", "1")
            receiver.wait_for("SUBACK")
            run(program("publish"), "--url", "mqtt://user:secret@localhost:1", "-h", "127.0.0.1", "-p", port, "-t", "a",
                "-m", "hello", "-q", "1")
            check(receiver.end() == "hello\n", "subscribe printed another message")
            check_demo(run(program("demo"), "--packets", url), "5.0")


def proxy():
    """publish through a proxy that a thread of this test plays."""
    with mosquitto() as port, socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(TIMEOUT)
        place = "http://user:secret@127.0.0.1:%d" % server.getsockname()[1]
        command = ["-h", "127.0.0.1", "-p", port, "-t", "a", "-m", "hello", "-q", "1"]
        client = subprocess.Popen(
            command_of([program("publish"), "--proxy", place] + command), stderr=subprocess.PIPE
        )
        connection, _ = server.accept()
        connection.settimeout(TIMEOUT)
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += connection.recv(1000)
        check(request.startswith(b"CONNECT 127.0.0.1:" + port.encode() + b" HTTP/1.1\r\n"), "request: %s" % request)
        check(b"\r\nProxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n" in request, "no credentials")
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        _, errors = client.communicate(timeout=TIMEOUT)
        check(client.returncode == 2 and b"HTTP status 403" in errors, "error: %s" % errors)
        check(b"secret" not in errors, "the password is printed")
        env = dict(os.environ, https_proxy=place, no_proxy="127.0.0.0/8")
        run(program("publish"), "--proxy", "environment", *command, env=env)


def lines_and_persistent_session():
    with mosquitto() as port:
        where = ["-h", "127.0.0.1", "-p", port]
        for version in ("311", "5"):
            session = ["-V", version, "-c", "-i", "keeper" + version, "-t", "log/#", "-q", "1"]
            run(program("subscribe"), *where, *session, "-E")
            run(program("publish"), *where, "-t", "log/x", "-l", "-q", "1", stdin="one\ntwo\nthree\n")
            out = run(program("subscribe"), *where, *session, "-C", "3", "-W", "10", "-v").replace("\r\n", "\n")
            check(out == "log/x one\nlog/x two\nlog/x three\n", "the session delivered: " + out)
            run(program("subscribe"), *where, "-V", version, "-c", "-i", "keeper" + version, "-U", "log/#", "-E")
            run(program("publish"), *where, "-t", "log/x", "-m", "four", "-q", "1")
            run(program("subscribe"), *where, "-V", version, "-c", "-i", "keeper" + version, "-t", "other", "-W", "0.3",
                code=27)


def formats():
    with mosquitto() as port:
        receiver = subscriber(port, "-t", "a/#", "-t", "b", "-T", "a/no", "-C", "2", "-q", "1",
                              "-F", "%t|%p|%x|%l|%q|%r|%%", "-N")
        for topic in ("a/no", "a/yes", "b"):
            run(program("publish"), "-h", "127.0.0.1", "-p", port, "-t", topic, "-s", "-q", "1", stdin="hi")
        out = receiver.end()
        check(out == "a/yes|hi|6869|2|1|0|%b|hi|6869|2|1|0|%", "printed: " + out)


def retained():
    with mosquitto() as port:
        where = ["-h", "127.0.0.1", "-p", port]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "payload")
            with open(path, "wb") as file:
                file.write(b"from a file")
            run(program("publish"), *where, "-t", "kept", "-f", path, "-r", "-q", "1")
        out = run(program("subscribe"), *where, "-t", "kept", "-C", "1", "-F", "%p %r").strip()
        check(out == "from a file 1", "printed: " + out)
        run(program("subscribe"), *where, "-t", "kept", "-R", "-W", "0.3", code=27)
        run(program("publish"), *where, "-t", "kept", "-n", "-r", "-q", "1")
        run(program("subscribe"), *where, "-t", "kept", "-W", "0.3", code=27)


def will():
    with mosquitto() as port:
        receiver = subscriber(port, "-t", "state", "-C", "1")
        victim = subscriber(port, "-t", "x", "--will-topic", "state", "--will-payload", "gone", "--will-qos", "1")
        victim.process.kill()
        victim.process.communicate()
        check(receiver.end() == "gone\n", "the will did not arrive")


def interrupt():
    if os.name == "nt":
        sys.exit(77)
    with mosquitto() as port:
        one = subscriber(port, "-t", "x")
        one.process.send_signal(signal.SIGINT)
        one.end(0)
        check("DISCONNECT" in one.printed(), "subscribe ended without DISCONNECT")
        two = Background(program("publish"), "-p", port, "-h", "127.0.0.1", "-t", "x", "-l", "-d").wait_for("CONNACK")
        two.process.send_signal(signal.SIGINT)
        check(two.process.wait(TIMEOUT) == 130, "the exit code of an interrupted publish is not 130")
        check("DISCONNECT" in two.printed(), "publish ended without DISCONNECT")


def resilient():
    if os.name == "nt":
        sys.exit(77)
    with mosquitto(restarts=True) as (port, restart):
        one = Background(program("resilient"), "127.0.0.1", port).wait_for("connected to")
        restart()
        one.wait_for("disconnected").wait_for("attempt 1")
        end = time.monotonic() + TIMEOUT
        while one.printed().count("connected to") < 2:
            check(time.monotonic() < end, "resilient does not reconnect: " + one.printed())
            time.sleep(0.01)
        if EMULATOR:
            return  # Wine passes no signals on
        one.process.send_signal(signal.SIGINT)
        check("connections 2" in one.end(0), "the counters are not printed")


# ---- the daemon


DAEMON_LIMIT = 1  # seconds for what waits when the daemon is asked to end, and the same for DISCONNECT
CONNACK = b"\x20\x03\x00\x00\x00"


def start_daemon(port, limit=DAEMON_LIMIT):
    if os.name == "nt":
        sys.exit(77)
    return Background(program("daemon"), "127.0.0.1", str(port), str(limit))


def end_daemon(one, code, signals=(signal.SIGTERM,)):
    """Sends the signals, and requires the daemon to end in time: what it does takes at most twice the limit, and the
    broker has a second to close the connection. The rest is for a busy machine."""
    begin = time.monotonic()
    for each in signals:
        one.process.send_signal(each)
        one.wait_for("ending")
    one.end(code)
    took = time.monotonic() - begin
    check(took < 2 * DAEMON_LIMIT + 1 + 5, "the daemon took %.1f seconds to end" % took)
    return one.printed()


@contextlib.contextmanager
def refusing_port():
    """A port that is bound and does not listen: connections are refused."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield closed.getsockname()[1]


@contextlib.contextmanager
def accepting_peer(answer=b""):
    """A daemon whose peer accepts the connection, answers CONNECT with these bytes, and then says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(TIMEOUT)
        one = start_daemon(server.getsockname()[1])
        connection, _ = server.accept()
        with connection:
            connection.settimeout(TIMEOUT)
            check(connection.recv(1000)[:1] == b"\x10", "no CONNECT")
            connection.sendall(answer)
            yield one


def example_broker():
    """The broker of the examples, and its port."""
    broker = subprocess.Popen([program("broker"), "0"], stdout=subprocess.PIPE)
    return broker, re.search(rb":(\d+)", broker.stdout.readline()).group(1).decode()


def daemon_before_the_first_connection():
    with refusing_port() as port:
        one = start_daemon(port).wait_for("no connection: Connection refused")
        check("a measurement is lost: the client" in end_daemon(one, 2), "no loss is reported: " + one.printed())


def daemon_ended_by_a_second_signal():
    with refusing_port() as port:
        one = start_daemon(port, limit=600).wait_for("no connection")
        end_daemon(one, 2, (signal.SIGTERM, signal.SIGINT))


def daemon_with_a_full_queue():
    with refusing_port() as port:
        end_daemon(start_daemon(port).wait_for("a measurement is lost: the queue"), 2)


def daemon_with_a_silent_peer():
    with accepting_peer() as one:
        check("\nconnected" not in end_daemon(one, 2), "it is connected without CONNACK")


def daemon_with_a_peer_that_falls_silent():
    with accepting_peer(CONNACK) as one:
        end_daemon(one.wait_for("connected"), 2)


def daemon_refused():
    with accepting_peer(b"\x20\x03\x00\x87\x00") as one:  # not authorized
        one.end(1)
        check("stopped: not authorized" in one.printed(), "printed: " + one.printed())


def daemon_connected():
    with mosquitto() as port:
        for each in (signal.SIGTERM, signal.SIGINT):
            out = end_daemon(start_daemon(port).wait_for("\nconnected"), 0, (each,))
            check(re.search(r"^([1-9]\d*) of \1 measurements acknowledged$", out, re.M), "printed: " + out)


def daemon_between_connections():
    broker, port = example_broker()
    one = start_daemon(port).wait_for("\nconnected")
    broker.kill()
    broker.communicate()
    one.wait_for("no connection: Connection refused")
    end_daemon(one.wait_for("a measurement is lost: the queue"), 2)  # so there are measurements that wait


def broker():
    """The broker for a first try: a program connects, and the broker ends when it is asked to."""
    if os.name == "nt":
        sys.exit(77)
    one, port = example_broker()
    check_output("callbacks", "127.0.0.1", port)
    one.send_signal(signal.SIGINT)
    check(one.wait(TIMEOUT) == 0, "the broker reports violations")


# ----


def tool_errors():
    publish, subscribe = program("publish"), program("subscribe")
    check("Exit code:" in run(publish, "--help") and "Exit code:" in run(subscribe, "--help"), "the help is missing")
    for wrong in ([publish, "-t", "a"], [publish, "-m", "x"], [publish, "-t", "a", "-m", "x", "-q", "3"],
                  [publish, "-t", "a", "-m", "x", "-V", "4"], [publish, "-t", "a", "-m", "x", "-n"],
                  [subscribe], [subscribe, "-t", "a", "-c"], [subscribe, "-t", "a", "-F", "%z"],
                  [publish, "-t", "a", "-m", "x", "-V", "311", "-P", "password-without-user"]):
        run(*wrong, code=1)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = str(closed.getsockname()[1])
        out = run(publish, "-h", "127.0.0.1", "-p", port, "-t", "a", "-m", "x", code=2)
        check("connecting to 127.0.0.1:" + port in out, "the error does not name the address: " + out)
        run(subscribe, "-h", "127.0.0.1", "-p", port, "-t", "a", code=2)
    with mosquitto() as port:
        where = ["-h", "127.0.0.1", "-p", port]
        out = run(publish, *where, "-t", "a/#", "-m", "x", code=1)
        check("wildcard" in out, "the error does not name the wildcard: " + out)
        run(subscribe, *where, "-t", "a/#/b", code=1)
        run(subscribe, *where, "-t", "a", "-W", "0.2", code=27)


def main():
    global directory
    directory = sys.argv[1]
    cases = {name: f for name, f in globals().items() if callable(f)}
    cases[sys.argv[2]](*sys.argv[3:])


if __name__ == "__main__":
    main()
