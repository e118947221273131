#!/bin/sh
# Installs renewal-watch from this checkout as a systemd service, or upgrades it.
#
#   sudo make service        or        sudo sh systemd/install.sh
#
# Safe to repeat. Every run builds a new virtual environment beside the one in use and then turns the
# link /opt/renewal-watch/current to it, so a run that fails changes nothing and a daemon that runs
# meanwhile keeps the files it was started from. The one before is kept until the next run.
# Nothing is started; configuration, secrets and database are never overwritten.
#
# PYTHON is the interpreter, /usr/bin/python3 unless set. Packages come from wherever pip is set up to
# get them; each must have a hash in the lock files.
set -eu
umask 022

program=/opt/renewal-watch
python=${PYTHON:-/usr/bin/python3}
source=$(cd "$(dirname "$0")/.." && pwd)

fail() {
    echo "install: $*" >&2
    exit 1
}

[ "$(id -u)" -eq 0 ] || fail "run it as root: sudo make service"
python=$(command -v "$python") || fail "there is no $python; run: apt install python3-venv"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$python is older than 3.11; name another: make service PYTHON=/usr/bin/python3.12"
"$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python has no venv; run: apt install python3-venv"
case $(readlink -f "$python") in
/home/* | /root/*) fail "the service cannot see $python, it is in a home directory; name another with PYTHON=" ;;
esac

# --- The program ------------------------------------------------------------------------------------

before=$(readlink "$program/current" || true)
mkdir -p "$program"
new=$(mktemp -d "$program/release-XXXXXX")
work=$(mktemp -d)
trap 'rm -rf "$work" "$new"' EXIT
trap 'exit 1' HUP INT TERM
chmod 0755 "$new"

echo "install: the program, in $new"
"$python" -m venv "$new"
pip() {
    "$new/bin/python" -m pip --quiet --disable-pip-version-check "$@"
}
pip install --require-hashes --requirement "$source/requirements.lock"
# The release before could answer assistants, docs/mcp.md; so can this one.
if [ -n "$before" ] && "$program/$before/bin/python" -c 'import mcp' 2>/dev/null; then
    pip install --require-hashes --requirement "$source/requirements-mcp.lock"
fi
# What builds the wheel, out of the developers' lock file, and not into the environment. pip refuses to
# go on if this list misses a package that hatchling needs.
sed -nE '/^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/,/[^\\]$/p' \
    "$source/requirements-dev.lock" >"$work/build.lock"
pip install --require-hashes --requirement "$work/build.lock" --target "$work/build"
PYTHONPATH="$work/build" pip wheel --no-deps --no-build-isolation --wheel-dir "$work" "$source"
pip install --no-deps --no-index "$work"/*.whl
version=$("$new/bin/renewal-watch" --version)

ln -sfn "$(basename "$new")" "$program/current.new"
mv -fT "$program/current.new" "$program/current"
trap 'rm -rf "$work"' EXIT
for old in "$program"/release-*; do
    case $(basename "$old") in
    "$(basename "$new")" | "$before") ;;
    *) rm -rf "$old" ;;
    esac
done
mkdir -p /usr/local/bin
ln -sfn "$program/current/bin/renewal-watch" /usr/local/bin/renewal-watch

# --- What man and the shells look for ---------------------------------------------------------------

put() { # FILE WORDS...: what renewal-watch prints, as a file that all can read
    file=$1
    shift
    "$program/current/bin/renewal-watch" "$@" >"$work/printed"
    install -D -m 0644 "$work/printed" "$file"
}
put /usr/local/share/man/man1/renewal-watch.1 man
put /usr/local/share/bash-completion/completions/renewal-watch completion bash
put /usr/local/share/zsh/site-functions/_renewal-watch completion zsh
put /etc/fish/completions/renewal-watch.fish completion fish # fish does not always look in /usr/local

# --- Units, configuration, a place for secrets -------------------------------------------------------

for unit in renewal-watch.service renewal-watch-poll.service renewal-watch-poll.timer \
    renewal-watch-web.service renewal-watch-web.socket; do
    install -D -m 0644 "$source/systemd/$unit" "/etc/systemd/system/$unit"
done
install -d -m 0755 /etc/renewal-watch
install -d -m 0700 /etc/credstore
[ -e /etc/renewal-watch/config.toml ] || install -m 0644 "$source/systemd/config.toml" /etc/renewal-watch/config.toml
running=
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    if systemctl --quiet is-active renewal-watch.service; then running=yes; fi
fi

# --- What is left to do ------------------------------------------------------------------------------

echo "install: $version is in $program/current"
if [ -n "$running" ]; then
    echo "The service still runs what it was started from. Next:
  sudo systemctl restart renewal-watch
  sudo systemctl try-restart renewal-watch-web    # the pages, if you use them"
elif [ -n "$before" ]; then
    echo "The service does not run; the timer, if you use it, starts this release next time."
else
    echo "Next: put in the secrets (paste one, then Enter and Ctrl-D), look at the configuration, start.
  sudo install -m 600 /dev/stdin /etc/credstore/talkover-token
  sudo install -m 600 /dev/stdin /etc/credstore/ops-slack    # https://hooks.slack.com/services/T.../B.../...
  sudo install -m 600 /dev/stdin /etc/credstore/ops-mail     # mailtos://user:password@smtp.example.com?to=ops@example.com
  sudo editor /etc/renewal-watch/config.toml                 # take out a channel you do not want
  sudo systemctl enable --now renewal-watch
  sudo renewal-watch status
The pages, if you want them, on http://127.0.0.1:9280:
  sudo systemctl enable --now renewal-watch-web.socket"
fi
