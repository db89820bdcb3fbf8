# What scripts of the tests and .ci/run have in common: `source tests/lib.sh`, in bash with
# `set -euo pipefail`.

# target_folder: where cargo builds.
target_folder() {
  local folder
  folder=$(cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
  [ -n "$folder" ] || { echo "cargo does not say where it builds" >&2; return 1; }
  echo "$folder"
}

# venv FOLDER REQUIREMENTS: a virtual environment with these packages. One that has others, or
# was left half made, is removed first; a folder that is none is never.
venv() {
  if cmp -s "$2" "$1/installed"; then return; fi
  if [ -e "$1/pyvenv.cfg" ]; then rm -rf "$1"; fi
  python3 -m venv "$1"
  "$1/bin/pip" install --quiet --disable-pip-version-check -r "$2"
  cp "$2" "$1/installed"
}
