#!/bin/bash
# Trains the networks of networks.tsv one after the other, in its order, each into
# studies/depth/weights/FOLDER. Stopped and started again, it goes on after the last whole epoch;
# finished networks are skipped.
#
#   studies/depth/train.sh [WORDS]    only the lines that contain WORDS, as "resnet20 batch_l1"
#
# NOISEPROOF: how noiseproof is called (default: noiseproof), NOISEPROOF_DATA: the folder of CIFAR.
set -u
here=$(cd "$(dirname "$0")" && pwd)
noiseproof=${NOISEPROOF:-noiseproof}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
failed=0
while IFS=$'\t' read -r -u 3 folder data model norm seed lr decay epochs clip; do
  [ "$folder" = folder ] && continue # the heading
  case "$data $model $norm $seed" in *"${1:-}"*) ;; *) continue ;; esac
  out=$here/weights/$folder
  [ -f "$out/weights.json" ] && continue
  clipped=()
  [ "$clip" = - ] || clipped=(--clip-gradient "$clip")
  echo "$folder"
  nice -n 19 $noiseproof train --data "$data" --model "$model" --norm "$norm" --seed "$seed" \
    --lr "$lr" --weight-decay "$decay" --epochs "$epochs" "${clipped[@]}" --compile --bf16 --half \
    --device cpu --out "$out" || { echo "$folder: failed"; failed=1; }
done 3< "$here/networks.tsv"
exit $failed
