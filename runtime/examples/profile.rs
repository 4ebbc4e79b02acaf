//! Where the time of a text goes: milliseconds by operator of the graph.
//!
//! `cargo run --release -p encoderfile --example profile -- FILE.ef TOKENS…`,
//! with a file that `encoderfile build --target bundle` made.

use encoderfile::{Encoder, Input, Options, Payload, Session};
use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For each length about as long.
const LIMIT: Duration = Duration::from_secs(3);

#[derive(Default)]
struct Operator {
    count: usize,
    /// Of all runs.
    time: Duration,
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Ok(name) = std::env::var(encoderfile::graph::ISA_VARIABLE) {
        encoderfile::graph::Isa::choose(&name)?;
    }
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("usage: profile FILE.ef TOKENS…")?;
    let bytes = std::fs::read(&file).map_err(|error| format!("{file}: {error}"))?;
    let payload = Payload::open(Arc::new(bytes))?;
    let encoder = Encoder::load(&payload)?;
    let mut session = encoder.session()?;
    for tokens in arguments {
        let tokens: usize = tokens.parse()?;
        let text = text_of(&encoder, tokens)?;
        profile(&mut session, &text, tokens)?;
    }
    Ok(())
}

/// A text of so many tokens, special tokens included.
fn text_of(encoder: &Encoder, tokens: usize) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    for word in ["the", "cat", "and", "a", "dog"]
        .iter()
        .cycle()
        .take(tokens)
    {
        let tokenized = encoder.tokenize(Input::Text(&text), &Options::default())?;
        if tokenized.ids.len() >= tokens {
            break;
        }
        text.push_str(word);
        text.push(' ');
    }
    Ok(text)
}

#[allow(clippy::print_stdout, reason = "a program")]
fn profile(session: &mut Session<'_>, text: &str, tokens: usize) -> Result<(), Box<dyn Error>> {
    let mut operators = HashMap::<String, Operator>::new();
    let mut least = Duration::MAX;
    let mut runs = 0;
    let begin = Instant::now();
    while begin.elapsed() < LIMIT {
        let start = Instant::now();
        let mut last = start;
        session.operators(text, |name| {
            let now = Instant::now();
            let operator = operators.entry(name.to_owned()).or_default();
            operator.count += 1;
            operator.time += now - last;
            last = now;
        })?;
        least = least.min(start.elapsed());
        runs += 1;
    }
    let total: Duration = operators.values().map(|operator| operator.time).sum();
    let mut operators: Vec<_> = operators.into_iter().collect();
    operators.sort_by_key(|(_, operator)| std::cmp::Reverse(operator.time));
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{tokens} tokens, {runs} runs, mean {:.2} ms, least {:.2} ms",
        milliseconds(total) / f64::from(runs),
        milliseconds(least)
    );
    for (name, Operator { count, time }) in operators {
        let share = 100.0 * time.as_secs_f64() / total.as_secs_f64();
        let mean = milliseconds(time) / f64::from(runs);
        let each = count / usize::try_from(runs)?;
        println!("{share:6.1} %  {mean:8.3} ms  {each:4} × {name}");
    }
    Ok(())
}
