#!/bin/sh
# cronsim 2.8: asked from within the second pass of an hour that comes twice, for a line of fixed times it gives a time of
# the first pass, which is over; and where a clock is put back by half an hour it leaves a time out. A step after a range of
# one value goes on to the end of the field.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" --quiet install cronsim==2.8 tzdata
"$place/venv/bin/python" - <<'END'
import sys
from datetime import datetime, timezone
from importlib.metadata import version
from zoneinfo import ZoneInfo
from cronsim import CronSim

def first(line, after, zone):
    after = datetime.fromisoformat(after).replace(tzinfo=timezone.utc)
    fire = next(CronSim(line, after.astimezone(ZoneInfo(zone)))).astimezone(timezone.utc)
    print(f"{line:14} {zone:20} after {after:%Y-%m-%d %H:%MZ}: {fire:%Y-%m-%d %H:%MZ}{'  (earlier!)' if fire <= after else ''}")
    return fire, after

print("cronsim", version("cronsim"))
fire, after = first("30 2 * * *", "2026-10-25T01:15", "Europe/Berlin")  # a quarter past two, for the second time
is_past = fire < after
early, _ = first("5 */2 * * *", "2027-04-03T13:06", "Australia/Lord_Howe")  # the clock goes back from 02:00 to 01:30
late, _ = first("5 */2 * * *", "2027-04-03T15:31", "Australia/Lord_Howe")
days = {fire.day for fire, _ in zip(CronSim("0 0 14-14/7 * *", datetime(2026, 1, 1)), range(12))}
print("0 0 14-14/7 * *: days", sorted(days))
sys.exit(not (is_past and late < early and days == {14, 21, 28}))
END
