"""The command itself: where it listens, what it refuses, how it ends; as a process."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import commands
import pytest
import requests
import uvicorn
from browsing import PASSWORD, pages, password_file
from conftest import T0, Clock
from databases import EITHER
from watched import Watched, one

from renewal_watch.config.loading import load
from renewal_watch.settings.web import Web
from renewal_watch.web import serve
from renewal_watch.web.access.passwords import PasswordHash
from renewal_watch.web.app import build
from renewal_watch.web.state import State

pytestmark = EITHER

RUN = [sys.executable, "-m", "renewal_watch"]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    made = Watched(tmp_path_factory.mktemp("served"))
    made.poll(one(1))
    yield made
    made.store.close()


def configured(watched: Watched, folder: Path, web: str) -> Path:
    """Another configuration over the same database."""
    path = folder / "config.toml"
    path.touch(mode=0o600)
    path.write_text(f"{watched.path.read_text()}\n[web]\n{web}")
    return path


class Served:
    """The process, and all that it said."""

    def __init__(self, config: Path, *more: str, env: dict[str, str] | None = None, fds: tuple[int, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [*more, *RUN, "--verbose", "--config", str(config), "web"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
            pass_fds=fds,
        )
        assert self.process.stdout
        self.first = self.process.stdout.readline()
        self.errors: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        self.errors.extend(self.process.stderr)

    @property
    def base(self) -> str:
        return self.first.split()[-1].rstrip("/")

    def ended(self, number: int = signal.SIGTERM) -> int:
        """The exit code after this signal."""
        self.process.send_signal(number)
        code = self.process.wait(15)
        self._reader.join()
        assert self.process.stdout
        self.process.stdout.close()
        assert self.process.stderr
        self.process.stderr.close()
        return code

    def says(self, words: str) -> None:
        """Wait for words in the log."""
        deadline = time.monotonic() + 15
        while not any(words in line for line in self.errors):
            assert time.monotonic() < deadline, self.errors
            assert self.process.poll() is None, self.errors

    def lets_nobody_in(self, host: str, port: int) -> None:
        """Wait until it has begun to end."""
        deadline = time.monotonic() + 15
        with contextlib.suppress(ConnectionRefusedError):
            while time.monotonic() < deadline:
                socket.create_connection((host, port)).close()
            pytest.fail("it still lets in who comes")


@contextmanager
def served(config: Path) -> Iterator[Served]:
    found = Served(config)
    try:
        yield found
    finally:
        assert found.ended() == 0, found.errors


def refused(config: Path, **env: str) -> tuple[int, str]:
    done = subprocess.run(
        [*RUN, "--config", str(config), "web"], capture_output=True, text=True, timeout=90, env={**os.environ, **env}
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_it_says_where_it_is_answers_and_ends_with_zero(watched: Watched, tmp_path: Path) -> None:
    with served(configured(watched, tmp_path, 'listen = "127.0.0.1:0"')) as process:
        assert process.first.startswith("the pages are at http://127.0.0.1:")
        answer = requests.get(process.base, timeout=60)
        assert "+15550000001" in answer.text
        process.says("GET /: 200")


def test_ctrl_c_ends_it_quietly(watched: Watched, tmp_path: Path) -> None:
    process = Served(configured(watched, tmp_path, 'listen = "[::1]:0"'))
    assert process.first.startswith("the pages are at http://[::1]:")
    assert process.ended(signal.SIGINT) == 0
    assert not [line for line in process.errors if "Traceback" in line]


FORM = f"name=Ada&password={PASSWORD}".encode()


@contextmanager
def logging_in(host: str, port: int) -> Iterator[socket.socket]:
    """A request that is worked on, and waits for its form."""
    head = (
        "POST /login HTTP/1.1",
        f"Host: localhost:{port}",
        f"Origin: http://localhost:{port}",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(FORM)}",
        "Expect: 100-continue",
    )
    with socket.create_connection((host, port), timeout=60) as slow:
        slow.sendall("\r\n".join((*head, "", "")).encode())
        assert b" 100 " in slow.recv(100)
        yield slow


def test_a_request_under_way_is_answered_before_it_ends(watched: Watched, tmp_path: Path) -> None:
    password = f'password_file = "{password_file(tmp_path / "password")}"\n'
    process = Served(configured(watched, tmp_path, f'listen = "127.0.0.1:0"\n{password}'))
    host, _, port = process.base.removeprefix("http://").partition(":")
    with logging_in(host, int(port)) as slow:
        process.process.send_signal(signal.SIGTERM)
        process.lets_nobody_in(host, int(port))
        slow.sendall(FORM)
        assert b" 303 " in slow.recv(100)
    assert process.ended() == 0


SLOW = {
    "nothing": b"",
    "half a request": b"GET / HT",
    "headers without end": b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\n",
    "a form that never comes": b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\nname=",
    "half of a second request": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT",
}


@pytest.mark.parametrize("slow", SLOW)
def test_who_sends_no_whole_request_holds_a_place_for_seconds(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, slow: str
) -> None:
    patience = serve.REQUEST_S
    monkeypatch.setattr(serve, "REQUEST_S", 0.1)
    with pages(watched, Clock()) as visitor, contextlib.ExitStack() as stack:
        place = ("127.0.0.1", int(visitor.base.rpartition(":")[2]))
        many = [stack.enter_context(socket.create_connection(place, timeout=60)) for _ in range(serve.CONNECTIONS + 5)]
        for one in many:
            one.sendall(SLOW[slow])
        for one in many:
            with contextlib.suppress(ConnectionResetError):
                while one.recv(1000):
                    pass
        monkeypatch.setattr(serve, "REQUEST_S", patience)  # a busy machine may take longer than 0.1 s to ask
        assert visitor.get("/healthz").status_code == 200
    assert not [one for one in caplog.records if one.exc_info]


def test_who_reads_no_answer_holds_a_place_for_seconds(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    patience = serve.READING_S
    monkeypatch.setattr(serve, "READING_S", 0.1)
    with pages(watched, Clock()) as visitor, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2000)
        slow.settimeout(60)
        slow.connect(("127.0.0.1", int(visitor.base.rpartition(":")[2])))
        with pytest.raises(ConnectionError):  # noqa: PT012 (it is over when the server has had enough)
            while True:
                slow.sendall(b"GET /static/style.css HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        monkeypatch.setattr(serve, "READING_S", patience)
        assert visitor.get("/healthz").status_code == 200


def test_who_is_too_slow_for_the_end_is_told_so(
    watched: Watched, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = configured(watched, tmp_path, f'password_file = "{password_file(tmp_path / "password")}"')
    state = State(load(path), lambda: T0)
    how = serve.configured(build(state))
    how.timeout_graceful_shutdown = 0
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(how)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        with logging_in(*listening.getsockname()) as slow:
            server.should_exit = True
            thread.join()
            answer = b"".join(iter(lambda: slow.recv(1000), b""))
    state.close()
    assert b" 503 " in answer
    assert answer.endswith(b"The server is being stopped.\n")
    assert not [one for one in caplog.records if one.exc_info]


def over_socket(path: Path, target: str = "/healthz") -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_a_unix_socket_is_for_owner_and_group_and_is_gone_afterwards(watched: Watched, tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    config = configured(watched, tmp_path, f'listen = "unix:{path}"')
    with served(config) as process:
        assert process.first == f"the pages are at unix:{path}\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert b" 200 OK" in over_socket(path)
        code, said = refused(config)
        assert code == 1
        assert f"{path} is in use by another program" in said
        assert b" 200 OK" in over_socket(path)
    assert not path.exists()


def test_what_a_killed_process_left_is_replaced(watched: Watched, tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    config = configured(watched, tmp_path, f'listen = "unix:{path}"')
    process = Served(config)
    assert process.ended(signal.SIGKILL) == -signal.SIGKILL
    assert path.exists()
    with served(config):
        assert b" 200 OK" in over_socket(path)


def test_a_file_that_is_no_socket_is_left_alone(watched: Watched, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("mine")
    code, said = refused(configured(watched, tmp_path, f'listen = "unix:{path}"'))
    assert (code, path.read_text()) == (1, "mine")
    assert "is there and is no socket" in said


def test_answers_do_not_wait_for_the_acknowledgement_of_their_first_half(watched: Watched, tmp_path: Path) -> None:
    """Asyncio sends at once only on sockets whose protocol is named, and an accepted one has that of its listener."""
    settings = load(configured(watched, tmp_path, 'listen = "127.0.0.1:0"'))
    with serve._opened(settings.web) as found, socket.create_connection(found.getsockname()):
        taken, _ = found.accept()
        with taken:
            assert taken.proto == socket.IPPROTO_TCP


def test_an_address_in_use_is_said(watched: Watched, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, said = refused(configured(watched, tmp_path, f'listen = "127.0.0.1:{port}"'))
    assert code == 1
    assert f"127.0.0.1:{port} is in use by another program" in said


@pytest.mark.parametrize("listen", ["192.0.2.1:9280", "no.such.host.invalid:1", "unix:/nowhere/at/all.sock"])
def test_an_address_that_is_none_of_this_machine_is_said(watched: Watched, tmp_path: Path, listen: str) -> None:
    password = f'password_file = "{password_file(tmp_path / "password")}"\n'
    code, said = refused(configured(watched, tmp_path, f'{password}listen = "{listen}"'))
    assert code == 1
    assert "change listen in [web]" in said


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:9280", "watch.example.org:80"])
def test_beyond_this_machine_nobody_listens_without_a_password(watched: Watched, tmp_path: Path, listen: str) -> None:
    code, said = refused(configured(watched, tmp_path, f'listen = "{listen}"'))
    assert code == 78
    assert f"{listen} can be reached from other machines, which needs a password_file" in said


def test_beyond_this_machine_reading_needs_the_password(watched: Watched, tmp_path: Path) -> None:
    password = f'password_file = "{password_file(tmp_path / "password")}"\n'
    with served(configured(watched, tmp_path, f'{password}listen = "0.0.0.0:0"')) as process:
        base = f"http://127.0.0.1:{process.base.rpartition(':')[2]}"
        assert requests.get(base, timeout=60, allow_redirects=False).status_code == 303
        assert requests.get(f"{base}/metrics", timeout=60, auth=("x", PASSWORD)).status_code == 200


def test_a_password_file_that_cannot_be_used_is_said_at_once(watched: Watched, tmp_path: Path) -> None:
    code, said = refused(configured(watched, tmp_path, f'password_file = "{tmp_path}/none"'))
    assert code == 78
    assert "make it with: renewal-watch web password" in said


# --- sockets that are handed over -------------------------------------------------------------------------------------

HAND_OVER = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh"]


@contextmanager
def listening(address: str) -> Iterator[tuple[socket.socket, int]]:
    """A socket at descriptor 3, where systemd puts it, and its port."""
    with socket.create_server((address, 0)) as made, contextlib.ExitStack() as stack:
        try:
            os.fstat(3)
            kept = os.dup(3)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, 3)
        except OSError:
            stack.callback(os.close, 3)
        port = made.getsockname()[1]
        os.dup2(made.fileno(), 3)
        yield made, port


def test_a_socket_of_systemd_is_used_whatever_listen_says(watched: Watched, tmp_path: Path) -> None:
    config = configured(watched, tmp_path, 'listen = "unix:/nowhere/at/all.sock"')
    with listening("127.0.0.1") as (_, port):
        process = Served(config, *HAND_OVER, env={"LISTEN_FDS": "1"}, fds=(3,))
    assert process.first == f"the pages are at http://127.0.0.1:{port}/\n"
    assert requests.get(f"http://127.0.0.1:{port}/healthz", timeout=60).status_code == 200
    assert process.ended() == 0


def test_a_socket_of_systemd_that_others_reach_needs_a_password(watched: Watched, tmp_path: Path) -> None:
    config = configured(watched, tmp_path, "")
    with listening("0.0.0.0"):
        process = Served(config, *HAND_OVER, env={"LISTEN_FDS": "1"}, fds=(3,))
    assert process.ended() == 78
    assert "can be reached from other machines, which needs web.password_file" in "".join(process.errors)


def test_sockets_meant_for_another_process_are_left_alone(watched: Watched, tmp_path: Path) -> None:
    config = configured(watched, tmp_path, 'listen = "127.0.0.1:0"')
    process = Served(config, env={"LISTEN_FDS": "1", "LISTEN_PID": "1"})
    assert requests.get(f"{process.base}/healthz", timeout=60).status_code == 200
    assert process.ended() == 0


# --- the configuration again ------------------------------------------------------------------------------------------


def test_a_reload_takes_the_right_and_refuses_the_wrong(watched: Watched, tmp_path: Path) -> None:
    config = configured(watched, tmp_path, 'listen = "127.0.0.1:0"')
    with served(config) as process:
        assert requests.get(process.base, timeout=60, headers={"Host": "watch.example"}).status_code == 400
        text = config.read_text()
        config.write_text(f'{text}\nhosts = ["watch.example"]\n')
        process.process.send_signal(signal.SIGHUP)
        process.says("reloaded")
        assert requests.get(process.base, timeout=60, headers={"Host": "watch.example"}).status_code == 200
        config.write_text(f"{text}\ncolour = 1\n")
        process.process.send_signal(signal.SIGHUP)
        process.says("reload refused, the old settings stay")
        assert requests.get(process.base, timeout=60, headers={"Host": "watch.example"}).status_code == 200


# --- the password -----------------------------------------------------------------------------------------------------


def web_password(*words: str, given: str) -> tuple[int, str]:
    done = commands.call(None, "web", "password", *words, given=given, code=None)
    assert given.strip() not in done.output or not given.strip()
    return done.exit_code, done.output


def test_a_password_is_set_and_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "password"
    assert web_password(str(path), given="correct horse battery\n") == (
        0,
        f"wrote {path}; name it as password_file in [web]\n",
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = PasswordHash.read(Web(password_file=str(path)))
    assert found.is_of("correct horse battery")
    code, said = web_password(str(path), given="another one of these\n")
    assert (code, PasswordHash.read(Web(password_file=str(path)))) == (2, found)
    assert "--force" in said
    os.mkfifo(tmp_path / "pipe")
    code, said = web_password("--force", str(tmp_path / "pipe"), given="another one of these\n")
    assert (code, stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)) == (2, True)
    assert "is no file" in said
    assert web_password("--force", str(path), given="another one of these\n")[0] == 0
    assert PasswordHash.read(Web(password_file=str(path))).is_of("another one of these")


def test_a_link_in_its_place_stays_one(tmp_path: Path) -> None:
    target, link = tmp_path / "key", tmp_path / "link"
    assert commands.call(None, "web", "key", str(target)).exit_code == 0
    before = target.read_text()
    link.symlink_to(target)
    assert commands.call(None, "web", "key", str(link), code=2).exit_code == 2
    commands.call(None, "web", "key", "--force", str(link))
    assert link.is_symlink()
    assert target.read_text() != before
    assert Web(key_file=str(link)).read_key() is not None
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.parametrize("given", ["short\n", "\n", "", "x" * 1001 + "\n"])
def test_a_password_has_a_length(tmp_path: Path, given: str) -> None:
    code, said = web_password(str(tmp_path / "password"), given=given)
    assert code == 2
    assert "12 characters or more" in said
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    code, said = web_password(str(tmp_path / "none" / "password"), given="correct horse battery\n")
    assert code == 2
    assert "cannot be written: No such file or directory" in said


def test_on_a_terminal_it_is_asked_for_twice_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "password"
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [*RUN, "web", "password", str(path)])
    shown = b""
    for line in (b"correct horse battery\n", b"correct horse battery\n"):
        while not shown.endswith(b": "):  # the blank comes when nothing is shown any more
            shown += os.read(terminal, 1000)
        os.write(terminal, line)
        shown += b"\n"
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 1000):
            shown += part
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown
    assert b"correct horse" not in shown
    assert PasswordHash.read(Web(password_file=str(path))).is_of("correct horse battery")


def test_what_is_not_installed_is_named(watched: Watched, tmp_path: Path) -> None:
    code = (
        "import sys, importlib.abc\n"
        "class Gone(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'uvicorn': raise ModuleNotFoundError(name)\n"
        "import importlib.util as util\n"
        "real = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'uvicorn' else real(name, *rest)\n"
        "sys.argv = ['renewal-watch', '--config', sys.argv[1], 'web']\n"
        "from renewal_watch.cli import main\nmain()\n"
    )
    config = configured(watched, tmp_path, "")
    done = subprocess.run([sys.executable, "-c", code, str(config)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("the pages need uvicorn; install them with: pip install 'renewal-watch[web]'")


def test_the_wheel_has_templates_and_static_files() -> None:
    """Hatch takes every file of the package; what git does not know is left out, and must be nothing of this."""
    root = Path(__file__).resolve().parents[2]
    files = {
        path.name for folder in ("templates", "static") for path in (root / "renewal_watch/web" / folder).iterdir()
    }
    assert files >= {"base.html", "overview.html", "style.css", "script.js", "icon.svg"}
    ignored = (root / ".gitignore").read_text()
    assert "static" not in ignored
    assert "templates" not in ignored


def test_the_calendar_s_secret_is_long_enough_and_shown_nowhere(watched: Watched, tmp_path: Path) -> None:
    code, said = refused(configured(watched, tmp_path, 'calendar_secret = "short-one"'))
    assert code == 78
    assert "16 characters or more" in said
    assert "short-one" not in said
    config = configured(watched, tmp_path, 'calendar_secret = "a-secret-of-the-tests"')
    commands.call(config, "config", "show", secrets=("a-secret-of-the-tests",))
