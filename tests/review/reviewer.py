"""A reviewer written from the published texts alone: plain HTTP and an Ethereum signature."""

from __future__ import annotations

from typing import Any

from support.consumer import Consumer, Json

HELD = "/api/services/computeHeld"
HELD_RESULT = "/api/services/computeHeldResult"
RELEASE = "/api/services/computeRelease"


class Reviewer(Consumer):
    """A wallet that is asked about held jobs, or says so."""

    def held_query(self, job_id: str = "") -> dict[str, str]:
        query = self._signed(self.address, job_id, "computeHeld")
        return query | ({"jobId": job_id} if job_id else {})

    async def held(self, job_id: str = "") -> list[Json]:
        found: list[Json] = await self.call("GET", HELD, params=self.held_query(job_id))
        return found

    def look_query(self, job_id: str, index: int) -> dict[str, str]:
        query = self._signed(self.address, job_id, index, "computeHeldResult")
        return query | {"jobId": job_id, "index": str(index)}

    async def look(self, job_id: str, index: int) -> bytes:
        return await self.fetch(HELD_RESULT, self.look_query(job_id, index))

    def decision(self, job_id: str, decision: str) -> dict[str, str]:
        body = self._signed(self.address, job_id, decision, "computeRelease")
        return body | {"jobId": job_id, "decision": decision}

    async def decide(self, job_id: str, decision: str) -> Json:
        answer: Json = await self.call("POST", RELEASE, json=self.decision(job_id, decision))
        return answer

    def _signed(self, *parts: Any) -> dict[str, str]:
        """With slashes between the parts, the nonce before the last."""
        nonce = self.nonce()
        text = "/".join(str(part) for part in (*parts[:-1], nonce, parts[-1]))
        return {"consumerAddress": self.address, "nonce": nonce, "signature": self.sign(text)}
