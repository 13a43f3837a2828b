#!/usr/bin/env bash
# Export and quantize once on a workstation, then build the engine on each device.
#   ./fleet_build.sh jetson-01 jetson-02 …
# Each device needs facesr-edge and SSH access.
set -euo pipefail
bundle=idrn-x4-fp16

facesr-edge build --model idrn --fp16 --engine tensorrt --no-compile -o "$bundle"
for device in "$@"; do
    scp -qr "$bundle" "$device:"
    ssh "$device" "facesr-edge build $bundle --engine tensorrt && facesr-edge inspect $bundle"
done
