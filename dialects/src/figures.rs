//! What is counted and timed, under TEI's names; whoever installs a recorder of the crate `metrics`
//! gets it.

use crate::failure::Failure;
use crate::service::Report;
use metrics::{counter, histogram};
use std::time::Duration;

pub(crate) fn request(texts: usize) {
    let method = if texts == 1 { "single" } else { "batch" };
    counter!("te_request_count", "method" => method).increment(1);
}

pub(crate) fn refused(failure: &Failure) {
    counter!("te_request_failure", "err" => failure.kind.name()).increment(1);
}

pub(crate) fn input_length(tokens: usize) {
    histogram!("te_request_input_length").record(tokens as f64);
}

pub(crate) fn computed(report: &Report, complete: bool) {
    if complete {
        counter!("te_request_success").increment(1);
    } else {
        counter!("te_request_failure", "err" => "Inference").increment(1);
    }
    let record = |name: &'static str, time: Duration| histogram!(name).record(time);
    record("te_request_duration", report.total);
    record("te_request_queue_duration", report.queued);
    record("te_request_tokenization_duration", report.tokenization);
    record("te_request_inference_duration", report.inference);
}
