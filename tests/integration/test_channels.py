"""Delivery through the real Apprise in its real child process, to real servers on loopback."""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from conftest import T0
from receivers import PATIENCE_S, Answer, HttpReceiver, SmtpReceiver, closed_port, http_receiver, smtp_receiver

from renewal_watch.channels.apprise import AppriseChannel
from renewal_watch.channels.limits import Limits, url_fault, without_pieces
from renewal_watch.errors import ChannelError, ConfigError
from renewal_watch.model.alerts import Alert, Message, Severity
from renewal_watch.model.facts import Written
from renewal_watch.notify.message import render as notify_render
from renewal_watch.notify.message.render import MOST
from renewal_watch.settings.channel import Channel
from renewal_watch.text import plain

pytestmark = pytest.mark.filterwarnings("error")

SECRET = "CanarySecret42"
HOSTILE = "<!channel> @here *bold* <https://evil.test|click> & \x1b[31m\r\nBcc: thief@evil.test"
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
DISCORD = "discord://100000000000000001/" + "aB3" * 22
TELEGRAM = "tgram://123456789:abcdefghijklmnopqrstuvwxyz_12345678/987654321"


def message(title: str = "a title", body: str = "a body\n\nmessage rw-0123456789") -> Callable[[Limits], Message]:
    return lambda _: Message(message_id="rw-0123456789", title=title, body=body, severity=Severity.warning)


def many(count: int) -> Callable[[Limits], Message]:
    """A rendered message of ``count`` alerts, one of them critical."""

    def render(limits: Limits) -> Message:
        found = [
            Alert(
                key=f"k{i}",
                kind="renewal.upcoming",
                severity=Severity.critical if i == count - 1 else Severity.warning,
                environment="production",
                facts=Written(
                    f"+1555{i:07d} renews in 3 days",
                    f"+1555{i:07d} (production) renews in 3 days: make sure that the balance covers 1.00 USD.",
                ),
                number=f"+1555{i:07d}",
                days_left=3,
            )
            for i in range(count)
        ]
        return notify_render.render(
            "rw-0123456789", found, created_at=T0, now=T0, body_limit=limits.body, title_limit=limits.title
        )

    return render


def process(channel: AppriseChannel) -> int:
    """The process id of the running child."""
    assert channel._child is not None
    return channel._child.pid


def is_alive(pid: int) -> bool:
    """Whether the process is there, be it as a zombie."""
    return Path(f"/proc/{pid}").exists()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what must come soon."""
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends, "it did not come"
        threading.Event().wait(0.01)


def hurry(channel: AppriseChannel, seconds: float) -> None:
    """Start the child with all the time it needs, and give only the sends little of it."""
    channel.limits()
    channel._deadline = timedelta(seconds=seconds)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def web() -> Iterator[HttpReceiver]:
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def mail() -> Iterator[SmtpReceiver]:
    with smtp_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def shared(web: HttpReceiver) -> Iterator[AppriseChannel]:
    """One child for the many tests that only look at what a request ends as."""
    channel = AppriseChannel("shared", lambda: f"json://127.0.0.1:{web.port}/{SECRET}?+Authorization=Bearer%20{SECRET}")
    yield channel
    channel.close()


@pytest.fixture
def hook(web: HttpReceiver, shared: AppriseChannel) -> AppriseChannel:
    """The shared channel, to a receiver that takes everything again."""
    web.answers(HttpReceiver.ok)
    return shared


Open = Callable[..., AppriseChannel]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens channels, and sees to it that none leaves a process."""
    channels: list[AppriseChannel] = []

    def channel(url: str | Callable[[], str], deadline: float = 30) -> AppriseChannel:
        read = (lambda: url) if isinstance(url, str) else url
        channels.append(AppriseChannel("ops", read, timedelta(seconds=deadline)))
        return channels[-1]

    yield channel
    for one in channels:
        one.close()


@pytest.fixture(scope="module")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpReceiver]:
    """A proxy that is every host of the internet at once, with certificates of its own authority."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.slack.com", "discord.com", "api.telegram.org", "api.twilio.com").configure_cert(tls)
    trusted = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    with http_receiver(tls) as receiver, pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
        yield receiver


@pytest.fixture
def outside(internet: HttpReceiver, monkeypatch: pytest.MonkeyPatch) -> HttpReceiver:
    monkeypatch.setenv("HTTPS_PROXY", internet.proxy)
    internet.answers(HttpReceiver.ok)
    return internet


# --- what is a success ------------------------------------------------------------------------------------------------


def test_a_message_that_the_service_takes_arrives_whole_in_one_request(web: HttpReceiver, hook: AppriseChannel) -> None:
    hook.send(message("Nümmer 5 — lost", "eins\n• zwei\n\nmessage rw-0123456789"))
    (request,) = web.requests
    assert (request.method, request.path) == ("POST", f"/{SECRET}")
    assert request.json["title"] == "Nümmer 5 — lost"
    assert request.json["message"] == "eins\n• zwei\n\nmessage rw-0123456789"
    assert request.json["type"] == "warning"


@pytest.mark.parametrize(("severity", "kind"), [("info", "info"), ("warning", "warning"), ("critical", "failure")])
def test_the_severity_sets_the_colour_of_the_message(
    web: HttpReceiver, hook: AppriseChannel, severity: str, kind: str
) -> None:
    hook.send(lambda _: Message(message_id="rw-1", title="t", body="b", severity=Severity[severity]))
    assert web.requests[0].json["type"] == kind


def test_a_redirected_message_is_a_failure_and_is_not_followed(web: HttpReceiver, hook: AppriseChannel) -> None:
    web.answer = lambda request: (
        Answer(302, headers={"Location": f"http://127.0.0.1:{web.port}/elsewhere"})
        if request.path != "/elsewhere"
        else Answer()
    )
    with pytest.raises(ChannelError):
        hook.send(message())
    assert [request.path for request in web.requests] == [f"/{SECRET}"]


@pytest.mark.parametrize("status", [301, 307, 308, 400, 401, 403, 404, 413, 429, 500, 502, 503])
def test_every_answer_but_success_is_a_failure_and_is_asked_for_once(
    web: HttpReceiver, hook: AppriseChannel, status: int
) -> None:
    web.answers(Answer(status, headers={"Retry-After": "0", "Location": "/elsewhere"}))
    with pytest.raises(ChannelError) as caught:
        hook.send(message())
    assert str(status) in str(caught.value)
    assert SECRET not in str(caught.value)
    assert len(web.requests) == 1


def test_a_connection_that_is_reset_is_a_failure(web: HttpReceiver, hook: AppriseChannel) -> None:
    web.answers(Answer(how="reset"))
    with pytest.raises(ChannelError):
        hook.send(message())


def test_after_a_failure_the_same_child_delivers_again(web: HttpReceiver, hook: AppriseChannel) -> None:
    hook.send(message())
    child = process(hook)
    web.answers(Answer(500))
    with pytest.raises(ChannelError):
        hook.send(message())
    web.answers(Answer(200))
    for _ in range(50):
        hook.send(message())
    assert len(web.requests) == 50
    assert process(hook) == child


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"json://h.test/{SECRET}?optional=yes", "optional="),
        (f"json://h.test/{SECRET}?OPTIONAL=no", "optional="),
        (f"json://h.test/{SECRET}?a=1;optional=yes", "optional="),
        (f"json://h.test/{SECRET}?%6fptional=yes", "optional="),
        (f"slack://T1JJ3T3L2/A1BRTD4JD/{SECRET}0000000000/#ops?optional=yes", "optional="),
        (f"json://h.test/{SECRET}?retry=3", "retry="),
        (f"json://h.test/{SECRET}?wait=3", "wait="),
        (f"json://h.test/{SECRET}?redirect=yes", "redirect="),
        (f"json://h.test/{SECRET}?overflow=split", "overflow="),
        (f"ntfy://h.test/{SECRET}?attach=/etc/passwd", "attach="),
        (f"mailto://u:{SECRET}@h.test?to=a@h.test&cc=b@h.test", "cc="),
        (f"mailto://u:{SECRET}@h.test?to=a@h.test&bcc=b@h.test", "bcc="),
        (f"mailto://u:{SECRET}@h.test?to=a@h.test&format=html", "format="),
        (f"syslog://{SECRET}", "on this machine"),
        ("dbus://", "on this machine"),
        ("gio://", "on this machine"),
        ("GNOME://", "on this machine"),
        (f"{SECRET}", "not an Apprise URL"),
        (f"/var/lib/{SECRET}", "not an Apprise URL"),
        ("", "not an Apprise URL"),
    ],
)
def test_what_hides_failures_or_repeats_or_ends_nowhere_is_refused_with_a_sentence(url: str, said: str) -> None:
    fault = url_fault(url)
    assert fault is not None
    assert said in fault
    assert SECRET not in fault


@pytest.mark.parametrize(
    "url",
    [
        SLACK,
        SLACK + "/#ops?footer=no",
        DISCORD,
        TELEGRAM,
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "mailtos://user:pass@mail.test?to=a@b.test&from=Watch<w@b.test>&format=text",
        "json://h.test/x?+X-Optional=yes&-retry=1&:wait=2&rto=5&cto=5&verify=no",
    ],
)
def test_ordinary_urls_are_let_through(url: str) -> None:
    assert url_fault(url) is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"nosuch://h.test/{SECRET}", "does not understand this nosuch:// URL"),
        (f"slack://T1JJ3T3L2/A1BRTD4JD/{SECRET}~bad", "does not understand this slack:// URL"),
        (f"mailto://u:{SECRET}@h.test?to=a@h.test,b@h.test", "2 targets"),
        (f"slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#{SECRET}/#two", "2 targets"),
        (f"kodi://h.test/?user={SECRET}", "2 lines"),
    ],
)
def test_what_apprise_cannot_send_once_and_whole_is_refused_with_a_sentence(opened: Open, url: str, said: str) -> None:
    channel = opened(url)
    with pytest.raises(ConfigError) as caught:
        channel.limits()
    assert said in str(caught.value)
    assert str(caught.value).startswith("channels.ops.url: ")
    assert SECRET not in str(caught.value)
    assert channel._child is None


def test_a_send_to_a_refused_url_fails_with_the_same_sentence(opened: Open) -> None:
    channel = opened(f"nosuch://h.test/{SECRET}")
    with pytest.raises(ChannelError, match="does not understand this nosuch:// URL") as caught:
        channel.send(message())
    assert SECRET not in str(caught.value)
    assert channel._child is None


def test_a_url_that_cannot_be_read_is_a_failed_send(opened: Open) -> None:
    def read() -> str:
        raise ConfigError(["channels.ops.url_file: /nowhere cannot be read"])

    with pytest.raises(ChannelError, match="cannot be read"):
        opened(read).send(message())


# --- deadline, hang, end ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["hang", "drip"])
def test_a_send_that_does_not_end_is_killed_at_its_deadline(web: HttpReceiver, opened: Open, how: str) -> None:
    web.answers(Answer(body=b"o" * 2000, how=how))
    channel = opened(f"json://127.0.0.1:{web.port}/x")
    hurry(channel, 1.0)
    child = process(channel)
    began = time.monotonic()
    with pytest.raises(ChannelError, match="within 1 s"):
        channel.send(message())
    assert 0.9 < time.monotonic() - began < 4
    assert len(web.requests) == 1
    assert not is_alive(child)


def test_a_child_that_does_not_read_holds_up_nothing_beyond_the_deadline(web: HttpReceiver, opened: Open) -> None:
    web.answers(HttpReceiver.ok)
    channel = opened(f"json://127.0.0.1:{web.port}/x")
    hurry(channel, 1.0)
    os.kill(process(channel), signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(ChannelError, match="within"):
        channel.send(message(body="longer than a pipe " * 20_000))
    assert time.monotonic() - began < 4
    assert web.requests == []


def test_a_refused_connection_is_a_failure(opened: Open) -> None:
    with pytest.raises(ChannelError) as caught:
        opened(f"json://127.0.0.1:{closed_port()}/{SECRET}").send(message())
    assert SECRET not in str(caught.value)


def test_a_hung_channel_holds_up_no_other(web: HttpReceiver, opened: Open, hook: AppriseChannel) -> None:
    web.answer = lambda request: Answer(how="hang") if request.path == "/hangs" else Answer()
    hung = opened(f"json://127.0.0.1:{web.port}/hangs")
    failures: list[ChannelError] = []

    def send() -> None:
        try:
            hung.send(message())
        except ChannelError as error:
            failures.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        while web.wait().path != "/hangs":
            pass
        hook.send(message())
        assert thread.is_alive()
        began = time.monotonic()
        hung.stop()
        thread.join(PATIENCE_S)
        assert time.monotonic() - began < 4
    finally:
        hung.stop()
        thread.join(PATIENCE_S)
    assert "before its outcome was known" in str(failures[0])
    with pytest.raises(ChannelError, match="being closed"):
        hung.send(message())
    assert hung._child is None


def test_a_stop_while_the_child_is_being_started_ends_it_as_well(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.Popen
    started: list[int] = []
    channel = opened("json://127.0.0.1:9/x")

    def popen(*args: object, **more: object) -> subprocess.Popen[bytes]:
        child = real(*args, **more)  # type: ignore[call-overload]
        started.append(child.pid)
        channel.stop()
        assert isinstance(child, real)
        return child

    monkeypatch.setattr("renewal_watch.channels.apprise.subprocess.Popen", popen)
    with pytest.raises(ChannelError, match="before its outcome was known"):
        channel.send(message())
    assert not is_alive(started[0])


def test_a_child_killed_while_it_sends_is_a_failure_and_the_next_send_has_a_new_one(
    web: HttpReceiver, opened: Open
) -> None:
    web.answers(Answer(how="hang"))
    channel = opened(f"json://127.0.0.1:{web.port}/x")
    channel.limits()
    child = process(channel)

    def kill() -> None:
        web.wait()
        os.kill(child, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(ChannelError, match="before its outcome was known"):
        channel.send(message())
    killer.join()
    assert not is_alive(child)
    web.answers(HttpReceiver.ok)
    channel.send(message())
    assert len(web.requests) == 1
    assert process(channel) != child


def test_a_child_that_died_between_two_sends_is_replaced_unnoticed(web: HttpReceiver, opened: Open) -> None:
    web.answers(HttpReceiver.ok)
    channel = opened(f"json://127.0.0.1:{web.port}/x")
    channel.send(message())
    child = process(channel)
    os.kill(child, signal.SIGKILL)
    until(lambda: Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
    channel.send(message())
    assert len(web.requests) == 2
    assert not is_alive(child)


def test_a_child_outlives_a_killed_parent_by_no_more_than_the_deadline(web: HttpReceiver) -> None:
    web.answers(Answer(how="hang"))
    program = (
        "import sys; from datetime import timedelta; from renewal_watch.channels.apprise import AppriseChannel\n"
        "from renewal_watch.model.alerts import Message, Severity\n"
        "c = AppriseChannel('x', sys.stdin.readline, timedelta(seconds=30)); c.limits.__self__._deadline\n"
        "c._start(url := c._read_url(), __import__('time').monotonic() + 30); c._read_url = lambda: url\n"
        "c._deadline = timedelta(seconds=1); print(c._child.pid, flush=True)\n"
        "c.send(lambda _: Message(message_id='m', title='t', body='b', severity=Severity.info))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(f"json://127.0.0.1:{web.port}/x")
        parent.stdin.close()
        child = int(parent.stdout.readline())
        web.wait()
        parent.kill()
        assert is_alive(child)

        def is_over() -> bool:
            try:
                return Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                return True

        began = time.monotonic()
        until(is_over)
        assert time.monotonic() - began < 5


def test_closing_leaves_no_process_and_no_open_file(web: HttpReceiver, opened: Open) -> None:
    web.answers(HttpReceiver.ok)
    before = set(Path("/proc/self/fd").iterdir())
    channel = opened(f"json://127.0.0.1:{web.port}/x")
    for _ in range(2):
        channel.send(message())
        child = process(channel)
        channel.close()
        assert not is_alive(child)
        assert channel._child is None
    until(lambda: set(Path("/proc/self/fd").iterdir()) <= before)
    channel.close()


def test_a_process_that_cannot_be_started_is_a_failed_send(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ChannelError, match="cannot be started: No such file"):
        opened("json://127.0.0.1:9/x").send(message())


def test_a_replaced_url_counts_from_the_next_send_on(web: HttpReceiver, opened: Open, tmp_path: Path) -> None:
    web.answers(HttpReceiver.ok)
    file = tmp_path / "url"
    channel = opened(Channel(name="ops", url_file=str(file)).read_url)
    for path in ("old", "new", "new"):
        file.write_text(f"json://127.0.0.1:{web.port}/{path}?cto=20&rto=20\n")  # 4 s are little on a busy machine
        channel.send(message())
    assert [request.path for request in web.requests] == ["/old", "/new", "/new"]


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_the_url_is_in_no_argument_and_no_environment_of_the_child(
    web: HttpReceiver, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.answers(HttpReceiver.ok)
    monkeypatch.setenv("OPS_URL", f"json://127.0.0.1:{web.port}/{SECRET}")
    channel = opened(Channel(name="ops", url_env="OPS_URL").read_url)
    channel.send(message())
    child = Path(f"/proc/{process(channel)}")
    assert SECRET.encode() not in (child / "cmdline").read_bytes()
    assert SECRET.encode() not in (child / "environ").read_bytes()
    assert b"PATH=" in (child / "environ").read_bytes()


def test_a_child_has_its_own_secret_only(web: HttpReceiver, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that hold what others need, which nobody has read yet."""
    web.answers(HttpReceiver.ok)
    others = {"PAGER_URL": "slack://abcdefgh", "TALKOVER_TOKEN": "talq_of_nobody", "PGPASSWORD": "only-the-database"}
    for name, value in others.items():
        monkeypatch.setenv(name, value)
    channel = opened(lambda: f"json://127.0.0.1:{web.port}/own")
    channel.send(message())
    there = Path(f"/proc/{process(channel)}/environ").read_bytes()
    assert not [name for name, value in others.items() if name.encode() in there or value.encode() in there]


@pytest.mark.parametrize(
    ("url", "is_reached"),
    [
        ("ntfy://127.0.0.1:{port}/{secret}", True),
        ("ntfy://user:{secret}@127.0.0.1:{port}/{secret}", False),
        ("mmost://127.0.0.1:{port}/{secret}/#{secret}", True),
        ("rocket://webhook%2F{secret}@127.0.0.1:{port}/#{secret}", True),
        ("gotify://127.0.0.1:{port}/{secret}", False),
        ("json://user:{secret}@127.0.0.1:{port}/{secret}?+Authorization=Bearer%20{secret}&-k={secret}", False),
        ("mailto://u:{secret}@127.0.0.1:{port}?mode=insecure&from=w@a.test&to={secret}@a.test", False),
    ],
)
def test_no_part_of_the_url_is_in_an_error_or_a_log(
    web: HttpReceiver, opened: Open, caplog: pytest.LogCaptureFixture, url: str, is_reached: bool
) -> None:
    caplog.set_level(0)
    web.answers(Answer(500, body=b"no: " + SECRET.encode()))
    channel = opened(url.format(port=web.port if is_reached else closed_port(), secret=SECRET))
    with pytest.raises(ChannelError) as caught:
        channel.send(message())
    said = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r} {caplog.text}"
    assert SECRET.lower() not in said.lower()
    assert "error" in str(caught.value).lower(), "the sentence still helps"
    assert len(web.requests) == is_reached


def test_an_address_with_marks_is_not_disguised_past_the_redaction(mail: SmtpReceiver, opened: Open) -> None:
    address = "pa*ger_~on_@call.test"
    mail.refused = {address: "550 no such user"}
    channel = opened(f"mailto://127.0.0.1:{mail.port}?mode=insecure&from=w@a.test&to={address}")
    with pytest.raises(ChannelError) as caught:
        channel.send(message())
    mail.refused = {}
    for piece in ("ger", "call", plain(address)):
        assert piece not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "gone", "kept"),
    [
        (TELEGRAM, ["123456789", "abcdefghijklmnopqrstuvwxyz_12345678", "987654321"], ["tgram"]),
        (SLACK.lower(), ["t1jj3t3l2", "a1brtd4jd", "tiiajkdnlazkcoxridevi7fq"], ["slack"]),
        ("ntfy://mytopic", ["mytopic", "MYTOPIC"], ["ntfy"]),
        ("ntfy://ntfy.example.org:8080/my%2ftopic", ["my/topic", "my%2Ftopic"], ["ntfy.example.org", "8080"]),
        ("json://us%65r:p%40ss@h.test/a?+Authorization=Bearer%20abcdef", ["user", "p@ss", "Bearer abcdef"], ["h.test"]),
        ("json://[::1]:8080/topic", ["topic"], ["[::1]:8080"]),
    ],
)
def test_all_of_a_url_but_scheme_and_host_is_taken_out_of_a_text(url: str, gone: list[str], kept: list[str]) -> None:
    text = f"Failed to send {' '.join(gone)} by {' '.join(kept)}: error 500"
    assert without_pieces(text, url) == f"Failed to send {' '.join(['***'] * len(gone))} by {' '.join(kept)}: error 500"


def test_nothing_is_imported_from_the_directory_one_stands_in(
    web: HttpReceiver, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.answers(HttpReceiver.ok)
    for name in ("apprise", "json", "renewal_watch"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    opened(f"json://127.0.0.1:{web.port}/x").send(message())
    assert not (tmp_path / "ran").exists()


def test_a_netrc_replaces_no_credentials(
    web: HttpReceiver, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.answers(HttpReceiver.ok)
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    opened(f"json://127.0.0.1:{web.port}/x?+Authorization=Bearer%20{SECRET}").send(message())
    assert web.requests[0].headers["Authorization"] == f"Bearer {SECRET}"


# --- the services as they are -----------------------------------------------------------------------------------------


def test_slack_shows_text_as_text(outside: HttpReceiver, opened: Open) -> None:
    channel = opened(SLACK)
    channel.send(message(title=f"title {HOSTILE}", body=f"body {HOSTILE}"))
    (request,) = outside.requests
    assert request.host == "hooks.slack.com:443"
    assert request.path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    (shown,) = request.json["attachments"]
    assert "&lt;!channel&gt;" in shown["text"]
    assert "&lt;!channel&gt;" in shown["title"]
    assert "<" not in shown["text"] + shown["title"]


@pytest.mark.parametrize("answer", [b"", b"no_service"])
def test_slack_took_a_message_only_if_it_says_ok(outside: HttpReceiver, opened: Open, answer: bytes) -> None:
    outside.answers(Answer(200, answer))
    with pytest.raises(ChannelError) as caught:
        opened(SLACK).send(message())
    assert "TIiajkdnlazkcOXrIdevi7FQ" not in str(caught.value)
    assert "T1JJ3T3L2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "limit", "shown"),
    [
        (SLACK, 35_000, lambda sent: sent["attachments"][0]["text"]),
        (DISCORD, 2000, lambda sent: sent["content"]),
        (TELEGRAM, 4096, lambda sent: sent["text"]),
    ],
    ids=["slack", "discord", "telegram"],
)
def test_a_thousand_alerts_are_one_message_within_the_limit_with_the_rest_counted(
    outside: HttpReceiver, opened: Open, url: str, limit: int, shown: Callable[[dict[str, object]], str]
) -> None:
    outside.answers(Answer(200, b"ok" if url == SLACK else b'{"ok": true}'))
    opened(url).send(many(1000))
    (request,) = outside.requests
    text = shown(request.json)
    assert len(text) <= limit + len("<b></b>")  # Telegram counts what is seen of it
    assert text.index("CRITICAL") < text.index("WARNING"), "most urgent first"
    told = text.count("• ")
    assert told == MOST
    assert "… and 990 more: 990 will be lost in 3 days; see renewal-watch alerts" in text
    assert text.splitlines()[-1] == "message rw-0123456789"
    assert not any(escape in text for escape in ("&nbsp;", "&#", "<br", "\\"))
    first = shown(request.json) if "attachments" not in request.json else request.json["attachments"][0]["title"]
    assert first.removeprefix("<b>").startswith(
        "[critical] production: 1,000 numbers need action: +15550000999 expiring, +15550000000 expiring, "
    )


def test_the_longest_title_and_body_of_discord_stay_within_its_limit_together(
    outside: HttpReceiver, opened: Open
) -> None:
    outside.answers(Answer(204, b""))
    opened(DISCORD).send(
        lambda limits: Message(
            message_id="rw-1", title="t" * limits.title, body="b" * limits.body, severity=Severity.info
        )
    )
    assert len(outside.requests[0].json["content"]) <= 2000


def test_a_service_that_knows_only_markdown_has_room_for_its_escapes(web: HttpReceiver, opened: Open) -> None:
    web.answers(HttpReceiver.ok)
    opened(f"rocket://webhook%2F{SECRET}@127.0.0.1:{web.port}/#ops").send(
        lambda limits: Message(
            message_id="rw-1",
            title="",
            body=("renews (production) for 1.00 USD. " * 99)[: limits.body],
            severity=Severity.info,
        )
    )
    (request,) = web.requests
    assert "1\\.00 USD" in request.json["text"]
    assert 800 < len(request.json["text"]) <= 1000


def test_what_a_provider_writes_reaches_a_chat_without_markup_mention_or_line(web: HttpReceiver, opened: Open) -> None:
    web.answers(HttpReceiver.ok)
    opened(f"mmost://127.0.0.1:{web.port}/{SECRET}").send(message(title="t", body=f"number {plain(HOSTILE)} is lost"))
    text = web.requests[0].json["text"]
    title, body = text.splitlines()
    assert (title, body[-8:]) == ("t", " is lost")
    assert not any(mark in body for mark in ("@", "<", ">", "*", "|", "://", "\x1b", "&"))


# --- mail -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def letter(mail: SmtpReceiver, opened: Open) -> Callable[..., None]:
    """Sends one mail; a new child each, for Apprise waits 5.5 s between two mails of one."""
    mail.mails.clear()

    def send(**parts: str) -> None:
        opened(f"mailto://127.0.0.1:{mail.port}?mode=insecure&from=watch@a.test&to=ops@b.test").send(message(**parts))

    return send


def test_a_mail_is_plain_text_with_a_subject_that_can_be_read(mail: SmtpReceiver, letter: Callable[..., None]) -> None:
    title = "[critical] Büro 東京: +15550001 — lost in 3 days; and 12 renewing soon, 3 overdue, 2 missing"
    body = (
        "CRITICAL\n• 電話 <img src=x> kostet 1.00 € & mehr\n\nWARNING\n• " + "wort " * 400 + "\n\nmessage rw-0123456789"
    )
    letter(title=title, body=body)
    (one,) = mail.mails
    assert (one.sender, one.recipients) == ("watch@a.test", ["ops@b.test"])
    parts = list(one.message.walk())
    assert [part.get_content_type() for part in parts if not part.is_multipart()] == ["text/plain"]
    assert one.message["Subject"] == title
    text = next(part for part in parts if not part.is_multipart()).get_content()
    assert [line.rstrip() for line in text.rstrip().splitlines()] == [line.rstrip() for line in body.splitlines()]
    assert text.rstrip().endswith("message rw-0123456789")
    assert all(len(line) <= 998 for line in one.raw.splitlines())


def test_a_warning_and_its_end_are_one_thread(mail: SmtpReceiver, opened: Open) -> None:
    mail.mails.clear()
    told = [("renewal.upcoming", "phone-1"), ("renewal.renewed", "phone-1"), ("renewal.upcoming", "phone-2")]
    for kind, number_id in told:
        alert = Alert(
            key=kind, kind=kind, severity=Severity.warning, environment="production", facts=Written("a headline", "a text"),
            number="+15550000001", number_id=number_id, topic="renewal",
        )  # fmt: skip

        def rendered(limits: Limits, alert: Alert = alert) -> Message:
            return notify_render.render(
                f"rw-{alert.kind}-{alert.number_id}",
                [alert],
                created_at=T0,
                now=T0,
                body_limit=limits.body,
                title_limit=limits.title,
            )

        opened(f"mailto://127.0.0.1:{mail.port}?mode=insecure&from=watch@a.test&to=ops@b.test").send(rendered)
    first, end, other = (one.message for one in mail.mails)
    assert first["References"] == end["References"] == end["In-Reply-To"] != other["References"]
    assert re.fullmatch(r"<[0-9a-f]{24}@renewal-watch\.invalid>", first["References"])
    assert {one["Auto-Submitted"] for one in (first, end, other)} == {"auto-generated"}
    assert len({one["Message-ID"] for one in (first, end, other)}) == 3


@pytest.mark.parametrize("end", ["\r\n", "\u2028"])
def test_no_line_end_in_a_title_makes_a_header(mail: SmtpReceiver, letter: Callable[..., None], end: str) -> None:
    letter(title=f"lost{end}Bcc: thief@evil.test{end}X-Evil: yes{end}{end}<b>body</b>")
    (one,) = mail.mails
    assert one.recipients == ["ops@b.test"]
    assert one.message["Bcc"] is None
    assert one.message["X-Evil"] is None
    assert one.message["Subject"].startswith("lost")
    assert "<b>" not in one.message.get_body().get_content()  # type: ignore[union-attr]


def test_a_line_with_one_dot_does_not_end_a_mail(mail: SmtpReceiver, letter: Callable[..., None]) -> None:
    letter(body="first\n.\nQUIT\nlast")
    assert mail.mails[0].message.get_body().get_content().split() == ["first", ".", "QUIT", "last"]  # type: ignore[union-attr]


@pytest.mark.parametrize("code", ["451 later", "550 no such user"])
def test_a_refused_recipient_is_a_failure(mail: SmtpReceiver, letter: Callable[..., None], code: str) -> None:
    mail.refused = {"ops@b.test": code}
    try:
        with pytest.raises(ChannelError):
            letter()
    finally:
        mail.refused = {}
    assert mail.mails == []


def test_a_mail_to_nobody_listening_is_a_failure(opened: Open) -> None:
    with pytest.raises(ChannelError):
        opened(f"mailto://127.0.0.1:{closed_port()}?mode=insecure&from=w@a.test&to=o@b.test").send(message())


@pytest.mark.parametrize(
    "rest",
    [
        "?mode=insecure&from=watch@a.test&to=ops@b.test",
        "/ops@b.test?mode=insecure&from=watch@a.test",
        "/ops%40b.test/?mode=insecure&from=watch@a.test",
        "?mode=insecure&from=watch@a.test",
        "?mode=insecure&from=Watch <watch@a.test>&to=Ops <ops@b.test>",
    ],
)
def test_the_target_of_a_mail_is_who_the_server_was_told(mail: SmtpReceiver, opened: Open, rest: str) -> None:
    target = opened(f"mailto://127.0.0.1:{mail.port}{rest}").send(message())
    assert mail.mails[-1].recipients == [target]
