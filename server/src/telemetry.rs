//! Logs on standard error, and traces for whoever collects them.

use crate::settings::Telemetry;
use anyhow::Context;
use axum::http::{HeaderMap, HeaderName};
use opentelemetry::KeyValue;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::io::{IsTerminal, stderr};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// The target of spans: they are for traces, and log lines say it themselves.
pub(crate) const SPANS: &str = "encoderfile::spans";

/// What is logged unless RUST_LOG says otherwise. rmcp calls it an error when a
/// session ends with the server.
const LOGGED: &str = "info,rmcp=off";

/// Sends what is still to be sent when it is dropped.
pub(crate) struct Traces(Option<SdkTracerProvider>);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(provider) = &self.0 {
            // A collector that is gone must not keep the process.
            let _ = provider.shutdown();
        }
    }
}

/// Starts logging and tracing.
pub(crate) fn start(settings: &Telemetry) -> anyhow::Result<Traces> {
    let filter = || {
        let filter = EnvFilter::try_from_default_env();
        let filter = filter.unwrap_or_else(|_| EnvFilter::new(LOGGED));
        // Parses: it has no variable part.
        let directive = format!("{SPANS}=off").parse();
        directive.map_or_else(|_| EnvFilter::new(LOGGED), |off| filter.add_directive(off))
    };
    let lines = fmt::layer().with_writer(stderr).with_target(false);
    let lines = if settings.json_output {
        lines
            .json()
            .flatten_event(true)
            .with_filter(filter())
            .boxed()
    } else {
        let lines = lines.with_ansi(stderr().is_terminal());
        lines.compact().with_filter(filter()).boxed()
    };
    let provider = settings
        .endpoint()
        .map(|endpoint| provider(endpoint, &settings.otlp_service_name));
    let provider = provider.transpose()?;
    let traces = provider.as_ref().map(|provider| {
        let tracer = provider.tracer("encoderfile");
        // The exporter's own requests are not to be traced.
        let ours = EnvFilter::new(format!("off,{SPANS}=info"));
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_filter(ours)
    });
    tracing_subscriber::registry()
        .with(lines)
        .with(traces)
        .try_init()?;
    Ok(Traces(provider))
}

fn provider(endpoint: &str, service_name: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .with_context(|| format!("--otlp-endpoint {endpoint}"))?;
    let resource = Resource::builder()
        .with_service_name(service_name.to_owned())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(exporter)
        .build())
}

/// The trace that a client's `traceparent` names.
pub(crate) fn parent(headers: &HeaderMap) -> opentelemetry::Context {
    struct Headers<'a>(&'a HeaderMap);

    impl Extractor for Headers<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.get(key)?.to_str().ok()
        }

        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(HeaderName::as_str).collect()
        }
    }

    TraceContextPropagator::new().extract(&Headers(headers))
}
