#!/usr/bin/env bash
# Run while the image is built: starts and stops a node once so that the JVM writes an archive of the classes it
# loaded, which makes later starts faster. Exits with an error when the node does not come up or writes none.
set -euo pipefail

export KAFKA_HEAP_OPTS='-Xms256m -Xmx256m' KAFKA_OPTS='-XX:ArchiveClassesAtExit=/opt/kafka/kafka.jsa'
/etc/kafka/docker/run >/tmp/archive.log 2>&1 &
node=$!
for _ in $(seq 240); do
  (: </dev/tcp/localhost/9092) 2>/dev/null && break
  kill -0 "$node" 2>/dev/null || break
  sleep 0.25
done
kill -TERM "$node" || true
wait "$node" || true # a JVM ended by a signal says so in its exit code
if [ ! -s /opt/kafka/kafka.jsa ]; then
  tail -n 30 /tmp/archive.log
  exit 1
fi
rm -rf /tmp/archive.log /tmp/kraft-combined-logs /opt/kafka/config/server.properties
