"""Takes the snippets out of README.md and other pages, so that they are compiled and run as printed.

usage: readme.py snippets PAGE SOURCE DIRECTORY
       readme.py first_program PROJECT DIRECTORY CMAKE COMPILER DEMO BROKER
       readme.py first_lines PROJECT DIRECTORY
       readme.py commands PROJECT
       readme.py output PROJECT DEMO
       readme.py files PROJECT
       readme.py session_on_mosquitto PROJECT SNIPPETS
       readme.py lifetimes PROJECT

A C++ snippet that is no program becomes a file in DIRECTORY, which SOURCE includes: <section>_<number>.inc. Exit code 0:
as expected, 1: not, 77: cannot be tried here.
"""

import collections
import glob
import os
import re
import shutil
import signal
import subprocess
import sys

from run import TIMEOUT, answers, check, free_port, mosquitto, run, tool

Block = collections.namedtuple("Block", "language section number line text")
LANGUAGES = {"cpp", "cmake", "sh", "text"}


def blocks(path):
    """The fenced blocks of a Markdown file, each with its section, its number there, and its first line."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    found = []
    section = ""
    numbers = collections.Counter()
    start = None
    for index, line in enumerate(lines):
        if start is not None:
            if line == "```":
                language = lines[start][3:]
                numbers[section, language] += 1
                text = "".join(each + "\n" for each in lines[start + 1 : index])
                found.append(Block(language, section, numbers[section, language], start + 2, text))
                start = None
        elif line.startswith("```"):
            start = index
        elif line.startswith("#"):
            section = re.sub("[^a-z0-9]+", "_", line.lower()).strip("_")
    check(start is None, "a block does not end")
    for block in found:
        check(block.language in LANGUAGES, "line %d: '%s' is none of %s" % (block.line, block.language, LANGUAGES))
    return found


def is_program(block):
    return "int main" in block.text


def snippets(page, source, directory):
    """Writes each snippet to a file of its own, and checks that the source includes all of them, and no others."""
    folder = re.escape(os.path.basename(directory))
    with open(source, encoding="utf-8") as file:
        included = set(re.findall(r'#include "%s/(\w+)\.inc"' % folder, file.read()))
    written = set()
    os.makedirs(directory, exist_ok=True)
    for block in blocks(page):
        if block.language == "cpp" and not is_program(block):
            name = "%s_%d" % (block.section, block.number)
            written.add(name)
            with open(os.path.join(directory, name + ".inc"), "w", encoding="utf-8") as file:
                file.write('#line %d "%s"\n%s' % (block.line, page.replace("\\", "/"), block.text))
    check(included, "%s includes no snippet" % source)
    check(written == included, "not compiled: %s; not in the page: %s" % (written - included, included - written))


def single(found, what):
    check(len(found) == 1, "%d %s, not one" % (len(found), what))
    return found[0].text


def first_lines(project, directory):
    """Writes what the README tells a new user to create and to type, up to the first program: the files of
    DIRECTORY/hello, and the three blocks of lines as DIRECTORY/get.sh, broker.sh and program.sh. The first is typed in
    DIRECTORY, the others in DIRECTORY/hello, broker.sh in another terminal."""
    found = blocks(os.path.join(project, "README.md"))
    hello = os.path.join(directory, "hello")
    os.makedirs(hello)
    beginning = [b for b in found if b.section in ("tern", "a_first_program")]
    lines = [b.text for b in beginning if b.language == "sh"]
    check(len(lines) == 3, "the README has %d blocks of lines up to the first program, not 3" % len(lines))
    files = {
        "hello/main.cpp": single([b for b in beginning if is_program(b)], "programs"),
        "hello/CMakeLists.txt": single([b for b in beginning if b.language == "cmake"], "CMake files"),
    }
    for name, text in list(files.items()) + list(zip(("get.sh", "broker.sh", "program.sh"), lines)):
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write(text)
    check(all(" 1883\n" in each for each in lines[1:]), "the lines do not name the broker's port")


def checkout_for_test(project, directory, demo, broker):
    """A copy of the project whose command ./dev runs the programs that are already built."""
    os.makedirs(directory)
    for name in os.listdir(project):
        if name not in ("dev", "build", ".git"):
            os.symlink(os.path.join(project, name), os.path.join(directory, name))
    with open(os.path.join(directory, "dev"), "w", encoding="utf-8") as file:
        file.write('#!/bin/sh\ncase $1 in demo) exec "%s" ;; broker) exec "%s" "$2" ;; esac\nexit 2\n' % (demo, broker))
    os.chmod(os.path.join(directory, "dev"), 0o755)


def first_program(project, directory, cmake, compiler, demo, broker):
    """Types the lines that the README prints, up to the first program, in an empty directory. `git clone` copies this
    project, and the broker has a free port instead of the standard's, which another broker may have."""
    if os.name == "nt":
        sys.exit(77)
    tool("ninja")
    shutil.rmtree(directory, ignore_errors=True)
    checkout_for_test(project, os.path.join(directory, "origin"), demo, broker)
    first_lines(project, directory)
    hello = os.path.join(directory, "hello")
    environment = dict(os.environ, CXX=compiler, TERN=os.path.join(directory, "origin"))
    environment["PATH"] = os.path.dirname(cmake) + os.pathsep + environment["PATH"]
    port = str(free_port())

    def command(name):
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            lines = file.read().replace(" 1883\n", " %s\n" % port)
        return ["sh", "-ec", 'git() { test "$1 $3" = "clone tern" && mv "$2" "$3"; }\n' + lines]

    def typed(name, where):
        done = subprocess.run(
            command(name), cwd=where, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        check(done.returncode == 0, done.stdout.decode())
        return done.stdout.decode()

    check("8. A last will" in typed("get.sh", directory), "the demo does not run")
    process = subprocess.Popen(command("broker.sh"), cwd=hello, env=environment, start_new_session=True)
    try:
        check(answers(process, int(port)), "the broker does not start")
        check("greetings: hello\n" in typed("program.sh", hello), "the program does not print its message")
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(TIMEOUT)


def commands(project):
    """The README names only commands of ./dev that there are."""
    with open(os.path.join(project, "README.md"), encoding="utf-8") as file:
        named = set(re.findall(r"(?:\.|tern)/dev ([a-z]+)", file.read()))
    done = subprocess.run(["sh", "./dev", "help"], cwd=project, stdout=subprocess.PIPE, check=True)
    known = set(re.findall(r"^  ([a-z]+) ", done.stdout.decode(), re.M))
    check(named and named <= known, "./dev does not know %s" % (named - known))


def output(project, demo):
    """The demo prints the lines that the README shows, in their order; "..." stands for others."""
    shown = single([b for b in blocks(os.path.join(project, "README.md")) if b.language == "text"], "text blocks")
    printed = iter(run(demo, "--packets").splitlines())
    for line in shown.splitlines():
        check(line.strip() == "..." or line in printed, "the demo does not print this, or not here: " + line)


def session_on_mosquitto(_, program):
    """A program with the options for kept sessions is restarted, and loses nothing that Mosquitto has queued."""
    with mosquitto() as port:
        run(program, port)


def files(project):
    """The documents name only files that there are. A path is relative to the project or to its headers."""
    documents = ["README.md", "CONTRIBUTING.md"]
    documents += ["docs/" + name for name in ("design.md", "contributing.md", "installing.md", "lifetimes.md")]
    roots = [project, os.path.join(project, "include"), os.path.join(project, "include", "tern")]
    count = 0
    for document in documents:
        with open(os.path.join(project, document), encoding="utf-8") as file:
            text = file.read()
        for name in re.findall(r"`([\w*./]+/[\w*.]+\.(?:hpp|cpp|py|cmake|md))`", text):
            count += 1
            found = any(glob.glob(os.path.join(root, name)) for root in roots)
            check(found, "%s names %s, which does not exist" % (document, name))
    check(count >= 10, "only %d files are named" % count)


def lifetimes(project):
    """Each statement of docs/lifetimes.md names a test in a comment, and there are these tests."""
    known = set()
    for path in glob.glob(os.path.join(project, "tests", "*", "*.cpp")):
        with open(path, encoding="utf-8") as file:
            known.update(re.findall(r'TEST_CASE\(\s*"([^"]*)"', file.read()))
    with open(os.path.join(project, "docs", "lifetimes.md"), encoding="utf-8") as file:
        statements = re.split(r"^- ", file.read().partition("## A daemon")[0], flags=re.M)[1:]
    check(len(statements) >= 10, "only %d statements were found" % len(statements))
    for statement in statements:
        named = set(re.findall(r"<!-- (.*?) -->", statement))
        check(named, "no test is named: " + statement)
        check(named <= known, "no such test: %s" % (named - known))


if __name__ == "__main__":
    cases = {each.__name__: each for each in (snippets, first_lines, first_program, commands, output,
                                              session_on_mosquitto, files, lifetimes)}
    cases[sys.argv[1]](*sys.argv[2:])
