//! Folders of sentence-transformers with random configs: what is accepted
//! computes what [`reference`] says, and what that refuses is refused by name.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]
#![allow(
    clippy::cast_possible_truncation,
    reason = "all numbers here are small"
)]

mod configs;
mod reference;
mod workbench;

use configs::{Configs, Request};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use workbench::Workbench;

/// Each builds and runs a tiny model: some milliseconds.
const CASES: u32 = 400;

#[test]
fn random_folders_mean_what_the_reference_says_or_are_refused() {
    let mut workbench = Workbench::open();
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        // The same cases at every run.
        rng_seed: proptest::test_runner::RngSeed::Fixed(20_261_121),
        max_shrink_iters: 200,
        ..Config::default()
    };
    let mut accepted = 0;
    let workbench_cell = std::cell::RefCell::new((&mut workbench, &mut accepted));
    let result =
        TestRunner::new(config).run(&(Configs::any(), Request::any()), |(folder, request)| {
            let (workbench, accepted) = &mut *workbench_cell.borrow_mut();
            if check(workbench, &folder, &request)? {
                **accepted += 1;
            }
            Ok(())
        });
    if let Err(error) = result {
        panic!("{error}");
    }
    // Neither side of the property is empty.
    assert!(
        accepted > CASES / 4 && accepted < CASES,
        "{accepted} accepted"
    );
}

/// Whether the folder was accepted, which it must be exactly where the
/// reference accepts it.
fn check(
    workbench: &mut Workbench,
    configs: &Configs,
    request: &Request,
) -> Result<bool, TestCaseError> {
    let expected = reference::understand(configs);
    match (workbench.build(configs), expected) {
        (Err(error), Err(reasons)) => {
            let named = reasons.iter().any(|reason| error.contains(reason));
            prop_assert!(named, "{error} names none of {reasons:?}");
            Ok(false)
        }
        (Err(error), Ok(_)) => Err(TestCaseError::fail(format!("refused: {error}"))),
        (Ok(_), Err(reasons)) => Err(TestCaseError::fail(format!(
            "accepted in spite of {reasons:?}"
        ))),
        (Ok(encoder), Ok(meaning)) => {
            let got = workbench::infer(&encoder, request);
            let expected = meaning.embedding(request, &mut |prompt, text| {
                workbench.hidden(prompt, text, &meaning)
            });
            match (got, expected) {
                (Ok(got), Some(expected)) => {
                    let apart = reference::difference(&got, &expected);
                    prop_assert!(apart < 2e-5, "{apart} apart:\n{got:?}\n{expected:?}");
                    Ok(true)
                }
                (Err(_), None) => Ok(true),
                (got, expected) => Err(TestCaseError::fail(format!("{got:?} for {expected:?}"))),
            }
        }
    }
}
