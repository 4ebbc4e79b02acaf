//! Real programs with a payload in them: what macOS and `codesign` check of them.

use super::*;
use encoderfile::Payload;
use encoderfile::container::{self, FOOTER_LEN};
use encoderfile::manifest::Manifest;
use encoderfile::source::ReadError;
use sha2::{Digest, Sha256};
use std::sync::Arc;

const PROGRAMS: [&[u8]; 2] = [
    include_bytes!("data/aarch64"),
    include_bytes!("data/x86_64"),
];

/// A payload without artifacts: its manifest is `name` alone.
fn payload(name: &str) -> Vec<u8> {
    let manifest = Manifest {
        name: name.into(),
        ..Manifest::default()
    };
    let mut payload = Vec::new();
    container::write(&manifest, &[], &mut payload).unwrap();
    payload
}

fn with(program: &[u8], payload: &dyn Source) -> Vec<u8> {
    let mut file = Vec::new();
    let program = MachO::new(program.to_vec()).unwrap();
    program.write_with(payload, &mut file).unwrap();
    assert_eq!(
        program.length_with(payload.len()).unwrap(),
        file.len() as u64
    );
    file
}

fn number(bytes: &[u8], at: usize) -> usize {
    u32::from_be_bytes(four(bytes, at)) as usize
}

#[test]
fn a_payload_is_found_where_its_segment_is() {
    for program in PROGRAMS {
        // Of lengths that are and are not whole pages and words.
        for length in [1, 7, 4000, 16 << 10, 70_000] {
            let payload = payload(&"n".repeat(length));
            let file = with(program, &payload);
            let opened = Payload::open(Arc::new(file.clone())).unwrap();
            assert_eq!(opened.manifest().name.len(), length);
            assert!(opened.start().is_multiple_of(PAYLOAD_ALIGNMENT));
            let section = opened.bytes().unwrap();
            let mut bytes = vec![0; payload.len()];
            section.read_at(0, &mut bytes).unwrap();
            assert!(section.len() == payload.len() as u64 && bytes == payload);
        }
    }
}

#[test]
fn segments_follow_one_another_and_the_last_ends_the_file() {
    for program in PROGRAMS {
        let file = with(program, &payload("segments"));
        let commands = load_commands(&file).unwrap();
        let segments: Vec<_> = commands
            .iter()
            .filter(|it| it.segment().is_some())
            .collect();
        let place = |at: usize| segments.iter().map(move |it| it.u64(at).unwrap());
        let (addresses, sizes) = (place(24), place(32));
        let ends: Vec<u64> = addresses.zip(sizes).map(|(at, size)| at + size).collect();
        for (end, next) in ends.iter().zip(place(24).skip(1)) {
            assert!(*end <= next, "{end:#x} {next:#x}");
        }
        // The linker's own segments are as long as what is in them.
        let ours = place(32).skip(segments.len() - 2);
        assert!(place(24).chain(ours).all(|it| it.is_multiple_of(4096)));
        assert!(
            place(32)
                .zip(place(48))
                .all(|(in_memory, in_file)| in_memory >= in_file)
        );
        assert!(place(40).all(|offset| offset.is_multiple_of(4096)));
        let [.., payload, linkedit] = &*segments else {
            panic!("{} segments", segments.len());
        };
        assert_eq!(payload.segment(), Some(SEGMENT));
        assert_eq!(linkedit.segment(), Some(LINKEDIT));
        let end = |it: &Command<'_>| it.u64(40).unwrap() + it.u64(48).unwrap();
        assert_eq!(Some(end(payload)), linkedit.u64(40));
        assert_eq!(end(linkedit), file.len() as u64);
    }
}

/// All that the load commands point to, but the signature.
fn linked(file: &[u8]) -> Vec<Vec<u8>> {
    let commands = load_commands(file).unwrap();
    let unsigned = commands.iter().filter(|it| it.kind != LC_CODE_SIGNATURE);
    let places = unsigned.flat_map(|it| offsets(it.kind).iter().map(|at| it.u32(*at).unwrap()));
    let used = places.filter(|it| *it > 0);
    let content = used.map(|at| file[at as usize..][..16].to_vec());
    content.collect()
}

#[test]
fn what_load_commands_point_to_has_moved_with_them() {
    for program in PROGRAMS {
        // Nothing is read beyond the end.
        let program_and_zeros = [program, &[0; 16]].concat();
        let (before, after) = (linked(program), with(program, &payload("moved")));
        assert!(before.len() > 4, "{} places", before.len());
        assert_eq!(before.len(), linked(&after).len());
        for (before, after) in linked(&program_and_zeros).iter().zip(linked(&after)) {
            // Short ones are followed by others, or by the signature.
            assert_eq!(before[..4], after[..4]);
        }
    }
}

#[test]
fn every_page_has_its_hash_in_the_signature() {
    for program in PROGRAMS {
        let file = with(program, &payload(&"signed".repeat(5000)));
        let commands = load_commands(&file).unwrap();
        let signatures: Vec<_> = commands
            .iter()
            .filter(|it| it.kind == LC_CODE_SIGNATURE)
            .collect();
        let [command] = &*signatures else {
            panic!("{} signatures", signatures.len());
        };
        let [start, length] = [8, 12].map(|at| command.u32(at).unwrap() as usize);
        assert_eq!(start + length, file.len());
        let signature = &file[start..];
        assert_eq!(number(signature, 0), 0xfade_0cc0);
        assert_eq!(number(signature, 4), length);
        let directory = &signature[number(signature, 16)..];
        assert_eq!(number(directory, 0), 0xfade_0c02);
        assert_eq!(number(directory, 4), directory.len());
        assert_eq!(number(directory, 32), start);
        let identifier = &directory[number(directory, 20)..];
        assert!(identifier.starts_with(b"encoderfile\0"));
        let pages = file[..start].chunks(4096);
        assert_eq!(number(directory, 28), pages.len());
        let stored = directory[number(directory, 16)..].chunks_exact(32);
        assert_eq!(stored.len(), pages.len());
        for (page, hash) in pages.zip(stored) {
            assert_eq!(*Sha256::digest(page), *hash);
        }
    }
}

#[test]
fn a_file_with_a_payload_takes_another_tools_signature() {
    for program in PROGRAMS {
        let file = with(program, &payload("resigned"));
        let commands = load_commands(&file).unwrap();
        let command = commands.iter().find(|it| it.kind == LC_CODE_SIGNATURE);
        let signature = command.unwrap().u32(8).unwrap() as usize;
        // Longer than ours, and no footer at its end.
        let signed = [&file[..signature], &[0xee; 9000]].concat();
        let opened = Payload::open(Arc::new(signed)).unwrap();
        assert_eq!(opened.manifest().name, "resigned");
    }
}

#[test]
fn programs_that_are_cut_or_full_are_refused() {
    for program in PROGRAMS {
        let cuts = (0..2000).chain((2000..program.len()).step_by(97));
        for length in cuts {
            assert!(MachO::new(program[..length].to_vec()).is_err(), "{length}");
        }
        let commands = load_commands(program).unwrap();
        let text = commands
            .iter()
            .find(|it| it.segment() == Some(TEXT))
            .unwrap();
        let end = commands.last().unwrap();
        let mut full = program.to_vec();
        let first = u32::try_from(end.offset + end.bytes.len()).unwrap();
        put_u32(&mut full, text.offset + SEGMENT_LEN + 48, first);
        let error = MachO::new(full).err().unwrap().to_string();
        assert!(error.contains("-headerpad"), "{error}");
    }
}

/// So many zeros.
struct Zeros(u64);

impl Source for Zeros {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_at(&self, _offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        buffer.fill(0);
        Ok(())
    }
}

#[test]
fn a_program_with_a_payload_is_no_base_program() {
    for program in PROGRAMS {
        let error = MachO::new(with(program, &payload("first"))).err().unwrap();
        assert!(error.to_string().contains("payload already"), "{error}");
    }
}

#[test]
fn changed_bytes_of_load_commands_do_no_harm() {
    let payload = payload("changed");
    for program in PROGRAMS {
        for at in 0..1200 {
            for mask in [0x01, 0x80, 0xff] {
                let mut changed = program.to_vec();
                changed[at] ^= mask;
                // Refused, or written to its end.
                let mut file = Vec::new();
                if let Ok(program) = MachO::new(changed) {
                    let _ = program.write_with(&payload, &mut file);
                }
            }
        }
    }
}

#[test]
fn payloads_beyond_4_gib_are_refused_before_anything_is_written() {
    for program in PROGRAMS {
        let program = MachO::new(program.to_vec()).unwrap();
        for length in [(1 << 32) - (1 << 20), 1 << 32, u64::MAX - FOOTER_LEN as u64] {
            let mut file = Vec::new();
            let error = program.write_with(&Zeros(length), &mut file);
            let error = error.unwrap_err().to_string();
            assert!(error.contains("--target bundle"), "{error}");
            assert!(file.is_empty() && program.length_with(length).is_err());
        }
    }
}
