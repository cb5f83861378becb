"""What a dataset lets out, as it is kept with a job. Pure.

The rules stand in the dataset's document, ``services[].compute.egress``. Where results are
to wait for a reviewer and the document names none, it is the dataset's owner.
"""

from __future__ import annotations

from compute.egress.rules import EgressRules, Hold
from compute.environments import Environment
from compute.models import Image
from provider.assets.ddo import Ddo, Service
from provider.auth.signatures import is_address
from provider.errors import KeyedRefusal

NO_REVIEWER = "egress_without_reviewer"
FILTER_NOT_ALLOWED = "egress_filter_not_allowed"


def rules_of(
    ddo: Ddo, service: Service, environment: Environment, resource: str
) -> EgressRules | None:
    """The rules of the service, None where it has none. Raises KeyedRefusal where they cannot
    be kept in this environment: nobody to ask, or a filter that must not run here."""
    rules = service.compute.egress
    if rules is None or not rules.restricts:
        return None
    if rules.filterImage and not environment.images.allows(Image.named(rules.filterImage)):
        raise KeyedRefusal(f"{resource}.egress", FILTER_NOT_ALLOWED)
    if rules.hold is Hold.NEVER or rules.reviewers:
        return rules
    if not is_address(ddo.owner):
        raise KeyedRefusal(f"{resource}.egress", NO_REVIEWER)
    return rules.model_copy(update={"reviewers": (ddo.owner.lower(),)})
