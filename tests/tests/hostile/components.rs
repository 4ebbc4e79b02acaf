//! Components, and what wasmtime compiled ahead, whose end says where the payload is, and lies.

use crate::forge::{self, refused_bytes};
use anyhow::{Context, ensure};
use encoderfile::container::ContainerError;
use encoderfile::container::component::{COMPONENT, LOCATOR_LEN, Locator};
use std::ops::Range;
use std::sync::Arc;

/// How the files begin that are read by their end.
const BEGINNINGS: [&[u8]; 2] = [&COMPONENT, b"\x7fELF"];

/// Before the payload, and behind it.
const SECTIONS: [u8; 200] = [0xee; 200];

/// A payload among other sections, and where it is.
fn file(beginning: &[u8]) -> (Vec<u8>, Range<usize>) {
    let mut file = beginning.to_vec();
    file.extend(SECTIONS);
    let start = file.len();
    file.extend(forge::small());
    let place = start..file.len();
    file.extend(SECTIONS);
    (file, place)
}

/// The file with an end that says that the payload is there.
fn located(file: &[u8], offset: u64, length: u64) -> Vec<u8> {
    [file, &Locator { offset, length }.to_bytes()].concat()
}

fn numbers(place: &Range<usize>) -> (u64, u64) {
    (place.start as u64, place.len() as u64)
}

#[test]
fn a_payload_is_where_the_end_says() -> anyhow::Result<()> {
    for beginning in BEGINNINGS {
        let (file, place) = file(beginning);
        let (offset, length) = numbers(&place);
        let payload = forge::open(Arc::new(located(&file, offset, length)))?;
        let payload = payload.context("the container")?;
        ensure!(payload.start() == offset);
        ensure!(encoderfile::Source::len(&payload.bytes()?) == length);
    }
    Ok(())
}

#[test]
fn ends_that_lie_are_refused() -> anyhow::Result<()> {
    for beginning in BEGINNINGS {
        let (file, place) = file(beginning);
        let (offset, length) = numbers(&place);
        let end = file.len() as u64;
        let lies = [
            (offset + 1, length),
            (offset - 1, length),
            (offset + 1, length - 1),
            (offset - 1, length + 1),
            (offset, length - 1),
            (offset, length + 1),
            (offset, 0),
            (offset, u64::MAX),
            (u64::MAX, length),
            (u64::MAX - length + 1, length),
            (0, end),
            // With the place itself in it, and beyond the end.
            (offset, end - offset + 1),
            (offset, end + LOCATOR_LEN as u64 - offset),
            (end, LOCATOR_LEN as u64),
            (end + LOCATOR_LEN as u64, 0),
        ];
        for (offset, length) in lies {
            let lie = located(&file, offset, length);
            refused_bytes(&lie).with_context(|| format!("{length} bytes at {offset}"))?;
        }
    }
    Ok(())
}

/// Whatever else in a file looks like a payload, or like its end.
#[test]
fn the_last_end_counts() -> anyhow::Result<()> {
    for beginning in BEGINNINGS {
        let (one, place) = file(beginning);
        let (offset, length) = numbers(&place);
        let two = [&located(&one, offset, length)[..], &forge::small()].concat();
        let second = two.len() as u64 - length;
        let payload = forge::open(Arc::new(located(&two, second, length)))?;
        ensure!(payload.context("the second")?.start() == second);
        let payload = forge::open(Arc::new(located(&two, offset, length)))?;
        ensure!(payload.context("the first")?.start() == offset);
        // An end that is not the last one says nothing.
        let mut cut = located(&one, offset, length);
        cut.push(0);
        let error = refused_bytes(&cut)?;
        ensure!(matches!(error, ContainerError::Magic { .. }), "{error:?}");
    }
    Ok(())
}

#[test]
fn changed_and_missing_bytes_do_no_harm() -> anyhow::Result<()> {
    for beginning in BEGINNINGS {
        let (file, place) = file(beginning);
        let (offset, length) = numbers(&place);
        let file = located(&file, offset, length);
        let end = file.len() - LOCATOR_LEN;
        for at in (0..beginning.len()).chain(end..file.len()) {
            for mask in [0x01, 0x80, 0xff] {
                let mut changed = file.clone();
                changed[at] ^= mask;
                refused_bytes(&changed).with_context(|| format!("byte {at} ^ {mask:#x}"))?;
            }
        }
        for end in 0..file.len() {
            // What ends with the footer is a bundle behind some bytes.
            if end != place.end {
                refused_bytes(&file[..end]).with_context(|| format!("cut to {end}"))?;
            }
        }
    }
    Ok(())
}
