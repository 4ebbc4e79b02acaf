//! What the crate promises of panics: none leaves it, whoever's it is, and what was
//! not at fault goes on.

use crate::container::{self, ArtifactKind, Content};
use crate::source::ReadError;
use crate::{Bug, Error, Executor, Item, Model, Options, Overflow, Payload, Source};
use std::num::NonZeroUsize;
use std::sync::Arc;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/all-MiniLM-L6-v2.ef");

fn two_threads() -> Executor {
    Executor::Threads(NonZeroUsize::new(2).unwrap())
}

fn panicked<T>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Bug(Bug::Panic { message })) => message,
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("it did not panic"),
    }
}

/// Bytes whose owner panics.
struct Broken;

impl Source for Broken {
    fn len(&self) -> u64 {
        4096
    }

    fn read_at(&self, _offset: u64, _buffer: &mut [u8]) -> Result<(), ReadError> {
        panic!("the owner's")
    }
}

#[test]
fn a_source_that_panics_is_an_error() {
    for executor in [Executor::OneThread, two_threads()] {
        let said = panicked(Model::from_source(Arc::new(Broken), executor));
        assert_eq!(said, "the owner's");
    }
}

/// The default model with a pre-tokenizer that splits texts into pieces of no length,
/// over which the tokenizers library panics for every text.
fn with_broken_pre_tokenizer() -> Vec<u8> {
    let payload = Payload::open(crate::file::open(MODEL).unwrap()).unwrap();
    let contents = payload.artifacts().map(|(kind, _, length)| {
        let mut content = payload.read(kind, length).unwrap();
        if kind == ArtifactKind::Tokenizer {
            let mut tokenizer: serde_json::Value = serde_json::from_slice(&content).unwrap();
            let pieces = serde_json::json!({"type": "FixedLength", "length": 0});
            tokenizer["pre_tokenizer"] = pieces;
            content = serde_json::to_vec(&tokenizer).unwrap();
        }
        (kind, content)
    });
    let contents: Vec<(ArtifactKind, Vec<u8>)> = contents.collect();
    let contents = contents
        .iter()
        .map(|(kind, content)| (*kind, content as &dyn Source));
    let contents: Vec<Content<'_>> = contents.collect();
    let mut file = Vec::new();
    container::write(payload.manifest(), &contents, &mut file).unwrap();
    file
}

#[test]
fn a_library_that_panics_over_a_text_is_an_error_of_that_text() {
    let options = Options::default();
    let file = with_broken_pre_tokenizer();
    for executor in [Executor::OneThread, two_threads()] {
        let model = Model::from_bytes(file.clone(), executor).unwrap();
        let message = panicked(model.infer("a text", &options));
        assert!(
            !message.is_empty() && !message.contains('\n'),
            "{message:?}"
        );
        panicked(model.tokenize("a text", &options));
        panicked(model.self_test());
        panicked(model.infer_json(r#"{"inputs": ["a", "b"]}"#));
        let results = model.infer_all(["a", "b", "c"], &options);
        assert_eq!(results.len(), 3);
        for result in results {
            panicked(result);
        }
    }
}

#[test]
fn an_iterator_that_panics_is_the_callers() {
    let model = Model::open_with(MODEL, two_threads()).unwrap();
    let items = (0..9).map(|number| match number {
        5 => panic!("the caller's"),
        number => Ok::<_, ()>(format!("text {number}").into()),
    });
    let mut count = 0;
    let caught = crate::panics::catch(|| {
        model.infer_each(items, &Options::default(), |_, result| {
            count += usize::from(result.is_ok());
            Ok(())
        })
    });
    let message = "the caller's".to_owned();
    assert_eq!(caught, Err(Bug::Panic { message }));
    assert_eq!(count, 5);
}

/// The order of results, and that neither threads nor neighbours change any.
#[test]
fn many_texts_give_what_each_gives_alone() {
    let options = Options::default();
    let texts: Vec<String> = (0..20).map(|n| "word ".repeat(20 - n)).collect();
    let alone = Model::open_with(MODEL, Executor::OneThread).unwrap();
    let alone: Vec<_> = texts
        .iter()
        .map(|text| alone.infer(text, &options))
        .collect();
    let one_beside = Executor::Threads(NonZeroUsize::MIN);
    for executor in [Executor::OneThread, one_beside, two_threads()] {
        let model = Model::open_with(MODEL, executor).unwrap();
        assert_eq!(model.infer_all(&texts, &options), alone, "{executor:?}");
    }
}

/// Texts that are computed beside each other fail alone.
#[test]
fn a_text_that_fails_among_others_fails_alone() {
    let options = Options {
        overflow: Overflow::Error,
        ..Options::default()
    };
    let long = "word ".repeat(1000);
    let texts = ["one", &*long, "three", "", "five"];
    for executor in [Executor::OneThread, two_threads()] {
        let model = Model::open_with(MODEL, executor).unwrap();
        let results = model.infer_all(texts, &options);
        for (text, result) in texts.iter().zip(results) {
            assert_eq!(result.is_err(), *text == long, "{text:.10}: {result:?}");
        }
    }
}

/// With one thread too, results come while the next text is not there yet.
#[test]
fn a_text_that_waits_for_a_result_gets_it() {
    for executor in [Executor::OneThread, two_threads()] {
        let model = Model::open_with(MODEL, executor).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let mut left = 5;
        sender.send(()).unwrap();
        let texts = std::iter::from_fn(move || {
            receiver.recv().ok()?;
            Some(Ok::<_, ()>(Item::from("a text")))
        });
        let mut sender = Some(sender);
        let answered = model.infer_each(texts, &Options::default(), |_, result| {
            assert!(result.is_ok());
            left -= 1;
            match left {
                0 => sender = None,
                _ => drop(sender.as_ref().map(|it| it.send(()))),
            }
            Ok(())
        });
        assert_eq!((answered, left), (Ok(()), 0));
    }
}
