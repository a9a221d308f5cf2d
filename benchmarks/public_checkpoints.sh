#!/usr/bin/env bash
# The table of docs/quickstart.md: two public CIFAR-10 networks on 25 chips per level, recalibrated and not.
#   benchmarks/public_checkpoints.sh CHECKPOINTS STORE
# CHECKPOINTS holds resnet20-12fca82f.th and resnet44-014dd654.th of akamaster/pytorch_resnet_cifar10;
# CIFAR-10 is in $NOISEPROOF_DATA. About half an hour on two cores; run again, it goes on.
set -euo pipefail
for network in resnet20-12fca82f resnet44-014dd654; do
  images=2000
  [ "$network" = resnet44-014dd654 ] && images=1000
  for recalibrate in 0 1000; do
    noiseproof measure "$1/$network.th" --model "${network%%-*}" --norm batch --data cifar10 \
      --normalize imagenet --noise "gaussian(0.1, reference=std)" --levels 0.1,0.2,0.3,0.5,0.7 \
      --chips 25 --images "$images" --recalibrate "$recalibrate" --seed 0 --store "$2"
  done
done
