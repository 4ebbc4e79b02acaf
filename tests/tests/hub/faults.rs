//! A hub that fails: what is asked again, what is refused, and what is left behind.

use crate::bench::{Bench, WEIGHTS, names_in};
use crate::content::{File, ID};
use crate::server::{Answer, Request, ranged};
use anyhow::{Context, ensure};
use encoderfile_tests::process;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

fn weights(bench: &Bench) -> anyhow::Result<File> {
    bench.hub.model().file(WEIGHTS).cloned().context(WEIGHTS)
}

/// The content of a file, at the CDN.
fn is_content(request: &Request, file: &File) -> bool {
    request.is_cdn && request.is_for(file)
}

/// A rule that answers the first `times` of the requests it is for.
fn first(
    times: usize,
    is_for: impl Fn(&Request) -> bool + Send + Sync + 'static,
    answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
) -> impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static {
    let count = AtomicUsize::new(0);
    move |request| {
        let is_one = is_for(request) && count.fetch_add(1, Ordering::SeqCst) < times;
        is_one.then(|| answer(request))
    }
}

#[test]
fn a_download_that_is_cut_goes_on_where_it_was() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    let file = weights(&bench)?;
    let third = file.content.len() / 3;
    let content = file.content.clone();
    let of = file.clone();
    bench.hub.answer(first(
        2,
        move |it| is_content(it, &of),
        move |request| Answer {
            cut: Some(third),
            ..ranged(request, &content)
        },
    ));
    bench.succeeds()?;
    bench.check_cache()?;
    let ranges: Vec<Option<String>> = bench
        .hub
        .asked()
        .iter()
        .filter(|it| is_content(it, &file))
        .map(|it| it.header("Range").map(str::to_owned))
        .collect();
    let from = |start: usize| Some(format!("bytes={start}-"));
    ensure!(ranges == [None, from(third), from(2 * third)], "{ranges:?}");
    Ok(())
}

#[test]
fn a_download_that_is_always_cut_is_gone_on_with_by_the_next_build() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    let file = weights(&bench)?;
    let (content, of) = (file.content.clone(), file.clone());
    bench.hub.answer(move |request| {
        is_content(request, &of).then(|| Answer {
            cut: Some(100),
            ..ranged(request, &content)
        })
    });
    bench.refuses(&[ID, WEIGHTS, "500 bytes came", "the next build goes on"])?;
    let incomplete = bench.incomplete();
    ensure!(incomplete.len() == 1 && fs::metadata(&incomplete[0])?.len() == 500);
    bench.hub.answer_well();
    bench.hub.asked();
    bench.succeeds()?;
    bench.check_cache()?;
    let asked = bench.hub.asked();
    let mut contents = asked.iter().filter(|it| is_content(it, &file));
    let range = contents.next().and_then(|it| it.header("Range"));
    ensure!(range == Some("bytes=500-"), "{range:?}");
    ensure!(bench.incomplete().is_empty());
    Ok(())
}

#[test]
fn a_beginning_that_is_not_of_the_file_is_fetched_again() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    let file = weights(&bench)?;
    let blobs = bench.cache().join("blobs");
    for length in [100, file.content.len(), file.content.len() + 1] {
        fs::create_dir_all(&blobs)?;
        fs::write(
            blobs.join(format!("{}.incomplete", file.hash())),
            vec![7; length],
        )?;
        bench.succeeds()?;
        bench.check_cache()?;
        ensure!(bench.incomplete().is_empty(), "{length}");
        fs::remove_dir_all(bench.cache())?;
    }
    Ok(())
}

#[test]
fn a_server_without_ranges_is_asked_for_all_of_it() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    let file = weights(&bench)?;
    let blobs = bench.cache().join("blobs");
    fs::create_dir_all(&blobs)?;
    fs::write(
        blobs.join(format!("{}.incomplete", file.hash())),
        &file.content[..50],
    )?;
    let content = file.content.clone();
    bench.hub.answer(move |request| {
        is_content(request, &file).then(|| Answer::new(200, content.clone()))
    });
    bench.succeeds()?;
    bench.check_cache()
}

#[test]
fn what_is_not_the_file_announced_is_not_kept() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    let file = weights(&bench)?;
    let mut other = file.content.clone();
    other[10] ^= 1;
    let short = file.content[1..].to_vec();
    let long = [&file.content[..], b"x"].concat();
    let announced = file.content.len().to_string();
    let endless = Answer {
        is_endless: true,
        ..Answer::new(200, vec![0; 1 << 16])
    };
    for (answer, words) in [
        (Answer::new(200, other), ["is not the SHA-256", file.hash()]),
        (Answer::new(200, short), ["were announced", &announced]),
        (Answer::new(200, long), ["has more than the", &announced]),
        (endless, ["has more than the", &announced]),
    ] {
        let file = file.clone();
        bench
            .hub
            .answer(move |it| is_content(it, &file).then(|| answer.clone()));
        bench.refuses(&[&[ID, WEIGHTS, "nothing of it was kept"], &words[..]].concat())?;
        ensure!(bench.incomplete().is_empty());
        ensure!(!bench.snapshot().join(WEIGHTS).exists());
    }
    bench.hub.answer_well();
    bench.succeeds()?;
    bench.check_cache()
}

#[test]
fn a_small_file_is_checked_as_git_does() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    let mut other = bench
        .hub
        .model()
        .file("config.json")
        .context("no config")?
        .content
        .clone();
    other[0] = b' ';
    bench.hub.answer(move |request| {
        let is_it = request.method == "GET" && request.path.ends_with("/config.json");
        (is_it && !request.path.contains("1_Pooling")).then(|| Answer::new(200, other.clone()))
    });
    bench.refuses(&["config.json", "is not the git blob"])
}

#[test]
fn a_server_that_is_busy_is_asked_again_and_not_for_ever() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    for status in [429, 500, 502, 503, 504] {
        bench.hub.answer(first(
            2,
            |it| it.path.contains("/revision/"),
            move |_| Answer::new(status, "busy").with("Retry-After", "0"),
        ));
        bench.succeeds()?;
        let asked = bench.hub.asked();
        let lists = asked.iter().filter(|it| it.path.contains("/revision/"));
        ensure!(lists.count() == 3, "{status}");
    }
    for (answer, words) in [
        (Answer::new(429, ""), ["too many requests", "HF_TOKEN"]),
        (
            Answer::new(503, r#"{"error": "Come back\r\nlater"}"#),
            ["status 503", "(Come backlater)"],
        ),
    ] {
        bench
            .hub
            .answer(move |_| Some(answer.clone().with("Retry-After", "0")));
        bench.refuses(&words)?;
        ensure!(bench.hub.asked().len() == 5);
    }
    // Whoever is to wait for so long is told to.
    bench
        .hub
        .answer(|_| Some(Answer::new(429, "").with("Retry-After", "86400")));
    bench.refuses(&["too many requests", "86400 s"])?;
    ensure!(bench.hub.asked().len() == 1);
    Ok(())
}

#[test]
fn no_answer_of_a_hub_is_said_to_be_none() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    let sha = |sha: &str| format!("{{\"sha\": \"{sha}\", \"siblings\": []}}");
    for body in [
        "<!doctype html><title>Sign in</title>".to_owned(),
        "{\"sha\": 7}".to_owned(),
        "{}".to_owned(),
        sha("../../../x"),
        sha("main"),
    ] {
        bench
            .hub
            .answer(move |_| Some(Answer::new(200, body.clone())));
        bench.refuses(&["is HF_ENDPOINT a hub"])?;
    }
    // A list that does not end, and a hash that leaves the folder of blobs.
    bench.hub.answer(|_| {
        Some(Answer {
            is_endless: true,
            ..Answer::new(200, vec![b' '; 1 << 16])
        })
    });
    bench.refuses(&["has more than", "is HF_ENDPOINT a hub"])?;
    bench.hub.answer(|request| {
        let answer = Answer::new(200, "x").with("ETag", "\"../../../evil\"");
        request.path.contains("/resolve/").then_some(answer)
    });
    bench.refuses(&["no ETag that is a SHA-1 or SHA-256"])?;
    ensure!(
        !names_in(bench.workbench.folder())
            .iter()
            .any(|it| it.contains("evil"))
    );
    Ok(())
}

#[test]
fn a_name_outside_of_the_folder_is_refused() -> anyhow::Result<()> {
    for name in [
        "../evil",
        "/tmp/evil",
        "a/../../evil",
        "C:\\evil",
        "1_Pooling/",
        "a//b",
    ] {
        let Some(bench) = Bench::open()? else {
            return Ok(());
        };
        let model = bench.hub.model().clone().with(name, b"evil");
        bench.hub.answer(move |request| {
            let list = Answer::new(200, model.info().to_string());
            request.path.contains("/revision/").then_some(list)
        });
        bench.refuses(&[ID, "which is no name in a folder"])?;
        ensure!(bench.downloads().is_empty());
        ensure!(!Path::new("/tmp/evil").exists());
    }
    Ok(())
}

/// git's symbolic links are files on the hub, whose content is where they lead.
#[test]
fn a_link_in_a_repository_is_a_file() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    let model = bench.hub.model().clone().with("README.md", b"/etc/passwd");
    let Some(bench) = Bench::with(model)? else {
        return Ok(());
    };
    bench.succeeds()?;
    ensure!(fs::read(bench.snapshot().join("README.md"))? == b"/etc/passwd");
    bench.check_cache()
}

#[test]
fn a_redirection_that_never_ends_is_refused() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    bench
        .hub
        .answer(|request| Some(Answer::redirect(302, request.path.clone())));
    bench.refuses(&["redirects more than 10 times"])?;
    ensure!(bench.hub.asked().len() == 11);
    for location in ["file:///etc/passwd", "", "https://"] {
        bench
            .hub
            .answer(move |_| Some(Answer::redirect(302, location)));
        bench.refuses(&["redirects to", "which is no address"])?;
    }
    // A model that was renamed, as huggingface.co does it.
    bench.hub.answer(|request| {
        let location = request.path.replace("org/older", ID);
        request
            .path
            .contains("org/older")
            .then(|| Answer::redirect(307, location))
    });
    process::succeed(&mut bench.build_of("org/older", &[]))?;
    ensure!(bench.inspect()?["name"] == "older");
    Ok(())
}

#[test]
fn a_file_that_is_gone_is_said() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    bench.hub.answer(|request| {
        let refusal = Answer::refusal(404, "EntryNotFound", "Entry not found");
        request.path.ends_with("/tokenizer.json").then_some(refusal)
    });
    bench.refuses(&[ID, "tokenizer.json is not in it"])
}
