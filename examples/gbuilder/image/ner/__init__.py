"""Named entities by rules, in English and Chinese texts, without anything but Python.

| type | found by |
|---|---|
| DATE, MONEY, PERCENT, EMAIL, URL | their shape |
| ORG | known names, and words such as "University of …", "… Ltd", "…大学", "…有限公司" |
| LOC | known names, and words such as "River …", "… Mountains", "…省" |
| PERSON | titles, given names, surnames, and what stands around them |

Rules find what looks like an entity and nothing else: a person without title whose given name is
in no list here, and a place that is in none, are missed.
"""
