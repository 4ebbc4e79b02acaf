//! Trials: cases that are data, each with a name of its own to be asked for by
//! (`cargo test --test conformance bert-embedding/node`).

use encoderfile_tests::workbench::Workbench;
use libtest_mimic::{Completion, Trial};
use std::sync::Arc;

/// A case with that name; ignored where there is nothing to try it with.
pub(crate) fn trial(
    name: String,
    workbench: Option<Arc<Workbench>>,
    check: impl FnOnce(&Workbench) -> anyhow::Result<()> + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || {
        let Some(workbench) = workbench else {
            return Ok(Completion::ignored_with("its program is not there"));
        };
        match check(&workbench) {
            Ok(()) => Ok(Completion::Completed),
            Err(error) => Err(format!("{error:#}").into()),
        }
    })
}
