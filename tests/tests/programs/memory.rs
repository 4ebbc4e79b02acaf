//! Matrices in fewer bits are unpacked where they are multiplied, a part at a time: a text takes
//! no more memory than the file has. Linux only, as `large_model` is.

use anyhow::{Context, ensure};
use encoderfile::onnx::{
    GraphProto, StringStringEntryProto, TensorProto, tensor_proto::DataLocation,
};
use encoderfile_tests::model_folder::ModelFolder;
use encoderfile_tests::process;
use encoderfile_tests::target::WASI;
use encoderfile_tests::workbench::Workbench;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;

/// The feed-forward width of the fixture, and what it becomes: of four matrices, each takes 16 MiB
/// in float32.
const WIDTH: usize = 64;
const WIDE: usize = 1 << 17;

/// Where the fixture's hidden size stands beside it.
const HIDDEN: usize = 32;

/// What a native program takes beside the weights, which are mapped: no more than the matrices
/// would in float32.
const NATIVE_KIB: u64 = (4 * HIDDEN * WIDE * 4) as u64 >> 10;

/// Few texts to round for, so that it takes little time.
const CALIBRATION: &str = "The train to Lisbon leaves at nine.\nPlease reset my password.\n";

/// Gives the feed-forward layers units that are always zero: the results stay.
fn widen(folder: &ModelFolder) -> anyhow::Result<()> {
    let mut files = Vec::new();
    folder.edit_graph(|graph| files = widened(graph))?;
    ensure!(files.len() == 4, "{} matrices", files.len());
    for (name, rows, stride) in files {
        let file = File::create(folder.file(&name))?;
        file.set_len((HIDDEN * WIDE * 4) as u64)?;
        for (place, row) in rows.iter().enumerate() {
            file.write_all_at(row, (place * stride) as u64)?;
        }
    }
    Ok(())
}

/// A file's name, rows of bytes, and how far apart they are.
type Rows = (String, Vec<Vec<u8>>, usize);

fn widened(graph: &mut GraphProto) -> Vec<Rows> {
    let mut files = Vec::new();
    for tensor in &mut graph.initializer {
        let columns = match tensor.dims.as_slice() {
            [rows, columns] if (*rows, *columns) == (HIDDEN as i64, WIDTH as i64) => {
                tensor.dims = vec![HIDDEN as i64, WIDE as i64];
                (WIDTH, WIDE)
            }
            [rows, columns] if (*rows, *columns) == (WIDTH as i64, HIDDEN as i64) => {
                tensor.dims = vec![WIDE as i64, HIDDEN as i64];
                (HIDDEN, HIDDEN)
            }
            [width] if *width == WIDTH as i64 => {
                tensor.dims = vec![WIDE as i64];
                let mut values = tensor.raw_data.to_vec();
                values.resize(WIDE * 4, 0);
                tensor.raw_data = values.into();
                continue;
            }
            _ => continue,
        };
        let name = format!("wide-{}.bin", files.len());
        let rows = tensor.raw_data.chunks(columns.0 * 4).map(<[u8]>::to_vec);
        files.push((name.clone(), rows.collect(), columns.1 * 4));
        place(tensor, name);
    }
    files
}

/// Has a tensor's values in a file of their own.
fn place(tensor: &mut TensorProto, name: String) {
    tensor.raw_data.clear();
    tensor.set_data_location(DataLocation::External);
    tensor.external_data = vec![StringStringEntryProto {
        key: "location".into(),
        value: name,
    }];
}

#[test]
fn encoded_matrices_stay_encoded() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let folder = ModelFolder::copy_of("bert-embedding")?;
    widen(&folder)?;
    let model = folder.path().to_str().context("its path")?;
    workbench.write("texts.txt", CALIBRATION)?;
    for encoding in ["int8", "int4:32"] {
        let build = |options: &[&str]| {
            let model = ["build", "--weights", encoding, "--model", model];
            let texts = ["--name", "m", "--calibration", "texts.txt"];
            workbench.run(&[&model as &[&str], &texts, options].concat())
        };
        build(&["-o", "native"])?;
        let limited = format!("ulimit -d {NATIVE_KIB} && exec ./native infer \"of the house\"");
        let mut native = workbench.program("/bin/sh".as_ref(), &["-c", &limited]);
        process::succeed(&mut native)?;
        fs::remove_file(workbench.path("native"))?;

        let Some(wasmtime) = &workbench.programs().wasmtime else {
            continue;
        };
        build(&["-o", "m.wasm", "--target", WASI])?;
        let module = workbench.path("m.wasm");
        // All that there is of it: program, payload and what a text takes.
        let limit = fs::metadata(&module)?.len() * 13 / 10;
        let mut run = Command::new(wasmtime);
        run.args(["run", "-W", &format!("max-memory-size={limit}")]);
        process::succeed(run.arg(&module).args(["infer", "of the house"]))?;
        fs::remove_file(module)?;
    }
    Ok(())
}
