#!/usr/bin/env bash
# Starts one Kafka node in KRaft mode, configured by the environment as the public apache/kafka image is:
#
#   KAFKA_SOME_KEY=value    sets some.key=value in server.properties; "__" stands for "_" and "___" for "-"
#   CLUSTER_ID              the cluster's id when the data directory is formatted at the first start
#   KAFKA_HEAP_OPTS, KAFKA_JVM_PERFORMANCE_OPTS, KAFKA_OPTS   arguments of the JVM
#   KAFKA_LOG4J_ROOT_LOGLEVEL                                 log level, default INFO
#
# Without any KAFKA_SOME_KEY it is a broker and controller of its own, listening on localhost:9092.
set -euo pipefail

home=/opt/kafka
properties=$home/config/server.properties
archive=$home/kafka.jsa

default_settings() {
  cat <<'DEFAULTS'
node.id=1
process.roles=broker,controller
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
advertised.listeners=PLAINTEXT://localhost:9092
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
controller.quorum.voters=1@localhost:9093
log.dirs=/tmp/kraft-combined-logs
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
DEFAULTS
}

# Which KAFKA_ variables are not keys of server.properties.
is_setting() {
  case $1 in
    KAFKA_HEAP_OPTS | KAFKA_OPTS | KAFKA_JVM_PERFORMANCE_OPTS | KAFKA_GC_LOG_OPTS | KAFKA_LOG4J_* | \
      KAFKA_TOOLS_LOG4J_LOGLEVEL | KAFKA_JMX_* | KAFKA_DEBUG | KAFKA_VERSION | KAFKA_HOME) return 1 ;;
  esac
}

property_name() {
  local key=${1#KAFKA_}
  key=${key,,}
  key=${key//___/$'\1'}
  key=${key//__/$'\2'}
  key=${key//_/.}
  key=${key//$'\1'/-}
  printf '%s' "${key//$'\2'/_}"
}

environment_settings() {
  local name value
  for name in "${!KAFKA_@}"; do
    is_setting "$name" || continue
    value=${!name//\\/\\\\}
    printf '%s=%s\n' "$(property_name "$name")" "${value//$'\n'/\\n}"
  done
}

java_args=(-cp "$home/libs/*" "-Dlog4j2.configurationFile=$home/config/log4j2.xml")
[ ! -e "$archive" ] || java_args+=("-XX:SharedArchiveFile=$archive" -Xshare:auto -Xlog:cds=off -Xlog:class+path=off)

environment_settings >"$properties"
[ -s "$properties" ] || default_settings >"$properties"

data=$(sed -n 's/^log\.dirs=//p' "$properties")
[ -n "$data" ] || data=$(sed -n 's/^log\.dir=//p' "$properties")
[ -n "$data" ] || data=/tmp/kafka-logs
# A JVM of its own formats the directory: about a second that a restarted node need not spend again.
if [ ! -e "${data%%,*}/meta.properties" ]; then
  KAFKA_LOG4J_ROOT_LOGLEVEL=WARN java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "${java_args[@]}" \
    kafka.tools.StorageTool format --ignore-formatted -t "${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}" -c "$properties"
fi

# The options are lists of words, hence not quoted.
# shellcheck disable=SC2086
exec java ${KAFKA_HEAP_OPTS:--Xms512m -Xmx512m} ${KAFKA_JVM_PERFORMANCE_OPTS:--XX:+UseG1GC -XX:MaxGCPauseMillis=20} \
  -XX:+ExitOnOutOfMemoryError ${KAFKA_OPTS:-} "${java_args[@]}" kafka.Kafka "$properties"
