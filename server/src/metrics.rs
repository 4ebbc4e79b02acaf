//! What is counted and timed, under TEI's names.

use crate::engine::Engine;
use metrics::{describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::time::Duration;

/// Upper ends of the buckets of durations, in seconds.
const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];
/// As the exporter's own listener does.
const UPKEEP: Duration = Duration::from_secs(5);

/// Upper ends of the buckets of lengths, in tokens.
const TOKENS: [f64; 10] = [
    8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 16384.0,
];

/// Starts counting.
pub(crate) fn install() -> anyhow::Result<PrometheusHandle> {
    let length = Matcher::Full("te_request_input_length".into());
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_duration".into()), &SECONDS)?
        .set_buckets_for_metric(length, &TOKENS)?;
    let handle = builder.install_recorder()?;
    describe_counter!("te_request_count", "requests for the model");
    describe_counter!("te_request_success", "requests that were answered in full");
    describe_counter!("te_request_failure", "requests that failed, by kind");
    describe_histogram!("te_request_duration", "seconds from request to answer");
    describe_histogram!(
        "te_request_queue_duration",
        "seconds a text waited, mean of a request"
    );
    describe_histogram!(
        "te_request_tokenization_duration",
        "seconds a text was tokenised, mean of a request"
    );
    describe_histogram!(
        "te_request_inference_duration",
        "seconds a text was computed, mean of a request"
    );
    describe_histogram!("te_request_input_length", "tokens of a text");
    describe_gauge!("te_queue_size", "texts that wait");
    describe_gauge!(
        "encoderfile_queue_tokens",
        "tokens that wait or are computed, estimated"
    );
    Ok(handle)
}

/// Sums up what was recorded, also where nobody asks for it: until then every
/// single time and length is kept.
pub(crate) async fn upkeep(handle: PrometheusHandle) {
    let mut interval = tokio::time::interval(UPKEEP);
    loop {
        interval.tick().await;
        handle.run_upkeep();
    }
}

/// The figures now, in Prometheus' text format.
pub(crate) fn render(handle: &PrometheusHandle, engine: &Engine) -> String {
    let (texts, tokens) = engine.load();
    gauge!("te_queue_size").set(texts as f64);
    gauge!("encoderfile_queue_tokens").set(tokens as f64);
    handle.run_upkeep();
    handle.render()
}
