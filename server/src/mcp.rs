//! The Model Context Protocol: a tool for what the model computes, and upstream's.

mod arguments;
mod lines;
pub(crate) mod messages;
mod results;
mod schema;
mod sessions;

use crate::http::App;
use anyhow::Context;
use arguments::Arguments;
use axum::Router;
use axum::http::request::Parts;
use encoderfile::Item;
use encoderfile::output::rank;
use encoderfile::{Aggregation, Capability, Options, Values};
use encoderfile_dialects::engine::Client;
use encoderfile_dialects::service::Service;
use lines::Standard;
use results::{failed, plain, reported};
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::model::{
    CallToolResult, CustomRequest, CustomResult, Implementation, JsonObject, ServerCapabilities,
    ServerConfig, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt, tool, tool_handler, tool_router};
use sessions::Sessions;
use std::sync::Arc;
use tokio::io::DuplexStream;
use utoipa::ToSchema;

/// Speaks over standard input and output until the client closes them.
pub(crate) async fn stdio(service: Arc<Service>) -> anyhow::Result<()> {
    let Standard {
        input,
        output,
        written,
    } = Standard::open();
    let ended = converse(service, input, output).await;
    written.await??;
    ended
}

async fn converse(
    service: Arc<Service>,
    input: DuplexStream,
    output: DuplexStream,
) -> anyhow::Result<()> {
    let running = Tools::new(service).serve((input, output)).await;
    let running = running.context("MCP over standard input and output")?;
    running.waiting().await?;
    Ok(())
}

/// Streamable HTTP, to be mounted at a path.
pub(crate) fn router(app: &App, hosts: &[String]) -> Router {
    let service = app.service.clone();
    let mut config = StreamableHttpServerConfig::default()
        .with_cancellation_token(app.draining.clone())
        .with_max_request_body_bytes(service.limits.payload_limit);
    config.allowed_hosts.extend(hosts.iter().cloned());
    if !app.origins.is_any() {
        // Pages that this server's own names lead to need no permission.
        let hosts = config.allowed_hosts.iter();
        let own = hosts.flat_map(|host| ["http", "https"].map(|it| origin(it, host)));
        let origins = own.chain(app.origins.listed().iter().cloned());
        let origins = origins.collect::<Vec<_>>();
        config = config.with_allowed_origins(origins);
    }
    let tools = Tools::new(service);
    let factory = move || Ok(tools.clone());
    let sessions = Arc::new(Sessions::default());
    Router::new().fallback_service(StreamableHttpService::new(factory, sessions, config))
}

/// A host's pages, of whatever port unless it says which.
fn origin(scheme: &str, host: &str) -> String {
    let is_bare_v6 = host.parse::<std::net::Ipv6Addr>().is_ok();
    let has_port = !is_bare_v6 && host.rsplit_once(':').is_some_and(|it| !it.1.ends_with(']'));
    match (is_bare_v6, has_port) {
        (true, _) => format!("{scheme}://[{host}]:*"),
        (false, true) => format!("{scheme}://{host}"),
        (false, false) => format!("{scheme}://{host}:*"),
    }
}

/// The tools that fit the model.
#[derive(Clone)]
struct Tools {
    service: Arc<Service>,
    tool_router: ToolRouter<Self>,
}

/// Which client a call is from.
fn client(context: &RequestContext<RoleServer>) -> Client {
    let parts = context.extensions.get::<Parts>();
    let client = parts.and_then(|parts| parts.extensions.get::<Client>());
    client.copied().unwrap_or(Client::Local)
}

fn texts(texts: &[String]) -> Vec<Item> {
    texts.iter().cloned().map(Item::Text).collect()
}

/// The names of all arguments of all tools.
#[cfg(test)]
pub(crate) fn argument_names() -> std::collections::BTreeSet<String> {
    let tools = Tools::tool_router().list_all();
    let properties = tools
        .iter()
        .filter_map(|tool| tool.input_schema.get("properties")?.as_object());
    properties.flat_map(|it| it.keys().cloned()).collect()
}

/// The schema of a result that is one list, or one list a text.
fn output<T: ToSchema>() -> Arc<JsonObject> {
    reported_as(&schema::of::<T>())
}

/// The schema of a result with its report.
fn reported_as(result: &JsonObject) -> Arc<JsonObject> {
    schema::with(result, &schema::of::<results::Cut>())
}

/// The schema of results in that field, with their report.
fn predictions_as(field: &'static str) -> Arc<JsonObject> {
    reported_as(&schema::of_result::<results::Predictions>(field))
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
        let values = service.encoder.result();
        // Others have it as an option.
        if values != "embeddings" {
            tool_router.remove_route("embed_tokens");
        }
        for (name, route) in &mut tool_router.map {
            let tool = &mut route.attr;
            let harmless = ToolAnnotations::new().read_only(true).open_world(false);
            tool.annotations = Some(harmless);
            match name.as_ref() {
                "embed_tokens" => tool.output_schema = Some(predictions_as("embeddings")),
                "embed_sparse" => tool.output_schema = Some(predictions_as("sparse_embedding")),
                "fill_mask" => tool.output_schema = Some(predictions_as("masks")),
                "run_encoder" => {
                    tool.output_schema = Some(schema::of_result::<results::Encoded>(values));
                }
                _ => {}
            }
        }
        Self {
            service,
            tool_router,
        }
    }

    /// Turn each text into a vector. Texts that mean similar things have similar vectors. Vectors may only be compared with others of the same embedding_space_id.
    #[tool(input_schema = schema::of::<arguments::Embed>(), output_schema = output::<results::Embedded>())]
    async fn embed(
        &self,
        Arguments(arguments): Arguments<arguments::Embed>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        let options = Options {
            role: arguments.role.map(Into::into),
            dimensions: arguments.dimensions,
            ..Options::default()
        };
        let embedded = self
            .service
            .embed(client(&context), texts(&arguments.texts), options);
        match embedded.await {
            Ok((vectors, report)) => {
                let result = results::Embedded {
                    embeddings: vectors,
                    embedding_space_id: self.service.info.embedding_space_id.clone(),
                };
                reported(result, &report)
            }
            Err(failure) => failed(&failure),
        }
    }

    /// Give each text's similarity score to a source text, by meaning, most similar first. Higher scores are more similar.
    #[tool(input_schema = schema::of::<arguments::Similarity>(), output_schema = output::<results::ScoredTexts>())]
    async fn similarity(
        &self,
        Arguments(arguments): Arguments<arguments::Similarity>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        let (source, others) = (arguments.source, arguments.texts.clone());
        let compared =
            self.service
                .similarity(client(&context), source, others, Options::default());
        let (scores, report) = match compared.await {
            Ok(compared) => compared,
            Err(failure) => return failed(&failure),
        };
        let scored = scores.into_iter().zip(arguments.texts).enumerate();
        let mut scored: Vec<results::Scored> = scored
            .map(|(index, (score, text))| results::Scored { index, score, text })
            .collect();
        scored.sort_by(|a, b| b.score.total_cmp(&a.score));
        scored.truncate(arguments.top_k.unwrap_or(usize::MAX));
        reported(results::ScoredTexts { results: scored }, &report)
    }

    /// Give each text the labels that fit it, best first, each with a score.
    #[tool(input_schema = schema::of::<arguments::Classify>(), output_schema = output::<results::Classified>())]
    async fn classify(
        &self,
        Arguments(arguments): Arguments<arguments::Classify>,
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
            Values::SequenceClassification { scores, .. } => results::classes(own, &scores),
            Values::ZeroShot { labels, scores } => results::classes(&labels, &scores),
            _ => Vec::new(),
        });
        let results = results.collect();
        reported(results::Classified { results }, &answer.report)
    }

    /// Find names and other marked spans in each text: what they say, their label, their score and where they stand (start and end in characters).
    #[tool(input_schema = schema::of::<arguments::Texts>(), output_schema = output::<results::Entities>())]
    async fn extract_entities(
        &self,
        Arguments(arguments): Arguments<arguments::Texts>,
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
            Values::Entities { entities } => results::spelt(entities, text),
            _ => Vec::new(),
        });
        let results = results.collect();
        reported(results::Entities { results }, &answer.report)
    }

    /// Order texts by how well they answer a query, best first.
    #[tool(input_schema = schema::of::<arguments::Rerank>(), output_schema = output::<results::ScoredTexts>())]
    async fn rerank(
        &self,
        Arguments(arguments): Arguments<arguments::Rerank>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        let options = Options {
            query: Some(arguments.query),
            top_k: arguments.top_k,
            ..Options::default()
        };
        let scored = self
            .service
            .infer(client(&context), texts(&arguments.texts), options);
        let answer = match scored.await {
            Ok(answer) => answer,
            Err(failure) => return failed(&failure),
        };
        let ranked = rank(&answer.predictions, arguments.top_k).into_iter();
        let ranked = ranked.map(|it| results::Scored {
            index: it.index,
            score: it.score,
            text: arguments.texts[it.index].clone(),
        });
        let results = ranked.collect();
        reported(results::ScoredTexts { results }, &answer.report)
    }

    /// Say which words fit where a text has the model's mask token, likeliest first.
    #[tool(input_schema = schema::of::<arguments::FillMask>())]
    async fn fill_mask(
        &self,
        Arguments(arguments): Arguments<arguments::FillMask>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        let options = Options {
            top_k: arguments.top_k,
            ..Options::default()
        };
        self.predictions(&[arguments.text], options, &context).await
    }

    /// Give each text the weights of the words it is about, as a sparse vector over the vocabulary.
    #[tool(input_schema = schema::of::<arguments::Texts>())]
    async fn embed_sparse(
        &self,
        Arguments(arguments): Arguments<arguments::Texts>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        match self.service.sparse(Options::default()) {
            Ok(options) => self.predictions(&arguments.texts, options, &context).await,
            Err(failure) => failed(&failure),
        }
    }

    /// Give each token of each text a vector.
    #[tool(input_schema = schema::of::<arguments::EmbedTokens>())]
    async fn embed_tokens(
        &self,
        Arguments(arguments): Arguments<arguments::EmbedTokens>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        let options = Options {
            role: arguments.role.map(Into::into),
            ..Options::default()
        };
        self.predictions(&arguments.texts, options, &context).await
    }

    /// Run the model on each text and give what it computes, with every number.
    #[tool(input_schema = schema::of::<arguments::RunEncoder>())]
    async fn run_encoder(
        &self,
        Arguments(arguments): Arguments<arguments::RunEncoder>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        let texts = texts(&arguments.inputs);
        let options = Options::default();
        let answer = self.service.infer(client(&context), texts, options).await;
        match answer {
            Ok(answer) => plain(&results::Encoded {
                results: answer.predictions,
                model_id: self.service.model_id.clone(),
                metadata: arguments.metadata,
            }),
            Err(failure) => failed(&failure),
        }
    }

    /// Results as `infer` gives them.
    async fn predictions(
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
                reported(results::Predictions { results }, &answer.report)
            }
            Err(failure) => failed(&failure),
        }
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Tools {
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        Err(messages::refusal(request.method, request.params))
    }

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
