//! A thread that computes one sequence after another.

use super::queue::Entry;
use super::{Client, Job, Operation, Shared, Task, lock};
use encoderfile::{Error, Session, panics};
use encoderfile_dialects::engine::Output;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Works until the engine is closed and its queue empty.
pub(super) fn run(shared: &Shared) {
    let mut session = None;
    while let Some(mut entry) = next(shared) {
        let job = &mut entry.item;
        // Whatever a panic left behind in the session goes with it.
        let step = catch_unwind(AssertUnwindSafe(|| step(shared, &mut session, job)));
        let done = step.unwrap_or_else(|panic| {
            session = None;
            Some(Err(panics::bug(&*panic).into()))
        });
        match done {
            None => put_back(shared, entry),
            Some(result) => finish(entry.item, result),
        }
    }
}

/// The next job, as soon as there is one.
fn next(shared: &Shared) -> Option<Entry<Client, Job>> {
    let mut state = lock(&shared.state);
    loop {
        if let Some(mut entry) = state.queue.pop() {
            drop(state);
            if entry.item.work.is_none() {
                entry.item.outcome.queued = entry.item.request.accepted.elapsed();
            }
            return Some(entry);
        }
        if state.closed {
            return None;
        }
        let woken = shared.changed.wait(state);
        state = woken.unwrap_or_else(PoisonError::into_inner);
    }
}

/// One sequence of a text; its output after the last.
fn step<'s>(
    shared: &'s Shared,
    session: &mut Option<Session<'s>>,
    job: &mut Job,
) -> Option<Result<Output, Error>> {
    let request = job.request.clone();
    let text = &request.texts[job.index];
    let encoder = &*shared.encoder;
    match &request.task {
        Task::Asked(operation) => match operation.of_tokens(encoder, text) {
            Some(output) => Some(output),
            None => infer(shared, session, job).transpose(),
        },
        #[cfg(test)]
        Task::Panic => panic!("as asked"),
    }
}

fn infer<'s>(
    shared: &'s Shared,
    session: &mut Option<Session<'s>>,
    job: &mut Job,
) -> Result<Option<Output>, Error> {
    let request = job.request.clone();
    let Task::Asked(Operation::Infer(options)) = &request.task else {
        return Ok(None);
    };
    let mut work = match job.work.take() {
        Some(work) => work,
        None => {
            let begin = Instant::now();
            let input = request.texts[job.index].input();
            let work = shared.encoder.prepare(input, options)?;
            job.outcome.tokenization = begin.elapsed();
            work
        }
    };
    let session = match session {
        Some(session) => session,
        none => none.insert(shared.encoder.session()?),
    };
    let before = work.computed();
    let begin = Instant::now();
    let prediction = session.step(&mut work)?;
    let time = begin.elapsed();
    job.outcome.inference += time;
    note_time(shared, work.computed() - before, time);
    job.work = Some(work);
    Ok(prediction.map(Output::Prediction))
}

/// Keeps a moving average of what a token takes.
fn note_time(shared: &Shared, tokens: usize, time: Duration) {
    /// How much of the average the latest sequence is: one part in so many.
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

/// There is more of this text, but others have their turn first.
fn put_back(shared: &Shared, entry: Entry<Client, Job>) {
    let gone = {
        let progress = lock(&entry.item.request.progress);
        progress.done.as_ref().is_none_or(|done| done.is_closed())
    };
    if !gone {
        lock(&shared.state).queue.put_back(entry);
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
