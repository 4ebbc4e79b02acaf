//! Executables, images and wheels whose format says where the payload is, and lies.

use crate::forge::{self, refused_bytes};
use anyhow::{Context, ensure};
use encoderfile::Payload;
use encoderfile::container::ContainerError;
use encoderfile::container::executable::{
    LC_SEGMENT_64, SECTION, SECTION_LEN, SEGMENT, SEGMENT_LEN,
};
use std::ops::Range;
use std::sync::Arc;

const HEADER_LEN: usize = 32;
const COMMAND_LEN: usize = SEGMENT_LEN + SECTION_LEN;
const PAYLOAD: usize = HEADER_LEN + COMMAND_LEN;
/// Of the section, from the start of the file.
const SIZE: usize = HEADER_LEN + SEGMENT_LEN + 40;
const OFFSET: usize = HEADER_LEN + SEGMENT_LEN + 48;

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn narrow(length: usize) -> u32 {
    u32::try_from(length).expect("a small file")
}

/// A Mach-O file of one segment, and what a signature may be at its end.
fn mach_o() -> Vec<u8> {
    let payload = forge::small();
    let mut file = vec![0; PAYLOAD];
    file[..4].copy_from_slice(&[0xcf, 0xfa, 0xed, 0xfe]);
    put(&mut file, 16, 1);
    put(&mut file, 20, narrow(COMMAND_LEN));
    put(&mut file, HEADER_LEN, LC_SEGMENT_64);
    put(&mut file, HEADER_LEN + 4, narrow(COMMAND_LEN));
    file[HEADER_LEN + 8..][..16].copy_from_slice(&SEGMENT);
    put(&mut file, HEADER_LEN + 64, 1);
    file[HEADER_LEN + SEGMENT_LEN..][..16].copy_from_slice(&SECTION);
    put(&mut file, SIZE, narrow(payload.len()));
    put(&mut file, OFFSET, narrow(PAYLOAD));
    file.extend(payload);
    file.extend([0xee; 777]);
    file
}

fn opened(file: &[u8]) -> anyhow::Result<Payload> {
    forge::open(Arc::new(file.to_vec()))?.context("the container")
}

#[test]
fn a_payload_in_a_segment_ends_where_the_segment_says() -> anyhow::Result<()> {
    let file = mach_o();
    let payload = opened(&file)?;
    ensure!(payload.start() == PAYLOAD as u64);
    let bytes = payload.bytes()?;
    ensure!(encoderfile::Source::len(&bytes) == forge::small().len() as u64);
    // Without the segment's name, it is looked for at the end.
    let mut other = file;
    other[HEADER_LEN + 8] = b'x';
    let error = refused_bytes(&other)?;
    ensure!(matches!(error, ContainerError::Magic { .. }), "{error:?}");
    Ok(())
}

#[test]
fn segments_that_lie_are_refused() -> anyhow::Result<()> {
    let file = mach_o();
    let length = narrow(forge::small().len());
    // Where, what instead, and whether it is the segment's fault.
    let lies: [(usize, u32, bool); 14] = [
        (16, 2, true),
        (16, u32::MAX, true),
        (20, 0, true),
        (20, narrow(COMMAND_LEN) - 1, true),
        (20, u32::MAX, true),
        (HEADER_LEN + 4, 0, true),
        (HEADER_LEN + 4, narrow(SEGMENT_LEN), true),
        (HEADER_LEN + 64, 0, true),
        (HEADER_LEN + 64, 2, true),
        (SIZE, u32::MAX, true),
        (SIZE + 4, u32::MAX, true),
        (OFFSET, u32::MAX, true),
        (SIZE, length - 1, false),
        (OFFSET, narrow(PAYLOAD) + 1, false),
    ];
    for (at, value, of_segment) in lies {
        let mut lie = file.clone();
        put(&mut lie, at, value);
        let error = refused_bytes(&lie).with_context(|| format!("{value} at {at}"))?;
        let is_of_segment = matches!(error, ContainerError::Segment { .. });
        ensure!(is_of_segment == of_segment, "{value} at {at}: {error:?}");
    }
    // Another valid payload's beginning is not this section's.
    let mut lie = file;
    put(&mut lie, OFFSET, narrow(PAYLOAD) - 8);
    put(&mut lie, SIZE, length + 8);
    let error = refused_bytes(&lie)?;
    let expected = (PAYLOAD as u64, PAYLOAD as u64 - 8);
    ensure!(
        matches!(error, ContainerError::Start { offset, expected: it } if (offset, it) == expected),
        "{error:?}"
    );
    Ok(())
}

#[test]
fn changed_and_missing_bytes_of_load_commands_do_no_harm() -> anyhow::Result<()> {
    let file = mach_o();
    for at in 0..PAYLOAD {
        for mask in [0x01, 0x80, 0xff] {
            let mut changed = file.clone();
            changed[at] ^= mask;
            // What they say of memory is the system's to check.
            let payload = forge::open(Arc::new(changed))?;
            let is_same = |it: Payload| it.start() == PAYLOAD as u64;
            ensure!(payload.is_err() || payload.is_ok_and(is_same), "byte {at}");
        }
    }
    for end in 0..file.len() - 777 {
        refused_bytes(&file[..end]).with_context(|| format!("cut to {end}"))?;
    }
    Ok(())
}

/// Where a PE file says its certificates are.
const CERTIFICATES: usize = 0x40 + 24 + 112 + 8 * 4;

/// A PE file with a payload and so many zeros before certificates, if there are any.
fn pe(zeros: usize, certificates: Option<&[u8]>) -> (Vec<u8>, Range<usize>) {
    let mut file = vec![0; 0x200];
    file[..2].copy_from_slice(b"MZ");
    put(&mut file, 0x3c, 0x40);
    file[0x40..0x44].copy_from_slice(b"PE\0\0");
    file[0x40 + 24..][..2].copy_from_slice(&0x20b_u16.to_le_bytes());
    put(&mut file, 0x40 + 24 + 108, 16);
    file.extend(forge::small());
    let payload = 0x200..file.len();
    file.extend(vec![0; zeros]);
    if let Some(certificates) = certificates {
        let offset = narrow(file.len());
        put(&mut file, CERTIFICATES, offset);
        put(&mut file, CERTIFICATES + 4, narrow(certificates.len()));
        file.extend(certificates);
    }
    (file, payload)
}

#[test]
fn certificates_after_a_payload_leave_it_as_it_is() -> anyhow::Result<()> {
    let (unsigned, place) = pe(0, None);
    ensure!(opened(&unsigned)?.start() == place.start as u64);
    for zeros in 0..8 {
        let (file, place) = pe(zeros, Some(&[0xee; 1000]));
        let payload = opened(&file).with_context(|| format!("{zeros} zeros"))?;
        ensure!(payload.start() == place.start as u64);
        ensure!(encoderfile::Source::len(&payload.bytes()?) == place.len() as u64);
    }
    Ok(())
}

#[test]
fn certificates_elsewhere_hide_no_payload_and_show_none() -> anyhow::Result<()> {
    // Too many zeros, and bytes that belong to nothing.
    for file in [pe(8, Some(&[0xee; 1000])).0, pe(1, None).0] {
        let error = refused_bytes(&file)?;
        ensure!(matches!(error, ContainerError::Magic { .. }), "{error:?}");
    }
    // A payload after the certificates of its base program.
    let (mut file, _) = pe(0, None);
    put(&mut file, CERTIFICATES, 0x100);
    put(&mut file, CERTIFICATES + 4, 0x100);
    opened(&file)?;
    for at in [0x3c, CERTIFICATES, CERTIFICATES + 4, 0x40 + 24 + 108] {
        let (mut file, _) = pe(0, Some(&[0xee; 1000]));
        put(&mut file, at, u32::MAX - 7);
        let found = forge::open(Arc::new(file))?;
        let is_count = at == 0x40 + 24 + 108;
        ensure!(found.is_ok() == is_count, "at {at}");
    }
    Ok(())
}

const BLOCK: usize = 512;

/// A tar archive of files that are all called the same.
fn archive(files: &[&[u8]]) -> Vec<u8> {
    let mut archive = Vec::new();
    for file in files {
        let mut header = [0; BLOCK];
        header[0] = b'x';
        header[124..136].copy_from_slice(format!("{:011o}\0", file.len()).as_bytes());
        header[156] = b'0';
        header[257..262].copy_from_slice(b"ustar");
        archive.extend(header);
        archive.extend(*file);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

/// Where the payload of [`image`] begins: after a document, and the headers of blob and file.
const IN_IMAGE: usize = 4 * BLOCK;

fn image() -> Vec<u8> {
    archive(&[b"{}", &archive(&[&forge::small()])])
}

#[test]
fn the_payload_of_an_image_is_the_last_file_of_its_last_layer() -> anyhow::Result<()> {
    let file = image();
    ensure!(opened(&file)?.start() == IN_IMAGE as u64);
    // A size in base 256, as of files above 8 GiB.
    let mut large = file;
    let size = IN_IMAGE - BLOCK + 124;
    large[size..size + 12].fill(0);
    large[size] = 0x80;
    let length = u64::try_from(forge::small().len())?;
    large[size + 4..size + 12].copy_from_slice(&length.to_be_bytes());
    ensure!(opened(&large)?.start() == IN_IMAGE as u64);
    // Of the last file alone, and of no layer.
    let layer = archive(&[&forge::small()]);
    for other in [archive(&[&layer, b"{}"]), layer, archive(&[])] {
        let error = refused_bytes(&other)?;
        ensure!(matches!(error, ContainerError::Magic { .. }), "{error:?}");
    }
    let many = vec![&b"{}"[..]; 1000];
    refused_bytes(&archive(&many)).map(drop)
}

#[test]
fn changed_and_missing_bytes_of_archives_do_no_harm() -> anyhow::Result<()> {
    let file = image();
    for at in 0..IN_IMAGE {
        for mask in [0x01, 0x80, 0xff] {
            let mut changed = file.clone();
            changed[at] ^= mask;
            let payload = forge::open(Arc::new(changed))?;
            let is_same = |it: Payload| it.start() == IN_IMAGE as u64;
            ensure!(payload.is_err() || payload.is_ok_and(is_same), "byte {at}");
        }
    }
    for end in (0..file.len() - 2 * BLOCK).step_by(64) {
        // What ends with the footer is a bundle behind some bytes.
        if end != IN_IMAGE + forge::small().len() {
            refused_bytes(&file[..end]).with_context(|| format!("cut to {end}"))?;
        }
    }
    // The file says more, or less, than the payload has.
    for difference in [-8_i64, 8] {
        let mut lie = file.clone();
        let size = i64::try_from(forge::small().len())? + difference;
        let field = IN_IMAGE - BLOCK + 124;
        lie[field..field + 12].copy_from_slice(format!("{size:011o}\0").as_bytes());
        refused_bytes(&lie).with_context(|| format!("{difference} bytes"))?;
    }
    Ok(())
}

/// A zip archive as wheels are: files stored as they are, a list of them, and its end. The CRCs are not
/// there, since nobody reads them.
fn wheel(files: &[(&str, &[u8])]) -> Vec<u8> {
    const LOCAL_LEN: usize = 30;
    const ENTRY_LEN: usize = 46;

    let (mut archive, mut list) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let mut local = [0; LOCAL_LEN];
        local[..4].copy_from_slice(b"PK\x03\x04");
        put(&mut local, 26, narrow(name.len()));
        let mut entry = [0; ENTRY_LEN];
        entry[..4].copy_from_slice(b"PK\x01\x02");
        put(&mut entry, 20, narrow(content.len()));
        put(&mut entry, 24, narrow(content.len()));
        put(&mut entry, 28, narrow(name.len()));
        put(&mut entry, 42, narrow(archive.len()));
        archive.extend(local);
        archive.extend(name.bytes());
        archive.extend(*content);
        list.extend(entry);
        list.extend(name.bytes());
    }
    let mut end = [0; 22];
    end[..4].copy_from_slice(b"PK\x05\x06");
    put(&mut end, 10, narrow(files.len()));
    put(&mut end, 12, narrow(list.len()));
    put(&mut end, 16, narrow(archive.len()));
    archive.extend(list);
    archive.extend(end);
    archive
}

#[test]
fn the_payload_of_a_wheel_is_its_file_of_that_name() -> anyhow::Result<()> {
    let payload = forge::small();
    let module: (&str, &[u8]) = ("a/__init__.py", b"x");
    let file = wheel(&[
        module,
        ("a/model.ef", &payload),
        ("a.dist-info/RECORD", b""),
    ]);
    let start = opened(&file)?.start();
    ensure!(usize::try_from(start)? == position(&file, &payload, 0)?);
    let many = vec![module; 1000];
    for other in [
        wheel(&[("a/other.ef", &payload)]),
        wheel(&[("a/model.ef", b"no payload")]),
        wheel(&[]),
        wheel(&many),
    ] {
        refused_bytes(&other)?;
    }
    // Compressed, and not.
    let mut compressed = file.clone();
    let list = position(&file, b"a/model.ef", 1)? - 46;
    compressed[list + 10] = 8;
    refused_bytes(&compressed).map(drop)
}

#[test]
fn changed_and_missing_bytes_of_wheels_do_no_harm() -> anyhow::Result<()> {
    let payload = forge::small();
    let file = wheel(&[
        ("a/__init__.py", b"x"),
        ("a/model.ef", &payload),
        ("a/b", b""),
    ]);
    let start = opened(&file)?.start();
    let after = usize::try_from(start)? + payload.len();
    for at in (0..usize::try_from(start)?).chain(after..file.len()) {
        for mask in [0x01, 0x80, 0xff] {
            let mut changed = file.clone();
            changed[at] ^= mask;
            let opened = forge::open(Arc::new(changed))?;
            ensure!(
                opened.as_ref().is_err() || opened.is_ok_and(|it| it.start() == start),
                "byte {at}"
            );
        }
    }
    for end in 0..file.len() {
        // What ends with the footer is a bundle behind some bytes.
        if end != after {
            refused_bytes(&file[..end]).with_context(|| format!("cut to {end}"))?;
        }
    }
    Ok(())
}

/// Where the `n`th such bytes are.
fn position(file: &[u8], bytes: &[u8], n: usize) -> anyhow::Result<usize> {
    let windows = file.windows(bytes.len()).enumerate();
    let mut found = windows.filter(|(_, it)| *it == bytes);
    Ok(found.nth(n).context("not there")?.0)
}
