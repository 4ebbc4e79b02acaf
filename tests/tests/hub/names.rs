//! What `--model` and `path` mean.

use crate::bench::Bench;
use crate::content::{COMMIT, ID};
use anyhow::ensure;
use encoderfile_tests::fixture;
use encoderfile_tests::process;
use std::fs;

#[test]
fn a_revision_is_a_branch_a_tag_or_a_commit() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    for (revision, path) in [
        ("main", "main"),
        ("v1", "v1"),
        ("refs/pr/1", "refs%2Fpr%2F1"),
    ] {
        process::succeed(&mut bench.build_of(&format!("{ID}@{revision}"), &[]))?;
        let asked = bench.hub.asked();
        let listed = format!("/api/models/{ID}/revision/{path}?");
        ensure!(
            asked.iter().any(|it| it.path.starts_with(&listed)),
            "{asked:?}"
        );
        let kept = fs::read_to_string(bench.cache().join("refs").join(revision))?;
        ensure!(kept == COMMIT, "{revision}: {kept}");
        ensure!(bench.inspect()?["provenance"]["source"] == format!("{ID}@{COMMIT}"));
    }
    // A commit never has other files: nobody is asked.
    process::succeed(&mut bench.build_of(&format!("{ID}@{COMMIT}"), &[]))?;
    let asked = bench.hub.asked();
    ensure!(asked.is_empty(), "{asked:?}");
    ensure!(!bench.cache().join("refs").join(COMMIT).exists());
    Ok(())
}

#[test]
fn a_folder_that_is_there_goes_first() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    let folder = bench.workbench.path(ID);
    fs::create_dir_all(&folder)?;
    for entry in fs::read_dir(fixture::folder("bert-embedding"))? {
        let entry = entry?;
        fs::copy(entry.path(), folder.join(entry.file_name()))?;
    }
    bench.succeeds()?;
    ensure!(bench.hub.asked().is_empty());
    ensure!(bench.inspect()?["provenance"]["source"].is_null());
    Ok(())
}

#[test]
fn what_is_written_as_a_path_is_never_asked_for() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    let absolute = bench.workbench.path("nowhere").display().to_string();
    for name in ["./nowhere", "../nowhere", &absolute] {
        process::finish(&mut bench.build_of(name, &[]))?.refused(&[name, "no such folder"])?;
    }
    for name in ["a/b/c", "a/b/", "a@", "~/a", "a b", "org/name@../x"] {
        let words = [name, "no such folder", "ORG/NAME", "@REVISION"];
        process::finish(&mut bench.build_of(name, &[]))?.refused(&words)?;
    }
    ensure!(bench.hub.asked().is_empty());
    Ok(())
}

#[test]
fn a_settings_file_names_a_model_too() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    let settings = format!("encoderfile:\n  path: {ID}@v1\n  output_path: out\n  target: bundle\n");
    bench.workbench.write("encoderfile.yml", settings)?;
    let mut build = bench.workbench.tool(&["build", "-f", "encoderfile.yml"]);
    bench.environment(&mut build);
    process::succeed(&mut build)?;
    ensure!(bench.inspect()?["provenance"]["source"] == format!("{ID}@{COMMIT}"));
    Ok(())
}
