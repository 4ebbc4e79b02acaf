//! What is refused, what an image is called, and the archive's own invariants; other people's tools
//! read archives in `tests/tests/images`.

use super::program::Machine;
use super::*;
use encoderfile::Payload;
use encoderfile::container;
use encoderfile::manifest::{
    HubCommit, Model, Pipeline, Provenance, StoredWeights, Task, WeightsEncoding,
};
use std::io::Read;
use std::sync::Arc;

const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;

/// Headers of a 64-bit ELF file with one segment, whose content is `content`.
fn elf(machine: u16, segment: u32, content: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 64 + 56];
    file[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    file[16..18].copy_from_slice(&3_u16.to_le_bytes());
    file[18..20].copy_from_slice(&machine.to_le_bytes());
    file[20..24].copy_from_slice(&1_u32.to_le_bytes());
    file[32..40].copy_from_slice(&64_u64.to_le_bytes());
    file[52..54].copy_from_slice(&64_u16.to_le_bytes());
    file[54..56].copy_from_slice(&56_u16.to_le_bytes());
    file[56..58].copy_from_slice(&1_u16.to_le_bytes());
    file[64..68].copy_from_slice(&segment.to_le_bytes());
    file[72..80].copy_from_slice(&120_u64.to_le_bytes());
    file[96..104].copy_from_slice(&(content.len() as u64).to_le_bytes());
    file.extend(content);
    file
}

const X86_64: u16 = 62;
const AARCH64: u16 = 183;

fn image() -> Image {
    Image::new(Platform::Amd64, elf(X86_64, PT_LOAD, b"code")).unwrap()
}

#[test]
fn programs_that_would_not_start_are_refused() {
    let refused = |program: Vec<u8>| Image::new(Platform::Amd64, program).err();
    assert_eq!(refused(elf(X86_64, PT_LOAD, b"code")), None);
    let found = Machine(AARCH64);
    let platform = Platform::Amd64;
    assert_eq!(
        refused(elf(AARCH64, PT_LOAD, b"code")),
        Some(ProgramError::Machine { found, platform })
    );
    let loader = "/lib64/ld-linux-x86-64.so.2".to_owned();
    assert_eq!(
        refused(elf(X86_64, PT_INTERP, b"/lib64/ld-linux-x86-64.so.2\0")),
        Some(ProgramError::Dynamic { loader, platform })
    );
    for (program, kind) in [
        (&b"\0asm\x01\0\0\0"[..], "wasm module"),
        (b"\xcf\xfa\xed\xfe....", "Mach-O executable"),
        (b"MZ......", "PE executable"),
        (b"#!/bin/sh", "bundle"),
    ] {
        let error = ProgramError::NotElf { kind, platform };
        assert_eq!(refused(program.to_vec()), Some(error));
    }
    let whole = elf(X86_64, PT_LOAD, b"");
    for length in 4..whole.len() {
        let cut = whole[..length].to_vec();
        assert_eq!(refused(cut), Some(ProgramError::Damaged), "{length} bytes");
    }
}

#[test]
fn a_name_is_one_that_engines_take() {
    let named = |name: &str, version: &str| {
        let manifest = Manifest {
            name: name.into(),
            version: version.into(),
            ..Manifest::default()
        };
        super::name(&manifest).to_string()
    };
    assert_eq!(
        named("BAAI/bge-small-en-v1.5", "0.1.0"),
        "bge-small-en-v1-5:0.1.0"
    );
    assert_eq!(named("My  Model!", "1.0+cpu"), "my-model:1.0-cpu");
    assert_eq!(named("模型", ""), "encoderfile:latest");
    assert_eq!(named("--x__", ".9"), "x:9");
    assert_eq!(named("x", &"9".repeat(200)).len(), "x:".len() + 128);
}

fn manifest() -> Manifest {
    Manifest {
        name: "org/model".into(),
        version: "1.2.3".into(),
        ..Manifest::default()
    }
}

/// A payload whose manifest alone is so many bytes longer.
fn payload(length: usize) -> Vec<u8> {
    let manifest = Manifest {
        version: "v".repeat(length),
        ..manifest()
    };
    let mut payload = Vec::new();
    container::write(&manifest, &[], &mut payload).unwrap();
    payload
}

fn archive(payload: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    let payload: Vec<u8> = payload.to_vec();
    image()
        .write_with(&manifest(), &payload, &mut archive)
        .unwrap();
    assert!(archive.len() as u64 <= image().length_with(payload.len() as u64));
    archive
}

#[test]
fn the_payload_of_an_archive_is_found() {
    // Of lengths that are and are not whole blocks.
    for length in (0..1100).step_by(73).chain([70_000]) {
        let payload = payload(length);
        let opened = Payload::open(Arc::new(archive(&payload))).unwrap();
        let section = opened.bytes().unwrap();
        let mut bytes = vec![0; payload.len()];
        section.read_at(0, &mut bytes).unwrap();
        assert!(section.len() == payload.len() as u64 && bytes == payload);
    }
}

#[test]
fn blobs_are_what_their_names_say() {
    let archive = archive(&payload(3));
    let mut names = Vec::new();
    for entry in tar::Archive::new(&archive[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let (uid, gid, time) = (
            entry.header().uid(),
            entry.header().gid(),
            entry.header().mtime(),
        );
        assert_eq!(
            (uid.unwrap(), gid.unwrap(), time.unwrap()),
            (0, 0, 0),
            "{name}"
        );
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        if let Some(hash) = name
            .strip_prefix("blobs/sha256/")
            .filter(|it| !it.is_empty())
        {
            assert_eq!(Descriptor::of(&content).sha256, hash);
        }
        names.push(name);
    }
    assert_eq!(names[..3], ["oci-layout", "index.json", "manifest.json"]);
    assert_eq!(names.len(), 9);
}

#[test]
fn labels_are_what_the_file_knows() {
    let written = |manifest: &Manifest| documents::labels(manifest);
    let bare = written(&manifest());
    let keys: Vec<&str> = bare.keys().map(String::as_str).collect();
    let prefix = "org.opencontainers.image.";
    assert_eq!(keys, [format!("{prefix}title"), format!("{prefix}version")]);
    let model = Model {
        task: Task::SentenceEmbedding,
        pipeline: Pipeline::default(),
        provenance: Provenance {
            license: "mit".into(),
            source: Some(HubCommit {
                repository: "org/model".into(),
                commit: "0123".into(),
            }),
            ..Provenance::default()
        },
        weights: StoredWeights {
            encoding: WeightsEncoding::F32,
            mean_cosine: 1.0,
            min_cosine: 1.0,
            quantized_matrices: 0,
        },
    };
    let manifest = Manifest {
        model: Some(model),
        ..manifest()
    };
    let labels = written(&manifest);
    let label = |key: &str| labels[&format!("{prefix}{key}")].as_str().unwrap();
    assert_eq!(label("licenses"), "mit");
    assert_eq!(label("source"), "https://huggingface.co/org/model");
    assert_eq!(label("revision"), "0123");
}

/// Beyond eleven octal digits.
#[test]
fn more_than_8_gib_have_their_size() {
    let length = (9 << 30) + 1;
    let header = header("x", EntryType::Regular, 0o644, length).unwrap();
    assert_eq!(header.size().unwrap(), length);
}
