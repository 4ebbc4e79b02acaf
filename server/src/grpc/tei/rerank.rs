//! Reranking: the texts of one message, or those of a stream.

use super::{Tei, long, metadata, number, side, status};
use crate::grpc::schema::tei::rerank_server::Rerank;
use crate::grpc::schema::tei::{Rank, RerankRequest, RerankResponse, RerankStreamRequest};
use crate::grpc::{client, unexpected};
use encoderfile::output::rank;
use encoderfile::{Item, Options, SharedOptions};
use encoderfile_dialects::engine::Client;
use encoderfile_dialects::failure::{Failure, Kind};
use encoderfile_dialects::limits::Limits;
use encoderfile_dialects::service::{Capability, Report};
use futures_util::StreamExt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;
use tonic::{Request, Response, Status, Streaming};

impl Tei {
    /// A text's score as an answer to its query.
    async fn score(
        &self,
        client: Client,
        text: String,
        options: Arc<SharedOptions>,
    ) -> Result<(f32, Report), Status> {
        let texts = vec![Item::Text(text)];
        let answer = self.service.infer_shared(client, texts, options).await;
        let answer = answer.map_err(status)?;
        let ranks = rank(&answer.predictions, None);
        let rank = ranks.first().ok_or_else(unexpected)?;
        Ok((rank.score, answer.report))
    }

    /// The options of a stream's message: those of the one before, where they are the
    /// same, so that a query is computed once.
    fn options(
        &self,
        request: &mut RerankStreamRequest,
        raw_scores: bool,
        last: &mut Option<Arc<SharedOptions>>,
    ) -> Result<Arc<SharedOptions>, Status> {
        let options = self.service.shared(Options {
            overflow: long(request.truncate),
            truncation_side: side(request.truncation_direction)?,
            query: Some(std::mem::take(&mut request.query)),
            raw_scores,
            ..Options::default()
        });
        let same = last.take_if(|last| last.options() == options.options());
        Ok(last.insert(same.unwrap_or(options)).clone())
    }
}

/// The ranks of a stream's texts, and what all of them took.
#[derive(Default)]
struct Ranking {
    ranks: Vec<Rank>,
    report: Report,
}

impl Ranking {
    fn push(&mut self, score: f32, text: Option<String>, report: &Report) {
        self.ranks.push(Rank {
            index: number(self.ranks.len()),
            text,
            score,
        });
        let all = &mut self.report;
        all.characters += report.characters;
        all.tokens += report.tokens;
        all.queued += report.queued;
        all.tokenization += report.tokenization;
        all.inference += report.inference;
        all.truncated.extend(report.truncated.iter().map(|cut| {
            let index = self.ranks.len() - 1;
            (index, cut.1, cut.2)
        }));
    }

    fn finish(mut self, begin: Instant) -> (RerankResponse, Report) {
        let count = number(self.ranks.len().max(1));
        let report = &mut self.report;
        report.total = begin.elapsed();
        report.queued /= count;
        report.tokenization /= count;
        report.inference /= count;
        self.ranks.sort_by(|a, b| b.score.total_cmp(&a.score));
        let response = RerankResponse {
            ranks: self.ranks,
            metadata: Some(metadata(&self.report)),
        };
        (response, self.report)
    }
}

#[tonic::async_trait]
impl Rerank for Tei {
    async fn rerank(
        &self,
        request: Request<RerankRequest>,
    ) -> Result<Response<RerankResponse>, Status> {
        let client = client(&request);
        let request = request.into_inner();
        self.require(Capability::Rerank)?;
        let options = Options {
            overflow: long(request.truncate),
            truncation_side: side(request.truncation_direction)?,
            query: Some(request.query),
            raw_scores: request.raw_scores,
            ..Options::default()
        };
        let texts = request.texts.iter().cloned().map(Item::Text).collect();
        let answer = self.service.infer(client, texts, options).await;
        let answer = answer.map_err(status)?;
        let ranks = rank(&answer.predictions, None).into_iter().map(|it| Rank {
            index: number(it.index),
            text: request.return_text.then(|| request.texts[it.index].clone()),
            score: it.score,
        });
        let message = RerankResponse {
            ranks: ranks.collect(),
            metadata: Some(metadata(&answer.report)),
        };
        Ok(self.respond(message, &answer.report))
    }

    async fn rerank_stream(
        &self,
        request: Request<Streaming<RerankStreamRequest>>,
    ) -> Result<Response<RerankResponse>, Status> {
        let (begin, client) = (Instant::now(), client(&request));
        self.require(Capability::Rerank)?;
        let limits = &self.service.limits;
        let (mut first, mut last, mut bytes) = (None, None, 0);
        let scored = request.into_inner().enumerate().map(|(index, message)| {
            let checked = message.and_then(|mut message: RerankStreamRequest| {
                bytes += message.query.len() + message.text.len();
                check_size(index + 1, bytes, limits).map_err(status)?;
                let flags = (message.raw_scores, message.return_text);
                let (raw_scores, return_text) = *first.get_or_insert(flags);
                let options = self.options(&mut message, raw_scores, &mut last)?;
                Ok((message.text, options, return_text))
            });
            async move {
                let (text, options, return_text) = checked?;
                let returned = return_text.then(|| text.clone());
                let (score, report) = self.score(client, text, options).await?;
                Ok::<_, Status>((score, returned, report))
            }
        });
        let mut scored = pin!(scored.buffered(self.ahead()));
        let mut ranking = Ranking::default();
        while let Some(answer) = scored.next().await {
            let (score, text, report) = answer?;
            ranking.push(score, text, &report);
        }
        if ranking.ranks.is_empty() {
            return Err(status(Failure::new(Kind::Empty, "no texts to rank")));
        }
        let (message, report) = ranking.finish(begin);
        Ok(self.respond(message, &report))
    }
}

/// A stream of texts that are ranked together is one request.
fn check_size(texts: usize, bytes: usize, limits: &Limits) -> Result<(), Failure> {
    if texts > limits.max_client_batch_size {
        let limit = limits.max_client_batch_size;
        let message = format!("more than {limit} texts to rank (--max-client-batch-size)");
        return Err(Failure::new(Kind::Limit, message));
    }
    if bytes > limits.payload_limit {
        let limit = limits.payload_limit;
        let message = format!("the texts to rank have more than {limit} bytes (--payload-limit)");
        return Err(Failure::new(Kind::TooLarge, message));
    }
    Ok(())
}
