#!/usr/bin/env bash
# The networks of this study, trained from scratch on a CPU; killed and started again, it goes on.
#   studies/noise-aware-norm/train.sh SCENES OUT
# SCENES holds `camvid` and `bccd`; CIFAR-10 is in $NOISEPROOF_DATA. OMP_NUM_THREADS=1 each.
set -euo pipefail
scenes=$1 out=$2 here=$(dirname "$0")
noiseproof train --model fcos --task detect --data bccd@240x320 --data-dir "$scenes" --epochs 100 \
  --seed 0 --out "$out/bccd-fcos"
noiseproof train --model lraspp --task segment --data camvid@180x240 --data-dir "$scenes" \
  --epochs 120 --seed 0 --out "$out/camvid-lraspp"
noiseproof train --model resnet8 --norm none --data cifar10 --epochs 6 --seed 0 \
  --out "$out/cifar10-resnet8-none"
PYTHONPATH=$here noiseproof train --model vit:tiny --data cifar10 --epochs 8 --lr 0.05 --seed 0 \
  --out "$out/cifar10-vit"
