#!/usr/bin/env bash
# docker-engine.sh ensure|status|stop
#
# ensure  returns at once when a Docker engine answers; else installs docker.io (root, apt) and starts dockerd
#         without an init system, on the engine's default data directory so that images outlive a checkout.
# status  says which engine answers; exit code 1 when none does.
# stop    ends the dockerd that this checkout's "ensure" started, and no other.
#
# Settings: LEDGERLB_CACHE_DIR (default .cache), DOCKER_HOST, LEDGERLB_DOCKERD_ARGS (extra arguments of dockerd).
set -uo pipefail
. "$(dirname "$0")/lib.sh"

STATE=$CACHE/docker
PIDFILE=$STATE/dockerd.pid
LOG=$STATE/dockerd.log
START_SECONDS=60
STOP_SECONDS=40

answers() { have docker && timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# A pid alone may have been given to another program since: the start time (field 22 of stat) makes it certain.
start_time() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

ours() {
  local pid started
  read -r pid started 2>/dev/null <"$PIDFILE" || return 1
  [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ] && echo "$pid"
}

start() {
  answers && return 0
  case ${DOCKER_HOST:-unix:///var/run/docker.sock} in
    unix:///var/run/docker.sock | unix:///run/docker.sock) ;;
    *) die "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST; start it, or unset DOCKER_HOST to use a local one" ;;
  esac
  if [ "$(id -u)" != 0 ]; then
    die "no Docker engine answers and only root can start one: start Docker (or Docker Desktop), join its group, or run this as root"
  fi
  [ "$(uname -s)" = Linux ] || die "no Docker engine answers: start Docker Desktop or another engine"
  if ! { have dockerd && have docker; }; then
    apt_install docker.io iptables
    answers && return 0 # under an init system the package starts it
  fi
  mkdir -p "$STATE"
  say "starting dockerd (up to $START_SECONDS s; log $LOG)"
  local args
  read -ra args <<<"${LEDGERLB_DOCKERD_ARGS:-}"
  setsid dockerd --log-level=warn "${args[@]}" >"$LOG" 2>&1 </dev/null &
  local pid=$!
  echo "$pid $(start_time "$pid")" >"$PIDFILE"
  local deadline=$((SECONDS + START_SECONDS))
  until answers; do
    if ! kill -0 "$pid" 2>/dev/null; then
      answers && return 0 # another checkout was faster
      rm -f "$PIDFILE"
      tail -n 25 "$LOG" >&2
      die "dockerd ended while starting; its last lines are above, all of them in $LOG"
    fi
    if [ $SECONDS -ge $deadline ]; then
      tail -n 25 "$LOG" >&2
      kill "$pid" 2>/dev/null
      rm -f "$PIDFILE"
      die "dockerd did not answer within $START_SECONDS s; its last lines are above, all of them in $LOG"
    fi
    sleep 0.2
  done
  say "dockerd $(docker version --format '{{.Server.Version}}') runs (pid $pid)"
}

status() {
  answers || { say "no Docker engine answers"; return 1; }
  local pid origin="not started by this checkout"
  pid=$(ours) && origin="started by this checkout, pid $pid, log $LOG"
  docker info --format "engine {{.ServerVersion}}, {{.Driver}}, cgroup v{{.CgroupVersion}}, {{.Images}} images, data in {{.DockerRootDir}}; $origin"
}

stop() {
  local pid
  pid=$(ours) || { say "no dockerd was started by this checkout; nothing to stop"; rm -f "$PIDFILE"; return 0; }
  say "stopping dockerd (pid $pid, up to $STOP_SECONDS s)"
  kill -TERM "$pid"
  local deadline=$((SECONDS + STOP_SECONDS))
  while kill -0 "$pid" 2>/dev/null; do
    [ $SECONDS -lt $deadline ] || die "dockerd (pid $pid) still runs after $STOP_SECONDS s; its log is $LOG"
    sleep 0.2
  done
  rm -f "$PIDFILE"
}

case ${1:-} in
  ensure) answers || with_lock docker-engine 600 start ;;
  status) status ;;
  stop) with_lock docker-engine 120 stop ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
