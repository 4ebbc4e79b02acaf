//! `encoderfile:encoder`, called by a program in Rust: wasmtime's bindings, and a host that grants no HTTP.

use super::{MODELS, Printed, TEXTS, component};
use anyhow::{Context, bail, ensure};
use encoderfile_tests::component_host::{Host, Instance, answered, types};
use encoderfile_tests::component_rows as rows;
use encoderfile_tests::workbench::Workbench;
use serde_json::{Value, json};
use std::fs;
use types::{Error, Input, Reading};
use wasmtime::component::ResourceAny;

/// A model of an instance, to be asked for what it can, and its name, under which the command line is asked.
struct Caller<'a> {
    workbench: &'a Workbench,
    name: &'a str,
    instance: &'a mut Instance,
    model: ResourceAny,
    info: types::Info,
}

fn inputs(texts: &[&str]) -> Vec<Input> {
    let texts = texts.iter().map(|it| (*it).to_owned());
    texts.map(Input::Text).collect()
}

/// As the model says.
fn plain() -> Reading {
    Reading {
        prompt: None,
        prompt_name: None,
        role: None,
        overflow: None,
        truncation_side: None,
        max_tokens: None,
    }
}

/// The error of a request.
fn refused<T>(answer: Result<T, Error>) -> anyhow::Result<types::RequestError> {
    match answer {
        Err(Error::Request(error)) => Ok(error),
        Err(other) => bail!("{other:?}"),
        Ok(_) => bail!("it was answered"),
    }
}

#[test]
fn programs_in_rust_get_what_the_command_line_prints() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let own = fs::read(component(&workbench, MODELS[0])?)?;
    let mut instance = Host::new()?.instance(&own, Some(workbench.built_folder()))?;
    for (place, name) in MODELS.into_iter().enumerate() {
        let file = workbench.built(name, &[])?;
        let model = answered(instance.open((place > 0).then_some(file.as_path()))?)?;
        let info = instance.ask(|it, store| it.call_info(store, model))?;
        ensure!(serde_json::from_str::<Value>(&info.json)?["name"] == *info.name);
        let mut caller = Caller {
            workbench: &workbench,
            name,
            instance: &mut instance,
            model,
            info,
        };
        let asked = caller.all().with_context(|| name.to_owned())?;
        ensure!(asked > 0, "{name}: nothing that it can was asked for");
        println!("ok {name}: {asked} methods");
    }
    Ok(())
}

impl Caller<'_> {
    /// Asks for all that the model can, and gives how much that was.
    fn all(&mut self) -> anyhow::Result<usize> {
        let capabilities = self.info.capabilities.clone();
        for name in &capabilities {
            match name.as_str() {
                "embed" => self.embed(),
                "embed-tokens" => self.embed_tokens(),
                "sparse" => self.sparse(),
                "classify" => self.classify(),
                "zero-shot" => self.zero_shot(),
                "entities" => self.entities(),
                "fill-mask" => self.fill_mask(),
                "rerank" => self.rerank(),
                other => bail!("no test of {other}"),
            }
            .with_context(|| name.clone())?;
        }
        Ok(capabilities.len())
    }

    fn printed(&self, arguments: &[&str]) -> anyhow::Result<Printed> {
        Printed::of(self.workbench, self.name, arguments)
    }

    fn embed(&mut self) -> anyhow::Result<()> {
        let (model, texts) = (self.model, inputs(&TEXTS));
        let got = self
            .instance
            .ask(|it, store| it.call_embed(store, model, &texts, None, None))?;
        self.printed(&TEXTS)?
            .is(answered(got)?.iter().map(rows::embedding))?;
        let reading = Reading {
            max_tokens: Some(5),
            ..plain()
        };
        let options = types::EmbedOptions {
            normalize: Some(true),
            dimensions: Some(4),
        };
        let got = self
            .instance
            .ask(|it, store| it.call_embed(store, model, &texts, Some(&reading), Some(options)))?;
        let got = answered(got)?;
        ensure!(got[0].usage.is_some() && got[2].usage.is_none(), "{got:?}");
        let mut arguments = vec!["--normalize=true", "--dimensions=4", "--max-tokens=5"];
        arguments.extend(TEXTS);
        self.printed(&arguments)?
            .is(got.iter().map(rows::embedding))
    }

    fn embed_tokens(&mut self) -> anyhow::Result<()> {
        let (model, texts) = (self.model, inputs(&TEXTS));
        let got = self
            .instance
            .ask(|it, store| it.call_embed_tokens(store, model, &texts, None, None))?;
        let mut arguments = vec!["--unpooled"];
        arguments.extend(TEXTS);
        self.printed(&arguments)?
            .is(answered(got)?.iter().map(rows::token_embeddings))
    }

    fn sparse(&mut self) -> anyhow::Result<()> {
        let (model, texts) = (self.model, inputs(&TEXTS));
        let got = self
            .instance
            .ask(|it, store| it.call_sparse(store, model, &texts, None, None))?;
        self.printed(&TEXTS)?
            .is(answered(got)?.iter().map(rows::sparse_embedding))
    }

    fn classify(&mut self) -> anyhow::Result<()> {
        let (model, texts) = (self.model, inputs(&TEXTS));
        let got = self
            .instance
            .ask(|it, store| it.call_classify(store, model, &texts, None, None))?;
        let row = |it| rows::classification(it, &self.info.labels);
        self.printed(&TEXTS)?.is(answered(got)?.iter().map(row))
    }

    fn zero_shot(&mut self) -> anyhow::Result<()> {
        let (model, texts) = (self.model, inputs(&TEXTS));
        let labels = ["house".to_owned(), "cat".to_owned()];
        let got = self
            .instance
            .ask(|it, store| it.call_zero_shot(store, model, &texts, &labels, None, None))?;
        let mut arguments = vec!["--labels=house,cat"];
        arguments.extend(TEXTS);
        self.printed(&arguments)?
            .is(answered(got)?.iter().map(rows::zero_shot))
    }

    fn entities(&mut self) -> anyhow::Result<()> {
        let (model, texts) = (self.model, inputs(&TEXTS));
        let got = self
            .instance
            .ask(|it, store| it.call_entities(store, model, &texts, None, None))?;
        let got = answered(got)?;
        ensure!(got.iter().any(|it| !it.entities.is_empty()), "no entities");
        let mut arguments = vec!["--aggregation=simple"];
        arguments.extend(TEXTS);
        self.printed(&arguments)?.is(got.iter().map(rows::entities))
    }

    fn fill_mask(&mut self) -> anyhow::Result<()> {
        let text = "a [MASK] in the house";
        let (model, texts) = (self.model, inputs(&[text]));
        let options = types::FillMaskOptions {
            top_k: Some(3),
            targets: None,
        };
        let got = self
            .instance
            .ask(|it, store| it.call_fill_mask(store, model, &texts, None, Some(&options)))?;
        self.printed(&["--top-k=3", text])?
            .is(answered(got)?.iter().map(rows::filled_text))
    }

    fn rerank(&mut self) -> anyhow::Result<()> {
        let model = self.model;
        let documents = TEXTS.map(str::to_owned);
        let got = self
            .instance
            .ask(|it, store| it.call_rerank(store, model, "a house", &documents, None, Some(2)))?;
        let mut arguments = vec!["--query=a house", "--top-k=2"];
        arguments.extend(TEXTS);
        self.printed(&arguments)?
            .is(answered(got)?.iter().map(rows::ranked))
    }
}

#[test]
fn errors_say_who_is_at_fault() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let own = fs::read(component(&workbench, MODELS[0])?)?;
    let folder = workbench.folder();
    let mut instance = Host::new()?.instance(&own, Some(folder))?;
    let model = answered(instance.open(None)?)?;

    let options = types::EmbedOptions {
        normalize: None,
        dimensions: Some(0),
    };
    let texts = inputs(&TEXTS);
    let answer =
        instance.ask(|it, store| it.call_embed(store, model, &texts, None, Some(options)))?;
    let error = refused(answer)?;
    ensure!(
        error.field.as_deref() == Some("dimensions") && error.input.is_none(),
        "{error:?}"
    );

    let reading = Reading {
        overflow: Some(types::Overflow::Error),
        ..plain()
    };
    let texts = inputs(&["a", &"a ".repeat(1000)]);
    let answer =
        instance.ask(|it, store| it.call_embed(store, model, &texts, Some(&reading), None))?;
    let error = refused(answer)?;
    ensure!(
        error.input == Some(1) && error.message.contains("tokens"),
        "{error:?}"
    );

    let answer = instance.ask(|it, store| it.call_entities(store, model, &texts, None, None))?;
    let error = refused(answer)?;
    ensure!(
        error.message.contains("entities") && error.message.contains("embed"),
        "{error:?}"
    );

    let cut = workbench.built(MODELS[0], &["--target", "bundle"])?;
    let cut = fs::read(cut)?;
    let cut = workbench.write("cut.ef", &cut[..cut.len() / 2])?;
    for (path, words) in [
        (folder.join("nowhere.ef"), "nowhere.ef"),
        (cut, "cut.ef"),
        // It is there, and in no folder that was granted.
        (workbench.built(MODELS[0], &[])?, "model"),
    ] {
        match instance.open(Some(&path))? {
            Err(Error::File(message)) => ensure!(message.contains(words), "{message}"),
            Err(other) => bail!("{}: {other:?}", path.display()),
            Ok(_) => bail!("{} was opened", path.display()),
        }
    }
    // The instance is none the worse for it.
    let texts = inputs(&TEXTS);
    let got = instance.ask(|it, store| it.call_embed(store, model, &texts, None, None))?;
    Printed::of(&workbench, MODELS[0], &TEXTS)?.is(answered(got)?.iter().map(rows::embedding))
}

/// The instance's own, twice, and that of a file: each answers as itself, also when another is gone.
#[test]
fn models_of_an_instance_are_apart() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let (one, other) = (MODELS[0], MODELS[2]);
    let own = fs::read(component(&workbench, one)?)?;
    let file = workbench.built(other, &["--target", "bundle"])?;
    let mut instance = Host::new()?.instance(&own, Some(workbench.built_folder()))?;
    let embeds = answered(instance.open(None)?)?;
    let classifies = answered(instance.open(Some(&file))?)?;
    let again = answered(instance.open(None)?)?;
    let labels = instance
        .ask(|it, store| it.call_info(store, classifies))?
        .labels;

    let (vectors, classes) = (
        Printed::of(&workbench, one, &TEXTS)?,
        Printed::of(&workbench, other, &TEXTS)?,
    );
    let texts = inputs(&TEXTS);
    for round in 0..2 {
        let got = instance.ask(|it, store| it.call_embed(store, again, &texts, None, None))?;
        vectors.is(answered(got)?.iter().map(rows::embedding))?;
        if round == 0 {
            let got = instance
                .ask(|it, store| it.call_classify(store, classifies, &texts, None, None))?;
            classes.is(answered(got)?
                .iter()
                .map(|it| rows::classification(it, &labels)))?;
            for gone in [embeds, classifies] {
                instance.ask(|_, store| gone.resource_drop(store))?;
            }
        }
    }
    let request = json!({ "inputs": TEXTS }).to_string();
    let answer = instance.ask(|it, store| it.call_infer(store, again, &request))?;
    let answer: Value = serde_json::from_str(&answered(answer)?)?;
    vectors.is(answer["results"]
        .as_array()
        .context("no results")?
        .iter()
        .map(rows::in_float32))?;
    let answer = instance.ask(|it, store| it.call_infer(store, again, "{"))?;
    refused(answer).map(drop)
}
