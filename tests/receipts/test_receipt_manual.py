"""What the manual says of receipts is so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from receipt_samples import an_account

PAGE = (Path(__file__).parents[2] / "docs" / "receipts.md").read_text()
VECTOR = json.loads((Path(__file__).parent / "receipt_vector.json").read_text())


def test_the_lines_for_checking_by_hand_name_signer_and_results(tmp_path: Path) -> None:
    [lines] = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "check.py").write_text(lines)
    (tmp_path / "receipt.json").write_text(VECTOR["envelope"])
    words = [sys.executable, str(tmp_path / "check.py"), str(tmp_path / "receipt.json")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=180)
    signer, *rest = done.stdout.splitlines()
    assert signer == "signed by 0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
    results = VECTOR["account"]["results"]
    sums = [f"{file['sha256']} {file['index']}/{file['filename']}" for file in results]
    assert rest[: len(sums)] == sums
    assert json.loads("\n".join(rest[len(sums) :])) == VECTOR["account"]


def test_the_tables_name_all_fields() -> None:
    account = an_account()
    of_account, of_stage = PAGE.split("| field of the account |")[1].split("| field of a stage |")
    for table, fields in ((of_account, account), (of_stage, account["stages"][0])):
        firsts = " ".join(re.findall(r"^\|([^|]*)\|", table, re.MULTILINE))
        named = set(re.findall(r"`(\w+)`", firsts))
        assert named == set(fields)
    for limit in account["stages"][0]["limits"]:
        assert f"`{limit}`" in of_stage
