//! A thread that computes one step after another: the next sequences of some texts, which are
//! one pass over the weights.

use super::queue::Entry;
use super::{Client, Job, Operation, Shared, Task, lock};
use encoderfile::{BATCH_TOKENS, Bug, Error, Prediction, Session, Work, panics};
use encoderfile_dialects::engine::Output;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

type Waiting = Entry<Client, Job>;

/// Works until the engine is closed and its queue empty.
pub(super) fn run(shared: &Shared) {
    let mut session = None;
    while let Some((first, share)) = next(shared) {
        let texts = prepared(shared, first, share);
        if !texts.is_empty() {
            step(shared, &mut session, texts);
        }
    }
}

/// The next job, as soon as there is one, and how many of those behind it are this worker's.
fn next(shared: &Shared) -> Option<(Waiting, usize)> {
    let mut state = lock(&shared.state);
    loop {
        if let Some(entry) = state.queue.pop() {
            return Some((entry, state.queue.len() / shared.workers));
        }
        if state.closed {
            return None;
        }
        let woken = shared.changed.wait(state);
        state = woken.unwrap_or_else(PoisonError::into_inner);
    }
}

/// The first job, and as many of its share behind it as are a step. What needs no step is finished.
fn prepared(shared: &Shared, first: Waiting, share: usize) -> Vec<Waiting> {
    let mut texts = Vec::new();
    let mut tokens = 0;
    let behind = (0..share).map_while(|_| lock(&shared.state).queue.pop());
    for mut entry in std::iter::once(first).chain(behind) {
        let job = &mut entry.item;
        let result = catch_unwind(AssertUnwindSafe(|| prepare(shared, job)));
        match result.unwrap_or_else(|panic| Some(Err(panics::bug(&*panic).into()))) {
            Some(result) => finish(entry.item, result),
            None => {
                tokens += job.work.as_ref().map_or(0, Work::remaining).max(1);
                texts.push(entry);
            }
        }
        if tokens >= BATCH_TOKENS {
            break;
        }
    }
    texts
}

/// Tokenises a text that is new; gives the output of what needs no step.
fn prepare(shared: &Shared, job: &mut Job) -> Option<Result<Output, Error>> {
    if job.work.is_some() {
        return None;
    }
    let request = Arc::clone(&job.request);
    job.outcome.queued = request.accepted.elapsed();
    match &request.task {
        Task::Asked(operation) => begin(shared, job, operation),
        #[cfg(test)]
        Task::Panic => panic!("as asked"),
        #[cfg(test)]
        Task::PanicBeside(operation) => begin(shared, job, operation),
    }
}

fn begin(shared: &Shared, job: &mut Job, operation: &Operation) -> Option<Result<Output, Error>> {
    let text = &job.request.texts[job.index];
    if let Some(output) = operation.of_tokens(&shared.encoder, text) {
        return Some(output);
    }
    let Operation::Infer(options) = operation else {
        return Some(Err(Bug::NoSequence.into()));
    };
    let begin = Instant::now();
    let work = shared.encoder.prepare(text.input(), options);
    job.outcome.tokenization = begin.elapsed();
    match work {
        Ok(work) => {
            job.work = Some(work);
            None
        }
        Err(error) => Some(Err(error)),
    }
}

/// One step of some texts; those of which it was the last are finished.
fn step<'s>(shared: &'s Shared, session: &mut Option<Session<'s>>, mut texts: Vec<Waiting>) {
    let begin = Instant::now();
    let before = computed(&texts);
    let computing = AssertUnwindSafe(|| predictions(shared, session, &mut texts));
    let results = catch_unwind(computing).map_err(|panic| panics::bug(&*panic).into());
    let time = begin.elapsed();
    let results = match results.and_then(|results| results) {
        Ok(results) => results,
        Err(error) => {
            // Whatever a panic left behind in the session goes with it.
            *session = None;
            return failed(shared, session, texts, error);
        }
    };
    let after = computed(&texts);
    note_time(
        shared,
        after.iter().sum::<usize>() - before.iter().sum::<usize>(),
        time,
    );
    let counts = before.into_iter().zip(after);
    for ((mut entry, result), (before, after)) in texts.into_iter().zip(results).zip(counts) {
        let had_turn = after > before;
        if had_turn {
            entry.item.outcome.inference += time;
        }
        match result.transpose() {
            Some(result) => finish(entry.item, result.map(Output::Prediction)),
            None => put_back(shared, entry, had_turn),
        }
    }
}

/// How many tokens of each have been computed.
fn computed(texts: &[Waiting]) -> Vec<usize> {
    let works = texts.iter().map(|entry| entry.item.work.as_ref());
    works.map(|work| work.map_or(0, Work::computed)).collect()
}

fn predictions<'s>(
    shared: &'s Shared,
    session: &mut Option<Session<'s>>,
    texts: &mut [Waiting],
) -> Result<Vec<Result<Option<Prediction>, Error>>, Error> {
    #[cfg(test)]
    if let [first, _, ..] = &*texts {
        let is_asked = matches!(first.item.request.task, Task::PanicBeside(_));
        assert!(!is_asked, "as asked");
    }
    let session = match session {
        Some(session) => session,
        none => none.insert(shared.encoder.session()?),
    };
    let works = texts
        .iter_mut()
        .filter_map(|entry| entry.item.work.as_mut());
    Ok(session.step(&mut works.collect::<Vec<_>>()))
}

/// A text that fails, fails alone: each of several begins again by itself.
fn failed<'s>(
    shared: &'s Shared,
    session: &mut Option<Session<'s>>,
    texts: Vec<Waiting>,
    error: Error,
) {
    let is_alone = texts.len() == 1;
    for mut entry in texts {
        if is_alone {
            return finish(entry.item, Err(error));
        }
        entry.item.work = None;
        let texts = prepared(shared, entry, 0);
        if !texts.is_empty() {
            step(shared, session, texts);
        }
    }
}

/// Keeps a moving average of what a token takes.
fn note_time(shared: &Shared, tokens: usize, time: Duration) {
    /// How much of the average the latest step is: one part in so many.
    const WINDOW: u64 = 16;

    let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let latest = nanoseconds / tokens.max(1) as u64;
    let average = shared.token_time.load(Ordering::Relaxed);
    let average = match average {
        0 => latest,
        average => (average * (WINDOW - 1) + latest) / WINDOW,
    };
    shared.token_time.store(average, Ordering::Relaxed);
}

/// There is more of this text: others have their turn first, unless it had none because it did not
/// fit beside those before it.
fn put_back(shared: &Shared, entry: Waiting, had_turn: bool) {
    let gone = {
        let progress = lock(&entry.item.request.progress);
        progress.done.as_ref().is_none_or(|done| done.is_closed())
    };
    if !gone {
        let queue = &mut lock(&shared.state).queue;
        match had_turn {
            true => queue.put_back(entry),
            false => queue.give_back(entry),
        }
        shared.changed.notify_one();
    }
}

fn finish(job: Job, result: Result<Output, Error>) {
    let mut outcome = job.outcome;
    outcome.result = result;
    let (request, index) = (job.request, job.index);
    // Before the answer, so that whoever gets it finds its room free again.
    drop(job._share);
    request.complete(index, outcome);
}
