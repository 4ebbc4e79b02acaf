//! What tools are called with; the comments are what language models read.

use super::Tools;
use encoderfile_dialects::failure::{Failure, Kind};
use encoderfile_dialects::fields::whole;
use rmcp::ErrorData;
use rmcp::handler::server::common::FromContextPart;
use rmcp::handler::server::tool::ToolCallContext;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Embed {
    /// The texts to embed, each by itself.
    pub(super) texts: Vec<String>,
    /// What the texts are to a search: what somebody looks for, or what may be
    /// found. Some models embed queries and documents differently; leave it out if
    /// it is neither.
    pub(super) role: Option<Role>,
    /// Keep only so many of the first values of each vector.
    #[serde(default, deserialize_with = "whole")]
    pub(super) dimensions: Option<usize>,
}

/// What a text is to a search.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    Query,
    Document,
}

impl From<Role> for encoderfile::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Query => Self::Query,
            Role::Document => Self::Document,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Similarity {
    /// The text that the others are compared with.
    pub(super) source: String,
    /// The texts to compare with it.
    pub(super) texts: Vec<String>,
    /// At most so many, the most similar.
    #[serde(default, alias = "top_n", deserialize_with = "whole")]
    pub(super) top_k: Option<usize>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Classify {
    /// The texts to classify, each by itself.
    pub(super) texts: Vec<String>,
    /// Choose among these labels instead of the model's own. Only for models
    /// trained on natural language inference.
    pub(super) labels: Option<Vec<String>>,
    /// With `labels`: judge each label by itself, so that several may apply.
    #[serde(default)]
    pub(super) multi_label: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmbedTokens {
    /// The texts, each by itself.
    pub(super) texts: Vec<String>,
    /// What the texts are to a search: what somebody looks for, or what may be
    /// found. Only for models of late interaction, whose vectors differ by it; documents
    /// if left out.
    pub(super) role: Option<Role>,
}

/// Of tools that have no options.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Texts {
    /// The texts, each by itself.
    pub(super) texts: Vec<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rerank {
    /// The question or search.
    pub(super) query: String,
    /// The texts that may answer it.
    pub(super) texts: Vec<String>,
    /// At most so many, the best.
    #[serde(default, alias = "top_n", deserialize_with = "whole")]
    pub(super) top_k: Option<usize>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FillMask {
    /// The text, with the model's mask token where a word is missing.
    pub(super) text: String,
    /// At most so many candidates for each mask; 5 if left out.
    #[serde(default, deserialize_with = "whole")]
    pub(super) top_k: Option<usize>,
}

/// Upstream's, as in its `/predict`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RunEncoder {
    /// The texts, each by itself.
    pub(super) inputs: Vec<String>,
    /// Whatever should come back with the results.
    #[schema(value_type = Option<Metadata>)]
    pub(super) metadata: Option<Map<String, Value>>,
}

/// An object of whatever members; Gemini refuses one that has none.
#[derive(ToSchema)]
#[allow(dead_code, reason = "for the schema")]
pub(super) struct Metadata {
    /// For example, what the caller calls the request. Any other names may stand
    /// here too.
    id: Option<String>,
}

/// A tool's arguments; what is wrong with them is said with the argument's name.
pub(super) struct Arguments<T>(pub(super) T);

impl<T: DeserializeOwned> FromContextPart<ToolCallContext<'_, Tools>> for Arguments<T> {
    fn from_context_part(context: &mut ToolCallContext<'_, Tools>) -> Result<Self, ErrorData> {
        let arguments = context.arguments.take().unwrap_or_default();
        let parsed = serde_path_to_error::deserialize(Value::Object(arguments));
        let parsed = parsed.map_err(|error| {
            // By this beginning rmcp knows an error that the language model can
            // correct, and makes it the call's result; any other ends the request.
            let problem = Failure::at_path(Kind::Validation, &error);
            let message = format!("failed to deserialize parameters: {problem}");
            ErrorData::invalid_params(message, None)
        });
        parsed.map(Self)
    }
}
