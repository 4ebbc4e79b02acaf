//! Who may have a model: tokens, terms, and what is refused.

use crate::bench::Bench;
use crate::content::ID;
use crate::server::{Answer, Request};
use anyhow::ensure;
use encoderfile_tests::process;
use std::fs;
use std::process::Command;

const TOKEN: &str = "hf_a_token_of_the_tests";

/// A build with a token.
fn build_with_token(bench: &Bench) -> Command {
    let mut build = bench.build(&[]);
    build.env("HF_TOKEN", TOKEN);
    build
}

fn authorization(request: &Request) -> Option<&str> {
    request.header("Authorization")
}

#[test]
fn the_token_is_for_the_endpoint_alone() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    let expected = format!("Bearer {TOKEN}");
    process::succeed(&mut build_with_token(&bench))?;
    let asked = bench.hub.asked();
    ensure!(asked.iter().any(|it| it.is_cdn), "nothing was redirected");
    for request in &asked {
        let expected = (!request.is_cdn).then_some(&*expected);
        ensure!(authorization(request) == expected, "{request:?}");
    }
    // Whatever is redirected, and to whatever path: another port is another server.
    let (Some(bench), cdn) = (Bench::open()?, bench.hub.cdn().to_owned()) else {
        return Ok(());
    };
    bench.hub.answer(move |request| {
        let location = format!("{cdn}{}", request.path);
        request
            .path
            .ends_with("/config.json")
            .then(|| Answer::redirect(307, location))
    });
    process::finish(&mut build_with_token(&bench))?;
    ensure!(
        bench
            .hub
            .asked()
            .iter()
            .all(|it| !it.is_cdn || authorization(it).is_none())
    );
    Ok(())
}

#[test]
fn the_token_of_a_login_is_used() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    bench.succeeds()?;
    ensure!(
        bench
            .hub
            .asked()
            .iter()
            .all(|it| authorization(it).is_none())
    );
    fs::write(bench.home().join("token"), format!("{TOKEN}\n"))?;
    bench.succeeds()?;
    let expected = format!("Bearer {TOKEN}");
    let asked = bench.hub.asked();
    ensure!(!asked.is_empty() && asked.iter().all(|it| authorization(it) == Some(&expected)));
    Ok(())
}

#[test]
fn a_gated_model_says_where_its_terms_are() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    // The list is everybody's.
    bench.hub.answer(|request| {
        let status = if authorization(request).is_some() {
            403
        } else {
            401
        };
        let message = "Access to model org/tiny-model is restricted.";
        let refusal = Answer::refusal(status, "GatedRepo", message);
        request.path.contains("/resolve/").then_some(refusal)
    });
    let url = format!("{}/{ID}", bench.hub.endpoint());
    bench.refuses(&[
        "terms have to be accepted",
        &url,
        "set HF_TOKEN",
        "hf auth login",
    ])?;
    let finished = process::finish(&mut build_with_token(&bench))?;
    finished.refused(&[
        "terms have to be accepted",
        &url,
        "a token that may read it",
    ])?;
    ensure!(!finished.stderr.contains(TOKEN));
    Ok(())
}

#[test]
fn a_model_or_revision_that_is_not_there_is_said_as_it_was_asked_for() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    let of = |model: &str, words: &[&str]| {
        process::finish(&mut bench.build_of(model, &[]))?.refused(words)
    };
    let endpoint = bench.hub.endpoint().to_owned();
    for model in ["nowhere", "org/nowhere", "org/nowhere@v1"] {
        let words = [
            model,
            "no such folder",
            &endpoint,
            "no such model",
            "private",
            "HF_TOKEN",
        ];
        of(model, &words)?;
    }
    let revision = format!("{ID}@v2");
    of(
        &revision,
        &[&revision, "no branch, tag or commit", "\"v2\""],
    )?;
    let mut build = bench.build_of("org/nowhere", &[]);
    let words = ["org/nowhere", "use a token that may read it"];
    process::finish(build.env("HF_TOKEN", TOKEN))?.refused(&words)
}

#[test]
fn a_token_that_is_not_accepted_is_named_and_not_shown() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    bench.hub.answer(|_| {
        Some(Answer::refusal(
            401,
            "",
            "Invalid credentials in Authorization header",
        ))
    });
    let finished = process::finish(&mut build_with_token(&bench))?;
    finished.refused(&["the token of HF_TOKEN", bench.hub.endpoint()])?;
    ensure!(!finished.stderr.contains(TOKEN));
    let mut build = bench.build(&[]);
    let finished = process::finish(build.env("HF_TOKEN", "hf_ä"))?;
    finished.refused(&["HF_TOKEN"])?;
    ensure!(!finished.stderr.contains("hf_ä"));
    Ok(())
}

#[test]
fn a_proxy_is_asked_unless_it_is_not_to_be() -> anyhow::Result<()> {
    let Some(bench) = Bench::open()? else {
        return Ok(());
    };
    // Nobody listens there.
    let proxied = |without: &str| {
        let mut build = bench.build(&[]);
        build.envs([("HTTP_PROXY", "http://127.0.0.1:1"), ("NO_PROXY", without)]);
        process::finish(&mut build)
    };
    proxied("example.org")?.refused(&["cannot be asked", "no such folder", "--no-download"])?;
    ensure!(bench.hub.asked().is_empty());
    proxied("example.org,127.0.0.1,localhost")?.succeeded()?;
    let mut build = bench.build(&[]);
    let build = build.env("HTTPS_PROXY", "socks9://user:secret@x");
    let finished = process::finish(build)?;
    finished.refused(&["HTTPS_PROXY"])?;
    ensure!(!finished.stderr.contains("secret"));
    Ok(())
}
