"""Health and figures, described. What a process has elsewhere, or not at all, is left out."""

from __future__ import annotations

from typing import Final, Literal

from typing_extensions import TypedDict

from provider.openapi import files
from provider.openapi.operations import JSON, TEXT, Answer, Api, Operation, shape

TAG: Final = "health"


@shape
class Live(TypedDict):
    status: Literal["live"]


@shape
class Readiness(TypedDict):
    """Whether requests should be sent here."""

    status: Literal["ready", "degraded", "unready", "draining"]
    """ready and degraded take requests; degraded lacks something that not all need."""
    parts: dict[str, Literal["up", "down"]]
    """By name."""


@shape
class ObserverRefusal(TypedDict):
    error: str
    """What is wrong."""


def api(section: object = None) -> Api:
    """The API; it has no section."""
    return Api(
        tags={TAG: "For load balancers, container engines and whoever runs the service."},
        operations=[
            Operation(
                "GET",
                "/health/live",
                "healthLive",
                "Whether the process answers",
                "Looks at nothing else.",
                {200: Answer("It does.", {JSON: Live})},
                refusals=(),
            ),
            Operation(
                "GET",
                "/health/ready",
                "healthReady",
                "Whether requests should be sent here",
                "Looks at all parts: database, engine, operator, disk, chains.",
                {
                    200: Answer("They should.", {JSON: Readiness}),
                    503: Answer(
                        "They should not: a part that is needed is down, or the service is about"
                        " to stop.",
                        {JSON: Readiness},
                    ),
                },
                refusals=(),
            ),
            Operation(
                "GET",
                "/metrics",
                "metrics",
                "Figures",
                "In the form that Prometheus reads. For this machine alone, unless the operator"
                " says otherwise; with a token where he demands one.",
                {200: Answer("The figures.", {TEXT: str, "application/openmetrics-text": str})},
                refusals=(401, 403),
                security=({"metricsToken": []}, {}),
            ),
        ],
        refusals={
            400: Answer("What came is no request.", {JSON: files.Unreadable}),
            401: Answer("A token is needed, and this is none.", {JSON: ObserverRefusal}),
            403: Answer("Figures are not shown to you.", {JSON: ObserverRefusal}),
            429: Answer("Too many requests came.", {JSON: ObserverRefusal}),
            500: Answer("A fault of this service.", {JSON: files.Fault}),
            503: Answer("The service is about to stop.", {JSON: ObserverRefusal}),
        },
        always=(400, 429, 500, 503),
    )
