"""Takes the snippets out of README.md and other pages, so that they are compiled and run as printed.

usage: readme.py snippets PAGE SOURCE DIRECTORY
       readme.py first_program PROJECT DIRECTORY CMAKE GENERATOR COMPILER
       readme.py commands PROJECT
       readme.py output PROJECT DEMO
       readme.py files PROJECT
       readme.py session_on_mosquitto PROJECT SNIPPETS

A C++ snippet that is no program becomes a file in DIRECTORY, which SOURCE includes: <section>_<number>.inc. Exit code 0:
as expected, 1: not, 77: cannot be tried here.
"""

import collections
import glob
import os
import re
import shutil
import subprocess
import sys

from run import check, mosquitto, run

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


def first_program(project, directory, cmake, generator, compiler):
    """Builds and runs the first program with the files and the commands that the README prints, in the place that it
    names: beside the project."""
    if os.name == "nt":
        sys.exit(77)
    found = blocks(os.path.join(project, "README.md"))
    shutil.rmtree(directory, ignore_errors=True)
    hello = os.path.join(directory, "hello")
    os.makedirs(hello)
    os.symlink(project, os.path.join(directory, "tern"), target_is_directory=True)
    files = {
        "main.cpp": single([b for b in found if b.language == "cpp" and is_program(b)], "programs"),
        "CMakeLists.txt": single([b for b in found if b.language == "cmake"], "CMake files"),
    }
    for name, text in files.items():
        with open(os.path.join(hello, name), "w", encoding="utf-8") as file:
            file.write(text)
    commands = single([b for b in found if b.language == "sh" and "./build/hello" in b.text], "blocks that run it")
    check(" 1883 " in commands, "the commands do not name the broker's port")
    environment = dict(os.environ, CXX=compiler, CMAKE_GENERATOR=generator)
    environment["PATH"] = os.path.dirname(cmake) + os.pathsep + environment["PATH"]
    with mosquitto() as port:
        # Another broker may have the standard's port.
        script = "set -e\n" + commands.replace(" 1883 ", " %s " % port)
        done = subprocess.run(
            ["sh", "-c", script], cwd=hello, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    out = done.stdout.decode()
    check(done.returncode == 0 and "greetings: hello" in out, out)


def commands(project):
    """The README names only commands of ./dev that there are."""
    with open(os.path.join(project, "README.md"), encoding="utf-8") as file:
        named = set(re.findall(r"\./dev ([a-z]+)", file.read()))
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
    documents += ["docs/" + name for name in ("design.md", "contributing.md")]
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


if __name__ == "__main__":
    cases = {each.__name__: each for each in (snippets, first_program, commands, output, session_on_mosquitto, files)}
    cases[sys.argv[1]](*sys.argv[2:])
