//! What is kept: without the network, without space, by two builds at once, and by one that
//! was killed.

use crate::bench::{Bench, FIXTURE, WEIGHTS, names_in};
use crate::content::{COMMIT, ID, Model};
use crate::server::Request;
use anyhow::{Context, ensure};
use encoderfile_tests::process;
use std::fs;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// How long a request waits for another that must come.
const WAIT_MAX: Duration = Duration::from_secs(60);

#[test]
fn what_is_there_is_not_fetched_again() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    bench.succeeds()?;
    ensure!(!bench.downloads().is_empty());
    let said = bench.succeeds()?.stderr;
    ensure!(!said.contains("downloaded"), "{said}");
    let asked = bench.hub.asked();
    ensure!(
        asked.len() == 1 && asked[0].path.contains("/revision/main"),
        "{asked:?}"
    );
    // Of a file that somebody removed, its content alone is missing.
    let file = bench.hub.model().file(WEIGHTS).context(WEIGHTS)?;
    fs::remove_file(bench.cache().join("blobs").join(file.hash()))?;
    bench.succeeds()?;
    let downloads = bench.downloads();
    ensure!(downloads == [WEIGHTS], "{downloads:?}");
    bench.check_cache()
}

#[test]
fn another_commit_shares_what_is_the_same() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    bench.succeeds()?;
    let mut model = Model::of_fixture(FIXTURE)?.with("README.md", b"---\nlicense: x\n---\n");
    model.commit = "f".repeat(40);
    let Some(mut newer) = Bench::with(model)? else {
        return Ok(());
    };
    std::mem::swap(&mut newer.workbench, &mut { bench }.workbench);
    newer.succeeds()?;
    let downloads = newer.downloads();
    ensure!(downloads == ["README.md"], "{downloads:?}");
    let inspected = newer.inspect()?;
    ensure!(inspected["provenance"]["license"] == "x");
    ensure!(inspected["provenance"]["source"] == format!("{ID}@{}", "f".repeat(40)));
    let kept = fs::read_to_string(newer.cache().join("refs/main"))?;
    ensure!(kept == "f".repeat(40));
    // The older one is still there by its name.
    process::succeed(&mut newer.build_of(&format!("{ID}@{COMMIT}"), &["--no-download"]))?;
    ensure!(newer.inspect()?["provenance"]["license"] == "mit");
    Ok(())
}

/// Both ways to say that nothing is to be downloaded.
fn offline(bench: &Bench) -> [Command; 2] {
    let mut by_variable = bench.build(&[]);
    by_variable.env("HF_HUB_OFFLINE", "1");
    [by_variable, bench.build(&["--no-download"])]
}

#[test]
fn without_the_network_the_cache_is_enough_or_what_is_missing_is_said() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    let cache = bench.home().join("hub").display().to_string();
    for (mut build, why) in offline(&bench)
        .into_iter()
        .zip(["HF_HUB_OFFLINE", "--no-download"])
    {
        let words = [ID, "revision main is not in", &cache, why];
        process::finish(&mut build)?.refused(&words)?;
    }
    bench.succeeds()?;
    let built = bench.workbench.read("out")?;
    bench.hub.asked();
    for mut build in offline(&bench) {
        fs::remove_file(bench.workbench.path("out"))?;
        process::succeed(&mut build)?;
        ensure!(bench.workbench.read("out")? == built, "another file");
    }
    fs::remove_file(bench.snapshot().join(WEIGHTS))?;
    for mut build in offline(&bench) {
        process::finish(&mut build)?.refused(&[ID, WEIGHTS, "is not in", &cache])?;
    }
    ensure!(bench.hub.asked().is_empty(), "the hub was asked");
    Ok(())
}

#[test]
fn a_cache_that_may_not_be_all_of_a_model_is_not_taken_for_all() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    bench.succeeds()?;
    // As a program leaves it that fetches file by file, and no modules.
    fs::remove_dir_all(bench.cache().join("trees"))?;
    fs::remove_file(bench.snapshot().join("modules.json"))?;
    let folder = bench.snapshot().display().to_string();
    let [mut build, _] = offline(&bench);
    let words = [&*folder, "may not be all of it", "modules.json", "--model"];
    process::finish(&mut build)?.refused(&words)?;
    // Whoever knows that it is all says so.
    process::succeed(&mut bench.build_of(&folder, &[]))?;
    // And so does `huggingface_hub`, of what it asked for.
    let known = bench.cache().join(".no_exist").join(COMMIT);
    fs::create_dir_all(&known)?;
    fs::write(known.join("modules.json"), "")?;
    process::succeed(&mut build)?;
    Ok(())
}

#[test]
fn a_hub_that_is_not_there_is_said_with_what_else_was_meant() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    let mut build = bench.build(&[]);
    build.env("HF_ENDPOINT", "http://127.0.0.1:1");
    let words = [ID, "no such folder", "cannot be asked", "--no-download"];
    process::finish(&mut build)?.refused(&words)?;
    for endpoint in ["huggingface.co", "ftp://hub", "http://"] {
        let mut build = bench.build(&[]);
        let finished = process::finish(build.env("HF_ENDPOINT", endpoint))?;
        finished.refused(&["HF_ENDPOINT", endpoint])?;
    }
    ensure!(bench.hub.asked().is_empty());
    Ok(())
}

#[test]
fn two_builds_at_once_fetch_each_file_once() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    let file = bench.hub.model().file(WEIGHTS).cloned().context(WEIGHTS)?;
    // Whoever fetches the weights gets them once the other one has asked what they are.
    let heads = Arc::new((Mutex::new(0), Condvar::new()));
    bench.hub.answer(move |request: &Request| {
        let (count, changed) = &*heads;
        let mut count = count.lock().ok()?;
        if request.method == "HEAD" && request.path.ends_with(WEIGHTS) {
            *count += 1;
            changed.notify_all();
        }
        if request.is_cdn && request.is_for(&file) {
            drop(
                changed
                    .wait_timeout_while(count, WAIT_MAX, |count| *count < 2)
                    .ok()?,
            );
        }
        None
    });
    let mut one = bench.build(&[]);
    let mut other = bench
        .workbench
        .tool(&["build", "--target", "bundle", "-o", "other"]);
    other.args(["--model", ID]);
    bench.environment(&mut other);
    let running = thread::spawn(move || process::succeed(&mut other).map(drop));
    process::succeed(&mut one)?;
    running.join().map_err(|_| anyhow::anyhow!("a panic"))??;
    ensure!(bench.workbench.read("out")? == bench.workbench.read("other")?);
    let mut downloads = bench.downloads();
    downloads.sort();
    let mut once = downloads.clone();
    once.dedup();
    ensure!(downloads == once, "{downloads:?}");
    ensure!(bench.incomplete().is_empty());
    bench.check_cache()
}

/// A build where no file may grow beyond 32 or 64 KiB.
fn with_small_files(bench: &Bench, trap: &str) -> Command {
    let script = format!("{trap}ulimit -c 0; ulimit -f 64; exec \"$0\" \"$@\"");
    let mut command = bench
        .workbench
        .program("/bin/sh".as_ref(), &["-c", &script]);
    command.arg(&bench.workbench.programs().encoderfile);
    command.args(["build", "--target", "bundle", "-o", "out", "--model", ID]);
    bench.environment(&mut command);
    command
}

#[test]
fn a_full_disk_and_a_killed_build_leave_nothing_that_counts() -> anyhow::Result<()> {
    for (trap, is_killed) in [("trap '' XFSZ; ", false), ("", true)] {
        let Some(bench) = Bench::open()? else {
            return Ok(());
        };
        let finished = process::finish(&mut with_small_files(&bench, trap))?;
        match is_killed {
            true => ensure!(finished.code.is_none(), "not killed: {finished:?}"),
            false => finished.refused(&[".incomplete", "File too large"])?,
        }
        bench.check_cache()?;
        let names = names_in(&bench.snapshot());
        ensure!(!names.contains(WEIGHTS), "{names:?}");
        ensure!(bench.incomplete().len() == 1);
        // The next one goes on, and has all of it.
        bench.hub.asked();
        bench.succeeds()?;
        bench.check_cache()?;
        ensure!(bench.incomplete().is_empty());
        let asked = bench.hub.asked();
        ensure!(
            asked.iter().any(|it| it.header("Range").is_some()),
            "nothing was gone on with"
        );
    }
    Ok(())
}
