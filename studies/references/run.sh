#!/usr/bin/env bash
# Two tables that others published with their noise defined to the last detail, on networks of ours.
#   studies/references/run.sh WEIGHTS CHECKPOINTS STORE
# WEIGHTS is studies/weights; CHECKPOINTS holds resnet20-12fca82f.th of akamaster/pytorch_resnet_cifar10;
# CIFAR-10 is in $NOISEPROOF_DATA. Killed and started again, it goes on.
set -euo pipefail
weights=$1 checkpoints=$2 store=$3

measure() { noiseproof measure "$@" --design "nested(500)" --chips 100 --store "$store"; }

# NeuRRAM: per layer, sigma = s max|w|, on kernels and biases, BatchNorm clean.
neurram=(--noise "gaussian(0.05, reference=max)" --levels 0.05,0.1,0.15 --targets kernel,bias)
measure "$weights"/resnet20-batch-lr0.1-e6-s0-* "${neurram[@]}"
measure "$checkpoints/resnet20-12fca82f.th" --model resnet20 --norm batch --data cifar10 \
  --normalize imagenet "${neurram[@]}"

# NoisyNN: one sigma for all, 10^(-dB / 20) times the root mean square of all weights and biases
# outside BatchNorm: -4, -3, -2, -1, 0 dB.
measure "$weights"/shufflenet_v2-batch-lr0.1-e4-s0-* --noise "gaussian(1, reference=rms, scope=global)" \
  --levels 1.5849,1.4125,1.2589,1.122,1 --targets kernel,bias
noiseproof measure "$weights"/shufflenet_v2-batch-lr0.1-e4-s0-* --noise "gaussian(1, reference=rms, scope=global)" \
  --levels 0.7079,0.5012,0.3548,0.2512,0.1778 --targets kernel,bias --design "nested(500)" --chips 40 --store "$store"
