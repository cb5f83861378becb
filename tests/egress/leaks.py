"""Algorithms that carry off their input, and what stops each of them.

One table for the tests and for the manual. ``rule`` stops it; HOLD means that no rule can,
NEVER that such a thing is not published whatever the rules are, and maxLogBytes stops nothing
but what is beyond it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

ROWS = 10_000
TABLE = "".join(f"{n},{n * 7919 % 10_007}\n" for n in range(ROWS))
DID = "did:op:" + "d1" * 32
INPUT = f"/data/inputs/{DID.removeprefix('did:op:')}/0"
OUT = "/data/outputs"

HOLD, NEVER = "hold", "never"
LOG_BYTES = 1000


class Leak(NamedTuple):
    """What the algorithm does, as the manual says it; ``bounds`` are rules that at least limit
    how much goes where none stops it."""

    name: str
    does: str
    script: str
    rule: str
    bounds: str = ""


_ZIP = f"""
le() {{ n=$1; k=$2; while [ $k -gt 0 ]; do printf "\\\\$(printf %03o $((n % 256)))";
  n=$((n / 256)); k=$((k - 1)); done; }}
cd /tmp; tar czf t.tgz -C $(dirname {INPUT}) 0
size=$(wc -c < t.tgz); crc=$((0x$(crc32 t.tgz | cut -c 1-8)))
entry() {{ le 20 2; le 0 2; le 0 2; le 0 4; le $crc 4; le $size 4; le $size 4; le 5 2; le 0 2; }}
(printf 'PK\\003\\004'; entry; printf t.tgz; cat t.tgz
 printf 'PK\\001\\002'; le 20 2; entry; le 0 10; le 0 4; printf t.tgz
 printf 'PK\\005\\006'; le 0 4; le 1 2; le 1 2; le 51 4; le $((size + 35)) 4; le 0 2
) > {OUT}/model.zip
"""

_PNG = f"(printf '\\211PNG\\r\\n\\032\\n\\000\\001\\000\\000tEXt'; base64 {INPUT}) > {OUT}/plot.png"

LEAKS: tuple[Leak, ...] = (
    Leak("copy", "copies the input", f"cp {INPUT} {OUT}/result.csv", "noInputCopies"),
    Leak("log", "prints the input", f"cat {INPUT}", "noInputCopies"),
    Leak("own_log", "copies it to its logs", f"cp {INPUT} /data/logs/run.log", "noInputCopies"),
    Leak("gzip", "compresses it", f"gzip -c {INPUT} > {OUT}/result.bin", "noInputCopies"),
    Leak("nested", "packs it into a tar.gz in a zip", _ZIP, "noInputCopies"),
    Leak(
        "appended",
        "copies it and appends one byte",
        f"(cat {INPUT}; echo x) > {OUT}/result.csv",
        "maxRows",
    ),
    Leak("letters", "writes its digits as letters", f"tr 0-9 a-j <{INPUT} >{OUT}/x", "maxRows"),
    Leak(
        "json",
        "writes it as one line of JSON",
        f"""(printf '['; tr '\\n' , <{INPUT}; printf '0]') > {OUT}/x.json""",
        "maxRows",
    ),
    Leak("renamed", "calls the table a picture", f"head -50 {INPUT} >{OUT}/plot.png", "types"),
    Leak(
        "names",
        "names files after rows",
        f"head -50 {INPUT} | while read row; do : > {OUT}/$row; done",
        "names",
        "maxFiles",
    ),
    Leak(
        "files",
        "spreads it over 10,000 files",
        f"cd {OUT}; awk '{{ print > NR; close(NR) }}' {INPUT}",
        "maxFiles",
        "maxBytes",
    ),
    Leak(
        "halves",
        "splits it in two, each below the limit of rows",
        f"cd {OUT}; head -{ROWS // 2} {INPUT} > a; tail -{ROWS // 2} {INPUT} > b",
        "maxBytes",
        "maxFiles",
    ),
    Leak("base64", "prints it as base64", f"base64 {INPUT}", "maxLogBytes"),
    Leak("symlink", "links to it", f"ln -s {INPUT} {OUT}/result.csv", NEVER),
    Leak("hard_link", "makes a hard link to it", f"ln {INPUT} {OUT}/result.csv || true", NEVER),
    Leak(
        "png",
        "writes a part of it into the metadata of a picture",
        _PNG.replace(f"base64 {INPUT}", f"head -50 {INPUT} | base64"),
        HOLD,
        "types, maxBytes, maxFiles",
    ),
    Leak(
        "hex",
        "writes a part of it as hexadecimal digits into a text",
        f"head -50 {INPUT} | xxd -p | tr -d '\\n' > {OUT}/report.txt",
        HOLD,
        "types, maxBytes, maxFiles",
    ),
    Leak("few", "writes as many rows as may leave", f"head -50 {INPUT} >{OUT}/x.csv", HOLD,
         "maxRows, maxBytes, maxFiles"),
)  # fmt: skip

RULES: dict[str, dict[str, Any]] = {
    "noInputCopies": {"noInputCopies": True},
    "maxRows": {"maxRows": 100},
    "types": {"types": ["image/png", "application/json"]},
    "names": {"names": ["*.json", "plots/*.png"]},
    "maxFiles": {"maxFiles": 100},
    "maxBytes": {"maxBytes": 50_000, "maxRows": ROWS - 1},
    "maxLogBytes": {"maxLogBytes": LOG_BYTES},
    NEVER: {},
    HOLD: {
        "noInputCopies": True,
        "maxRows": 100,
        "types": ["text/*", "image/png", "application/json"],
        "names": ["*.csv", "*.json", "*.png", "*.txt"],
        "maxFiles": 10,
        "maxBytes": 100_000,
        "maxLogBytes": LOG_BYTES,
    },
}
"""What each is tried under: the rule that stops it alone; what no rule stops, under all."""


def manual() -> str:
    """The table as the manual has it."""
    words = {
        HOLD: "nothing but a person who looks: `hold: always`",
        NEVER: "is never published: links are not followed",
        "maxLogBytes": "`maxLogBytes` cuts it; what fits goes",
    }
    lines = ["| An algorithm that … | What stops it |", "|---|---|"]
    for leak in LEAKS:
        stops = words.get(leak.rule, f"`{leak.rule}`")
        bounds = ", ".join(f"`{rule}`" for rule in leak.bounds.split(", ") if rule)
        lines.append(f"| {leak.does} | {stops}{f'; bounded by {bounds}' if bounds else ''} |")
    return "\n".join(lines)
