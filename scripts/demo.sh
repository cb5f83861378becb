#!/usr/bin/env bash
# The demo's image, then the demo. Run it through `make demo`.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"
image=ocean-compute-demo/sklearn:1
table=$CACHE/breast_cancer.csv
scripts/images.sh demo

# The table ships inside scikit-learn, which is in the image already.
if [ ! -s "$table" ]; then
    container=$(docker create "$image")
    docker cp -q "$container:/opt/packages/sklearn/datasets/data/breast_cancer.csv" "$table" 2>/dev/null ||
        docker cp "$container:/opt/packages/sklearn/datasets/data/breast_cancer.csv" "$table"
    docker rm "$container" >/dev/null
fi

exec "$VENV/bin/python" -m demo.run --image "$image" --table "$table" "$@"
