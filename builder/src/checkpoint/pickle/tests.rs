//! Archives that torch wrote, against what safetensors wrote of the same tensors; archives that
//! it would not write; and both with some bytes changed. data/make.py made them.

use super::{OPCODES_MAX, PickleError, Stored, read};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;

macro_rules! archive {
    ($name:literal) => {
        include_bytes!(concat!("../data/", $name, ".bin"))
    };
}

/// An archive, and its tensors as safetensors has them.
macro_rules! valid {
    ($($name:literal),* $(,)?) => {
        [$((
            $name,
            archive!($name),
            include_bytes!(concat!("../data/", $name, ".safetensors")),
        )),*]
    };
}

const VALID: [(&str, &[u8], &[u8]); 15] = valid![
    "beside",
    "bomb",
    "dtypes",
    "integers",
    "model",
    "module",
    "nested",
    "old",
    "old_views",
    "parameter",
    "protocol3",
    "protocol4",
    "protocol5",
    "views",
    "zip64",
];

fn refusal(archive: &'static [u8]) -> PickleError {
    read(&Bytes::from_static(archive)).unwrap_err()
}

fn message(archive: &'static [u8]) -> String {
    refusal(archive).to_string()
}

/// A zip archive of stored entries.
fn zip(entries: &[(&str, &[u8])]) -> Bytes {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in entries {
        let number = |it: usize| u32::try_from(it).unwrap().to_le_bytes();
        let header = number(file.len());
        // From the time to the length of the extra field.
        let mut common = [0; 20];
        common[8..12].copy_from_slice(&number(bytes.len()));
        common[12..16].copy_from_slice(&number(bytes.len()));
        common[16..18].copy_from_slice(&number(name.len())[..2]);
        file.extend_from_slice(b"PK\x03\x04\0\0\0\0\0\0");
        file.extend([&common, name.as_bytes(), bytes].concat());
        directory.extend_from_slice(b"PK\x01\x02\0\0\0\0\0\0\0\0");
        directory.extend([&common, &[0; 10][..], &header, name.as_bytes()].concat());
    }
    let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
    let length = u32::try_from(directory.len()).unwrap().to_le_bytes();
    let start = u32::try_from(file.len()).unwrap().to_le_bytes();
    file.extend(directory);
    let end = [b"PK\x05\x06\0\0\0\0", &count[..], &count, &length, &start];
    file.extend(end.concat());
    file.extend([0; 2]);
    file.into()
}

/// What an archive with a pickle and a storage of 16 bytes is read as.
fn run(pickle: &[u8]) -> Result<Vec<Stored>, PickleError> {
    read(&zip(&[("a/data.pkl", pickle), ("a/data/0", &[0; 16])]))
}

/// A pickle of a dict with a tensor, and `beside` on the stack of its items.
fn pickle(beside: &[u8]) -> Vec<u8> {
    [b"\x80\x02}(X\x01\0\0\0a", TENSOR, beside, b"u."].concat()
}

/// The first `part` of a pickle made `other`.
fn replaced(pickle: &[u8], part: &[u8], other: &[u8]) -> Vec<u8> {
    let at = pickle.windows(part.len()).position(|it| it == part);
    let (before, after) = pickle.split_at(at.unwrap());
    [before, other, &after[part.len()..]].concat()
}

/// Pushes a tensor of four numbers.
const TENSOR: &[u8] =
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n\
    X\x01\0\0\0\x30X\x03\0\0\0cpuK\x04tQK\0K\x04\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR";

#[test]
fn tensors_are_those_of_safetensors() {
    for (archive, file, expected) in VALID {
        let file = Bytes::from_static(file);
        let tensors = read(&file).unwrap_or_else(|error| panic!("{archive}: {error}"));
        let expected = SafeTensors::deserialize(expected).unwrap();
        let mut expected: BTreeMap<_, _> = expected.iter().collect();
        for Stored {
            name,
            dtype,
            shape,
            bytes,
        } in tensors
        {
            let view = expected.remove(&*name).unwrap();
            assert_eq!(dtype, view.dtype(), "{archive}: {name}");
            assert_eq!(shape, view.shape(), "{archive}: {name}");
            assert_eq!(bytes, view.data(), "{archive}: {name}");
        }
        assert!(expected.is_empty(), "{archive}: {expected:?}");
    }
}

#[test]
fn all_types_are_read() {
    let dtypes = |archive| {
        let tensors = read(&Bytes::from_static(archive)).unwrap();
        tensors.iter().map(|it| it.dtype).collect::<Vec<_>>()
    };
    assert_eq!(
        dtypes(archive!("dtypes")),
        [Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::F64, Dtype::I64]
    );
    assert_eq!(
        dtypes(archive!("integers")),
        [Dtype::I32, Dtype::I16, Dtype::I8, Dtype::U8, Dtype::BOOL]
    );
}

#[test]
fn the_order_is_that_of_the_file() {
    let tensors = read(&Bytes::from_static(archive!("module"))).unwrap();
    let names: Vec<&str> = tensors.iter().map(|it| &*it.name).collect();
    let expected = ["position_ids", "0.weight", "0.bias", "1.weight", "1.bias"];
    assert_eq!(names, expected);
}

#[test]
fn only_what_is_not_contiguous_is_copied() {
    let file = Bytes::from_static(archive!("views"));
    let within = file.as_ptr_range();
    let copied: Vec<String> = read(&file)
        .unwrap()
        .into_iter()
        .filter(|it| !it.bytes.is_empty() && !within.contains(&it.bytes.as_ptr()))
        .map(|it| it.name)
        .collect();
    let expected = [
        "transposed",
        "permuted",
        "columns",
        "every_other",
        "expanded",
    ];
    assert_eq!(copied, expected);
}

#[test]
fn code_is_refused_by_name() {
    let global = |at, name: &str| PickleError::Global {
        at,
        name: name.to_owned(),
    };
    // Python names modules by where their functions are.
    assert_eq!(refusal(archive!("os_system")), global(13, "posix.system"));
    assert_eq!(refusal(archive!("eval")), global(29, "builtins.eval"));
    assert_eq!(refusal(archive!("torch_load")), global(2, "torch.load"));
    assert_eq!(
        refusal(archive!("whole_module")),
        global(2, "torch.nn.modules.linear.Linear")
    );
    assert_eq!(
        refusal(archive!("sparse")),
        global(13, "torch._utils._rebuild_sparse_tensor")
    );
    assert_eq!(
        refusal(archive!("uint16")),
        global(13, "torch._utils._rebuild_tensor_v3")
    );
    assert_eq!(
        run(b"\x80\x02cos\nsystem\n.").unwrap_err().to_string(),
        "pickle at byte 2: names `os.system`, which is not a tensor: this is code, and is not run"
    );
    for name in [
        "os\nsystem",
        "torch._utils\n_rebuild_tensor",
        "torch.nn.parameter\nParameter",
        "builtins\ngetattr",
        "torch\nFloatStorage.__reduce__",
        "\n",
    ] {
        let pickle = format!("c{name}\n.");
        let name = name.replace('\n', ".");
        assert_eq!(run(pickle.as_bytes()).unwrap_err(), global(0, &name));
    }
}

#[test]
fn names_in_errors_are_short_and_visible() {
    let pickle = format!("c\x1b[2J{}\nb\n.", "a".repeat(1000));
    let PickleError::Global { name, .. } = run(pickle.as_bytes()).unwrap_err() else {
        panic!("a global");
    };
    assert_eq!(name, format!("\\u{{1b}}[2J{}…", "a".repeat(76)));
}

#[test]
fn other_storages_are_refused_by_name() {
    assert_eq!(
        message(archive!("complex")),
        "pickle at byte 64: tensors of `torch.ComplexFloatStorage`, a type that is not read"
    );
    let untyped = run(b"ctorch.storage\nUntypedStorage\n.").unwrap_err();
    let name = "torch.storage.UntypedStorage".to_owned();
    assert_eq!(untyped, PickleError::Storage { at: 0, name });
}

#[test]
fn every_other_opcode_is_refused_by_name() {
    const READ: &[u8] =
        b".(NJKMGXCB)t]ae}suqrhjcQRb\x80\x95\x88\x89\x8a\x8c\x8d\x8e\x85\x86\x87\x94\x93";
    let refused = |opcode| match run(&[opcode]) {
        Err(PickleError::Opcode { at: 0, name }) => Some(name),
        _ => None,
    };
    for opcode in 0..=u8::MAX {
        let is_read = READ.contains(&opcode);
        assert_eq!(refused(opcode).is_none(), is_read, "{opcode:#04x}");
    }
    assert_eq!(refused(0x81).unwrap(), "NEWOBJ");
    assert_eq!(refused(b'i').unwrap(), "INST");
    assert_eq!(refused(0xff).unwrap(), "0xff");
}

#[test]
fn calls_with_other_arguments_are_refused() {
    let function = |archive| match refusal(archive) {
        PickleError::Arguments { function, .. } => function,
        other => panic!("{other}"),
    };
    let tensor = "torch._utils._rebuild_tensor_v2";
    assert_eq!(function(archive!("arguments")), tensor);
    assert_eq!(function(archive!("negative")), tensor);
    assert_eq!(
        function(archive!("parameter_of_text")),
        "torch._utils._rebuild_parameter"
    );
    assert_eq!(
        function(archive!("ordered_dict")),
        "collections.OrderedDict"
    );
    // Nine dimensions; strides for others, or none; an id of something else; numbers for a bool
    // and for the dict of hooks.
    let nines: [u8; 18] = std::array::from_fn(|index| if index % 2 == 0 { b'K' } else { 1 });
    let nines = [b"(", &nines[..], b"t"].concat();
    for (part, other) in [
        (
            &b"K\x04\x85K\x01\x85"[..],
            &[&nines[..], &nines].concat()[..],
        ),
        (b"K\x04\x85K\x01\x85", b"K\x04\x85)"),
        (b"K\x04\x85K\x01\x85", b"K\x04K\x01"),
        (b"X\x07\0\0\0storage", b"X\x07\0\0\0strange"),
        (b"\x89c", b"K\0c"),
        (b")RtR", b")R})K\0stR"),
    ] {
        let error = run(&replaced(&pickle(b""), part, other)).unwrap_err();
        assert!(matches!(error, PickleError::Arguments { .. }), "{error}");
    }
}

#[test]
fn tensors_outside_their_storage_are_refused() {
    let outside = |archive| match refusal(archive) {
        PickleError::Outside { name, .. } => assert_eq!(name, "a"),
        other => panic!("{other}"),
    };
    outside(archive!("outside"));
    outside(archive!("outside_stride"));
    outside(archive!("outside_count"));
    outside(archive!("overflow"));
    outside(archive!("overflow_zero"));
    assert_eq!(
        message(archive!("outside")),
        "tensor `a`: shape [4] at 1 is outside its storage of 4 values"
    );
    let length = |archive| matches!(refusal(archive), PickleError::StorageLength { .. });
    assert!(length(archive!("short")));
    assert!(length(archive!("overflow_count")));
    let copies = PickleError::Copies {
        name: "a".to_owned(),
    };
    assert_eq!(refusal(archive!("expanded")), copies);
}

#[test]
fn archives_of_another_form_are_refused() {
    assert_eq!(refusal(b""), PickleError::NotZip);
    assert_eq!(refusal(b"\x93NUMPY"), PickleError::NotZip);
    let entry = |name: &str| name.to_owned();
    assert_eq!(
        refusal(archive!("no_storage")),
        PickleError::Missing {
            name: entry("archive/data/0")
        }
    );
    assert_eq!(
        refusal(archive!("twice")),
        PickleError::Twice {
            name: entry("archive/data/0")
        }
    );
    assert_eq!(
        refusal(archive!("compressed")),
        PickleError::Compressed {
            name: entry("archive/byteorder")
        }
    );
    let got = "big".to_owned();
    assert_eq!(refusal(archive!("big")), PickleError::ByteOrder { got });
    let missing = read(&zip(&[("a/version", b"3")])).unwrap_err();
    let name = entry("a/data.pkl");
    assert_eq!(missing, PickleError::Missing { name });
}

#[test]
fn what_is_the_model_is_not_guessed() {
    assert_eq!(refusal(archive!("no_tensors")), PickleError::NoTensors);
    let names = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(refusal(archive!("several")), PickleError::Several { names });
    let name = "more".to_owned();
    assert_eq!(refusal(archive!("lost")), PickleError::NotPlain { name });

    assert_eq!(run(&pickle(b"K\x01N")).unwrap().len(), 1);
    let error = |beside: &[u8]| run(&pickle(beside)).unwrap_err();
    let name = || "a".to_owned();
    let twice = [b"X\x01\0\0\0a", TENSOR].concat();
    assert_eq!(error(&twice), PickleError::SameName { name: name() });
    assert_eq!(error(&[b"K\x01", TENSOR].concat()), PickleError::NoName);
    let class = error(b"X\x01\0\0\0accollections\nOrderedDict\n");
    assert_eq!(class, PickleError::NotPlain { name: name() });
}

#[test]
fn pickles_that_are_cut_or_wrong_are_refused() {
    assert_eq!(
        message(archive!("cut")),
        "pickle at byte 123: an opcode that is cut short"
    );
    let whole = pickle(b"");
    assert_eq!(run(&whole).unwrap().len(), 1);
    for length in 0..whole.len() {
        let error = run(&whole[..length]).unwrap_err();
        assert!(matches!(error, PickleError::Malformed { .. }), "{error}");
    }
    for wrong in [
        &b".."[..],
        b"NN.",
        b"(N.",
        b"t.",
        b"(t",
        b"N(\x85.",
        b"](N(a.",
        b"Na.",
        b"NNa.",
        b"](Ne(.",
        b"}(Nu.",
        b"}Nb.",
        b"NNR.",
        b"NN\x93.",
        b"h\0.",
        b"\x80\x01N.",
        b"N\x80\x02.",
        b"X\x01\0\0\0\xff.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x94.",
        b"q\0.",
    ] {
        let error = run(wrong).unwrap_err();
        assert!(
            matches!(error, PickleError::Malformed { .. }),
            "{wrong:?}: {error}"
        );
    }
}

#[test]
fn neither_depth_nor_number_takes_memory() {
    let fill = |opcodes: &[u8], times| [b"X\x01\0\0\0b", &opcodes.repeat(times)[..]].concat();
    // A tuple in a tuple in a tuple, and a list in itself.
    let mut deep = fill(b"", 0);
    deep.push(b')');
    deep.extend(b"\x85".repeat(OPCODES_MAX - 100));
    assert_eq!(run(&pickle(&deep)).unwrap().len(), 1);
    let own = fill(b"]q\0h\0ah\0a", 1);
    assert_eq!(run(&pickle(&own)).unwrap().len(), 1);
    for opcodes in [&b"N"[..], b"(", b"]", b"}", b")q\0", b"\x94"] {
        let mut pickle = b"N".to_vec();
        pickle.extend(opcodes.repeat(OPCODES_MAX));
        assert_eq!(run(&pickle).unwrap_err(), PickleError::TooMany);
    }
}

#[test]
fn copies_take_no_more_than_twice_the_file() {
    // Four numbers repeated eight times, by many names: one takes 9 bytes of the file and 128
    // of copies.
    let repeated = |names: u8| {
        let aliases: Vec<u8> = (0..names)
            .flat_map(|name| format!("X\x02\0\0\0{name:02x}h\0").into_bytes())
            .collect();
        let pickle = pickle(&[b"q\0", &aliases[..]].concat());
        let pickle = replaced(
            &pickle,
            b"K\x04\x85K\x01\x85",
            b"K\x08K\x04\x86K\0K\x01\x86",
        );
        run(&pickle)
    };
    assert_eq!(repeated(3).unwrap().len(), 4);
    let error = repeated(100).unwrap_err();
    assert!(matches!(error, PickleError::Copies { .. }), "{error}");
}

#[test]
fn an_archive_cut_anywhere_is_refused() {
    for (_, file, _) in VALID {
        for length in 0..file.len() {
            let error = refusal(&file[..length]);
            let is_cut = matches!(
                error,
                PickleError::NotZip
                    | PickleError::Zip { .. }
                    | PickleError::Malformed { .. }
                    | PickleError::Cut { .. }
            );
            assert!(is_cut, "{error}");
        }
    }
}

#[test]
fn no_byte_makes_it_panic() {
    for (_, file, _) in VALID {
        for at in 0..file.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = file.to_vec();
                changed[at] ^= change;
                let _ = read(&changed.into());
            }
        }
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let mut runner = TestRunner::new(Config {
        cases: 5_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(20_261_121),
        ..Config::default()
    });
    let bytes = prop_oneof![
        any::<u8>(),
        proptest::sample::select(&b"(.tRQbcqh}]us\x85\x86\x94\0\xff"[..])
    ];
    let change = (any::<proptest::sample::Index>(), bytes.clone());
    let changes = proptest::collection::vec(change, 1..12);
    let any_pickle = proptest::collection::vec(bytes, 0..64);
    let which = 0..VALID.len();
    let result = runner.run(&(which, changes, any_pickle), |(which, changes, pickle)| {
        let mut changed = VALID[which].1.to_vec();
        for (at, byte) in changes {
            let at = at.index(changed.len());
            changed[at] = byte;
        }
        let length = changed.len();
        for Stored { shape, bytes, .. } in read(&changed.into()).into_iter().flatten() {
            prop_assert!(bytes.len() <= 2 * length && shape.len() <= super::RANK_MAX);
        }
        let _ = run(&pickle);
        Ok(())
    });
    result.unwrap();
}
