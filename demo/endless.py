"""An algorithm that never ends, as they happen: the demo stops it."""

import itertools

for number in itertools.count():
    if number % 50_000_000 == 0:
        print("still counting:", number, flush=True)
