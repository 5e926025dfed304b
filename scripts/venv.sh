#!/usr/bin/env bash
# venv.sh DIRECTORY MEMBER...  makes the virtual environment DIRECTORY: requirements-dev.lock with hashes, then the
#                              workspace members, editable
# venv.sh --uv                 prints the uv to use; fetches the locked one into the cache where there is none
#
# Needs Python 3.11 or newer ($PYTHON, default python3), and pip where uv is not installed.
set -uo pipefail
. "$(dirname "$0")/lib.sh"

PYTHON=${PYTHON:-python3}
TOOLS=$CACHE/tools

check_python() {
  have "$PYTHON" || die "there is no $PYTHON: install Python 3.11 or newer, or name it with PYTHON=..."
  "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "$PYTHON is $("$PYTHON" --version 2>&1): LedgerLB needs 3.11 or newer; name one with PYTHON=..."
}

fetch_uv() {
  [ ! -x "$TOOLS/bin/uv" ] || return 0
  "$PYTHON" -m pip --version >/dev/null 2>&1 ||
    { have_apt && apt_install python3-pip; } || die "$PYTHON has no pip, and uv is not installed: install one of them"
  say "fetching uv with pip"
  # --target leaves the system's own packages alone, and works where they are externally managed.
  PIP_ROOT_USER_ACTION=ignore "$PYTHON" -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: --no-deps \
    --upgrade --target "$TOOLS" -r <(lock_entry uv) >&2 || die "pip could not install uv; its message is above"
}

# lock_entry NAME: this package's lines of the build lock, hashes included.
lock_entry() { awk -v name="$1==" 'index($0, name) == 1 { on = 1 } on { print } on && !/\\$/ { exit }' "$ROOT/requirements-build.lock"; }

uv_path() { if have uv; then command -v uv; else fetch_uv >&2; echo "$TOOLS/bin/uv"; fi; }

install() {
  local venv=$1 uv began=$SECONDS member editable=(); shift
  for member in "$@"; do editable+=(-e "$ROOT/$member"); done
  uv=$(uv_path) && [ -n "$uv" ] || exit 1
  say "installing the locked packages into $venv (half a minute when nothing is cached)"
  export UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV=$ROOT/$venv
  cd "$ROOT" || exit 1
  "$venv/bin/python" -c '' 2>/dev/null || "$uv" venv -q --clear --python "$PYTHON" "$venv" || exit 1
  "$uv" pip sync -q --require-hashes requirements-dev.lock || exit 1
  "$uv" pip install -q --no-deps --no-build-isolation "${editable[@]}" || exit 1
  say "done in $((SECONDS - began)) s"
}

check_python
case ${1:-} in
  --uv) uv_path ;;
  "" | -*) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  *) with_lock venv 900 install "$@" ;;
esac
