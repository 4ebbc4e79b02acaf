//! One bounded queue in front of the worker threads.
//!
//! Invariants: nothing is computed on the threads that talk to clients; what
//! is accepted is answered, unless nobody waits for it any more or the time to stop is
//! up (`--grace`); a text that fails, even by a panic, fails alone.

mod queue;
#[cfg(test)]
pub(crate) mod tests;
mod worker;

use encoderfile::Item;
use encoderfile::{Encoder, Work};
use encoderfile_dialects::engine::{self as dialects, Client, Operation, Outcome, Refusal};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use queue::Queue;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// About how many tokens a text has: English has four bytes to one.
fn estimated_tokens(text: &Item) -> usize {
    2 + match text {
        Item::Text(text) => text.len() / 4,
        Item::Pair(text, pair) => (text.len() + pair.len()) / 4,
        Item::Ids(ids) => ids.len(),
    }
}

/// What workers do with a text.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// What a request asks for.
    Asked(Operation),
    /// Fail as a bug would.
    #[cfg(test)]
    Panic,
    /// The same, but only beside other texts.
    #[cfg(test)]
    PanicBeside(Operation),
}

/// The queue and its workers.
pub(crate) struct Engine {
    shared: Arc<Shared>,
    next_request: AtomicU64,
    max_queued_tokens: usize,
}

struct Shared {
    encoder: Arc<Encoder>,
    workers: usize,
    state: Mutex<State>,
    /// Something was queued, or the engine closed.
    changed: Condvar,
    /// Of all texts that were accepted and are not finished.
    tokens: Arc<AtomicUsize>,
    /// Nanoseconds a token takes one worker, on average of late.
    token_time: AtomicU64,
    /// Texts that nobody waited for any longer.
    given_up: AtomicUsize,
}

struct State {
    queue: Queue<Client, Job>,
    closed: bool,
}

/// A text on its way.
struct Job {
    request: Arc<Request>,
    index: usize,
    work: Option<Work>,
    outcome: Outcome,
    /// Given back when the text is done or dropped.
    _share: Share,
}

/// Some of the tokens that may be queued.
struct Share {
    tokens: usize,
    of: Arc<AtomicUsize>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.fetch_sub(self.tokens, Ordering::Relaxed);
    }
}

struct Request {
    task: Task,
    texts: Vec<Item>,
    accepted: Instant,
    progress: Mutex<Progress>,
}

struct Progress {
    outcomes: Vec<Option<Outcome>>,
    missing: usize,
    done: Option<oneshot::Sender<Vec<Outcome>>>,
}

impl Request {
    /// Takes a text's outcome; the last one ends the request.
    fn complete(&self, index: usize, outcome: Outcome) {
        let mut progress = lock(&self.progress);
        progress.outcomes[index] = Some(outcome);
        progress.missing -= 1;
        if progress.missing > 0 {
            return;
        }
        let outcomes = std::mem::take(&mut progress.outcomes);
        if let Some(done) = progress.done.take() {
            // Whoever waited may be gone.
            let _ = done.send(outcomes.into_iter().flatten().collect());
        }
    }
}

impl Engine {
    /// Starts the workers.
    pub(crate) fn start(
        encoder: Arc<Encoder>,
        workers: usize,
        max_queued_tokens: usize,
    ) -> anyhow::Result<Self> {
        encoder.use_cores(workers);
        let shared = Arc::new(Shared {
            encoder,
            workers: workers.max(1),
            state: Mutex::new(State {
                queue: Queue::new(),
                closed: false,
            }),
            changed: Condvar::new(),
            tokens: Arc::default(),
            token_time: AtomicU64::new(0),
            given_up: AtomicUsize::new(0),
        });
        for worker in 0..workers {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name(format!("worker-{worker}"));
            thread.spawn(move || worker::run(&shared))?;
        }
        Ok(Self {
            shared,
            next_request: AtomicU64::new(0),
            max_queued_tokens,
        })
    }

    /// How many texts wait, and how many tokens wait or are being computed.
    pub(crate) fn load(&self) -> (usize, usize) {
        let texts = lock(&self.shared.state).queue.len();
        (texts, self.shared.tokens.load(Ordering::Relaxed))
    }

    /// How many texts were taken out of the queue so far because nobody waited for them.
    pub(crate) fn given_up(&self) -> usize {
        self.shared.given_up.load(Ordering::Relaxed)
    }

    /// Queues the texts of a request; one outcome each, in their order.
    ///
    /// Whoever drops the future takes what is still waiting out of the queue.
    pub(crate) async fn run(
        &self,
        client: Client,
        task: Task,
        texts: Vec<Item>,
    ) -> Result<Vec<Outcome>, Refusal> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let shares = self.shares(&texts, &task)?;
        let (done, receiver) = oneshot::channel();
        let request = Arc::new(Request {
            task,
            accepted: Instant::now(),
            progress: Mutex::new(Progress {
                outcomes: texts.iter().map(|_| None).collect(),
                missing: texts.len(),
                done: Some(done),
            }),
            texts,
        });
        let ticket = Ticket {
            id: self.next_request.fetch_add(1, Ordering::Relaxed),
            shared: &self.shared,
        };
        self.push(client, ticket.id, &request, shares)?;
        drop(request);
        // The sender is dropped unused only when the queue was cleared.
        let outcomes = receiver.await.map_err(|_| Refusal::Closed);
        drop(ticket);
        outcomes
    }

    /// A share of the queue for each text, or none of it. A request that alone
    /// is more than the limit is served when nothing else is.
    fn shares(&self, texts: &[Item], task: &Task) -> Result<Vec<Share>, Refusal> {
        let sequences = match task {
            Task::Asked(Operation::Infer(options)) => {
                let labels = options.options().labels.as_ref();
                labels.map_or(1, Vec::len).max(1)
            }
            _ => 1,
        };
        let limit = self.max_queued_tokens;
        let cost: usize = texts
            .iter()
            .map(|text| estimated_tokens(text) * sequences)
            .sum();
        let fits = |queued: usize| {
            let fits = queued == 0 || queued.saturating_add(cost) <= limit;
            fits.then(|| queued.saturating_add(cost))
        };
        let tokens = &self.shared.tokens;
        if let Err(queued) = tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            let excess = queued.saturating_add(cost) - limit;
            return Err(Refusal::Full {
                retry_after: self.time_for(excess.min(queued)),
            });
        }
        let shares = texts.iter().map(|text| Share {
            tokens: estimated_tokens(text) * sequences,
            of: tokens.clone(),
        });
        Ok(shares.collect())
    }

    /// About how long all workers take for so many tokens.
    fn time_for(&self, tokens: usize) -> Duration {
        let nanoseconds = self.shared.token_time.load(Ordering::Relaxed);
        let all = nanoseconds.saturating_mul(tokens as u64) / self.shared.workers as u64;
        Duration::from_nanos(all)
    }

    fn push(
        &self,
        client: Client,
        id: u64,
        request: &Arc<Request>,
        shares: Vec<Share>,
    ) -> Result<(), Refusal> {
        let jobs = shares.into_iter().enumerate().map(|(index, share)| Job {
            request: request.clone(),
            index,
            work: None,
            outcome: Outcome::unfinished(),
            _share: share,
        });
        let jobs: VecDeque<Job> = jobs.collect();
        let mut state = lock(&self.shared.state);
        if state.closed {
            return Err(Refusal::Closed);
        }
        state.queue.push(client, id, jobs);
        drop(state);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Lets the workers end once the queue is empty; nothing more is accepted.
    pub(crate) fn close(&self) {
        lock(&self.shared.state).closed = true;
        self.shared.changed.notify_all();
    }
}

impl dialects::Engine for Engine {
    fn run(
        &self,
        client: Client,
        operation: Operation,
        texts: Vec<Item>,
    ) -> BoxFuture<'_, Result<Vec<Outcome>, Refusal>> {
        self.run(client, Task::Asked(operation), texts).boxed()
    }

    fn workers(&self) -> usize {
        self.shared.workers
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

/// Somebody who waits for a request.
struct Ticket<'a> {
    id: u64,
    shared: &'a Shared,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let removed = lock(&self.shared.state).queue.remove(self.id);
        self.shared
            .given_up
            .fetch_add(removed.len(), Ordering::Relaxed);
        // Dropping texts takes its time; the queue is free again.
        drop(removed);
    }
}

/// A panic is caught before it can leave anything half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
