#!/usr/bin/env bash
# The study: one store, part after part; killed and started again, it goes on.
#   studies/noise-aware-norm/run.sh PART WEIGHTS CHECKPOINTS SCENES STORE
# PART: resnet20, none, vit, segment, detect or track. WEIGHTS: what train.sh made. CHECKPOINTS holds
# resnet20-12fca82f.th of akamaster/pytorch_resnet_cifar10; SCENES `camvid` and `bccd`; CIFAR-10 is in
# $NOISEPROOF_DATA. Parts can run side by side on the same store.
set -euo pipefail
part=$1 weights=$2 checkpoints=$3 scenes=$4 store=$5
export PYTHONPATH=$(dirname "$0")
noise="gaussian(0.1, reference=std)"

ways() { for way in "$@"; do printf -- '--recalibrate\n%s\n' "$way"; done; }
mapfile -t main < <(ways off \
  "pooled(8)" "pooled(32)" "pooled(200)" "blend(8, prior=32)" "blend(32, prior=32)" \
  "blend(200, prior=32)" "match(8)" "match(32)" "match(200)" \
  "batch(1)" "batch(8)" "batch(128)" "ema(0.1, batch=8)" "ema(0.1, batch=128)")
mapfile -t thousand < <(ways "pooled(1000)" "pooled(1000, batch=128)" "layerwise(1000)" \
  "blend(1000, prior=32)" "match(1000)")
mapfile -t layers < <(ways "layerwise(8)" "layerwise(32)" "layerwise(200)")
mapfile -t matches < <(ways off "match(8)" "match(32)" "match(200)" "match(1000)")

measure() { noiseproof measure "$@" --noise "$noise" --chips 10 --seed 0 --store "$store"; }

resnet20=("$checkpoints/resnet20-12fca82f.th" --model resnet20 --norm batch --data cifar10
  --normalize imagenet --images 1000 --levels 0,0.1,0.3,0.5)
case $part in
  resnet20)
    for targets in kernel kernel,norm_affine; do
      measure "${resnet20[@]}" --targets "$targets" "${main[@]}" "${thousand[@]}"
    done
    measure "${resnet20[@]}" --augment-calibration --recalibrate "pooled(200)" \
      --recalibrate "pooled(1000)" --recalibrate "match(1000)"
    ;;
  none) measure "$weights/cifar10-resnet14-none" --images 1000 --levels 0,0.1,0.2,0.3 "${matches[@]}" ;;
  vit) measure "$weights/cifar10-vit" --images 1000 --levels 0,0.1,0.3,0.5 "${matches[@]}" ;;
  segment)
    for targets in kernel kernel,norm_affine; do
      measure "$weights/camvid-lraspp" --data-dir "$scenes" --images 100 --levels 0,0.1,0.2,0.3 \
        --targets "$targets" "${main[@]}" "${layers[@]}"
    done
    ;;
  detect)
    for targets in kernel kernel,norm_affine; do
      measure "$weights/bccd-fcos" --data-dir "$scenes" --levels 0,0.1,0.2,0.3 \
        --targets "$targets" "${main[@]}" "${layers[@]}"
    done
    ;;
  track)
    noiseproof track "${resnet20[@]:0:9}" --noise "gaussian(0.4, reference=std)" --every 1000 \
      --images 6000 --window 500 --period 2000 --chips 10 --seed 0 --store "$store" \
      --recalibrate off --recalibrate "ema(0.01, batch=50)" --recalibrate "ema(0.1, batch=50)" \
      --recalibrate "ema(0.5, batch=50)" --recalibrate "batch(50)" --recalibrate "pooled(200)"
    ;;
  *) echo "unknown part $part: expected resnet20, none, vit, segment, detect or track" >&2; exit 2 ;;
esac
