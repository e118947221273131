"""A real systemd as process 1 of its own namespaces, to try unit files in.

    with booted_machine(tmp_path) as machine:
        (machine.root / "etc/systemd/system/toy.service").write_text(...)
        machine.run(["systemctl", "daemon-reload"])
        machine.run(["systemctl", "start", "toy"])
        assert machine.show("toy")["ActiveState"] == "active"

The machine is the host's ``/usr``, read-only, under a fresh root in memory: an ``/etc`` of a
few short files, empty ``/var``, ``/opt`` and ``/usr/local``, and a network of loopback only. It sees none of
the host's other files or processes and cannot set its clock or kernel settings; it is meant
to keep tests apart, not to hold an attacker. It boots in half a second and leaves nothing
behind: mounts and processes end with their namespaces, also when the test run is killed. Only
empty control groups can then remain, and the next run removes those.

Needs root with CAP_SYS_ADMIN, a mounted cgroup v2 hierarchy (without controllers will do, as
in the "hybrid" layout), a merged ``/usr``, systemd 252 or newer, and util-linux 2.32 or newer.
No D-Bus, no container tool, no image and no network. `why_not` says what is missing.

What differs from a real machine: process 1 is told that it is in a container, so it starts no
udev and sets no sysctl, and where cgroup v2 has no controllers, ``MemoryMax=`` and
``TasksMax=`` are accepted and not enforced. Namespaces, seccomp filters, dynamic users,
credentials, address filters and the watchdog are the real ones.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

SYSTEMD: Final = Path("/usr/lib/systemd/systemd")
TOOLS: Final = ("ip", "mount", "nsenter", "pivot_root", "setpriv", "sh", "systemctl", "unshare")
NAMESPACES: Final = ("--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup")
SEARCH_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"

BOOT_TIMEOUT_S: Final = 30.0
"""Measured 0.4 to 0.6 s; the rest is for a busy machine."""

STOP_TIMEOUT_S: Final = 10.0
"""Orderly power-off, measured 0.1 s for an idle machine; after it the machine is killed."""

RUN_TIMEOUT_S: Final = 120.0
POLL_EVERY_S: Final = 0.02

# Runs as process 1 of the new namespaces and becomes systemd. $1 root, $2 control group, then
# pairs of (path in the machine, host directory to show there read-only). The process id is the
# one the host knows it by: /proc is still the host's. Once everything is in place it becomes
# the one line on standard output.
#
# The control group is entered before its namespace is made, so that it becomes the root of it.
_ENTER: Final = """
echo 0 > "$2/cgroup.procs"
read -r LEADER _ < /proc/self/stat
export LEADER
exec unshare --cgroup sh -eu -c "$BUILD" build "$@"
"""

_BUILD: Final = r"""
mount -t tmpfs -o mode=755,size=1G machine "$1"
cd "$1"
shift 2
mkdir -p -m 0755 usr etc/systemd/system proc sys dev run var opt old
mkdir -m 0700 root
mkdir -m 1777 tmp var/tmp
mount --bind -o ro /usr usr
mount -t tmpfs -o mode=755 local usr/local
for link in bin sbin lib lib32 lib64 libx32; do
    if [ -L "/$link" ]; then ln -s "usr/$link" "$link"; fi
done
while [ $# -gt 0 ]; do
    mkdir -p "./$1"
    mount --bind -o ro "$2" "./$1"
    shift 2
done

# The kernel's settings are the host's too: to be read, not written.
mount -t proc proc proc
for shared in sys sysrq-trigger irq bus; do
    if [ -e "proc/$shared" ]; then mount --bind -o ro "proc/$shared" "proc/$shared"; fi
done
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup

mount -t tmpfs -o mode=755 dev dev
for node in null zero full random urandom tty; do
    : > "dev/$node"
    mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t tmpfs -o mode=755 run run

cp /etc/ld.so.cache etc/
echo 'root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/:/usr/sbin/nologin' > etc/passwd
echo 'root:x:0:
nogroup:x:65534:' > etc/group
echo 'passwd: files systemd
group: files systemd
hosts: files dns' > etc/nsswitch.conf
echo '127.0.0.1 localhost
::1 localhost' > etc/hosts
echo machine > etc/hostname
# Present, so that this is not a first boot, which would enable services by their presets.
echo 5d1a7a7e5d1a7a7e5d1a7a7e5d1a7a7e > etc/machine-id

pivot_root . old
cd /
umount --lazy /old
rmdir /old
# systemd expects this of whoever made its container: without it the credentials it mounts for
# a service stay in the namespace in which it mounts them.
mount --make-rshared /
echo "$LEADER"
exec > /dev/null 2>&1
# What a container is not given: these reach past namespaces into the host's kernel.
exec env -i container=namespaces PATH="$SEARCH_PATH" \
    setpriv --bounding-set -sys_module,-sys_rawio,-sys_time,-syslog,-wake_alarm \
    "$SYSTEMD" --unit=basic.target
"""


class MachineError(Exception):
    """The machine did not boot, or a command in it failed; the text has its last words."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A booted systemd. Valid inside the ``with`` block of `booted_machine` only."""

    leader: int
    """Process 1 of the machine, by its id on the host."""

    @property
    def root(self) -> Path:
        """The machine's ``/``, writable from the host, ``/run`` included.

        Absolute symbolic links below it lead to the *host's* files; use `run` to follow them.
        """
        return Path(f"/proc/{self.leader}/root")

    def run(
        self,
        command: Sequence[str],
        *,
        check: bool = True,
        input_text: str | None = None,
        timeout_s: float = RUN_TIMEOUT_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as the machine's root, outside of any unit, and return its output.

        Raises `MachineError` when it fails and `check` is true, or takes longer than
        `timeout_s` seconds.
        """
        enter = ("nsenter", f"--target={self.leader}", "--all", "--")
        clean = ("env", "-i", "--chdir=/", f"PATH={SEARCH_PATH}", "LANG=C.UTF-8")
        try:
            done = subprocess.run(
                [*enter, *clean, *command],
                input="" if input_text is None else input_text,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise MachineError(f"{command!r} took longer than {timeout_s} s") from error
        if check and done.returncode != 0:
            raise MachineError(f"{command!r}: exit {done.returncode}: {done.stderr or done.stdout}")
        return done

    def show(self, unit: str) -> dict[str, str]:
        """All properties of a unit, by name, as ``systemctl show`` prints them."""
        lines = self.run(["systemctl", "show", "--all", unit]).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def wait_for(self, unit: str, *, timeout_s: float = 60.0, **expected: str) -> dict[str, str]:
        """Wait until all the named properties of a unit have these values; return all of them.

        Raises `MachineError` after `timeout_s` seconds, with what they were and the journal.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            found = self.show(unit)
            if expected.items() <= found.items():
                return found
            if time.monotonic() > deadline:
                seen = {name: found.get(name) for name in expected}
                raise MachineError(f"{unit}: wanted {expected}, got {seen}\n{self.journal(unit)}")
            time.sleep(POLL_EVERY_S)

    def journal(self, unit: str) -> str:
        """Everything the unit printed, and what systemd said about it, one line each."""
        self.run(["journalctl", "--sync"])
        return self.run(["journalctl", "--unit", unit, "--output=cat", "--no-pager"]).stdout


@cache
def why_not() -> str | None:
    """Say why no systemd can be booted here, or ``None`` when one can. Tried once, not guessed."""
    if sys.platform != "linux":
        return "needs Linux"
    if not SYSTEMD.exists():
        return f"needs systemd ({SYSTEMD})"
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"needs {', '.join(missing)}"
    if os.geteuid() != 0:
        return "needs root"
    hierarchy = _cgroup2()
    if hierarchy is None:
        return "needs a mounted cgroup v2 hierarchy"
    try:
        with _control_group(hierarchy):
            probe = subprocess.run(
                ["unshare", *NAMESPACES, "--fork", "mount", "-t", "proc", "proc", "/proc"],
                capture_output=True,
                text=True,
                timeout=RUN_TIMEOUT_S,
                check=False,
            )
    except OSError as error:
        return f"needs a cgroup v2 hierarchy to write to: {error}"
    if probe.returncode != 0:
        return f"needs the right to make namespaces: {probe.stderr.strip()}"
    return None


@contextlib.contextmanager
def booted_machine(directory: Path, *, read_only: Mapping[str, Path] | None = None) -> Iterator[Machine]:
    """Boot systemd up to ``basic.target``, and power it off at the end of the block.

    `directory` is where its root is mounted, in its own namespace only: on the host it stays
    empty. `read_only` shows directories of the host in the machine, by their path there.

    Raises `MachineError` when it does not boot within `BOOT_TIMEOUT_S`.
    """
    if (reason := why_not()) is not None:
        raise MachineError(reason)
    hierarchy = _cgroup2()
    assert hierarchy is not None, "why_not has seen it"
    shown = [str(part) for pair in (read_only or {}).items() for part in pair]
    with _control_group(hierarchy) as group, contextlib.ExitStack() as last:
        process = subprocess.Popen(
            # The kernel ends all of it when this process dies: setpriv's signal ends unshare,
            # unshare's ends process 1 of the namespace, and that everything in it.
            [
                *("setpriv", "--pdeathsig", "KILL", "unshare", "--fork", "--kill-child"),
                *(name for name in NAMESPACES if name != "--cgroup"),
                *("sh", "-eu", "-c", _ENTER, "enter", str(directory), str(group), *shown),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                "PATH": SEARCH_PATH,
                "SEARCH_PATH": SEARCH_PATH,
                "SYSTEMD": str(SYSTEMD),
                "BUILD": _BUILD,
            },
        )
        last.enter_context(process)
        last.callback(process.kill)
        machine = Machine(leader=_await_boot(process))
        try:
            yield machine
        finally:
            _power_off(process, machine)


def _await_boot(process: subprocess.Popen[str]) -> int:
    """Return the id of process 1 once it has finished booting."""
    assert process.stdout is not None
    assert process.stderr is not None
    deadline = time.monotonic() + BOOT_TIMEOUT_S
    announced = process.stdout.readline().strip()
    if not announced:
        raise MachineError(f"the machine was not built: {process.stderr.read().strip()}")
    machine = Machine(leader=int(announced))
    while True:
        state = machine.run(["systemctl", "is-system-running"], check=False).stdout.strip()
        # Degraded: a unit of the host's distribution failed, which is not the machine's doing.
        if state in {"running", "degraded"}:
            return machine.leader
        if process.poll() is not None:
            raise MachineError(f"systemd ended during boot, exit {process.returncode}")
        if time.monotonic() > deadline:
            raise MachineError(f"not booted after {BOOT_TIMEOUT_S} s: {state}")
        time.sleep(POLL_EVERY_S)


def _power_off(process: subprocess.Popen[str], machine: Machine) -> None:
    """Stop every unit in order; kill what has not ended after `STOP_TIMEOUT_S`."""
    with contextlib.suppress(ProcessLookupError):
        # systemd(1), "Signals": SIGRTMIN+4 is power-off, without a bus.
        os.kill(machine.leader, signal.SIGRTMIN + 4)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT_S)


def _cgroup2() -> Path | None:
    """Return where cgroup v2 is mounted: ``/sys/fs/cgroup``, or below it in the hybrid layout."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, kind = line.split(" - ", 1)
        if kind.startswith("cgroup2 "):
            return Path(mount.split()[4])
    return None


@contextlib.contextmanager
def _control_group(hierarchy: Path) -> Iterator[Path]:
    """Make a control group and remove it, with all groups in it, when its processes are gone."""
    for left in hierarchy.glob("systemd-machine-*-*"):
        if not Path("/proc", left.name.split("-")[2]).exists():
            with contextlib.suppress(OSError):
                _remove_groups(left)
    group = hierarchy / f"systemd-machine-{os.getpid()}-{time.monotonic_ns()}"
    group.mkdir()
    try:
        yield group
    finally:
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while "populated 1" in (group / "cgroup.events").read_text():
            if time.monotonic() > deadline:
                raise MachineError(f"processes remain in {group}")
            time.sleep(POLL_EVERY_S)
        _remove_groups(group)


def _remove_groups(group: Path) -> None:
    """Remove a control group and all in it; its files are the kernel's and go with it."""
    for folder, _, _ in os.walk(group, topdown=False):
        Path(folder).rmdir()
