//! What operators watch, by name. Recorded wherever it happens; shown at /metrics when [`install`] was called.

use std::sync::OnceLock;

use entity::kind::{ExecutionStatus, TriggeredBy};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Begins to record for this process. Later calls change nothing.
pub fn install() {
    HANDLE.get_or_init(|| {
        let handle = PrometheusBuilder::new()
            .set_buckets(&[
                0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
            ])
            .ok()?
            .install_recorder()
            .ok()?;
        describe_counter!(
            "ponte_http_requests_total",
            "HTTP requests, by route, method and status."
        );
        describe_histogram!(
            "ponte_http_request_seconds",
            "Time until the answer's head, by route."
        );
        describe_counter!(
            "ponte_executions_total",
            "Executions that ended, by outcome and by who caused them."
        );
        describe_counter!(
            "ponte_events_published_total",
            "Events that got their position."
        );
        describe_counter!(
            "ponte_delivery_attempts_total",
            "HTTP requests of deliveries, by result."
        );
        describe_gauge!(
            "ponte_executions_due",
            "Executions that are due and not held by a worker."
        );
        describe_gauge!(
            "ponte_execution_lag_seconds",
            "How long the longest due execution has waited."
        );
        describe_gauge!(
            "ponte_auto_sync_lag_seconds",
            "How long the longest Item has waited for its automatic run since it was due, jitter included."
        );
        describe_gauge!("ponte_deliveries_due", "Deliveries that are due.");
        describe_gauge!(
            "ponte_delivery_lag_seconds",
            "How long the longest due delivery has waited."
        );
        describe_gauge!(
            "ponte_webhook_circuits_open",
            "Targets of deliveries that keep failing and are only probed."
        );
        describe_gauge!(
            "ponte_events_unpublished",
            "Committed events without a position."
        );
        describe_gauge!(
            "ponte_bus_connected",
            "Whether other nodes are heard, by way: postgres, and nats when it is set."
        );
        describe_counter!(
            "ponte_bus_hints_given_total",
            "Hints given to other nodes, by way."
        );
        describe_counter!(
            "ponte_bus_hints_heard_total",
            "Hints heard from other nodes."
        );
        describe_counter!(
            "ponte_bus_refused_total",
            "Messages on NATS that no node of this database has sent."
        );
        describe_counter!(
            "ponte_feed_events_total",
            "Events that followers on this node waited for, by source: bus (handed over) or log (read)."
        );
        describe_gauge!("ponte_subscriptions", "Open subscriptions on this node.");
        describe_gauge!("ponte_sockets", "Open WebSockets on this node.");
        Some(handle)
    });
}

/// Everything in the text format of Prometheus; `None` unless [`install`] was called.
pub fn render() -> Option<String> {
    HANDLE.get()?.as_ref().map(PrometheusHandle::render)
}

/// Counts an HTTP request.
pub fn request(route: &str, method: &str, status: u16, seconds: f64) {
    let (route, method) = (route.to_owned(), method.to_owned());
    counter!("ponte_http_requests_total", "route" => route.clone(), "method" => method, "status" => status.to_string())
        .increment(1);
    histogram!("ponte_http_request_seconds", "route" => route).record(seconds);
}

/// Counts an execution that ended.
pub fn execution_ended(outcome: ExecutionStatus, triggered_by: TriggeredBy) {
    counter!("ponte_executions_total", "outcome" => outcome.as_str(), "triggered_by" => triggered_by.as_str())
        .increment(1);
}

/// Counts published events.
pub fn events_published(count: usize) {
    counter!("ponte_events_published_total").increment(count as u64);
}

/// Counts an attempt of a delivery.
pub fn delivery_attempt(result: &'static str) {
    counter!("ponte_delivery_attempts_total", "result" => result).increment(1);
}

/// A way between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Way {
    /// LISTEN and NOTIFY.
    Postgres,
    /// NATS.
    Nats,
}

/// Shows whether other nodes are heard.
pub fn bus_connected(way: Way, connected: bool) {
    let way: &'static str = way.into();
    gauge!("ponte_bus_connected", "way" => way).set(f64::from(u8::from(connected)));
}

/// Counts a hint that was given.
pub fn hint_given(way: Way) {
    let way: &'static str = way.into();
    counter!("ponte_bus_hints_given_total", "way" => way).increment(1);
}

/// Counts a hint that was heard.
pub fn hint_heard() {
    counter!("ponte_bus_hints_heard_total").increment(1);
}

/// Counts a message that is not ours.
pub fn bus_refused() {
    counter!("ponte_bus_refused_total").increment(1);
}

/// Counts events that were put before followers.
pub fn feed_events(source: &'static str, count: usize) {
    counter!("ponte_feed_events_total", "source" => source).increment(count as u64);
}

/// Moves the number of open subscriptions.
pub fn subscriptions(change: f64) {
    gauge!("ponte_subscriptions").increment(change);
}

/// Moves the number of open sockets.
pub fn sockets(change: f64) {
    gauge!("ponte_sockets").increment(change);
}

/// How much waits, as measured at a beat.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Queues {
    /// Executions that are due.
    pub executions: f64,
    /// Seconds that the longest of them has waited.
    pub execution_lag: f64,
    /// Seconds that the longest Item has waited for its automatic run.
    pub auto_sync_lag: f64,
    /// Deliveries that are due.
    pub deliveries: f64,
    /// Seconds that the longest of them has waited.
    pub delivery_lag: f64,
    /// Targets that are only probed.
    pub circuits: f64,
    /// Events without a position.
    pub events: f64,
}

/// Shows how much waits.
pub fn queues(queues: Queues) {
    gauge!("ponte_executions_due").set(queues.executions);
    gauge!("ponte_execution_lag_seconds").set(queues.execution_lag);
    gauge!("ponte_auto_sync_lag_seconds").set(queues.auto_sync_lag);
    gauge!("ponte_deliveries_due").set(queues.deliveries);
    gauge!("ponte_delivery_lag_seconds").set(queues.delivery_lag);
    gauge!("ponte_webhook_circuits_open").set(queues.circuits);
    gauge!("ponte_events_unpublished").set(queues.events);
}
