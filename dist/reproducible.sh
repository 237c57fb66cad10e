#!/usr/bin/env bash
# Makes the release twice and compares the bytes: in folders of different names,
# at different times, the second time with an empty build cache.
#   reproducible.sh VERSION MCPB [PLATFORMS]
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1 mcpb=$PWD/$2 platforms=${3:-}
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

make_in() {
  mkdir "$work/$1"
  # What is here, with what is not committed yet, and without .git.
  git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf - | tar -xf - -C "$work/$1"
  (cd "$work/$1" && go run ./internal/release -version "$version" -owner example -mcpb "$mcpb" ${platforms:+-platforms "$platforms"})
}

make_in one
(umask 077 && export GOCACHE="$work/cache" TZ=Asia/Tokyo && make_in a-folder-of-another-name)
diff "$work/one/dist/out/checksums.txt" "$work/a-folder-of-another-name/dist/out/checksums.txt"
echo "ok    reproducible: $(wc -l <"$work/one/dist/out/checksums.txt") files have the same bytes"
