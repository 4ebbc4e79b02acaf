//! What every dialect calls: texts and options in, predictions out.
//!
//! Limits are checked and figures kept here, so that they are the same
//! whatever a client speaks.

mod amount;

use crate::engine::{Client, Engine, Operation, Outcome, Output};
use crate::failure::{Failure, Kind};
use crate::figures;
use crate::limits::{Defaults, Limits};
pub use encoderfile::Capability;
use encoderfile::Item;
use encoderfile::manifest::{Pipeline, Task};
use encoderfile::output::{Ranked, rank};
use encoderfile::pooling::similarity;
use encoderfile::{
    Encoder, Error, Info, Options, Overflow, Prediction, SharedOptions, Tokens, Values,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A model that is served.
pub struct Service {
    /// The model itself.
    pub encoder: Arc<Encoder>,
    /// What computes it.
    pub engine: Arc<dyn Engine>,
    /// What its file says of it.
    pub info: Info,
    /// Of requests.
    pub limits: Limits,
    defaults: Defaults,
    /// The model's name in answers.
    pub model_id: String,
    /// That are being served.
    requests: AtomicUsize,
}

/// The predictions of a request and how they came about.
pub struct Answer {
    /// One a text.
    pub predictions: Vec<Prediction>,
    /// What it took.
    pub report: Report,
}

/// What a request took.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Of all texts.
    pub characters: usize,
    /// Computed, over all texts.
    pub tokens: usize,
    /// From the request to its results.
    pub total: Duration,
    /// Waiting: the mean over the texts, as the next two.
    pub queued: Duration,
    /// Text to tokens.
    pub tokenization: Duration,
    /// Tokens to results.
    pub inference: Duration,
    /// Texts that were cut: index, tokens in all, tokens used.
    pub truncated: Vec<(usize, usize, usize)>,
    /// The same of a source that the texts are compared with, which is none of them.
    pub truncated_source: Option<(usize, usize)>,
}

impl Report {
    /// Where the first text is what the others are compared with, and not counted.
    fn beside_source(mut self) -> Self {
        let is_source = |cut: &&(usize, usize, usize)| cut.0 == 0;
        let source = self.truncated.iter().find(is_source);
        self.truncated_source = source.map(|(_, total, used)| (*total, *used));
        self.truncated.retain(|(index, ..)| *index > 0);
        for cut in &mut self.truncated {
            cut.0 -= 1;
        }
        self
    }
}

impl Service {
    /// Of a model, and what computes it.
    ///
    /// # Errors
    /// Where the model lacks a prompt of `defaults`.
    pub fn new(
        encoder: Arc<Encoder>,
        engine: Arc<dyn Engine>,
        mut info: Info,
        limits: Limits,
        defaults: Defaults,
    ) -> Result<Self, Error> {
        encoder.check(&defaults.apply(Options::default()))?;
        if let Some(name) = &defaults.prompt_name {
            info.default_prompt = Some(Some(name.clone()));
        }
        Ok(Self {
            encoder,
            engine,
            model_id: info.name.clone(),
            info,
            requests: AtomicUsize::new(0),
            limits,
            defaults,
        })
    }

    /// The options of a request, with the prompt that it gets if it names none.
    pub fn with_defaults(&self, options: Options) -> Options {
        self.defaults.apply(options)
    }

    /// What to do with texts of too many tokens: what the request says, or else
    /// `--auto-truncate`.
    pub fn overflow(&self, truncate: Option<bool>) -> Overflow {
        match truncate.unwrap_or(self.limits.auto_truncate) {
            true => Overflow::Truncate,
            false => Overflow::Error,
        }
    }

    /// How texts become results.
    pub fn pipeline(&self) -> &Pipeline {
        self.encoder.pipeline()
    }

    /// The width of a result where a request says nothing of it: the dimensions of an
    /// embedding, or the number of labels.
    pub fn served_width(&self) -> usize {
        let pipeline = self.pipeline();
        match pipeline.dimensions {
            0 => pipeline.embedding_width(),
            dimensions => dimensions as usize,
        }
    }

    /// What the model computes.
    pub fn task(&self) -> Task {
        self.encoder.task()
    }

    /// What the model can be asked for.
    pub fn capabilities(&self) -> Vec<Capability> {
        self.encoder.capabilities()
    }

    /// Whether results are vectors that may be compared.
    pub fn embeds(&self) -> bool {
        use Capability::{Embed, Sparse, TokenEmbeddings};

        let vectors = [Embed, Sparse, TokenEmbeddings];
        let all = self.capabilities();
        vectors.iter().any(|capability| all.contains(capability))
    }

    /// Refuses what this model has no head for.
    pub fn require(&self, capability: Capability) -> Result<(), Failure> {
        if self.capabilities().contains(&capability) {
            return Ok(());
        }
        let (wanted, model) = (capability.name(), &self.model_id);
        let task = self.task().name();
        let classifies = self.capabilities().contains(&Capability::Classify);
        let hint = match capability {
            Capability::Rerank if classifies => " with more than one logit",
            Capability::ZeroShot if classifies => " without a label for entailment",
            _ => "",
        };
        Err(Failure::new(
            Kind::Validation,
            format!("`{wanted}` does not apply to the task of {model}: {task}{hint}"),
        ))
    }

    /// The options of a request with what its texts share, for several calls.
    pub fn shared(&self, options: Options) -> Arc<SharedOptions> {
        Arc::new(self.with_defaults(options).into())
    }

    /// Runs the model on each text; the first text that fails fails the request.
    pub async fn infer(
        &self,
        client: Client,
        texts: Vec<Item>,
        options: Options,
    ) -> Result<Answer, Failure> {
        let options = self.shared(options);
        self.infer_shared(client, texts, options).await
    }

    /// As [`Service::infer`], with options that other calls may have too.
    pub async fn infer_shared(
        &self,
        client: Client,
        texts: Vec<Item>,
        options: Arc<SharedOptions>,
    ) -> Result<Answer, Failure> {
        let (results, report) = self.infer_each(client, texts, options).await?;
        let several = results.len() > 1;
        let results = results.into_iter().enumerate();
        let predictions = results.map(|(index, result)| {
            result.map_err(|failure| {
                if several {
                    failure.of_text(index)
                } else {
                    failure
                }
            })
        });
        let predictions = predictions.collect::<Result<_, _>>()?;
        Ok(Answer {
            predictions,
            report,
        })
    }

    /// Runs the model on each text; each has its own result.
    pub async fn infer_each(
        &self,
        client: Client,
        texts: Vec<Item>,
        options: Arc<SharedOptions>,
    ) -> Result<(Vec<Result<Prediction, Failure>>, Report), Failure> {
        let operation = Operation::Infer(options);
        let (outcomes, mut report) = self.run(client, texts, operation).await?;
        let mut results = Vec::with_capacity(outcomes.len());
        for (index, outcome) in outcomes.into_iter().enumerate() {
            let result = match outcome.result {
                Ok(Output::Prediction(prediction)) => Ok(prediction),
                Ok(_) => Err(Failure::new(Kind::Internal, "no prediction")),
                Err(error) => Err(error.into()),
            };
            if let Ok(prediction) = &result {
                report.tokens += prediction.tokens;
                figures::input_length(prediction.tokens);
                let usage = prediction.usage.filter(|usage| usage.windows.is_none());
                let cut = usage.map(|usage| (index, usage.tokens_total, usage.tokens_used));
                report.truncated.extend(cut);
            }
            results.push(result);
        }
        figures::computed(&report, results.iter().all(Result::is_ok));
        Ok((results, report))
    }

    /// The options with what makes results be weights of vocabulary entries.
    pub fn sparse(&self, options: Options) -> Result<Options, Failure> {
        self.require(Capability::Sparse)?;
        let options = self.encoder.giving("sparse_embedding", options);
        options.ok_or_else(|| Failure::new(Kind::Internal, "no sparse embeddings"))
    }

    /// Sentence embeddings.
    pub async fn embed(
        &self,
        client: Client,
        texts: Vec<Item>,
        options: Options,
    ) -> Result<(Vec<Vec<f32>>, Report), Failure> {
        self.require(Capability::Embed)?;
        let answer = self.infer(client, texts, options).await?;
        let vectors = answer.predictions.into_iter().map(|it| match it.values {
            Values::SentenceEmbedding { embedding } => embedding,
            _ => Vec::new(),
        });
        Ok((vectors.collect(), answer.report))
    }

    /// The similarity score of each text to a source, in the order of the texts.
    pub async fn similarity(
        &self,
        client: Client,
        source: String,
        texts: Vec<String>,
        options: Options,
    ) -> Result<(Vec<f32>, Report), Failure> {
        let all = std::iter::once(source).chain(texts).map(Item::Text);
        let embedded = self.embed(client, all.collect(), options).await;
        let (vectors, report) = embedded.map_err(Failure::beside_source)?;
        let scores = self.similarities(&vectors)?;
        Ok((scores, report.beside_source()))
    }

    /// The similarity scores of the first of `vectors` to each of the others, in their order.
    fn similarities(&self, vectors: &[Vec<f32>]) -> Result<Vec<f32>, Failure> {
        let function = self.pipeline().similarity;
        let Some((source, others)) = vectors.split_first() else {
            return Ok(Vec::new());
        };
        let scores = others.iter().map(|it| similarity(source, it, function));
        let scores: Vec<f32> = scores.collect();
        match scores.iter().position(|score| !score.is_finite()) {
            Some(index) => {
                let problem = "its similarity to the source is beyond the numbers that there are";
                Err(Failure::new(Kind::NotFinite, problem).of_text(index))
            }
            None => Ok(scores),
        }
    }

    /// Documents, best answer to a query first; at most `top_n` of them.
    pub async fn rank(
        &self,
        client: Client,
        query: String,
        documents: Vec<String>,
        top_n: Option<usize>,
    ) -> Result<(Vec<Ranked>, Report), Failure> {
        self.require(Capability::Rerank)?;
        let options = Options {
            query: Some(query),
            top_k: top_n,
            ..Options::default()
        };
        let texts = documents.into_iter().map(Item::Text).collect();
        let answer = self.infer(client, texts, options).await?;
        Ok((rank(&answer.predictions, top_n), answer.report))
    }

    /// All tokens of each text.
    pub async fn tokenize(
        &self,
        client: Client,
        texts: Vec<Item>,
        options: Options,
    ) -> Result<(Vec<Tokens>, Report), Failure> {
        let operation = Operation::Tokenize(Arc::new(self.with_defaults(options)));
        let (outcomes, mut report) = self.run(client, texts, operation).await?;
        let mut all = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            if let Output::Tokens(tokens) = outcome.result.map_err(Failure::from)? {
                report.tokens += tokens.ids.len();
                all.push(tokens);
            }
        }
        Ok((all, report))
    }

    /// The text of each list of token ids.
    pub async fn decode(
        &self,
        client: Client,
        ids: Vec<Vec<u32>>,
        skip_special_tokens: bool,
    ) -> Result<(Vec<String>, Report), Failure> {
        let texts = ids.into_iter().map(Item::Ids).collect();
        let operation = Operation::Decode {
            skip_special_tokens,
        };
        let (outcomes, report) = self.run(client, texts, operation).await?;
        let mut decoded = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            if let Output::Text(text) = outcome.result.map_err(Failure::from)? {
                decoded.push(text);
            }
        }
        Ok((decoded, report))
    }

    /// Checks the limits and waits for the workers.
    async fn run(
        &self,
        client: Client,
        texts: Vec<Item>,
        operation: Operation,
    ) -> Result<(Vec<Outcome>, Report), Failure> {
        let begin = Instant::now();
        figures::request(texts.len());
        let outcomes = self.admit(client, texts, operation).await;
        let (outcomes, characters) = outcomes.inspect_err(figures::refused)?;
        let count = u32::try_from(outcomes.len().max(1)).unwrap_or(u32::MAX);
        let mean =
            |time: fn(&Outcome) -> Duration| outcomes.iter().map(time).sum::<Duration>() / count;
        let report = Report {
            characters,
            total: begin.elapsed(),
            queued: mean(|it| it.queued),
            tokenization: mean(|it| it.tokenization),
            inference: mean(|it| it.inference),
            ..Report::default()
        };
        Ok((outcomes, report))
    }

    async fn admit(
        &self,
        client: Client,
        texts: Vec<Item>,
        operation: Operation,
    ) -> Result<(Vec<Outcome>, usize), Failure> {
        let options = match &operation {
            Operation::Infer(options) => Some(options.options()),
            Operation::Tokenize(options) => Some(&**options),
            _ => None,
        };
        if let Some(options) = options {
            self.encoder.check(options)?;
        }
        let characters = amount::check(&texts, options, &self.limits, &self.encoder)?;
        let _served = self.begin().ok_or_else(|| {
            let message = format!(
                "{} requests are being served already (--max-concurrent-requests)",
                self.limits.max_concurrent_requests
            );
            Failure::new(Kind::Overloaded, message).retry_after(Duration::from_secs(1))
        })?;
        let outcomes = self.engine.run(client, operation, texts).await?;
        Ok((outcomes, characters))
    }

    /// Counts a request, unless there are too many.
    fn begin(&self) -> Option<Served<'_>> {
        let requests = self.requests.fetch_add(1, Ordering::Relaxed);
        let served = Served {
            requests: &self.requests,
        };
        (requests < self.limits.max_concurrent_requests).then_some(served)
    }
}

/// A request that is being served.
struct Served<'a> {
    requests: &'a AtomicUsize,
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }
}
