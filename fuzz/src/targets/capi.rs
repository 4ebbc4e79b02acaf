//! Calls of the C library, with the pointers and lengths that a C program has.

use crate::models;
use encoderfile_capi::border::{
    Report, Status, encoderfile_error_free, encoderfile_error_message, encoderfile_error_status,
};
use encoderfile_capi::handle::Handle;
use encoderfile_capi::json::{encoderfile_infer_json, encoderfile_tokenize_json};
use encoderfile_capi::memory::{Text, encoderfile_string_free};
use encoderfile_capi::model::{encoderfile_close, encoderfile_open_bytes};
use encoderfile_capi::vectors::{encoderfile_encode, encoderfile_similarity};
use std::ffi::{CStr, c_char};
use std::ptr;
use std::sync::LazyLock;

/// Numbers of room for each step of the third byte.
const ROOM: usize = 16;

static PAYLOADS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let payloads: anyhow::Result<_> = models::NAMES.iter().map(|it| models::payload(it)).collect();
    payloads.unwrap_or_else(|error| panic!("{error:#}"))
});

static MODELS: LazyLock<Vec<Handle>> = LazyLock::new(|| {
    let models = PAYLOADS.iter().map(|payload| {
        let (handle, status) = opened(payload);
        assert_eq!(status, Status::Ok);
        handle
    });
    models.collect()
});

/// The first byte says which function, the second which model, the third how much room there is:
/// digits, so that inputs can be read. Then come the options, or the request or the file, and on
/// further lines texts.
pub(crate) fn run(data: &[u8]) {
    let [function, model, room, rest @ ..] = data else {
        return;
    };
    let digit = |byte: &u8| usize::from(byte.wrapping_sub(b'0'));
    let Some(&model) = MODELS.get(digit(model) % MODELS.len()) else {
        return;
    };
    match function {
        b'0' => opens(rest),
        b'1' => numbers(model, digit(room) * ROOM, rest, Function::Encode),
        b'2' => numbers(model, digit(room) * ROOM, rest, Function::Similarity),
        b'3' => answers(model, rest, encoderfile_infer_json),
        _ => answers(model, rest, encoderfile_tokenize_json),
    }
}

enum Function {
    Encode,
    Similarity,
}

fn numbers(model: Handle, capacity: usize, rest: &[u8], function: Function) {
    let mut lines = rest.split(|byte| *byte == b'\n').map(|line| Text {
        data: line.as_ptr().cast(),
        len: line.len(),
    });
    let Some(options) = lines.next() else { return };
    let texts: Vec<Text> = lines.collect();
    let mut numbers = vec![f32::NAN; capacity];
    let mut error = ptr::null_mut();
    let (out, count) = (numbers.as_mut_ptr(), texts.len());
    // SAFETY: slices of `rest`, and vectors that live as long.
    let status = unsafe {
        match function {
            Function::Encode => encoderfile_encode(
                model,
                texts.as_ptr(),
                count,
                options.data,
                options.len,
                out,
                capacity,
                &raw mut error,
            ),
            Function::Similarity => encoderfile_similarity(
                model,
                rest.as_ptr().cast(),
                rest.len(),
                texts.as_ptr(),
                count,
                options.data,
                options.len,
                out,
                capacity,
                &raw mut error,
            ),
        }
    };
    check(status, error);
    let written = numbers.iter().filter(|it| !it.is_nan()).count();
    let has_rows = count == 0 || written >= count;
    assert!(status != Status::Ok || has_rows, "{written} of {count}");
}

/// A function from JSON to JSON.
type Answering = unsafe extern "C" fn(
    Handle,
    *const c_char,
    usize,
    *mut *mut c_char,
    *mut usize,
    *mut *mut Report,
) -> Status;

fn answers(model: Handle, request: &[u8], function: Answering) {
    let (mut json, mut len, mut error) = (ptr::null_mut(), 0, ptr::null_mut());
    let data = request.as_ptr().cast();
    // SAFETY: a slice, and places of ours.
    let status = unsafe {
        function(
            model,
            data,
            request.len(),
            &raw mut json,
            &raw mut len,
            &raw mut error,
        )
    };
    check(status, error);
    assert_eq!(status == Status::Ok, !json.is_null());
    if !json.is_null() {
        // SAFETY: a string of the library, freed once.
        unsafe {
            let answer = CStr::from_ptr(json).to_bytes();
            assert_eq!(answer.len(), len);
            assert!(serde_json::from_slice::<serde_json::Value>(answer).is_ok());
            encoderfile_string_free(json);
        }
    }
}

fn opens(file: &[u8]) {
    let (handle, status) = opened(file);
    assert_eq!(status == Status::Ok, handle != Handle::default());
    encoderfile_close(handle);
}

fn opened(file: &[u8]) -> (Handle, Status) {
    let (mut handle, mut error) = (Handle::default(), ptr::null_mut());
    let data = file.as_ptr().cast();
    // SAFETY: a slice, and places of ours.
    let status =
        unsafe { encoderfile_open_bytes(data, file.len(), 1, &raw mut handle, &raw mut error) };
    if status != Status::File {
        check(status, error);
    } else {
        // SAFETY: an error of the library, freed once.
        unsafe { encoderfile_error_free(error) };
    }
    (handle, status)
}

/// A call that failed has an error with one line of UTF-8; and what is asked of a sound model is
/// neither the file's nor the library's fault.
fn check(status: Status, error: *mut Report) {
    assert_eq!(status == Status::Ok, error.is_null());
    // SAFETY: NULL, or an error of the library, freed once.
    unsafe {
        assert_eq!(encoderfile_error_status(error), status);
        let message = CStr::from_ptr(encoderfile_error_message(error)).to_str();
        let message = message.unwrap_or_else(|error| panic!("{error}"));
        assert!(status == Status::Ok || !message.is_empty());
        assert!(!message.contains('\n'), "{message}");
        assert!(!matches!(status, Status::File | Status::Bug), "{message}");
        encoderfile_error_free(error);
    }
}

pub(crate) fn seeds() -> anyhow::Result<Vec<Vec<u8>>> {
    const SEEDS: [&str; 8] = [
        "10Z{\"normalize\": true}\na text\n\nanother",
        "109{\"dimensions\": 4, \"prompt\": \"query: \"}\na text",
        "100\na text in no room",
        "20Z\na text\nanother",
        "11Z{}\na text for another task",
        "310{\"inputs\": [\"a\"], \"raw_scores\": true}",
        "330{\"inputs\": [\"a [MASK]\", \"\"], \"partial\": true}",
        "400{\"inputs\": [{\"text\": \"a\", \"text_pair\": \"b\"}, \"c\"], \"max_tokens\": 4}",
    ];
    let mut seeds: Vec<Vec<u8>> = SEEDS.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    let file = PAYLOADS.first().map_or(&[][..], Vec::as_slice);
    seeds.push([b"000", file].concat());
    Ok(seeds)
}
