#!/usr/bin/env bash
# Makes the image $IMAGE from the jars that pom.xml names. Environment: see scripts/build-images.sh.
set -euo pipefail
cd "$(dirname "$0")"

libs=$CACHE/kafka-$VERSION
if ! (cd "$libs" && sha256sum --quiet --strict -c "$OLDPWD/jars.sha256") 2>/dev/null; then
  rm -rf "$libs"
  mvn -B -ntp -f pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$libs"
  # The versions are pinned and the jars are compared with what was reviewed: another set must not slip in.
  (cd "$libs" && sha256sum --quiet --strict -c "$OLDPWD/jars.sha256")
  jars=("$libs"/*)
  [ ${#jars[@]} -eq "$(wc -l <jars.sha256)" ] || { echo "there are jars that jars.sha256 does not list" >&2; exit 1; }
fi
cp Dockerfile run.sh archive.sh log4j2.xml "$WORK/"
chmod 755 "$WORK/run.sh" "$WORK/archive.sh"
cp -r "$libs" "$WORK/libs"
docker build --label "ledgerlb.inputs=$INPUTS" --build-arg "BASE_IMAGE=$BASE_IMAGE" -t "$IMAGE" "$WORK"
