//! Query parameters of lists. Only described here: `query` reads them.
#![expect(dead_code, reason = "read by the macro alone, which makes their description of them")]

use utoipa::IntoParams;

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Window {
    /// Rows of a page.
    #[param(minimum = 1, maximum = 250, default = 50, example = 50)]
    limit: Option<u16>,
    /// `next` of the page before.
    #[param(example = "AAAAAAAAACo")]
    cursor: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Span {
    /// Not before.
    #[param(format = DateTime, example = "2026-01-28T00:00:00Z")]
    since: Option<String>,
    /// Not after.
    #[param(format = DateTime, example = "2026-01-29T00:00:00Z")]
    until: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsWanted {
    #[param(max_length = 200, example = "order.created")]
    event_type: Option<String>,
    #[param(max_length = 100, example = "acme")]
    tenant: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveriesWanted {
    #[param(pattern = "^[A-Za-z0-9_-]{1,100}$", example = "ops-slack")]
    webhook: Option<String>,
    #[param(inline, example = "failed")]
    state: Option<super::schemas::State>,
    #[param(max_length = 200, example = "order.created")]
    event_type: Option<String>,
    #[param(max_length = 128, example = "evt_0197f1c2a3b47c5d8e9f0a1b2c3d4e5f")]
    event_id: Option<String>,
    #[param(max_length = 100, example = "acme")]
    tenant: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamWanted {
    #[param(pattern = "^[A-Za-z0-9_-]{1,100}$", example = "ops-slack")]
    webhook: Option<String>,
    /// A pattern: `*` is one segment, `**` any number of them.
    #[param(max_length = 200, example = "order.*")]
    event_type: Option<String>,
    /// Of the delivery: attempts only.
    #[param(inline, example = "failed")]
    state: Option<super::schemas::State>,
    #[param(max_length = 100, example = "acme")]
    tenant: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StatusWanted {
    /// Only those with something that waits for another try, or only the others.
    #[param(example = true)]
    failing: Option<bool>,
    /// Other orders than that of the ids have the first `limit` rows alone, and no `next`: those that failed most often, or those
    /// with the highest median of their attempts' durations, both in the last 24 hours.
    #[param(inline, example = "failures")]
    sort: Option<Sort>,
}

#[derive(utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum Sort {
    Id,
    Failures,
    Slowest,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct JobsWanted {
    #[param(inline, example = "running")]
    state: Option<super::manage_schemas::JobState>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditWanted {
    #[param(example = "admin")]
    token: Option<String>,
    /// Method and route.
    #[param(example = "DELETE /v1/webhooks/{id}")]
    action: Option<String>,
    #[param(example = "/v1/webhooks/ops")]
    path: Option<String>,
}
