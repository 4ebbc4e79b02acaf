//! Matrices in fewer bits: `build --weights`, `--weights-rule`, `--target-size`, `--min-cosine` and
//! `--calibration`.

use anyhow::{Context, ensure};
use encoderfile::onnx::{
    AttributeProto, ModelProto, OperatorSetIdProto, TensorProto, attribute_proto::AttributeType,
    tensor_proto::DataType,
};
use encoderfile::proto;
use encoderfile_tests::process::Finished;
use encoderfile_tests::target::WASI;
use encoderfile_tests::workbench::Workbench;
use prost::Message;
use serde_json::Value;
use std::fs;

const TEXTS: [&str; 3] = [
    "A cat sits on the mat.",
    "The stock market fell sharply on Monday, and investors sold their shares.",
    "Wie setze ich mein Passwort zurück?",
];

/// Few texts, so that rounding takes little time.
const CALIBRATION: &str = "The train to Lisbon leaves at nine.\n\
    Please reset my password, I cannot log in.\n\
    Interest rates rose by half a percent last week.\n\
    She opened the letter and read it twice.\n\
    A function takes its arguments by value.\n";

/// The tool's own model as a folder, since the made-up ones have no large matrix.
fn folder() -> anyhow::Result<Option<Workbench>> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(None);
    };
    workbench.run(&["build", "--target", "bundle", "-o", "own.ef"])?;
    workbench.run(&["extract", "own.ef", "-o", "parts"])?;
    workbench.write("texts.txt", CALIBRATION)?;
    Ok(Some(workbench))
}

fn build(workbench: &Workbench, options: &[&str], name: &str) -> anyhow::Result<String> {
    let model = ["build", "--model", "parts", "--target", "bundle"];
    let texts = ["--calibration", "texts.txt", "-o", name];
    let built = workbench.run(&[&model, options, &texts].concat())?;
    Ok(built.stderr)
}

/// A command line that makes no sense.
fn misused(workbench: &Workbench, arguments: &[&str], words: &[&str]) -> anyhow::Result<()> {
    let finished = workbench.finish(&workbench.programs().encoderfile, arguments)?;
    let Finished { code, stderr, .. } = finished;
    ensure!(
        code == Some(2),
        "{arguments:?}: exit code {code:?}: {stderr}"
    );
    for word in words {
        ensure!(
            stderr.contains(word),
            "{arguments:?}: no {word:?} in: {stderr}"
        );
    }
    Ok(())
}

fn inspect(workbench: &Workbench, file: &str) -> anyhow::Result<Value> {
    workbench.run(&["inspect", "--json", file])?.json()
}

/// Every number of every text.
fn infer(workbench: &Workbench, file: &str) -> anyhow::Result<Vec<f64>> {
    let output = workbench.run(&[&["run", file, "infer"], TEXTS.as_slice()].concat())?;
    let output = output.json()?;
    let results = output["results"].as_array().context("no results")?;
    let tokens = results.iter().filter_map(|it| it["embeddings"].as_array());
    let values = tokens.flatten().filter_map(|it| it["embedding"].as_array());
    let numbers: Vec<f64> = values.flatten().filter_map(Value::as_f64).collect();
    ensure!(!numbers.is_empty(), "no numbers");
    Ok(numbers)
}

fn cosine(one: &[f64], other: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(one, other) / (dot(one, one) * dot(other, other)).sqrt()
}

/// Smaller from one to the next, near float32, and the same in a module.
#[test]
fn results_are_near_those_of_float32_on_every_target() -> anyhow::Result<()> {
    let Some(workbench) = folder()? else {
        return Ok(());
    };
    build(&workbench, &["--weights", "f32"], "exact.ef")?;
    let exact = infer(&workbench, "exact.ef")?;
    let mut smaller_than = workbench.read("exact.ef")?.len();
    for (encoding, least) in [
        ("bf16", 0.9999),
        ("int8:128", 0.9995),
        ("int8:64", 0.9999),
        ("int4:32", 0.96),
        ("int4:128", 0.95),
    ] {
        build(&workbench, &["--weights", encoding], "native.ef")?;
        let length = workbench.read("native.ef")?.len();
        ensure!(
            length < smaller_than || encoding == "int8:64",
            "{encoding}: {length} bytes, not below {smaller_than}"
        );
        smaller_than = length;
        let description = inspect(&workbench, "native.ef")?;
        assert_eq!(description["weights"]["encoding"], encoding);
        let native = infer(&workbench, "native.ef")?;
        let to_exact = cosine(&exact, &native);
        ensure!(
            (least..=1.000_001).contains(&to_exact),
            "{encoding}: {to_exact}"
        );

        let retarget = ["build", "--from", "native.ef", "--target", WASI];
        workbench.run(&[&retarget, ["-o", "module.wasm"].as_slice()].concat())?;
        let module = infer(&workbench, "module.wasm")?;
        let pairs = native.iter().zip(&module);
        let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        ensure!(
            difference < 1e-4,
            "{encoding}: {difference} from native to wasm"
        );
        for file in ["native.ef", "module.wasm"] {
            workbench.run(&["run", file, "self-test"])?;
        }
    }
    Ok(())
}

/// Gives products with a matrix `[1536, 384]` one of int4 in blocks of 32, of made-up values that
/// take from 3 to 16 steps of about `scale`.
fn quantise(workbench: &Workbench, scale: f32) -> anyhow::Result<()> {
    const SHAPE: (usize, usize) = (1536, 384);
    const BLOCK: usize = 32;
    let path = workbench.path("parts/model.onnx");
    let mut model: ModelProto = proto::decode(fs::read(&path)?, usize::MAX)?;
    let graph = model.graph.as_mut().context("no graph")?;
    let tensors = graph.initializer.iter();
    let dims = [SHAPE.0 as i64, SHAPE.1 as i64];
    let replaced = tensors.filter(|it| it.dims == dims);
    let replaced: Vec<String> = replaced.map(|it| it.name.clone()).collect();
    ensure!(replaced.len() == 6, "{replaced:?}");
    let blocks = SHAPE.0 / BLOCK * SHAPE.1;
    let values = (0..blocks * BLOCK / 2).map(|at| {
        let most = 1 + at / (BLOCK / 2) % 7;
        let nibble =
            |seed: usize| (8 + (at * 7919 + seed) % (2 * most + 1) - most).to_le_bytes()[0];
        nibble(3) | nibble(5) << 4
    });
    let values: Vec<u8> = values.collect();
    let scales = (0..blocks).map(|at| scale * (1.0 + (at % 11) as f32 / 30.0));
    let scales: Vec<u8> = scales.flat_map(f32::to_le_bytes).collect();
    let packed = [SHAPE.1, SHAPE.0 / BLOCK, BLOCK / 2].map(|it| it as i64);
    graph.initializer.retain(|it| !replaced.contains(&it.name));
    for node in &mut graph.node {
        let Some(name) = node
            .input
            .get(1)
            .filter(|it| replaced.contains(it))
            .cloned()
        else {
            continue;
        };
        let scales_name = format!("{name}/scales");
        let tensor = |name: &str, dims: &[i64], data_type: DataType, raw_data: &[u8]| TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: data_type as i32,
            raw_data: raw_data.to_vec().into(),
            ..TensorProto::default()
        };
        graph.initializer.extend([
            tensor(&name, &packed, DataType::Uint8, &values),
            tensor(&scales_name, &[blocks as i64], DataType::Float, &scales),
        ]);
        node.input.push(scales_name);
        (node.op_type, node.domain) = ("MatMulNBits".into(), "com.microsoft".into());
        let attributes = [
            ("K", SHAPE.0),
            ("N", SHAPE.1),
            ("bits", 4),
            ("block_size", BLOCK),
        ];
        node.attribute = attributes.map(|(name, value)| integer(name, value)).into();
    }
    model.opset_import.push(OperatorSetIdProto {
        domain: "com.microsoft".into(),
        version: 1,
    });
    Ok(fs::write(path, model.encode_to_vec())?)
}

fn integer(name: &str, value: usize) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Int as i32,
        i: value as i64,
        ..AttributeProto::default()
    }
}

/// How many tensors have each encoding.
fn tensors(workbench: &Workbench, file: &str) -> anyhow::Result<Vec<(String, u64)>> {
    let description = inspect(workbench, file)?;
    let rows = description["tensors"].as_array().context("no tensors")?;
    let rows = rows.iter().filter_map(|row| {
        let encoding = row["encoding"].as_str()?;
        Some((encoding.to_owned(), row["tensors"].as_u64()?))
    });
    Ok(rows.collect())
}

/// What the source has in blocks of int4 stays so, and nothing is lost but what float16 scales
/// lose; in float32 it is only when that is asked for.
#[test]
fn blocks_of_int4_stay_blocks_of_int4() -> anyhow::Result<()> {
    let Some(workbench) = folder()? else {
        return Ok(());
    };
    quantise(&workbench, 0.003)?;
    build(&workbench, &["--weights", "f32"], "exact.ef")?;
    build(&workbench, &[], "kept.ef")?;
    ensure!(tensors(&workbench, "exact.ef")?.len() == 1);
    let kept = tensors(&workbench, "kept.ef")?;
    ensure!(kept.contains(&("int4:32".to_owned(), 6)), "{kept:?}");
    let cosine = cosine(
        &infer(&workbench, "exact.ef")?,
        &infer(&workbench, "kept.ef")?,
    );
    ensure!(cosine > 0.999_99, "{cosine}");
    // In longer blocks they are rounded again.
    build(&workbench, &["--weights", "int4:64"], "again.ef")?;
    let stored = tensors(&workbench, "again.ef")?;
    ensure!(
        stored.iter().all(|(encoding, _)| encoding != "int4:32"),
        "{stored:?}"
    );
    Ok(())
}

/// float16 has no such scales, or few of them.
#[test]
fn blocks_of_tiny_or_huge_values_are_stored_in_float32() -> anyhow::Result<()> {
    for scale in [1e-9, 1e-6, 1e6] {
        let Some(workbench) = folder()? else {
            return Ok(());
        };
        quantise(&workbench, scale)?;
        build(&workbench, &[], "exact.ef")?;
        let stored = tensors(&workbench, "exact.ef")?;
        ensure!(
            matches!(&*stored, [(encoding, _)] if encoding == "f32"),
            "{scale}: {stored:?}"
        );
    }
    Ok(())
}

#[test]
fn rules_are_for_the_matrices_that_they_name() -> anyhow::Result<()> {
    let Some(workbench) = folder()? else {
        return Ok(());
    };
    let length = |options: &[&str]| {
        build(&workbench, options, "model.ef")?;
        anyhow::Ok(workbench.read("model.ef")?.len())
    };
    let all = length(&["--weights", "f16"])?;
    let tables = length(&["--weights", "f16", "--weights-rule", "embeddings=int8"])?;
    // The table of tokens has 30,522 × 384 values, and there are small ones.
    let saved = all - tables;
    ensure!(
        (11_300_000..11_800_000).contains(&saved),
        "{saved} bytes saved"
    );
    // The last one that is for a matrix counts.
    let rules = [
        "--weights-rule",
        "embeddings=int4",
        "--weights-rule",
        "word_embeddings=f16",
    ];
    let words = length(&[&["--weights", "f16"], rules.as_slice()].concat())?;
    ensure!(
        (100_000..400_000).contains(&(all - words)),
        "{words} of {all}"
    );
    let unknown = [
        "build",
        "--model",
        "parts",
        "--weights-rule",
        "nothing=int8",
        "-o",
        "out",
    ];
    workbench.refuses(&unknown, &["nothing=int8", "word_embeddings"])?;
    for rule in ["embeddings", "=int8", "embeddings=int3"] {
        let odd = [
            "build",
            "--model",
            "parts",
            "--weights-rule",
            rule,
            "-o",
            "out",
        ];
        misused(&workbench, &odd, &["--weights-rule"])?;
    }
    Ok(())
}

#[test]
fn a_file_is_as_small_as_was_asked_for_and_as_exact_as_that_allows() -> anyhow::Result<()> {
    let Some(workbench) = folder()? else {
        return Ok(());
    };
    let mut previous = 0.0;
    for megabytes in [15, 18, 24] {
        let size = format!("{megabytes}MB");
        let options = ["--weights", "int4:32", "--target-size", &size];
        build(&workbench, &options, "model.ef")?;
        let length = workbench.read("model.ef")?.len();
        // Not far below either: what is left is less than a matrix takes.
        let (most, least) = (megabytes * 1_000_000, megabytes * 1_000_000 - 1_200_000);
        ensure!((least..=most).contains(&length), "{size}: {length} bytes");
        let cosine = inspect(&workbench, "model.ef")?["weights"]["mean_cosine"].as_f64();
        let cosine = cosine.context("no mean_cosine")?;
        ensure!(cosine > previous, "{size}: {cosine}, not above {previous}");
        previous = cosine;
    }
    let small = [
        "build",
        "--model",
        "parts",
        "--target",
        "bundle",
        "--target-size",
        "5MB",
    ];
    workbench.refuses(
        &[&small, ["-o", "out"].as_slice()].concat(),
        &["5.0 MB", "int4:64", "13."],
    )?;
    let apples = [
        "build",
        "--model",
        "parts",
        "--target-size",
        "5 apples",
        "-o",
        "out",
    ];
    misused(&workbench, &apples, &["5 apples"])
}

#[test]
fn a_file_that_is_too_far_off_is_not_written() -> anyhow::Result<()> {
    let Some(workbench) = folder()? else {
        return Ok(());
    };
    let texts = [
        "--calibration",
        "texts.txt",
        "-o",
        "out.ef",
        "--weights",
        "int4:128",
    ];
    let model = ["build", "--model", "parts", "--target", "bundle"];
    let build = |cosine| [&model, texts.as_slice(), &["--min-cosine", cosine]].concat();
    workbench.refuses(&build("0.9999"), &["worst cosine", "0.9999"])?;
    ensure!(
        !workbench.names()?.contains(&"out.ef".into()),
        "a file was written"
    );
    workbench.run(&build("0.5"))?;
    misused(&workbench, &build("1.5"), &["no number from 0 to 1"])
}

#[test]
fn calibration_texts_are_those_that_were_named_or_of_the_folder() -> anyhow::Result<()> {
    let Some(workbench) = folder()? else {
        return Ok(());
    };
    let rounding = |file: &str| {
        let description = inspect(&workbench, file)?;
        let findings = description["understood"].to_string();
        anyhow::Ok(findings)
    };
    build(&workbench, &["--weights", "int8"], "named.ef")?;
    ensure!(
        rounding("named.ef")?.contains("texts.txt"),
        "{}",
        rounding("named.ef")?
    );
    ensure!(
        rounding("named.ef")?.contains("4 texts"),
        "{}",
        rounding("named.ef")?
    );
    workbench.write("parts/calibration.txt", CALIBRATION)?;
    let model = [
        "build",
        "--model",
        "parts",
        "--target",
        "bundle",
        "--weights",
        "int8",
    ];
    workbench.run(&[&model, ["-o", "folder.ef"].as_slice()].concat())?;
    ensure!(rounding("folder.ef")?.contains("calibration.txt"));
    workbench.write("empty.txt", "\n \n")?;
    let refused = |file: &str, why: &str| {
        let calibration = ["--calibration", file, "-o", "out"];
        workbench.refuses(&[&model, calibration.as_slice()].concat(), &[file, why])
    };
    refused("empty.txt", "holds no text")?;
    refused("none.txt", "No such file")
}
