//! The Model Context Protocol: a tool for what the model computes.

use crate::engine::{Client, Text};
use crate::failure::{Failure, at_path};
use crate::service::{Capability, Report, Service};
use crate::settings::Access;
use anyhow::Context;
use axum::Router;
use axum::http::request::Parts;
use encoderfile_runtime::output::{Entity, rank};
use encoderfile_runtime::{Aggregation, Options, Role, Values};
use rmcp::handler::server::common::{FromContextPart, schema_for_type};
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::tool::ToolCallContext;
use rmcp::model::{CallToolResult, ContentBlock, Implementation, ServerCapabilities, ServerConfig};
use rmcp::schemars::JsonSchema;
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt, tool, tool_handler, tool_router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

/// Speaks over standard input and output until the client closes them.
pub(crate) async fn stdio(service: Arc<Service>) -> anyhow::Result<()> {
    let running = Tools::new(service).serve(rmcp::transport::stdio()).await;
    let running = running.context("MCP over standard input and output")?;
    running.waiting().await?;
    Ok(())
}

/// Streamable HTTP, to be mounted at a path.
pub(crate) fn router(
    service: Arc<Service>,
    access: &Access,
    draining: CancellationToken,
) -> Router {
    let mut config = StreamableHttpServerConfig::default().with_cancellation_token(draining);
    config
        .allowed_hosts
        .extend(access.allowed_host.iter().cloned());
    let tools = Tools::new(service);
    let factory = move || Ok(tools.clone());
    let sessions = Arc::new(LocalSessionManager::default());
    Router::new().fallback_service(StreamableHttpService::new(factory, sessions, config))
}

/// The tools that fit the model.
#[derive(Clone)]
struct Tools {
    service: Arc<Service>,
    tool_router: ToolRouter<Self>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
struct EmbedArguments {
    /// The texts to embed, each by itself.
    texts: Vec<String>,
    /// What the texts are to a search. Some models embed queries and documents
    /// differently; leave it out if it is neither.
    role: Option<TextRole>,
    /// Keep only so many of the first values of each vector.
    dimensions: Option<usize>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "snake_case")]
enum TextRole {
    /// What somebody looks for.
    Query,
    /// What may be found.
    Document,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
struct SimilarityArguments {
    /// The text that the others are compared with.
    source: String,
    /// The texts to compare with it.
    texts: Vec<String>,
    /// At most so many, the most alike.
    top_n: Option<usize>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
struct ClassifyArguments {
    /// The texts to classify, each by itself.
    texts: Vec<String>,
    /// Choose among these labels instead of the model's own. Only for models
    /// trained on natural language inference.
    labels: Option<Vec<String>>,
    /// With `labels`: judge each label by itself, so that several may apply.
    #[serde(default)]
    multi_label: bool,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
struct EntitiesArguments {
    /// The texts to search, each by itself.
    texts: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
struct RerankArguments {
    /// The question or search.
    query: String,
    /// The texts that may answer it.
    texts: Vec<String>,
    /// At most so many, the best.
    top_n: Option<usize>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
struct FillMaskArguments {
    /// The text, with the model's mask token where a word is missing.
    text: String,
    /// At most so many words for each mask; 5 if left out.
    top_k: Option<usize>,
}

/// A text's place among those of the call and how well it fits.
#[derive(Serialize)]
struct Scored {
    index: usize,
    score: f32,
    text: String,
}

/// One result a text, or one list for all of them.
#[derive(Serialize)]
struct Results<T> {
    results: Vec<T>,
}

/// One vector a text.
#[derive(Serialize)]
struct Embedded<'a> {
    embeddings: Vec<Vec<f32>>,
    embedding_space_id: &'a str,
}

/// A label and its score.
#[derive(Serialize)]
struct Class {
    label: String,
    score: f32,
}

/// What was found in a text, spelt as the text spells it.
#[derive(Serialize)]
struct Found {
    text: String,
    label: String,
    score: f32,
    /// In code points.
    start: usize,
    end: usize,
}

/// A tool's arguments; what is wrong with them is said with the argument's name.
struct Arguments<T>(T);

impl<T: DeserializeOwned> FromContextPart<ToolCallContext<'_, Tools>> for Arguments<T> {
    fn from_context_part(context: &mut ToolCallContext<'_, Tools>) -> Result<Self, ErrorData> {
        let arguments = context.arguments.take().unwrap_or_default();
        let parsed = serde_path_to_error::deserialize(Value::Object(arguments));
        let parsed = parsed.map_err(|error| {
            // By this beginning rmcp knows an error that the language model can
            // mend, and makes it the call's result; any other ends the request.
            let message = format!("failed to deserialize parameters: {}", at_path(&error));
            ErrorData::invalid_params(message, None)
        });
        parsed.map(Self)
    }
}

/// Which client a call is from.
fn client(context: &RequestContext<RoleServer>) -> Client {
    let parts = context.extensions.get::<Parts>();
    let client = parts.and_then(|parts| parts.extensions.get::<Client>());
    client.copied().unwrap_or(Client::Local)
}

/// A tool's result: JSON, with what became of texts that were too long.
fn result(of: &impl Serialize, report: &Report) -> CallToolResult {
    let mut value = match block_in_place(|| crate::json::value(of)) {
        Ok(value) => value,
        Err(error) => return CallToolResult::error(vec![ContentBlock::text(error.to_string())]),
    };
    if !report.truncated.is_empty() {
        let cut = report.truncated.iter();
        let cut = cut.map(|(index, tokens_total, tokens_used)| {
            json!({ "index": index, "tokens_total": tokens_total, "tokens_used": tokens_used })
        });
        value["truncated"] = cut.collect();
    }
    CallToolResult::structured(value)
}

/// What went wrong, for the model to read and mend.
fn failed(failure: &Failure) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(failure.to_string())])
}

fn texts(texts: &[String]) -> Vec<Text> {
    texts.iter().cloned().map(Text::One).collect()
}

#[tool_router]
impl Tools {
    fn new(service: Arc<Service>) -> Self {
        let mut tool_router = Self::tool_router();
        let capabilities = service.capabilities();
        let tools = [
            ("embed", Capability::Embed),
            ("similarity", Capability::Similarity),
            ("classify", Capability::Classify),
            ("extract_entities", Capability::Entities),
            ("rerank", Capability::Rerank),
            ("fill_mask", Capability::FillMask),
            ("embed_sparse", Capability::Sparse),
        ];
        for (name, capability) in tools {
            if !capabilities.contains(&capability) {
                tool_router.remove_route(name);
            }
        }
        let tokens_alone = capabilities == [Capability::TokenEmbeddings];
        if !tokens_alone {
            tool_router.remove_route("embed_tokens");
        }
        Self {
            service,
            tool_router,
        }
    }

    /// Turn each text into a vector. Texts that mean similar things have similar vectors. Vectors may only be compared with others of the same embedding_space_id.
    #[tool(input_schema = schema_for_type::<EmbedArguments>())]
    async fn embed(
        &self,
        Arguments(arguments): Arguments<EmbedArguments>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        let options = Options {
            role: arguments.role.map(|role| match role {
                TextRole::Query => Role::Query,
                TextRole::Document => Role::Document,
            }),
            dimensions: arguments.dimensions,
            ..Options::default()
        };
        let embedded = self
            .service
            .embed(client(&context), texts(&arguments.texts), options);
        match embedded.await {
            Ok((vectors, report)) => {
                let space = self.service.info.embedding_space_id.as_str();
                let value = Embedded {
                    embeddings: vectors,
                    embedding_space_id: space,
                };
                result(&value, &report)
            }
            Err(failure) => failed(&failure),
        }
    }

    /// Say how alike each text is to a source text in meaning, most alike first. Higher scores are more alike.
    #[tool(input_schema = schema_for_type::<SimilarityArguments>())]
    async fn similarity(
        &self,
        Arguments(arguments): Arguments<SimilarityArguments>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        let mut all = vec![Text::One(arguments.source)];
        all.extend(texts(&arguments.texts));
        let embedded = self
            .service
            .embed(client(&context), all, Options::default());
        let (vectors, report) = match embedded.await {
            Ok(embedded) => embedded,
            Err(failure) => return failed(&failure),
        };
        let scores = match self.service.similarities(&vectors) {
            Ok(scores) => scores,
            Err(failure) => return failed(&failure),
        };
        let scored = scores.into_iter().zip(arguments.texts).enumerate();
        let mut scored: Vec<Scored> = scored
            .map(|(index, (score, text))| Scored { index, score, text })
            .collect();
        scored.sort_by(|a, b| b.score.total_cmp(&a.score));
        scored.truncate(arguments.top_n.unwrap_or(usize::MAX));
        result(&Results { results: scored }, &report)
    }

    /// Give each text the labels that fit it, best first, each with a score.
    #[tool(input_schema = schema_for_type::<ClassifyArguments>())]
    async fn classify(
        &self,
        Arguments(arguments): Arguments<ClassifyArguments>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        let options = Options {
            labels: arguments.labels,
            multi_label: arguments.multi_label,
            ..Options::default()
        };
        let classified = self
            .service
            .infer(client(&context), texts(&arguments.texts), options);
        let answer = match classified.await {
            Ok(answer) => answer,
            Err(failure) => return failed(&failure),
        };
        let own = &self.service.pipeline().labels;
        let results = answer.predictions.into_iter().map(|it| match it.values {
            Values::SequenceClassification { scores, .. } => classes(own, &scores),
            Values::ZeroShot { labels, scores } => classes(&labels, &scores),
            _ => Vec::new(),
        });
        let results: Vec<Vec<Class>> = results.collect();
        result(&Results { results }, &answer.report)
    }

    /// Find names and other marked spans in each text: what they say, their label, their score and where they stand (start and end in characters).
    #[tool(input_schema = schema_for_type::<EntitiesArguments>())]
    async fn extract_entities(
        &self,
        Arguments(arguments): Arguments<EntitiesArguments>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        let options = Options {
            aggregation: Some(Aggregation::Simple),
            ..Options::default()
        };
        let found = self
            .service
            .infer(client(&context), texts(&arguments.texts), options);
        let answer = match found.await {
            Ok(answer) => answer,
            Err(failure) => return failed(&failure),
        };
        let results = answer.predictions.into_iter().zip(&arguments.texts);
        let results = results.map(|(prediction, text)| match prediction.values {
            Values::Entities { entities } => spelt(entities, text),
            _ => Vec::new(),
        });
        let results: Vec<Vec<Found>> = results.collect();
        result(&Results { results }, &answer.report)
    }

    /// Order texts by how well they answer a query, best first.
    #[tool(input_schema = schema_for_type::<RerankArguments>())]
    async fn rerank(
        &self,
        Arguments(arguments): Arguments<RerankArguments>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        let options = Options {
            query: Some(arguments.query),
            top_k: arguments.top_n,
            ..Options::default()
        };
        let scored = self
            .service
            .infer(client(&context), texts(&arguments.texts), options);
        let answer = match scored.await {
            Ok(answer) => answer,
            Err(failure) => return failed(&failure),
        };
        let ranked = rank(&answer.predictions, arguments.top_n).into_iter();
        let ranked = ranked.map(|it| Scored {
            index: it.index,
            score: it.score,
            text: arguments.texts[it.index].clone(),
        });
        result(
            &Results {
                results: ranked.collect::<Vec<_>>(),
            },
            &answer.report,
        )
    }

    /// Say which words fit where a text has the model's mask token, likeliest first.
    #[tool(input_schema = schema_for_type::<FillMaskArguments>())]
    async fn fill_mask(
        &self,
        Arguments(arguments): Arguments<FillMaskArguments>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        let options = Options {
            top_k: arguments.top_k,
            ..Options::default()
        };
        self.plain(&[arguments.text], options, &context).await
    }

    /// Give each text the weights of the words it is about, as a sparse vector over the vocabulary.
    #[tool(input_schema = schema_for_type::<EntitiesArguments>())]
    async fn embed_sparse(
        &self,
        Arguments(arguments): Arguments<EntitiesArguments>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        self.plain(&arguments.texts, Options::default(), &context)
            .await
    }

    /// Give each token of each text a vector.
    #[tool(input_schema = schema_for_type::<EntitiesArguments>())]
    async fn embed_tokens(
        &self,
        Arguments(arguments): Arguments<EntitiesArguments>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        self.plain(&arguments.texts, Options::default(), &context)
            .await
    }

    /// Results as `infer` gives them.
    async fn plain(
        &self,
        of: &[String],
        options: Options,
        context: &RequestContext<RoleServer>,
    ) -> CallToolResult {
        match self
            .service
            .infer(client(context), texts(of), options)
            .await
        {
            Ok(answer) => {
                let results = answer.predictions;
                result(&Results { results }, &answer.report)
            }
            Err(failure) => failed(&failure),
        }
    }
}

fn classes(labels: &[String], scores: &[f32]) -> Vec<Class> {
    let classes = labels.iter().zip(scores);
    let mut classes: Vec<Class> = classes
        .map(|(label, score)| Class {
            label: label.clone(),
            score: *score,
        })
        .collect();
    classes.sort_by(|a, b| b.score.total_cmp(&a.score));
    classes
}

fn spelt(entities: Vec<Entity>, text: &str) -> Vec<Found> {
    let characters: Vec<char> = text.chars().collect();
    let found = entities.into_iter().map(|entity| Found {
        text: characters
            .get(entity.start..entity.end)
            .unwrap_or_default()
            .iter()
            .collect(),
        label: entity.label.name().to_owned(),
        score: entity.score,
        start: entity.start,
        end: entity.end,
    });
    found.collect()
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        let service = &self.service;
        let instructions = format!(
            "{}: {} ({}). It runs on this machine; texts go nowhere else.",
            service.model_id,
            service.task().name().replace('_', " "),
            service.info.output
        );
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new(
                "encoderfile",
                env!("CARGO_PKG_VERSION"),
            ))
            .with_instructions(instructions)
    }
}
