#!/usr/bin/env bash
# What the measurement engine costs and whether its intervals hold; about an hour on two idle cores.
#   benchmarks/engine.sh CHECKPOINTS DATA OUT [PYTHON of an environment with aihwkit]
# CHECKPOINTS holds the public resnet20-12fca82f.th and resnet44-014dd654.th, DATA CIFAR-10.
set -euo pipefail
checkpoints=$1 data=$2 out=$3 here=$(dirname "$0")
peer=${4:+--peer $4}
mkdir -p "$out"
for model in resnet20 resnet44; do
  # shellcheck disable=SC2086  # two words or none
  python "$here/throughput.py" --model $model --images 500 --compile $peer >"$out/throughput_$model.txt"
done
python "$here/throughput.py" --model vgg16 --images 500 --rounds 5 --compile >"$out/throughput_vgg16.txt"
python "$here/precision.py" "$checkpoints/resnet20-12fca82f.th" --model resnet20 --data-dir "$data" \
  --out "$out/precision_resnet20.json"
python "$here/precision.py" "$checkpoints/resnet44-014dd654.th" --model resnet44 --data-dir "$data" \
  --levels 0.1,0.3,0.5,0.7,1 --out "$out/precision_resnet44.json"
NOISEPROOF_DATA=$data python "$here/sensitivity_cost.py" --weights "$checkpoints/resnet20-12fca82f.th" \
  --out "$out/sensitivity_cost.json"
python "$here/unbiased.py" --data-dir "$data" --checkpoints "$checkpoints" --out "$out/unbiased.json"
python "$here/design_coverage.py" >"$out/design_coverage.txt"
