//! What computes: the queue of a server, or the one thread of a component.

use encoderfile::{
    Bug, Encoder, Error, Item, Options, Prediction, Session, SharedOptions, Tokens, Work,
};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Who asks. Each has the same share of what computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The holder of the key with this index.
    Key(usize),
    /// Whoever is at this address.
    Address(IpAddr),
    /// The process on the other end of standard input, or the host.
    Local,
}

/// What is to be done with the texts of a request.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Run the model.
    Infer(Arc<SharedOptions>),
    /// Only tokenise, all of the text.
    Tokenize(Arc<Options>),
    /// Token ids to text.
    Decode {
        /// Leaves out `[CLS]` and the like.
        skip_special_tokens: bool,
    },
}

/// What became of a text.
pub enum Output {
    /// Of [`Operation::Infer`].
    Prediction(Prediction),
    /// Of [`Operation::Tokenize`].
    Tokens(Tokens),
    /// Of [`Operation::Decode`].
    Text(String),
}

/// A text's result and where its time went.
pub struct Outcome {
    /// What became of it.
    pub result: Result<Output, Error>,
    /// Before anything was done with it.
    pub queued: Duration,
    /// Text to tokens.
    pub tokenization: Duration,
    /// Tokens to numbers.
    pub inference: Duration,
}

impl Outcome {
    /// Of a text that nothing has been done with.
    pub fn unfinished() -> Self {
        let message = "no worker has finished it".to_owned();
        Self {
            result: Err(Bug::Panic { message }.into()),
            queued: Duration::ZERO,
            tokenization: Duration::ZERO,
            inference: Duration::ZERO,
        }
    }
}

/// Why a request was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too much waits already; come back after this time.
    Full {
        /// An estimate.
        retry_after: Duration,
    },
    /// The server is going down.
    Closed,
}

/// What computes the texts of requests.
pub trait Engine: Send + Sync {
    /// One outcome for each text, in their order. Whoever drops the future takes what is still
    /// waiting out of the queue.
    fn run(
        &self,
        client: Client,
        operation: Operation,
        texts: Vec<Item>,
    ) -> BoxFuture<'_, Result<Vec<Outcome>, Refusal>>;

    /// How many texts are computed at once.
    fn workers(&self) -> usize;
}

impl Operation {
    /// What it makes of a text without running the model; `None` of [`Operation::Infer`].
    pub fn of_tokens(&self, encoder: &Encoder, text: &Item) -> Option<Result<Output, Error>> {
        match self {
            Self::Infer(_) => None,
            Self::Tokenize(options) => {
                let tokens = encoder.tokenize_whole(text.input(), options);
                Some(tokens.map(Output::Tokens))
            }
            Self::Decode {
                skip_special_tokens,
            } => {
                let Item::Ids(ids) = text else {
                    return Some(Ok(Output::Text(String::new())));
                };
                let text = encoder.tokenizer().decode(ids, *skip_special_tokens);
                Some(text.map(Output::Text).map_err(Error::from))
            }
        }
    }
}

/// Computes on the thread that asks, short texts of a request beside each other.
pub struct OnThisThread {
    encoder: Arc<Encoder>,
}

impl OnThisThread {
    /// For a model.
    pub fn new(encoder: Arc<Encoder>) -> Self {
        Self { encoder }
    }

    fn outcomes(&self, operation: &Operation, texts: &[Item]) -> Vec<Outcome> {
        let mut outcomes: Vec<_> = texts.iter().map(|_| Outcome::unfinished()).collect();
        let mut waiting = Vec::new();
        for (place, text) in texts.iter().enumerate() {
            let outcome = &mut outcomes[place];
            match (operation, operation.of_tokens(&self.encoder, text)) {
                (_, Some(result)) => outcome.result = result,
                (Operation::Infer(options), None) => {
                    let begin = Instant::now();
                    match self.encoder.prepare(text.input(), options) {
                        Ok(work) => waiting.push((place, work)),
                        Err(error) => outcome.result = Err(error),
                    }
                    outcome.tokenization = begin.elapsed();
                }
                (_, None) => {}
            }
        }
        match self.encoder.session() {
            Ok(mut session) => {
                while !waiting.is_empty() {
                    waiting = step(&mut session, waiting, &mut outcomes);
                }
            }
            Err(error) => {
                for (place, _) in waiting {
                    outcomes[place].result = Err(error.clone());
                }
            }
        }
        outcomes
    }
}

/// One step of texts, each with the place of its outcome; gives back those that need another.
fn step(
    session: &mut Session<'_>,
    mut waiting: Vec<(usize, Work)>,
    outcomes: &mut [Outcome],
) -> Vec<(usize, Work)> {
    let before: Vec<_> = waiting.iter().map(|(_, work)| work.computed()).collect();
    let begin = Instant::now();
    let mut works: Vec<_> = waiting.iter_mut().map(|(_, work)| work).collect();
    let steps = session.step(&mut works);
    let time = begin.elapsed();
    let mut unfinished = Vec::new();
    for (((place, work), before), step) in waiting.into_iter().zip(before).zip(steps) {
        let outcome = &mut outcomes[place];
        if work.computed() > before {
            outcome.inference += time;
        }
        match step.transpose() {
            Some(result) => outcome.result = result.map(Output::Prediction),
            None => unfinished.push((place, work)),
        }
    }
    unfinished
}

impl Engine for OnThisThread {
    fn run(
        &self,
        _: Client,
        operation: Operation,
        texts: Vec<Item>,
    ) -> BoxFuture<'_, Result<Vec<Outcome>, Refusal>> {
        ready(Ok(self.outcomes(&operation, &texts))).boxed()
    }

    fn workers(&self) -> usize {
        1
    }
}
