"""Creates, sends and lists with the client that was generated from the API's document. `assert_type` is what mypy holds
against the generated code; everything else happens against a live server."""

import datetime
import sys
import time
from collections.abc import Callable
from typing import TypeVar, assert_type

from tenterhook_client import AuthenticatedClient
from tenterhook_client.api.deliveries import list_deliveries, show_delivery
from tenterhook_client.api.events import event_types, list_events, publish, show_event
from tenterhook_client.api.operation import metrics, show_config
from tenterhook_client.api.statistics import webhook_stats
from tenterhook_client.api.webhooks import create_webhook, delete_webhook, list_webhooks, patch_webhook, show_webhook, test
from tenterhook_client.models import (
    Accepted,
    AcceptedList,
    Attempt,
    Configuration,
    Created,
    Delivery,
    DeliveryList,
    Event,
    EventList,
    EventTypes,
    ListDeliveriesState,
    NewEvent,
    Origin,
    Outcome,
    Problem,
    ReceivedResponse,
    SentRequest,
    State,
    Stats,
    Status,
    Tested,
    Trigger,
    Webhook,
    WebhookInput,
    WebhookList,
    WebhookPatch,
)
from tenterhook_client.types import Unset

T = TypeVar("T")


def a(kind: type[T], answer: object) -> T:
    """The answer, when it is of this kind; a problem says what was wrong."""
    assert isinstance(answer, kind), answer
    return answer


def eventually(look: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come within 30 s")


def main(url: str, token: str, endpoint: str) -> None:
    client = AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True)

    wanted = WebhookInput(url=endpoint, events=["order.*"], description="The shop", timeout="3s", rate_limit="50/s")
    made = a(Created, create_webhook.sync(client=client, body=wanted))
    assert_type(made.secret, str | None)
    assert (made.secret or "").startswith("whsec_") and made.origin is Origin.API and made.status is Status.ENABLED, made
    refused = a(Problem, create_webhook.sync(client=client, body=WebhookInput(url="nowhere", events=["order.*"])))
    assert refused.status == 422 and "absolute URL" in refused.detail, refused
    stranger = AuthenticatedClient(base_url=url, token="nonsense")
    assert a(Problem, list_webhooks.sync(client=stranger)).status == 401

    webhook = a(Webhook, patch_webhook.sync(made.id, client=client, body=WebhookPatch(description="The other shop")))
    webhook = a(Webhook, show_webhook.sync(made.id, client=client))
    assert_type(webhook.created_at, datetime.datetime)
    assert_type(webhook.rate_limit, str | None)
    assert (webhook.description, webhook.rate_limit, webhook.timeout) == ("The other shop", "50/s", "3s"), webhook
    listed = a(WebhookList, list_webhooks.sync(client=client))
    assert_type(listed.data, list[Webhook])
    assert [row.id for row in listed.data] == [made.id] and listed.next_ is None

    one = a(Accepted, publish.sync(client=client, body=NewEvent(type_="order.created", data={"total": 3})))
    assert_type(one.deliveries, int)
    assert one.deliveries == 1
    both = [NewEvent(id="order-1", type_="order.paid", data=[1, 2]), NewEvent(id="other-1", type_="user.created", tenant="acme")]
    several = a(AcceptedList, publish.sync(client=client, body=both))
    assert [row.deliveries for row in several.data] == [1, 0]
    again = a(AcceptedList, publish.sync(client=client, body=both))
    assert [row.duplicate for row in again.data] == [True, True]
    collides = a(Problem, publish.sync(client=client, body=NewEvent(id="order-1", type_="order.paid", data=3)))
    assert collides.status == 409

    def done() -> DeliveryList | None:
        page = a(DeliveryList, list_deliveries.sync(client=client, webhook=made.id, state=ListDeliveriesState.SUCCEEDED))
        return page if len(page.data) == 2 else None

    delivered = eventually(done)
    assert_type(delivered.data, list[Delivery])
    assert [row.event_id for row in delivered.data] == ["order-1", one.id]
    delivery = a(Delivery, show_delivery.sync(delivered.data[0].id, client=client))
    assert_type(delivery.next_attempt_at, datetime.datetime | None)
    assert_type(delivery.state, State)
    assert delivery.state is State.SUCCEEDED and delivery.next_attempt_at is None
    assert delivery.attempts and not isinstance(delivery.attempts, Unset)
    attempt = delivery.attempts[0]
    assert_type(attempt, Attempt)
    assert_type(attempt.outcome, Outcome)
    assert_type(attempt.trigger, Trigger)
    assert_type(attempt.duration_ms, float)
    assert_type(attempt.status, int | None)
    assert (attempt.outcome, attempt.trigger, attempt.status) == (Outcome.SUCCEEDED, Trigger.SCHEDULED, 200)
    request, response = a(SentRequest, attempt.request), a(ReceivedResponse, attempt.response)
    assert request.url == endpoint and request.headers["webhook-id"] == "order-1" and response.truncated is False

    events = a(EventList, list_events.sync(client=client))
    assert_type(events.data, list[Event])
    assert [row.type_ for row in events.data] == ["user.created", "order.paid", "order.created"]
    since = a(EventList, list_events.sync(client=client, since=events.data[0].received_at, tenant="acme"))
    assert [row.id for row in since.data] == ["other-1"]
    event = a(Event, show_event.sync(one.id, client=client))
    assert event.data == {"total": 3} and event.deliveries[0].state is State.SUCCEEDED
    assert {row.type_: row.events for row in a(EventTypes, event_types.sync(client=client)).data}["order.paid"] == 1

    tested = a(Tested, test.sync(made.id, client=client))
    assert a(Attempt, tested.attempt).outcome is Outcome.SUCCEEDED
    stats = a(Stats, webhook_stats.sync(made.id, client=client))
    assert stats.deliveries["succeeded"] == 3 and stats.success_rate == 1, stats
    config = a(Configuration, show_config.sync(client=client))
    assert config.last_error is None and config.webhooks == 1
    assert "tenterhook_" in a(str, metrics.sync(client=client))
    assert delete_webhook.sync_detailed(made.id, client=client).status_code == 204
    assert a(Problem, show_webhook.sync(made.id, client=client)).status == 404


main(*sys.argv[1:])
