//! The `test` command: what was typed, and how the report is printed.

use crate::cli::Test;
use crate::settings::paths;
use anyhow::Context;
use encoderfile_builder::test::{Against, Settings, test, to_text};
use std::path::Path;
use std::process::ExitCode;

/// Tests a file and prints what came of it.
pub(crate) fn run(arguments: &Test, verbose: bool) -> anyhow::Result<ExitCode> {
    let against = arguments.against.as_deref();
    let against = against.map(|source| {
        anyhow::Ok(Against {
            source: paths(
                source,
                arguments.weights_file.as_deref(),
                arguments.no_download,
            )?,
            texts: arguments.input.as_deref().map_or(Ok(Vec::new()), lines)?,
            min_cosine: arguments.min_cosine,
        })
    });
    let settings = Settings {
        full: arguments.full,
        against: against.transpose()?,
    };
    let report = test(&arguments.file, &settings)?;
    crate::print(&match arguments.json {
        true => serde_json::to_string_pretty(&report)? + "\n",
        false => to_text(&report, verbose),
    })?;
    Ok(match report.passed {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The lines of a file, each a text; an empty one is an empty text.
fn lines(file: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(text.lines().map(Into::into).collect())
}
