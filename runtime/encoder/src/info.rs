//! What a file contains, as every frontend tells it.

use crate::heads;
use encoderfile_format::container::ContainerError;
use encoderfile_format::container::Payload;
use encoderfile_format::manifest::{Pipeline, Task};
use serde::{Serialize, Serializer};

/// A file's model: what it is, where it comes from, and what it may be compared with.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Info {
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// What the model computes.
    pub task: &'static str,
    /// The base model or architecture that the folder names.
    pub architecture: String,
    /// What comes out, in words.
    pub output: String,
    /// Classification: the label of each logit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// Embeddings and cross-encoders: named texts that a request can have prepended to
    /// its texts.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_map")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<std::collections::BTreeMap<String, String>>))]
    pub prompts: Option<Vec<(String, String)>>,
    /// Embeddings and cross-encoders: the prompt for requests that say nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_prompt: Option<Option<String>>,
    /// Embeddings: how they are meant to be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub similarity: Option<&'static str>,
    /// Maximum sequence length in tokens, special tokens included.
    pub max_tokens: u32,
    /// The file and key that say so.
    pub max_tokens_source: String,
    /// Late interaction: the most tokens of a query and of a document, markers included.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_map")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<std::collections::BTreeMap<String, u32>>))]
    pub max_tokens_by_role: Option<Vec<(String, u32)>>,
    /// Rows of the token embedding.
    pub vocabulary_size: u32,
    /// How the large matrices are stored.
    pub weights: String,
    /// What products with large matrices are computed in.
    pub compute: &'static str,
    /// The smallest cosine between outputs with these and with float32 weights,
    /// computed in float32, over the texts of the golden cases.
    pub worst_cosine: f32,
    /// What the folder says of its licence.
    pub license: String,
    /// BLAKE3 over manifest and footer, in hexadecimal; the manifest has the BLAKE3 of each
    /// artifact.
    pub payload_digest: String,
    /// Equal only for files whose embeddings may be compared. How weights are stored does
    /// not change it.
    pub embedding_space_id: String,
    /// SHA-256 of the ONNX file that the model was built from and of its external data.
    pub source_sha256: String,
    /// The builder's name and version.
    pub built_by: String,
    /// The parts of the file.
    #[serde(serialize_with = "as_map")]
    #[cfg_attr(feature = "schema", schema(value_type = std::collections::BTreeMap<String, u64>))]
    pub sizes_bytes: Vec<(String, u64)>,
}

impl Info {
    /// What a payload says of itself.
    ///
    /// # Errors
    /// [`ContainerError::NoModel`] for a file without a model.
    pub fn of(payload: &Payload) -> Result<Self, ContainerError> {
        let manifest = payload.manifest();
        let model = payload.model()?;
        let (pipeline, provenance) = (&model.pipeline, model.provenance.clone());
        let weights = model.weights;
        let similarity = heads::similarity(model.task, pipeline);
        let embeds = similarity.is_some();
        let prompted = embeds || !pipeline.prompts.is_empty();
        let prompts = pipeline.prompts.iter();
        let prompts = prompts.map(|prompt| (prompt.name.clone(), prompt.text.clone()));
        let artifacts = payload.artifacts();
        Ok(Self {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            task: model.task.name(),
            architecture: provenance.architecture,
            output: heads::describe(model.task, pipeline),
            labels: (!embeds).then(|| pipeline.labels.clone()),
            prompts: prompted.then(|| prompts.collect()),
            default_prompt: prompted.then(|| {
                let name = &pipeline.default_prompt;
                (!name.is_empty()).then(|| name.clone())
            }),
            similarity,
            max_tokens: pipeline.max_tokens,
            max_tokens_source: pipeline.max_tokens_source.clone(),
            max_tokens_by_role: pipeline.late_interaction.as_ref().map(|roles| {
                let roles = [("query", roles.query), ("document", roles.document)];
                let roles = roles.map(|(name, role)| (name.to_owned(), pipeline.limit(role)));
                roles.to_vec()
            }),
            vocabulary_size: pipeline.vocabulary_size,
            weights: weights.encoding.to_string(),
            compute: pipeline.compute.name(),
            worst_cosine: weights.min_cosine,
            license: if provenance.license.is_empty() {
                "not stated".into()
            } else {
                provenance.license
            },
            payload_digest: hex(&payload.digest()),
            embedding_space_id: hex(&provenance.embedding_space_id),
            source_sha256: hex(&provenance.source_sha256),
            built_by: provenance.builder,
            sizes_bytes: artifacts
                .map(|(kind, _, length)| (kind.to_string(), length))
                .collect(),
        })
    }
}

impl Info {
    /// For a model that is served otherwise than its file says.
    pub(crate) fn describe(&mut self, task: Task, pipeline: &Pipeline) {
        self.task = task.name();
        self.output = heads::describe(task, pipeline);
        if let Some(similarity) = heads::similarity(task, pipeline) {
            self.labels = None;
            self.similarity = Some(similarity);
            self.prompts.get_or_insert_default();
            self.default_prompt.get_or_insert_default();
        }
    }
}

/// A list of names and values, in its order.
trait Pairs {
    fn serialize_pairs<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
}

impl<V: Serialize> Pairs for Vec<(String, V)> {
    fn serialize_pairs<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(name, value)| (name, value)))
    }
}

impl<P: Pairs> Pairs for Option<P> {
    fn serialize_pairs<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(pairs) => pairs.serialize_pairs(serializer),
            None => serializer.serialize_none(),
        }
    }
}

fn as_map<S: Serializer>(pairs: &impl Pairs, serializer: S) -> Result<S::Ok, S::Error> {
    pairs.serialize_pairs(serializer)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
