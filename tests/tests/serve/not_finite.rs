//! Results that are no numbers: an error of their own in every dialect, never
//! `null`. One word of the model has an embedding that is NaN.

use crate::client::{Answer, post};
use anyhow::{Context, ensure};
use encoderfile_tests::fixture;
use encoderfile_tests::server::Server;
use encoderfile_tests::workbench::Workbench;
use serde_json::{Value, json};

const GOOD: &str = "The king rode out.";
const BROKEN: &str = "The king is broken.";
const WORDS: [&str; 2] = ["not finite", "NaN"];

/// A server of a folder beside the models.
fn serve(workbench: &Workbench, fault: &str) -> anyhow::Result<Server> {
    let program = workbench.build_folder(&fixture::fault(fault), &[], fault)?;
    Server::start(&program, &["--mcp"])
}

fn ask(server: &Server, route: &str, body: &Value) -> anyhow::Result<Answer> {
    post(&format!("{}{route}", server.http()), body).with_context(|| route.to_owned())
}

#[test]
fn every_dialect_says_so() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    for fault in [
        "graph-rare-nan",
        "graph-rare-infinity",
        "graph-rare-nan-elsewhere",
    ] {
        let server = serve(&workbench, fault)?;
        let routes = [
            ("/embed", "inputs"),
            ("/embed_all", "inputs"),
            ("/v1/embeddings", "input"),
            ("/api/embed", "input"),
            ("/api/embeddings", "prompt"),
            ("/", "inputs"),
        ];
        for (route, field) in routes {
            let of = |text: &str| ask(&server, route, &json!({ field: text }));
            of(GOOD)?.good().with_context(|| route.to_owned())?;
            let answer = of(BROKEN)?;
            ensure!(!answer.text().contains("[null"), "{route}: {answer:?}");
            answer
                .refused(424, &WORDS)
                .with_context(|| route.to_owned())?;
            // The next text has a result again.
            of(GOOD)?.good().with_context(|| route.to_owned())?;
        }
        // One text by itself is TEI's request, for classification.
        let upstream = json!({ "inputs": [GOOD, BROKEN] });
        let answer = ask(&server, "/predict", &upstream)?;
        answer.refused(424, &["text 2", "not finite"])?;
        let openai = json!({ "input": [GOOD, BROKEN], "encoding_format": "base64" });
        let answer = ask(&server, "/v1/embeddings", &openai)?;
        answer.refused(424, &["text 2", "not_finite", "server_error"])?;
        let similarity = json!({ "source_sentence": GOOD, "sentences": [BROKEN] });
        let answer = ask(&server, "/similarity", &json!({ "inputs": similarity }))?;
        answer.refused(424, &WORDS)?;
    }
    Ok(())
}

#[test]
fn the_command_line_says_so() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let fault = "graph-rare-nan";
    let program = workbench.build_folder(&fixture::fault(fault), &[], fault)?;
    for options in [&[][..], &["--normalize", "true"], &["--unpooled"]] {
        let infer = |text| workbench.finish(&program, &[&["infer", text], options].concat());
        infer(GOOD)?.succeeded()?;
        infer(BROKEN)?.refused(&WORDS)?;
    }
    workbench
        .finish(&program, &["infer", GOOD, BROKEN])?
        .refused_midway(&["text 2", "not finite"])
}
