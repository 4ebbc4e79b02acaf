//! Values in fewer bits than float32.

use super::{Numbers, Threads, for_each, linear, up_to};
use crate::encoding::PANEL;
use crate::{
    Activation, EncodedB, Epilogue, GroupLen, Isa, Order, PackedMatrix, Weights, WeightsEncoding,
};
use half::{bf16, f16};

fn encodings() -> Vec<WeightsEncoding> {
    let groups = GroupLen::ALL.into_iter();
    let quantised = groups.flat_map(|it| [WeightsEncoding::Int8(it), WeightsEncoding::Int4(it)]);
    let floats = [
        WeightsEncoding::F32,
        WeightsEncoding::F16,
        WeightsEncoding::Bf16,
    ];
    floats.into_iter().chain(quantised).collect()
}

/// Bytes of so many units, all of whose floats are finite.
fn bytes(encoding: WeightsEncoding, depth: usize, lanes: usize, numbers: &mut Numbers) -> Vec<u8> {
    let length = encoding.unit_len(depth, lanes).unwrap();
    let mut bytes: Vec<u8> = (0..length)
        .map(|_| numbers.integer().to_le_bytes()[0])
        .collect();
    let mut put = |at: usize, value: f32| match encoding {
        WeightsEncoding::F32 => bytes[at..at + 4].copy_from_slice(&value.to_le_bytes()),
        WeightsEncoding::Bf16 => {
            bytes[at..at + 2].copy_from_slice(&bf16::from_f32(value).to_le_bytes());
        }
        _ => bytes[at..at + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes()),
    };
    match encoding.group_len() {
        None => {
            let size = length / (depth * lanes).max(1);
            (0..depth * lanes).for_each(|place| put(place * size, numbers.next()));
        }
        Some(group_len) => {
            for group in 0..depth.div_ceil(group_len.get()) {
                let start = encoding.unit_len(group * group_len.get(), lanes).unwrap();
                (0..lanes).for_each(|lane| put(start + 2 * lane, numbers.next()));
            }
        }
    }
    bytes
}

/// The value of a step and a lane, by what the format says.
fn value(encoding: WeightsEncoding, unit: &[u8], step: usize, lane: usize, lanes: usize) -> f32 {
    let two = |at: usize| [unit[at], unit[at + 1]];
    let place = step * lanes + lane;
    let group = |len: usize, bytes: usize| {
        let start = step / len * (2 * lanes + bytes * lanes);
        let scale = f16::from_le_bytes(two(start + 2 * lane)).to_f32();
        (scale, start + 2 * lanes, step % len)
    };
    match encoding {
        WeightsEncoding::F32 => f32::from_le_bytes([0, 1, 2, 3].map(|byte| unit[place * 4 + byte])),
        WeightsEncoding::F16 => f16::from_le_bytes(two(place * 2)).to_f32(),
        WeightsEncoding::Bf16 => bf16::from_le_bytes(two(place * 2)).to_f32(),
        WeightsEncoding::Int8(len) => {
            let (scale, start, step) = group(len.get(), len.get());
            let q = unit[start + step * lanes + lane].cast_signed();
            f32::from(q) * scale
        }
        WeightsEncoding::Int4(len) => {
            let (scale, start, step) = group(len.get(), len.get() / 2);
            let byte = unit[start + step / 2 * lanes + lane];
            let nibble = if step % 2 == 0 { byte % 16 } else { byte / 16 };
            (f32::from(nibble) - 8.0) * scale
        }
    }
}

#[test]
fn every_float16_is_itself() {
    let all: Vec<u16> = (0..=u16::MAX)
        .filter(|bits| f16::from_bits(*bits).is_finite())
        .collect();
    let bytes: Vec<u8> = all.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let mut values = vec![f32::NAN; all.len()];
    WeightsEncoding::F16
        .decode::<1>(&bytes, &mut values)
        .unwrap();
    for (bits, value) in all.iter().zip(values) {
        let expected = f16::from_bits(*bits).to_f32();
        assert_eq!(value.to_bits(), expected.to_bits(), "{bits:#x}");
    }
}

/// Whole units and what begins with a group.
#[test]
fn values_are_what_the_format_says() {
    for_each(&(1..up_to(300).end, 0..u64::MAX), |(depth, seed)| {
        let mut numbers = Numbers::of(seed);
        for encoding in encodings() {
            check::<1>(encoding, depth, &mut numbers);
            check::<PANEL>(encoding, depth, &mut numbers);
        }
    });
}

fn check<const LANES: usize>(encoding: WeightsEncoding, depth: usize, numbers: &mut Numbers) {
    let unit = bytes(encoding, depth, LANES, numbers);
    let start = encoding.group_len().map_or(0, |it| it.get());
    for depth in [0..depth, start.min(depth)..depth] {
        let Some(part) = encoding.part_of_unit(depth.clone(), LANES) else {
            continue;
        };
        let mut values = vec![f32::NAN; depth.len() * LANES];
        encoding
            .decode::<LANES>(&unit[part.clone()], &mut values)
            .unwrap();
        for (place, found) in values.iter().enumerate() {
            let (step, lane) = (depth.start + place / LANES, place % LANES);
            let expected = value(encoding, &unit, step, lane, LANES);
            assert_eq!(*found, expected, "{encoding} step {step} lane {lane}");
        }
        let longer = [&unit[part.clone()], &[0]].concat();
        assert!(encoding.decode::<LANES>(&longer, &mut values).is_err());
        if let Some((_, shorter)) = unit[part].split_last() {
            assert!(encoding.decode::<LANES>(shorter, &mut values).is_err());
        }
    }
}

/// To the bit what float32 gives of the decoded values.
#[test]
fn products_are_those_of_the_decoded_values() {
    let shapes = (
        1..up_to(30).end,
        1..up_to(90).end,
        1..up_to(80).end,
        0..u64::MAX,
    );
    for_each(&shapes, |(rows, depth, columns, seed)| {
        check_products(rows, depth, columns, seed);
    });
    if !cfg!(miri) {
        // Several blocks of the depth.
        check_products(13, 1601, 33, 1);
        check_products(3, 769, 70, 2);
    }
}

fn check_products(rows: usize, depth: usize, columns: usize, seed: u64) {
    let mut numbers = Numbers::of(seed);
    let a = numbers.vec(rows * depth);
    for encoding in encodings() {
        let units = columns.div_ceil(PANEL);
        let stored: Vec<u8> = (0..units)
            .flat_map(|_| bytes(encoding, depth, PANEL, &mut numbers))
            .collect();
        let unit_len = stored.len() / units;
        let decoded: Vec<f32> = (0..depth * columns)
            .map(|place| {
                let (step, column) = (place / columns, place % columns);
                let unit = &stored[column / PANEL * unit_len..][..unit_len];
                value(encoding, unit, step, column % PANEL, PANEL)
            })
            .collect();
        let b = EncodedB::new(&stored, (depth, columns), encoding).unwrap();
        for isa in Isa::all() {
            let packed = PackedMatrix::new(isa, &decoded, (depth, columns), Order::Rows).unwrap();
            let both = [Weights::Encoded(b), Weights::F32(packed.as_b())].map(|b| {
                let bias = vec![0.5; b.padded_columns()];
                let epilogue = Epilogue {
                    bias: &bias,
                    activation: Activation::Gelu,
                };
                let mut c = vec![f32::NAN; rows * columns];
                linear(isa, &Threads(2), &a, b, epilogue, &mut c).unwrap();
                c.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            });
            assert!(
                both[0] == both[1],
                "{isa:?} {encoding} {rows} × {depth} × {columns}"
            );
        }
        assert!(EncodedB::new(&stored[1..], (depth, columns), encoding).is_err());
        assert!(EncodedB::new(&stored, (usize::MAX, columns), encoding).is_err());
    }
}

#[test]
fn encodings_have_names() {
    for encoding in encodings() {
        assert_eq!(encoding.to_string().parse(), Ok(encoding));
    }
    let group_of_64 = WeightsEncoding::Int4(GroupLen::G64);
    assert_eq!("int4".parse(), Ok(group_of_64));
    for name in [
        "",
        "int5",
        "int4:16",
        "int4:",
        "f16:32",
        "f32:64",
        "INT8",
        "int8:64:64",
    ] {
        let problem = name.parse::<WeightsEncoding>().unwrap_err();
        assert!(
            problem.to_string().contains(&format!("`{name}`")),
            "{problem}"
        );
    }
}
