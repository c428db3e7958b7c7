"""Runs an example and looks at what it prints: run.py DIRECTORY CASE [ARGUMENT...]

Exit code 0: as expected, 1: not, 77: cannot be tried here. Each case is a function of this file.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PATIENCE = 20  # seconds after which something will not happen any more
MOSQUITTO_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"])

directory = ""


def program(name):
    return os.path.join(directory, name + (".exe" if os.name == "nt" else ""))


def check(condition, text):
    if not condition:
        sys.exit("FAILED: " + text)


def run(*command, code=0, stdin="", env=None):
    """Runs to the end; returns what was printed to standard output."""
    done = subprocess.run(
        command, input=stdin.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE, env=env
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    if done.returncode != code:
        sys.stdout.write(out + err)
        sys.exit("FAILED: exit code %d, not %d: %s" % (done.returncode, code, " ".join(command)))
    return out if code == 0 else out + err


class Background:
    """A program that goes on while the test does something else."""

    def __init__(self, *command):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors, stdin=subprocess.PIPE)

    def printed(self):
        self.errors.seek(0)
        return self.errors.read().decode()

    def wait_for(self, text):
        """Waits until standard error has the text."""
        end = time.monotonic() + PATIENCE
        while text not in self.printed():
            check(self.process.poll() is None, "the program ended before it printed " + text + "\n" + self.printed())
            check(time.monotonic() < end, "waited in vain for " + text)
            time.sleep(0.01)
        return self

    def end(self, code=0):
        out, _ = self.process.communicate(timeout=PATIENCE)
        check(self.process.returncode == code, "exit code %d, not %d" % (self.process.returncode, code))
        return out.decode().replace("\r\n", "\n")


def tool(name):
    found = shutil.which(name, path=MOSQUITTO_PATH)
    if not found:
        print("SKIPPED: %s is not installed" % name)
        sys.exit(77)
    return found


@contextlib.contextmanager
def mosquitto(restarts=False):
    """A Mosquitto on a free port of the loopback interface: gives the port; with `restarts`, and a function that kills
    it and starts it again."""
    broker = tool("mosquitto")
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(5):  # somebody else may be faster to take the port
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            config = os.path.join(folder, "mosquitto.conf")
            with open(config, "w") as file:
                file.write("listener %d 127.0.0.1\nallow_anonymous true\npersistence false\n" % port)
            process = subprocess.Popen([broker, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if answers(process, port):
                break
        else:
            sys.exit("FAILED: mosquitto does not start")

        def restart():
            nonlocal process
            process.kill()
            process.wait(PATIENCE)
            process = subprocess.Popen([broker, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            check(answers(process, port), "mosquitto does not start again")

        try:
            yield (str(port), restart) if restarts else str(port)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def answers(process, port):
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return process.poll() is None
        time.sleep(0.01)
    return False


# ---- the short programs


def compile_time():
    check("home/kitchen/light = on" in run(program("compile_time")), "the message was not printed")


def core_only():
    lines = run(program("core_only")).splitlines()
    for line in ("connected: accepted", "received: home/door = open", "operation 2 completed: success",
                 "connections of the copy: 2, of the original: 1", "stopped: as we wanted"):
        check(line in lines, "not printed: " + line)


CONVERSATION = """\
connected
subscribed, granted QoS 2
received hello with QoS 0
received hello with QoS 1
received hello with QoS 2
the broker is there
disconnected
"""


def conversation(name, *address):
    out = run(program(name), *address).replace("\r\n", "\n")
    check(out == CONVERSATION, "printed something else:\n" + out)


def callbacks():
    conversation("callbacks")


def coroutine():
    conversation("coroutine")


def futures():
    conversation("futures")


def callbacks_on_mosquitto():
    with mosquitto() as port:
        conversation("callbacks", "127.0.0.1", port)


def coroutine_on_mosquitto():
    with mosquitto() as port:
        conversation("coroutine", "127.0.0.1", port)


def futures_on_mosquitto():
    with mosquitto() as port:
        conversation("futures", "127.0.0.1", port)


# ---- the demo


def check_demo(out, version):
    check("on MQTT " + version in out, "the version is missing")
    check("FAIL" not in out and "\033" not in out, "a promise was broken, or there is colour in a file")
    for number in range(1, 10):
        check("\n%d. " % number in out, "scene %d is missing" % number)
    for packet in ("CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK",
                   "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT"):
        check(re.search(r"(-->|<--) %s\b" % packet, out), packet + " is missing")


def demo():
    out = run(program("demo"), "--packets")
    check_demo(out, "5.0")
    check("not let in: bad user name or password" in out, "the wrong password")
    quiet = run(program("demo"))
    check("-->" not in quiet and "--packets" in quiet, "packets although nobody asked")


def demo_3_1_1():
    check_demo(run(program("demo"), "--packets", "--version", "3.1.1"), "3.1.1")


def demo_on_mosquitto():
    with mosquitto() as port:
        check_demo(run(program("demo"), "--packets", "mqtt://127.0.0.1:" + port), "5.0")
        check_demo(run(program("demo"), "--packets", "--version=3.1.1", "mqtt://me:secret@127.0.0.1:" + port), "3.1.1")
        left = run(tool("mosquitto_sub"), "-h", "127.0.0.1", "-p", port, "-t", "#", "-W", "1", "-v", code=27)
        check("tern-" not in left, "retained messages were left behind: " + left)


def demo_without_broker():
    with socket.socket() as closed:  # bound but not listening: refuses
        closed.bind(("127.0.0.1", 0))
        out = run(program("demo"), "mqtt://127.0.0.1:%d" % closed.getsockname()[1], code=1)
    check("FAIL" in out, "no failure")


def demo_arguments():
    check("usage:" in run(program("demo"), "--help"), "no help")
    for wrong in (["--version", "4"], ["--what"], ["mqtt://"], ["mqtt://host:port"], ["http://host/"]):
        check("usage:" in run(program("demo"), *wrong, code=2), "accepted: %s" % wrong)


# ---- publish and subscribe


def publish_to_mosquitto_sub():
    with mosquitto() as port:
        where = ["-h", "127.0.0.1", "-p", port]
        for version in ("mqttv311", "mqttv5"):
            for qos in ("0", "1", "2"):
                receiver = Background(tool("mosquitto_sub"), *where, "-t", "home/#", "-q", "2", "-C", "1", "-W", "10",
                                      "-F", "%t %p %q %r")
                # Retained, so that it does not matter who is faster.
                run(program("publish"), *where, "-V", version, "-t", "home/a", "-m", "hello", "-q", qos, "-r")
                out = receiver.end()
                check(re.search(r"^home/a hello %s [01]$" % qos, out, re.M), "mosquitto_sub got: " + out)
                run(program("publish"), *where, "-t", "home/a", "-n", "-r", "-q", "1")
        receiver = Background(tool("mosquitto_sub"), *where, "-V", "mqttv5", "-t", "p", "-C", "1", "-W", "10", "-F", "%P")
        run(program("publish"), *where, "-t", "p", "-m", "m", "-r", "-D", "publish", "user-property", "unit", "°C")
        check("unit:°C" in receiver.end(), "the user property did not arrive")


def subscriber(port, *options):
    """Our subscribe, which is subscribed when this returns."""
    return Background(program("subscribe"), "-h", "127.0.0.1", "-p", port, "-d", "-W", str(PATIENCE), *options).wait_for(
        "SUBACK"
    )


def subscribe_to_mosquitto_pub():
    with mosquitto() as port:
        where = ["-h", "127.0.0.1", "-p", port]
        for version in ("mqttv311", "mqttv5"):
            for qos in ("0", "1", "2"):
                receiver = subscriber(port, "-V", version, "-t", "home/+", "-q", "2", "-C", "1", "-F", "%t %p %q")
                run(tool("mosquitto_pub"), *where, "-t", "home/a", "-m", "hello", "-q", qos)
                check(receiver.end() == "home/a hello %s\n" % qos, "wrong message")


def lines_and_persistent_session():
    with mosquitto() as port:
        where = ["-h", "127.0.0.1", "-p", port]
        for version in ("311", "5"):
            session = ["-V", version, "-c", "-i", "keeper" + version, "-t", "log/#", "-q", "1"]
            run(program("subscribe"), *where, *session, "-E")
            run(program("publish"), *where, "-t", "log/x", "-l", "-q", "1", stdin="one\ntwo\nthree\n")
            out = run(program("subscribe"), *where, *session, "-C", "3", "-W", "10", "-v").replace("\r\n", "\n")
            check(out == "log/x one\nlog/x two\nlog/x three\n", "of the session came: " + out)
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
        check(receiver.end() == "gone\n", "the will did not come")


def interrupt():
    if os.name == "nt":
        sys.exit(77)
    with mosquitto() as port:
        one = subscriber(port, "-t", "x")
        one.process.send_signal(signal.SIGINT)
        one.end(0)
        check("DISCONNECT" in one.printed(), "subscribe left without DISCONNECT")
        two = Background(program("publish"), "-p", port, "-h", "127.0.0.1", "-t", "x", "-l", "-d").wait_for("CONNACK")
        two.process.send_signal(signal.SIGINT)
        check(two.process.wait(PATIENCE) == 130, "publish did not say that it was interrupted")
        check("DISCONNECT" in two.printed(), "publish left without DISCONNECT")


def resilient():
    if os.name == "nt":
        sys.exit(77)
    with mosquitto(restarts=True) as (port, restart):
        one = Background(program("resilient"), "127.0.0.1", port).wait_for("connected to")
        restart()
        one.wait_for("disconnected").wait_for("attempt 1")
        end = time.monotonic() + PATIENCE
        while one.printed().count("connected to") < 2:
            check(time.monotonic() < end, "it does not come back: " + one.printed())
            time.sleep(0.01)
        one.process.send_signal(signal.SIGINT)
        check("connections 2" in one.end(0), "the counters were not printed")


def tool_errors():
    publish, subscribe = program("publish"), program("subscribe")
    check("Exit code:" in run(publish, "--help") and "Exit code:" in run(subscribe, "--help"), "no help")
    for wrong in ([publish, "-t", "a"], [publish, "-m", "x"], [publish, "-t", "a", "-m", "x", "-q", "3"],
                  [publish, "-t", "a", "-m", "x", "-V", "4"], [publish, "-t", "a", "-m", "x", "-n"],
                  [subscribe], [subscribe, "-t", "a", "-c"], [subscribe, "-t", "a", "-F", "%z"],
                  [publish, "-t", "a", "-m", "x", "-V", "311", "-P", "password-without-user"]):
        run(*wrong, code=1)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = str(closed.getsockname()[1])
        out = run(publish, "-h", "127.0.0.1", "-p", port, "-t", "a", "-m", "x", code=2)
        check("connecting to 127.0.0.1:" + port in out, "it does not say what failed: " + out)
        run(subscribe, "-h", "127.0.0.1", "-p", port, "-t", "a", code=2)
    with mosquitto() as port:
        where = ["-h", "127.0.0.1", "-p", port]
        out = run(publish, *where, "-t", "a/#", "-m", "x", code=1)
        check("wildcard" in out, "it does not say what is wrong: " + out)
        run(subscribe, *where, "-t", "a/#/b", code=1)
        run(subscribe, *where, "-t", "a", "-W", "0.2", code=27)


def main():
    global directory
    directory = sys.argv[1]
    cases = {name: f for name, f in globals().items() if callable(f)}
    cases[sys.argv[2]](*sys.argv[3:])


if __name__ == "__main__":
    main()
