#!/usr/bin/env bash
# Prepare once on a workstation, then compile and try on every device of a fleet.
#   ./fleet_build.sh jetson-01 jetson-02 …
# Each device needs facesr-edge installed and an SSH login.
set -euo pipefail
bundle=idrn-x4-fp16

facesr-edge build --model idrn --fp16 --prepare-only -o "$bundle"
for device in "$@"; do
    scp -qr "$bundle" "$device:"
    ssh "$device" "facesr-edge build $bundle --target tensorrt && facesr-edge inspect $bundle"
done
