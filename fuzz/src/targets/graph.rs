//! Graphs, with pipeline, tokenizer and weights of a model that has such a one.

use super::TEXT;
use crate::models;
use encoderfile::container::ArtifactKind;
use encoderfile::manifest::{Pipeline, Task};
use encoderfile::{Encoder, Options, Payload, Source};
use std::sync::{Arc, LazyLock};

/// What stands around a graph.
struct Parts {
    task: Task,
    pipeline: Pipeline,
    tokenizer: Vec<u8>,
    weights: Arc<dyn Source>,
}

impl Parts {
    fn of(name: &str) -> anyhow::Result<Self> {
        let payload = Payload::open(Arc::new(models::payload(name)?))?;
        let model = payload.model()?;
        Ok(Self {
            task: model.task,
            pipeline: model.pipeline.clone(),
            tokenizer: models::artifact(name, ArtifactKind::Tokenizer)?,
            weights: Arc::new(payload.artifact(ArtifactKind::Weights)?),
        })
    }
}

static PARTS: LazyLock<Vec<Parts>> = LazyLock::new(|| {
    let parts = models::NAMES.iter().map(|name| Parts::of(name));
    let parts: anyhow::Result<_> = parts.collect();
    parts.unwrap_or_else(|error| panic!("{error:#}"))
});

/// The first byte says with whose parts.
pub(crate) fn run(data: &[u8]) {
    let Some((which, graph)) = data.split_first() else {
        return;
    };
    let parts = &PARTS[usize::from(*which) % PARTS.len()];
    let pipeline = parts.pipeline.clone();
    let encoder = Encoder::from_parts(
        parts.task,
        pipeline,
        &parts.tokenizer,
        graph,
        &parts.weights,
    );
    let Ok(encoder) = encoder else {
        return;
    };
    if let Ok(mut session) = encoder.session() {
        let _ = session.infer(TEXT, &Options::default());
    }
}

pub(crate) fn seeds() -> anyhow::Result<Vec<Vec<u8>>> {
    let graphs = (0_u8..).zip(models::NAMES).map(|(which, name)| {
        let graph = models::artifact(name, ArtifactKind::Graph)?;
        Ok([&[which], &graph[..]].concat())
    });
    graphs.collect()
}
