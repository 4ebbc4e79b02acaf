//! Files of rows: a run that is killed goes on, and what other libraries read.

#[cfg(unix)]
use super::full_disk::{Beyond, with_small_files};
use anyhow::{Context, bail, ensure};
use encoderfile_tests::process;
use encoderfile_tests::programs::Program;
use encoderfile_tests::workbench::Workbench;
use std::fmt::Write;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const MODEL: &str = "st-mean-normalize";

/// How long a run may take until a part is kept.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// So many rows take longer than three parts.
const ROWS: usize = 300_000;

fn many_rows(workbench: &Workbench) -> anyhow::Result<()> {
    let mut lines = String::new();
    for row in 0..ROWS {
        writeln!(lines, r#"{{"key": {row}, "text": "row {row}"}}"#)?;
    }
    workbench.write("rows.jsonl", lines)?;
    workbench.build(MODEL, &["--target", "bundle"], "model.ef")?;
    Ok(())
}

fn infer(workbench: &Workbench, output: &str, options: &[&str]) -> Command {
    let mut infer = workbench.tool(&["infer", "model.ef", "--input", "rows.jsonl"]);
    infer.args(["--id-column", "key", "-o", output]);
    infer.args(options);
    infer
}

/// Starts a run, and kills it when it has kept so many parts.
fn killed(mut run: Command, workbench: &Workbench, part: &str) -> anyhow::Result<()> {
    let part = workbench.path(part);
    let mut child = process::spawn(run.stdout(Stdio::null()).stderr(Stdio::null()))?;
    let begun = Instant::now();
    while !part.exists() {
        ensure!(child.try_wait()?.is_none(), "it ended before it was killed");
        ensure!(begun.elapsed() < WAIT_MAX, "no {}", part.display());
        thread::sleep(Duration::from_millis(5));
    }
    child.kill()?;
    child.wait()?;
    Ok(())
}

#[test]
fn a_run_that_is_killed_twice_writes_every_row_once() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    many_rows(&workbench)?;
    for output in ["out.jsonl", "out.parquet", "out.npy"] {
        let whole = format!("whole.{output}");
        process::succeed(&mut infer(&workbench, &whole, &[]))?;
        let part = |number: usize| format!("{output}.unfinished/{number:08}.json");
        killed(infer(&workbench, output, &[]), &workbench, &part(0))?;
        ensure!(!workbench.path(output).exists(), "a half-written {output}");
        let refused = process::finish(&mut infer(&workbench, output, &[]))?;
        refused.refused(&["did not finish", "--resume"])?;
        let other = ["--resume", "--precision", "int8"];
        let refused = process::finish(&mut infer(&workbench, output, &other))?;
        refused.refused(&["another precision"])?;
        killed(
            infer(&workbench, output, &["--resume"]),
            &workbench,
            &part(1),
        )?;
        process::succeed(&mut infer(&workbench, output, &["--resume"]))?;
        ensure!(
            workbench.read(output)? == workbench.read(&whole)?,
            "{output} is not what a run without an end wrote"
        );
        let again = process::succeed(&mut infer(&workbench, output, &["--resume"]))?;
        ensure!(again.stderr.contains("is complete"), "{}", again.stderr);
        ensure!(!workbench.path(format!("{output}.unfinished")).exists());
    }
    Ok(())
}

/// The disk is full when parts have been kept already.
#[cfg(unix)]
#[test]
fn a_full_disk_loses_no_row() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    many_rows(&workbench)?;
    process::succeed(&mut infer(&workbench, "whole.jsonl", &[]))?;
    let part = "out.jsonl.unfinished/00000000.json";
    killed(infer(&workbench, "out.jsonl", &[]), &workbench, part)?;
    let tool = &workbench.programs().encoderfile;
    let mut full = with_small_files(&workbench, Beyond::Fails, tool);
    full.args(["infer", "model.ef", "--input", "rows.jsonl"]);
    full.args(["--id-column", "key", "-o", "out.jsonl", "--resume"]);
    let full = process::finish(&mut full)?;
    let said: Vec<&str> = full.stderr.lines().collect();
    let [.., kept, error] = said[..] else {
        bail!("{full:?}");
    };
    ensure!(
        full.code == Some(1) && error.starts_with("error: out.jsonl"),
        "{full:?}"
    );
    ensure!(kept.ends_with("--resume goes on with them"), "{full:?}");
    ensure!(!workbench.path("out.jsonl").exists(), "half-written");
    process::succeed(&mut infer(&workbench, "out.jsonl", &["--resume"]))?;
    ensure!(workbench.read("out.jsonl")? == workbench.read("whole.jsonl")?);
    ensure!(!workbench.path("out.jsonl.unfinished").exists());
    Ok(())
}

/// A folder that was being removed when its run was killed has parts, and nothing that says of what.
#[test]
fn parts_of_an_unknown_run_are_not_taken() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    workbench.build(MODEL, &["--target", "bundle"], "model.ef")?;
    let long = "long ".repeat(2000);
    let rows = format!("{{\"key\": 1, \"text\": \"one\"}}\n{{\"key\": 2, \"text\": \"{long}\"}}\n");
    workbench.write("rows.jsonl", rows)?;
    let options = ["--overflow", "error", "--errors", "errors.jsonl"];
    process::succeed(&mut infer(&workbench, "whole.jsonl", &options))?;
    fs::create_dir(workbench.path("out.jsonl.unfinished"))?;
    let tally = r#"{"rows":2,"written":2,"failed":0,"truncated":0,"windowed":0}"#;
    workbench.write("out.jsonl.unfinished/00000001.json", tally)?;
    workbench.write("out.jsonl.unfinished/00000001.rows", "of another run\n")?;
    workbench.write("out.jsonl.unfinished/00000001.errors", "")?;
    // It keeps the first row as the part before, and ends with the second.
    let stopped = ["--resume", "--overflow", "error"];
    let finished = process::finish(&mut infer(&workbench, "out.jsonl", &stopped))?;
    let is_kept = finished.stderr.contains("1 rows are kept");
    ensure!(finished.code == Some(1) && is_kept, "{}", finished.stderr);
    let options = [&options[..], &["--resume"]].concat();
    process::succeed(&mut infer(&workbench, "out.jsonl", &options))?;
    ensure!(workbench.read("out.jsonl")? == workbench.read("whole.jsonl")?);
    ensure!(!workbench.path("out.jsonl.unfinished").exists());
    Ok(())
}

#[test]
fn two_runs_do_not_go_on_with_one_output() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    many_rows(&workbench)?;
    let part = "out.csv.unfinished/00000000.json";
    killed(infer(&workbench, "out.csv", &[]), &workbench, part)?;
    let mut run = infer(&workbench, "out.csv", &["--resume"]);
    let mut child = process::spawn(run.stdout(Stdio::null()).stderr(Stdio::null()))?;
    // It has the folder when it has kept another part.
    let next = workbench.path("out.csv.unfinished/00000001.json");
    let begun = Instant::now();
    while !next.exists() && begun.elapsed() < WAIT_MAX {
        thread::sleep(Duration::from_millis(5));
    }
    let other = process::finish(&mut infer(&workbench, "out.csv", &["--resume"]));
    child.kill()?;
    child.wait()?;
    other?.refused(&["another run is writing it"])
}

/// What pyarrow and NumPy read of each format is the same.
const READ: &str = r"
import csv, json, sys
import numpy as np
import pyarrow.feather as feather, pyarrow.parquet as parquet
csv.field_size_limit(1 << 30)
lines = [json.loads(line) for line in open('out.jsonl')]
expected = np.array([line['embedding'] for line in lines], np.float32)
ids = [line['id'] for line in lines]
def same(embeddings, these):
    assert np.array_equal(np.array(embeddings, np.float32), expected)
    assert these is None or list(map(str, these)) == list(map(str, ids)), these
for table in (parquet.read_table('out.parquet'), feather.read_table('out.arrow')):
    assert str(table.schema.field('embedding').type).startswith('fixed_size_list'), table.schema
    same(table['embedding'].to_pylist(), table['id'].to_pylist())
same(np.load('out.npy'), None)
records = list(csv.DictReader(open('out.csv', newline='')))
same([json.loads(record['embedding']) for record in records], [record['id'] for record in records])
half = np.load('out.float16.npy')
assert half.dtype == np.float16 and np.array_equal(half, expected.astype(np.float16))
table = parquet.read_table('out.int8.parquet')
scale = np.array(table['scale'].to_pylist(), np.float32)[:, None]
restored = np.array(table['embedding'].to_pylist(), np.float32) * scale
assert np.abs(restored - expected).max() <= scale.max() / 2 + 1e-6
above = np.load('out.uint8.npy')
assert above.dtype == np.uint8
assert np.array_equal(above - 128.0, np.array(table['embedding'].to_pylist(), np.float32))
assert np.array_equal(np.load('out.ubinary.npy'), np.packbits(expected > 0, axis=1))
signed = (np.packbits(expected > 0, axis=1) ^ np.uint8(128)).view(np.int8)
assert np.array_equal(np.load('out.binary.npy'), signed)
";

#[test]
fn other_libraries_read_every_format() -> anyhow::Result<()> {
    let (Some(workbench), Some(python)) = (Workbench::open()?, Program::WheelPython.find()?) else {
        return Ok(());
    };
    workbench.build(MODEL, &["--target", "bundle"], "model.ef")?;
    workbench.write(
        "rows.jsonl",
        "{\"key\": 5, \"text\": \"good\"}\n{\"key\": 3, \"text\": \"a, \\\"b\\\"\\nc\"}\n{\"key\": 4, \"text\": \"\"}\n",
    )?;
    for (output, options) in [
        ("out.jsonl", &[][..]),
        ("out.parquet", &[]),
        ("out.arrow", &[]),
        ("out.npy", &[]),
        ("out.csv", &[]),
        ("out.float16.npy", &["--precision", "float16"]),
        ("out.int8.parquet", &["--precision", "int8"]),
        ("out.uint8.npy", &["--precision", "uint8"]),
        ("out.binary.npy", &["--precision", "binary"]),
        ("out.ubinary.npy", &["--precision", "ubinary"]),
    ] {
        process::succeed(&mut infer(&workbench, output, options))?;
    }
    let mut read = Command::new(python);
    read.args(["-c", READ]).current_dir(workbench.folder());
    process::succeed(&mut read).map(drop)
}

/// Cut anywhere, or with a byte changed anywhere, a file is refused or its rows are read.
#[test]
fn damaged_tables_are_refused() -> anyhow::Result<()> {
    let (Some(workbench), Some(python)) = (Workbench::open()?, Program::WheelPython.find()?) else {
        return Ok(());
    };
    workbench.build(MODEL, &["--target", "bundle"], "model.ef")?;
    let mut write = Command::new(python);
    write.args(["-c", WRITE]).current_dir(workbench.folder());
    process::succeed(&mut write)?;
    for name in ["string.parquet", "category.arrow"] {
        let whole = workbench.read(name)?;
        let places = (0..whole.len()).step_by(whole.len().div_ceil(40));
        for place in places {
            let mut flipped = whole.clone();
            flipped[place] ^= 0xff;
            for (damage, content) in [("cut", &whole[..place]), ("flipped", &flipped[..])] {
                let input = format!("damaged-{name}");
                workbench.write(&input, content)?;
                let arguments = ["infer", "model.ef", "-f", "jsonl", "--input", &input];
                let finished = process::finish(&mut workbench.tool(&arguments))?;
                let at = format!("{name}, {damage} at {place}: {finished:?}");
                ensure!(matches!(finished.code, Some(0 | 1)), "{at}");
                ensure!(
                    finished.code == Some(0) || finished.stderr.contains(&input),
                    "{at}"
                );
                // What a panic is that nobody expected.
                ensure!(!finished.stderr.contains("unexpectedly"), "{at}");
            }
        }
    }
    Ok(())
}

/// Made by pyarrow: strings of several types, ids, nulls and bytes that are no UTF-8.
const WRITE: &str = r"
import pyarrow as pa, pyarrow.parquet as parquet, pyarrow.feather as feather
texts = ['good', None, 'bad']
ids = pa.array([7, 8, 2**40], pa.int64())
for name, kind in dict(string=pa.string(), large=pa.large_string(), view=pa.string_view(),
                       category=pa.dictionary(pa.int8(), pa.string())).items():
    array = pa.array(texts).dictionary_encode().cast(kind) if name == 'category' else pa.array(texts, kind)
    table = pa.table({'other': [1.0] * 3, 'text': array, 'id': ids})
    feather.write_feather(table, f'{name}.arrow', compression='lz4')
    parquet.write_table(table, f'{name}.parquet', compression='zstd')
parquet.write_table(pa.table({'text': pa.array([b'good', b'\xff', b'bad']), 'id': ids}), 'bytes.parquet')
parquet.write_table(pa.table({'text': texts, 'id': ['a', 'b', 'c']}), 'strings.parquet')
parquet.write_table(pa.table({'text': [1, 2, 3]}), 'numbers.parquet')
";

#[test]
fn columns_of_every_type_are_read() -> anyhow::Result<()> {
    let (Some(workbench), Some(python)) = (Workbench::open()?, Program::WheelPython.find()?) else {
        return Ok(());
    };
    workbench.build(MODEL, &["--target", "bundle"], "model.ef")?;
    let mut write = Command::new(python);
    write.args(["-c", WRITE]).current_dir(workbench.folder());
    process::succeed(&mut write)?;
    let mut expected: Option<Vec<u8>> = None;
    for (name, problem) in [
        ("string.parquet", "`text` is null"),
        ("string.arrow", "`text` is null"),
        ("large.parquet", "`text` is null"),
        ("large.arrow", "`text` is null"),
        ("view.parquet", "`text` is null"),
        ("view.arrow", "`text` is null"),
        ("category.parquet", "`text` is null"),
        ("category.arrow", "`text` is null"),
        (
            "bytes.parquet",
            "`text` is invalid UTF-8 from its byte 1 on",
        ),
    ] {
        let arguments = ["infer", "model.ef", "--input", name, "--id-column", "id"];
        let stopped = [&arguments[..], &["-o", "out.jsonl"]].concat();
        workbench.refuses(&stopped, &[name, "row 2", problem])?;
        let passed = [&stopped[..], &["--errors", "errors.jsonl"]].concat();
        let finished = workbench.run(&passed)?;
        ensure!(
            finished.stderr.contains("1 of 3 rows have no result"),
            "{}",
            finished.stderr
        );
        let errors: serde_json::Value = serde_json::from_slice(&workbench.read("errors.jsonl")?)?;
        ensure!(
            errors["row"] == 2 && errors["error"] == problem,
            "{name}: {errors}"
        );
        let results = workbench.read("out.jsonl")?;
        ensure!(
            *expected.get_or_insert_with(|| results.clone()) == results,
            "{name}"
        );
    }
    let results = String::from_utf8(expected.context("no results")?)?;
    ensure!(results.starts_with("{\"id\":7,") && results.contains("\n{\"id\":1099511627776,"));
    let two = ["infer", "model.ef", "--id-column", "id", "--input"];
    let two = [&two[..], &["string.parquet", "strings.parquet", "-o", "o"]].concat();
    workbench.refuses(&two, &["strings.parquet", "ids are strings"])?;
    let numbers = ["infer", "model.ef", "--input", "numbers.parquet"];
    workbench.refuses(
        &numbers,
        &["numbers.parquet", "`text` has no strings", "Int64"],
    )
}
