#!/bin/sh
# icalendar 7.3.0: NAME, the calendar's name of RFC 7986 (section 5.1: a TEXT), is written and read as it stands, while
# DESCRIPTION and SUMMARY are escaped as RFC 5545 (3.3.11) wants it. So a name that another program wrote is shown with
# backslashes, and one of two lines raises an AssertionError.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" --quiet install icalendar==7.3.0
"$place/venv/bin/python" - <<'END'
import sys
from importlib.metadata import version
from icalendar import Calendar, vText

def line(text, key):
    return next(one for one in text.decode().splitlines() if one.startswith(key))

print("icalendar", version("icalendar"))
made = Calendar.new(name="Renewals: EU, US", description="Renewals: EU, US")
name, about = line(made.to_ical(), "NAME:"), line(made.to_ical(), "DESCRIPTION:")
print("written:", name, "|", about)
right = Calendar.new()
right.add("name", vText("Renewals: EU, US"))
text = right.to_ical()
read = Calendar.from_ical(text).calendar_name
print("read:   ", line(text, "NAME:"), "| as", read)
try:
    two = str(Calendar.new(name="one\ntwo").to_ical())
except AssertionError as error:
    two = f"AssertionError: {error}"
print("a name of two lines:", two)
as_seen = name == "NAME:Renewals: EU, US" and about == "DESCRIPTION:Renewals: EU\\, US"
sys.exit(not (as_seen and read == "Renewals: EU\\, US" and two.startswith("AssertionError")))
END
