"""A real Nagios runs the plugin: states, text and performance data as it keeps them."""

from __future__ import annotations

import contextlib
import getpass
import grp
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from watched import Watched, one

NAGIOS = shutil.which("nagios4", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or shutil.which("nagios")
DEADLINE_S = 30  # of the first results; measured 3 to 8 on a busy machine
LOOK_EVERY_S = 0.1

MAIN = """
cfg_file={folder}/objects.cfg
log_file={folder}/nagios.log
object_cache_file={folder}/objects.cache
status_file={folder}/status.dat
status_update_interval=1
state_retention_file={folder}/retention.dat
temp_file={folder}/nagios.tmp
temp_path={folder}
check_result_path={folder}/spool
lock_file={folder}/nagios.lock
query_socket={folder}/nagios.qh
nagios_user={user}
nagios_group={group}
check_external_commands=0
execute_host_checks=0
enable_notifications=0
check_for_updates=0
use_syslog=0
service_inter_check_delay_method=n
interval_length=1
illegal_macro_output_chars=`~$&|'"<>
"""
OBJECTS = """
define timeperiod {
  timeperiod_name always
  alias always
  monday 00:00-24:00
  tuesday 00:00-24:00
  wednesday 00:00-24:00
  thursday 00:00-24:00
  friday 00:00-24:00
  saturday 00:00-24:00
  sunday 00:00-24:00
}
define command {
  command_name nothing
  command_line /bin/true
}
define contact {
  contact_name nobody
  host_notification_period always
  service_notification_period always
  host_notification_options n
  service_notification_options n
  host_notification_commands nothing
  service_notification_commands nothing
}
define host {
  host_name watch
  address 127.0.0.1
  max_check_attempts 1
  check_period always
  notification_period always
  contacts nobody
}
"""
SERVICE = """
define command {{
  command_name check_{name}
  command_line {command} $ARG1$
}}
define service {{
  host_name watch
  service_description {name}
  check_command check_{name}!{words}
  max_check_attempts 1
  check_interval 60
  retry_interval 60
  notification_interval 60
  check_period always
  notification_period always
  contacts nobody
}}
"""


@contextlib.contextmanager
def nagios(folder: Path) -> Iterator[None]:
    """Nagios in the foreground, with the processes it starts."""
    with (
        (folder / "said").open("wb") as said,
        subprocess.Popen(
            [str(NAGIOS), str(folder / "nagios.cfg")], stdout=said, stderr=said, cwd=folder, start_new_session=True
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def results(status: Path) -> dict[str, dict[str, str]]:
    """What Nagios keeps of each service that was checked."""
    if not status.exists():
        return {}
    found = {}
    for block in re.findall(r"^servicestatus \{\n(.*?)^\s*\}", status.read_text(), re.MULTILINE | re.DOTALL):
        fields = dict(line.strip().partition("=")[::2] for line in block.splitlines())
        if fields["has_been_checked"] == "1":
            found[fields["service_description"]] = fields
    return found


def test_a_real_nagios_takes_state_text_and_performance_data(tmp_path: Path) -> None:
    if NAGIOS is None:
        reason = "Nagios is not installed (Debian: nagios4-core)"
        if os.environ.get("RENEWAL_WATCH_TEST_ALL"):
            pytest.fail(reason)
        pytest.skip(reason)
    fleets = {
        "good": (one(0, 40, renewal_date=None),),
        "bad": (one(0, 5, renewal_date=None), one(1, 90, renewal_date=None, current_status="a|b")),
    }
    for name, entries in fleets.items():
        (tmp_path / name).mkdir()
        watch = Watched(tmp_path / name, more="")
        watch.poll(*entries, at=datetime.now(UTC))
        watch.store.close()
    plugin = f"{sys.executable} -m renewal_watch --config {tmp_path}/{{}}/config.toml check"
    asked = {
        "well": (plugin.format("good"), "-w 14 -c 3 --environment production"),
        "soon": (plugin.format("bad"), "-w 14 -c 3"),
        "urgent": (plugin.format("bad"), "-w 14 -c 7"),
        "wrong": (plugin.format("bad"), "--bogus"),
        "nothing": (plugin.format("none"), "-w 14"),
    }
    services = "".join(SERVICE.format(name=name, command=how, words=words) for name, (how, words) in asked.items())
    (tmp_path / "spool").mkdir()
    (tmp_path / "objects.cfg").write_text(OBJECTS + services)
    user = {"user": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}
    (tmp_path / "nagios.cfg").write_text(MAIN.format(folder=tmp_path, **user))
    ends = time.monotonic() + DEADLINE_S
    with nagios(tmp_path):
        while (found := results(tmp_path / "status.dat")).keys() != asked.keys() and time.monotonic() < ends:
            time.sleep(LOOK_EVERY_S)
    assert found.keys() == asked.keys(), (tmp_path / "said").read_text()
    states = {name: int(one["current_state"]) for name, one in found.items()}
    assert states == {"well": 0, "soon": 1, "urgent": 2, "wrong": 3, "nothing": 3}
    assert found["well"]["plugin_output"].startswith("RENEWAL OK - 1 number - the next without auto-renewal: +1555")
    assert found["soon"]["plugin_output"].endswith("in 5 days - 1 a¦b: +15550000001")
    assert found["urgent"]["plugin_output"].startswith(
        "RENEWAL CRITICAL - 1 without auto-renewal: +15550000000 in 5 days - "
    )
    assert found["urgent"]["performance_data"].startswith("'days'=5;14;7 'overdue'=0;;0;0 ")
    assert found["nothing"]["plugin_output"].startswith(f"RENEWAL UNKNOWN - {tmp_path}/none/config.toml does not exist")
    assert found["wrong"]["performance_data"] == ""
