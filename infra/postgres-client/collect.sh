#!/bin/sh
# Collects the PostgreSQL client programs and the libraries they need. Runs on Amazon Linux 2023, the base of the
# `provided.al2023` runtime.
#
#   collect.sh POSTGRES_MAJOR TARGET_DIR
#
# OWNER, when set, gets the files: in a container everything would be root's.
set -eu
major=$1
target=$2

dnf install -y -q "postgresql${major}" >&2 || {
  echo "Amazon Linux 2023 has no package postgresql${major} here. It has: $(dnf -q list 'postgresql[0-9]*' | awk '/^postgresql[0-9]+\./ { print $1 }' | sort -u | xargs). Build with POSTGRES_MAJOR=N; a server newer than N cannot be backed up." >&2
  exit 1
}

mkdir -p "$target/bin" "$target/lib"
# A pipeline would hide that one of its first commands failed, so each step is a command of its own.
linked=$(mktemp)
trap 'rm -f "$linked"' EXIT
for program in pg_dump pg_dumpall pg_restore; do
  found=$(command -v "$program") || {
    echo "the package postgresql${major} brought no $program" >&2
    exit 1
  }
  found=$(readlink -f "$found")
  cp -L "$found" "$target/bin/$program"
  ldd "$found" >>"$linked"
done

# Lambda searches /opt/lib. The C library itself must be the runtime's own: a copy of another build would break everything.
libraries=$(awk '$2 == "=>" && $3 ~ /^\// && !seen[$3]++ { print $3 }' "$linked")
for library in $libraries; do
  case $(basename "$library") in
    libc.so.* | libm.so.* | libdl.so.* | librt.so.* | libpthread.so.* | libresolv.so.* | ld-linux*) ;;
    *) cp -L "$library" "$target/lib/" ;;
  esac
done

# The proof: the collected programs run from the collected libraries.
for program in "$target"/bin/*; do
  LD_LIBRARY_PATH="$target/lib" "$program" --version >&2
done

[ -z "${OWNER:-}" ] || chown -R "$OWNER" "$target"
