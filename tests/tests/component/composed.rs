//! Components in components: two models behind a router (`router.wat`), put together by wac into one
//! component, whose host knows nothing of it.

use super::{Printed, component};
use anyhow::{Context, bail, ensure};
use encoderfile_tests::component_host::{Host, of_wasmtime};
use encoderfile_tests::workbench::Workbench;
use serde_json::json;
use std::fs;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, plug};

const ENCODER: &str = "encoderfile:encoder/encoder@0.1.0";

/// What `router.wat` exports.
type Route = Result<Vec<f32>, String>;

/// One component of the router and the models of its two imports.
fn compose(router: Vec<u8>, models: [(&str, Vec<u8>); 2]) -> anyhow::Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let router = instantiate(&mut graph, "test:router", router)?;
    for (import, bytes) in models {
        let model = instantiate(&mut graph, &format!("test:{import}"), bytes)?;
        let encoder = graph.alias_instance_export(model, ENCODER)?;
        graph.set_instantiation_argument(router, import, encoder)?;
    }
    let route = graph.alias_instance_export(router, "route")?;
    graph.export(route, "route")?;
    Ok(graph.encode(EncodeOptions::default())?)
}

fn instantiate(graph: &mut CompositionGraph, name: &str, bytes: Vec<u8>) -> anyhow::Result<NodeId> {
    let package = Package::from_bytes(name, None, bytes, graph.types_mut())?;
    let package = graph.register_package(package)?;
    Ok(graph.instantiate(package))
}

#[test]
fn a_router_asks_one_of_two_models() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let (small, large) = ("st-mean-normalize", "st-cls");
    let router = include_str!("router.wat").replace("{encoder}", include_str!("encoder.wat"));
    let router = wat::parse_str(router)?;
    let bytes = |model| anyhow::Ok(fs::read(component(&workbench, model)?)?);
    let composed = compose(router, [("small", bytes(small)?), ("large", bytes(large)?)])?;

    let host = Host::new()?;
    let component = host.compile(&composed)?;
    let mut store = host.store(None)?;
    let instance = host.linker(&component)?.instantiate(&mut store, &component);
    let instance = instance.map_err(of_wasmtime)?;
    let route = instance.get_typed_func::<(&str,), (Route,)>(&mut store, "route");
    let route = route.map_err(of_wasmtime)?;
    let mut routed = |text: &str| {
        let (answer,) = route.call(&mut store, (text,)).map_err(of_wasmtime)?;
        anyhow::Ok(answer)
    };
    let long = "a cat sits on the mat of the house in Berlin and sleeps";
    for (text, model, other) in [
        ("a cat sits on the mat", small, large),
        (long, large, small),
        ("", small, large),
    ] {
        let values = routed(text)?.map_err(anyhow::Error::msg)?;
        let got = || [json!({ "embedding": values })];
        Printed::of(&workbench, model, &[text])?.is(got())?;
        let other = Printed::of(&workbench, other, &[text])?;
        ensure!(other.is(got()).is_err(), "{text:?}: both models say so");
    }
    let Err(message) = routed(&"a ".repeat(1000))? else {
        bail!("a text of too many tokens has a vector");
    };
    ensure!(message.contains("tokens"), "{message}");
    routed(long)?
        .map_err(anyhow::Error::msg)
        .context("after an error")?;
    Ok(())
}

/// A later minor version before 1.0 is another interface: whoever asks for it is told its name, by wac and
/// by wasmtime, and nothing is called that has another type.
#[test]
fn another_version_of_the_interface_is_named() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let model = fs::read(component(&workbench, "st-mean-normalize")?)?;
    let asks = |version: &str| {
        let name = format!("encoderfile:encoder/encoder@{version}");
        let text = include_str!("encoder.wat");
        wat::parse_str(format!("(component (import \"{name}\" (instance {text})))"))
    };
    let plugged = |version: &str| {
        let mut graph = CompositionGraph::new();
        let mut register = |name: &str, bytes| {
            let package = Package::from_bytes(name, None, bytes, graph.types_mut())?;
            anyhow::Ok(graph.register_package(package)?)
        };
        let program = register("test:program", asks(version)?)?;
        let model = register("test:model", model.clone())?;
        Ok(plug(&mut graph, vec![model], program)?)
    };
    // Patches of one minor version are one interface.
    plugged("0.1.0").and_then(|()| plugged("0.1.7"))?;
    let refused: anyhow::Result<()> = plugged("0.2.0");
    ensure!(refused.is_err(), "it was plugged in");

    let host = Host::new()?;
    let program = host.compile(&asks("0.2.0")?)?;
    let linker = host.linker(&program)?;
    let started = linker.instantiate(&mut host.store(None)?, &program);
    let Err(error) = started.map(drop).map_err(of_wasmtime) else {
        bail!("it was started");
    };
    let message = format!("{error:#}");
    ensure!(
        message.contains("encoderfile:encoder/encoder@0.2.0"),
        "{message}"
    );
    // The host lives.
    let mut instance = host.instance(&model, None)?;
    let opened = instance.open(None)?;
    ensure!(opened.is_ok(), "{opened:?}");
    Ok(())
}
