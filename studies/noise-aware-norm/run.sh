#!/usr/bin/env bash
# The study: one store, part after part; killed and started again, it goes on.
#   studies/noise-aware-norm/run.sh PART WEIGHTS CHECKPOINTS SCENES STORE
# PART: resnet20, none, vit, segment, detect, track or draws. WEIGHTS: what train.sh made. CHECKPOINTS holds
# resnet20-12fca82f.th of akamaster/pytorch_resnet_cifar10; SCENES `camvid` and `bccd`; CIFAR-10 is in
# $NOISEPROOF_DATA. Parts can run side by side on the same store.
set -euo pipefail
part=$1 weights=$2 checkpoints=$3 scenes=$4 store=$5
export PYTHONPATH=$(dirname "$0")
noise="gaussian(0.1, reference=std)"

ways() { for way in "$@"; do printf -- '--recalibrate\n%s\n' "$way"; done; }
mapfile -t few < <(ways off "pooled(8)" "pooled(32)" "pooled(200)" "match(8)" "match(32)" \
  "match(200)" "batch(1)" "batch(8)" "batch(128)" "ema(0.1, batch=8)" "ema(0.1, batch=128)")
mapfile -t least < <(ways off "pooled(32)" "match(32)" "batch(8)" "ema(0.1, batch=8)")
mapfile -t blends < <(ways "blend(8, prior=32)" "blend(32, prior=32)")
mapfile -t thousand < <(ways "pooled(1000)" "match(1000)")
mapfile -t matches < <(ways off "match(8)" "match(32)" "match(200)" "match(1000)")

measure() { noiseproof measure "$@" --noise "$noise" --chips 10 --seed 0 --store "$store"; }

resnet20=("$checkpoints/resnet20-12fca82f.th" --model resnet20 --norm batch --data cifar10
  --normalize imagenet)
small=(--images 500 --levels 0,0.1,0.3,0.5)
case $part in
  resnet20)
    measure "${resnet20[@]}" "${small[@]}" "${few[@]}" "${blends[@]}" "${thousand[@]}" \
      --recalibrate "blend(200, prior=32)" --recalibrate "blend(1000, prior=32)" \
      --recalibrate "pooled(1000, batch=128)" --recalibrate "layerwise(1000)"
    measure "${resnet20[@]}" "${small[@]}" --targets kernel,norm_affine "${few[@]}" "${thousand[@]}"
    measure "${resnet20[@]}" "${small[@]}" --augment-calibration --recalibrate "pooled(200)" \
      --recalibrate "pooled(1000)" --recalibrate "match(1000)"
    ;;
  none)
    measure "$weights/cifar10-resnet8-none" --images 500 --levels 0,0.1,0.2,0.3 "${matches[@]}"
    ;;
  vit) measure "$weights/cifar10-vit" --model vit:tiny --images 500 --levels 0,0.1,0.3,0.5 "${matches[@]}" ;;
  segment | detect)
    run=(camvid-lraspp --images 100)
    [ "$part" = detect ] && run=(bccd-fcos)
    common=("$weights/${run[0]}" --data-dir "$scenes" "${run[@]:1}")
    measure "${common[@]}" --levels 0,0.1,0.2,0.3 "${few[@]}" "${blends[@]}"
    measure "${common[@]}" --levels 0,0.1,0.2,0.3 --targets kernel,norm_affine "${least[@]}"
    measure "${common[@]}" --levels 0,0.1,0.2,0.3 --augment-calibration --recalibrate "pooled(32)"
    ;;
  track)
    noiseproof track "${resnet20[@]}" --noise "gaussian(0.4, reference=std)" --every 500 \
      --images 2000 --window 250 --period 1000 --chips 10 --seed 0 --store "$store" \
      --recalibrate off --recalibrate "ema(0.01, batch=50)" --recalibrate "ema(0.1, batch=50)" \
      --recalibrate "ema(0.5, batch=50)" --recalibrate "batch(50)" --recalibrate "pooled(200)"
    ;;
  draws) # the same chips, other calibration images: into a store of its own
    for draw in 0 1 2 3 4 5 6 7 8 9; do
      measure "${resnet20[@]}" --images 500 --levels 0.3 --calibration-seed "$draw" \
        --recalibrate "pooled(8)" --recalibrate "pooled(32)" --recalibrate "match(8)" \
        --recalibrate "match(32)"
    done
    ;;
  *)
    echo "unknown part $part: expected resnet20, none, vit, segment, detect, track or draws" >&2
    exit 2
    ;;
esac
