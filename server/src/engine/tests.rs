//! The engine's promises, on the model that the tool carries.

use super::{Client, Engine, Operation, Refusal, Task};
use encoderfile::Item;
use encoderfile::{Bug, Encoder, Error, Options, Overflow, Payload, RequestError, Values};
use encoderfile_dialects::engine::Output;
use std::fs;
use std::future::Future;
use std::net::IpAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

const PLENTY: usize = 1 << 20;

pub(crate) fn encoder() -> Arc<Encoder> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let file = fs::read(root.join("models/all-MiniLM-L6-v2.ef")).unwrap();
    Arc::new(Encoder::load(&Payload::open(Arc::new(file)).unwrap()).unwrap())
}

fn client(last: u8) -> Client {
    Client::Address(IpAddr::from([127, 0, 0, last]))
}

fn texts(count: usize) -> Vec<Item> {
    let texts = (0..count).map(|n| Item::Text(format!("the text with number {n}")));
    texts.collect()
}

fn infer() -> Task {
    Task::Asked(Operation::Infer(Arc::default()))
}

fn embedding(output: &Result<Output, Error>) -> &[f32] {
    match output {
        Ok(Output::Prediction(prediction)) => match &prediction.values {
            Values::SentenceEmbedding { embedding } => embedding,
            other => panic!("{other:?}"),
        },
        _ => panic!("no prediction"),
    }
}

/// Polls a future once, so that what it asks for is queued.
fn begin<F: Future>(future: std::pin::Pin<&mut F>) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(future.poll(&mut context), Poll::Pending));
}

#[tokio::test]
async fn one_text_waits_for_one_turn_of_a_client_with_many() {
    let engine = Engine::start(encoder(), 1, PLENTY).unwrap();
    let mut many = pin!(engine.run(client(1), infer(), texts(200)));
    begin(many.as_mut());
    let one = engine.run(client(2), infer(), texts(1)).await.unwrap();
    assert_eq!(embedding(&one[0].result).len(), 384);
    let (waiting, _) = engine.load();
    assert!(waiting > 150, "only {waiting} of 200 were still waiting");
    assert_eq!(many.await.unwrap().len(), 200);
}

#[tokio::test]
async fn requests_of_one_client_take_turns_too() {
    let engine = Engine::start(encoder(), 1, PLENTY).unwrap();
    let mut many = pin!(engine.run(client(1), infer(), texts(200)));
    begin(many.as_mut());
    engine.run(client(1), infer(), texts(1)).await.unwrap();
    let (waiting, _) = engine.load();
    assert!(waiting > 150, "only {waiting} of 200 were still waiting");
}

#[tokio::test]
async fn a_long_text_beside_which_no_other_fits_has_its_turn() {
    let engine = Engine::start(encoder(), 1, PLENTY).unwrap();
    let mut many = pin!(engine.run(client(1), infer(), texts(200)));
    begin(many.as_mut());
    let long = vec![Item::Text("a long text ".repeat(60))];
    engine.run(client(1), infer(), long).await.unwrap();
    let (waiting, _) = engine.load();
    assert!(waiting > 100, "only {waiting} of 200 were still waiting");
    assert_eq!(many.await.unwrap().len(), 200);
}

#[tokio::test]
async fn windows_of_a_long_text_take_turns() {
    let engine = Engine::start(encoder(), 1, PLENTY).unwrap();
    let options = Options {
        overflow: Overflow::Mean,
        ..Options::default()
    };
    let long = vec![Item::Text("a long text ".repeat(4000))];
    let mut long = pin!(engine.run(
        client(1),
        Task::Asked(Operation::Infer(Arc::new(options.into()))),
        long
    ));
    begin(long.as_mut());
    let one = engine.run(client(2), infer(), texts(1)).await.unwrap();
    assert_eq!(embedding(&one[0].result).len(), 384);
    begin(long.as_mut());
    let done = long.await.unwrap();
    assert_eq!(embedding(&done[0].result).len(), 384);
}

#[tokio::test]
async fn nothing_is_left_of_a_request_that_nobody_waits_for() {
    let engine = Engine::start(encoder(), 1, PLENTY).unwrap();
    {
        // Of so many tokens none shares a pass with another: the worker begins one.
        let long = Item::Text("word ".repeat(300));
        let mut gone = pin!(engine.run(client(1), infer(), vec![long; 100]));
        begin(gone.as_mut());
        assert!(engine.load().0 >= 98);
    }
    assert_eq!(engine.load().0, 0);
    // The worker is done with the one it had when it comes to the next.
    engine.run(client(2), infer(), texts(1)).await.unwrap();
    assert_eq!(engine.load(), (0, 0));
}

#[tokio::test]
async fn a_panic_fails_one_request_and_the_worker_lives() {
    let engine = Engine::start(encoder(), 1, PLENTY).unwrap();
    let broken = engine.run(client(1), Task::Panic, texts(2)).await.unwrap();
    for outcome in &broken {
        assert!(matches!(outcome.result, Err(Error::Bug(Bug::Panic { .. }))));
    }
    let fine = engine.run(client(1), infer(), texts(2)).await.unwrap();
    assert_eq!(embedding(&fine[1].result).len(), 384);
    assert_eq!(engine.load(), (0, 0));
}

#[tokio::test]
async fn texts_that_panic_beside_each_other_are_computed_by_themselves() {
    let engine = Engine::start(encoder(), 1, PLENTY).unwrap();
    let task = Task::PanicBeside(Operation::Infer(Arc::default()));
    let outcomes = engine.run(client(1), task, texts(20)).await.unwrap();
    let alone = engine.run(client(1), infer(), texts(20)).await.unwrap();
    for (outcome, alone) in outcomes.iter().zip(&alone) {
        assert_eq!(embedding(&outcome.result), embedding(&alone.result));
    }
    assert_eq!(engine.load(), (0, 0));
}

#[tokio::test]
async fn a_text_that_fails_fails_alone() {
    let engine = Engine::start(encoder(), 2, PLENTY).unwrap();
    let options = Options {
        overflow: Overflow::Error,
        ..Options::default()
    };
    let mut three = texts(3);
    three[1] = Item::Text("word ".repeat(1000));
    let outcomes = engine
        .run(
            client(1),
            Task::Asked(Operation::Infer(Arc::new(options.into()))),
            three,
        )
        .await;
    let outcomes = outcomes.unwrap();
    assert_eq!(embedding(&outcomes[0].result).len(), 384);
    let failed = &outcomes[1].result;
    let too_long = matches!(
        failed,
        Err(Error::Request(RequestError::TooManyTokens { .. }))
    );
    assert!(too_long);
    assert_eq!(embedding(&outcomes[2].result).len(), 384);
}

#[tokio::test]
async fn beyond_the_limit_is_refused_with_a_time_to_come_back() {
    let engine = Engine::start(encoder(), 1, 100).unwrap();
    // Alone, a request may be larger than the limit.
    engine.run(client(1), infer(), texts(50)).await.unwrap();
    let mut many = pin!(engine.run(client(1), infer(), texts(50)));
    begin(many.as_mut());
    match engine.run(client(2), infer(), texts(1)).await {
        Err(Refusal::Full { retry_after }) => assert!(!retry_after.is_zero()),
        _ => panic!("it was accepted"),
    }
    assert_eq!(many.await.unwrap().len(), 50);
    engine.run(client(2), infer(), texts(1)).await.unwrap();
}

#[tokio::test]
async fn what_was_accepted_is_answered_after_closing_and_nothing_more_accepted() {
    let engine = Engine::start(encoder(), 2, PLENTY).unwrap();
    let mut accepted = pin!(engine.run(client(1), infer(), texts(20)));
    begin(accepted.as_mut());
    engine.close();
    let refused = engine.run(client(2), infer(), texts(1)).await;
    assert_eq!(refused.err(), Some(Refusal::Closed));
    assert_eq!(accepted.await.unwrap().len(), 20);
}

#[tokio::test]
async fn results_under_load_are_those_of_each_text_alone() {
    let encoder = encoder();
    let engine = Arc::new(Engine::start(encoder.clone(), 3, PLENTY).unwrap());
    let clients = (1..9).map(|number| {
        let engine = engine.clone();
        tokio::spawn(async move { engine.run(client(number), infer(), texts(12)).await })
    });
    let clients: Vec<_> = clients.collect();
    let mut session = encoder.session().unwrap();
    let alone = texts(12).into_iter().map(|text| {
        let Item::Text(text) = text else { panic!() };
        let prediction = session.infer(&*text, &Options::default()).unwrap();
        Ok(Output::Prediction(prediction))
    });
    let alone: Vec<_> = alone.collect();
    for client in clients {
        let outcomes = client.await.unwrap().unwrap();
        for (outcome, alone) in outcomes.iter().zip(&alone) {
            assert_eq!(embedding(&outcome.result), embedding(alone));
        }
    }
}
