//! Modules and components of a few lines, compiled ahead.

use super::*;
use crate::inspect::kind;
use encoderfile::container::{Footer, find_footer};
use object::{Object, ObjectSection};
use wasmtime::Module;
use wasmtime::component::Component;

const MODULE: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "encoderfile_payload") (result i64) i64.const 0)
  (data (i32.const 16) "hello"))"#;

/// A base of each form.
fn bases() -> [(Form, Vec<u8>); 2] {
    let component = format!("(component (core {}", MODULE.trim_start_matches('('));
    [
        (Form::Module, MODULE),
        (Form::Component, &format!("{component})")),
    ]
    .map(|(form, text)| (form, wat::parse_str(text).unwrap()))
}

/// Bytes that end as a payload does.
pub(crate) fn payload(length: usize) -> Vec<u8> {
    let footer = Footer {
        format_version: 2,
        metadata_offset: 0,
        metadata_length: 0,
        flags: 1,
    };
    let mut bytes: Vec<u8> = (0..length).map(|i| (i % 251).to_le_bytes()[0]).collect();
    bytes.extend(footer.to_bytes());
    bytes
}

fn compiled(base: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let precompiler = Precompiler::new(base.to_vec()).unwrap();
    precompiler.write_with(&payload, &mut out).unwrap();
    out
}

#[test]
fn the_payload_is_where_the_end_says() {
    for (form, base) in bases() {
        // Within a page of memory, and over many.
        for length in [1, 5000, 3 << 20] {
            let payload = payload(length);
            let file = compiled(&base, &payload);
            let range = component::payload(&file).unwrap();
            let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            assert!(file[range] == payload, "{form:?}, {length}");
            assert!(find_footer(&file).is_some(), "{form:?}, {length}");
            assert_eq!(compiled(&base, &payload), file, "{form:?}, {length}");
            let length_max = Precompiler::new(base.clone()).unwrap();
            let length_max = length_max.length_with(payload.len() as u64).unwrap();
            assert!(file.len() as u64 <= length_max, "{form:?}, {length}");
        }
    }
}

/// The file has 32 bytes more than wasmtime wrote.
#[test]
fn wasmtime_loads_it() {
    let engine = Engine::new(&config()).unwrap();
    for (form, base) in bases() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), compiled(&base, &payload(100_000))).unwrap();
        // SAFETY: this test has compiled it.
        let loaded = unsafe {
            match form {
                Form::Module => Module::deserialize_file(&engine, file.path()).map(drop),
                Form::Component => Component::deserialize_file(&engine, file.path()).map(drop),
            }
        };
        loaded.unwrap();
    }
}

#[test]
fn a_file_says_what_it_was_compiled_for() {
    for ((form, base), words) in bases().into_iter().zip(["module", "component"]) {
        let file = compiled(&base, &payload(10));
        assert_eq!(kind(&file), format!("wasm {words}, compiled ahead"));
        let said = Description::of(&file).unwrap();
        assert_eq!(said.form, form);
        // What wasmtime wrote, which is what the constant claims.
        assert_eq!(said.wasmtime, WASMTIME_VERSION);
        assert_eq!(said.architecture, std::env::consts::ARCH);
        let triple = said.triple.unwrap();
        assert!(triple.starts_with(std::env::consts::ARCH), "{triple}");
        let features = said.features.unwrap();
        #[cfg(target_arch = "x86_64")]
        assert_eq!(
            features.iter().any(|it| it == "avx2"),
            std::is_x86_feature_detected!("avx2"),
            "{features:?}"
        );
        #[cfg(not(target_arch = "x86_64"))]
        drop(features);
    }
}

/// Of another version nothing is read but the version.
#[test]
fn the_settings_of_another_version_are_not_read() {
    let [(_, base), _] = bases();
    let file = of_version(&compiled(&base, &payload(10)), "47");
    let said = Description::of(&file).unwrap();
    assert_eq!((&*said.wasmtime, said.triple), ("47", None));
    assert_eq!(said.features, None);
}

/// The same for another version of wasmtime, with as many digits.
fn of_version(file: &[u8], version: &str) -> Vec<u8> {
    let object = object::File::parse(file).unwrap();
    let section = object.section_by_name(".wasmtime.engine").unwrap();
    let start = usize::try_from(section.file_range().unwrap().0).unwrap() + 2;
    let mut changed = file.to_vec();
    let place = &mut changed[start..start + version.len()];
    assert_eq!(place, WASMTIME_VERSION.as_bytes());
    place.copy_from_slice(version.as_bytes());
    changed
}

#[test]
fn what_is_cut_or_no_such_file_says_nothing() {
    let [_, (_, base)] = bases();
    let file = compiled(&base, &payload(10));
    for length in (0..file.len() - LOCATOR_LEN).step_by(97) {
        assert_eq!(Description::of(&file[..length]), None, "{length}");
    }
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert_eq!(Description::of(&program), None);
    assert_eq!(Description::of(&base), None);
}

#[test]
fn only_a_base_of_webassembly_is_compiled() {
    for base in [&b""[..], b"\x7fELF", b"MZ"] {
        let error = Precompiler::new(base.to_vec()).err().unwrap();
        assert!(matches!(error, PrecompileError::NotWasm), "{error}");
    }
    let broken = [&wasm_payload::MAGIC[..], &[1, 0, 0, 0]].concat();
    let result = Precompiler::new(broken).unwrap();
    let result = result.write_with(&payload(1), &mut Vec::new());
    assert!(
        matches!(result, Err(PrecompileError::Base(_))),
        "{result:?}"
    );
}

#[test]
fn bytes_are_found_where_all_of_them_are() {
    let begin = vec![7; NEEDLE_LEN];
    let sought = [&begin[..], b"end"].concat();
    let elf = [b"..", &begin[..], b"and", &sought, b".."].concat();
    assert_eq!(find(&elf, &sought), Some(2 + NEEDLE_LEN + 3));
    assert_eq!(find(&elf[..elf.len() - 3], &sought), None);
    assert_eq!(find(b"..short", b"short"), Some(2));
}
