//! Requests and results as JSON: everything that has no function of its own.

use crate::border::{Failure, Report, Status, fallible};
use crate::handle::{self, Handle};
use crate::memory::{self, give_string};
use encoderfile::Model;
use std::ffi::c_char;
use std::ptr;

/// What the file says of its model, as `GET /model` does: task,
/// limits, labels, prompts, licence, ids and sizes.
///
/// `json`: where the address of an object is written, with a NUL after it; free it with
/// `encoderfile_string_free`. NULL where the call fails.
/// `json_len`: NULL, or where its length in bytes is written, without the NUL.
/// `error`: NULL, or where an error is written for `encoderfile_error_free`, NULL for none.
///
/// # Safety
/// Each pointer is NULL, or points to what is described here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn encoderfile_info_json(
    model: Handle,
    json: *mut *mut c_char,
    json_len: *mut usize,
    error: *mut *mut Report,
) -> Status {
    // SAFETY: as the caller says of each pointer.
    unsafe { answer(model, json, json_len, error, |model| Ok(model.info_json()?)) }
}

/// Answers a request in the form of `/predict`: `{"inputs": [...]}` of texts or of
/// `{"text", "text_pair"}`, with any option beside them. The answer is
/// `{"results": [...], "model_id": ...}`; with `"query"` the texts are ranked, best first. With
/// `"partial": true`, a text that fails has `{"error": ...}` in its place.
///
/// `request`: of `request_len` bytes of UTF-8.
/// The others are as in `encoderfile_info_json`.
///
/// # Safety
/// Each pointer is NULL, or points to what is described here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn encoderfile_infer_json(
    model: Handle,
    request: *const c_char,
    request_len: usize,
    json: *mut *mut c_char,
    json_len: *mut usize,
    error: *mut *mut Report,
) -> Status {
    // SAFETY: as the caller says of each pointer.
    unsafe {
        answer(model, json, json_len, error, |model| {
            let request = memory::text("request", request, request_len)?;
            Ok(model.infer_json(request)?)
        })
    }
}

/// The tokens of each text or pair of a request (see `encoderfile_infer_json`), as the model sees
/// them: `{"results": [{"tokens": [...], "tokens_total": ..., "tokens_used": ...}]}`.
///
/// `request`: of `request_len` bytes of UTF-8.
/// The others are as in `encoderfile_info_json`.
///
/// # Safety
/// Each pointer is NULL, or points to what is described here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn encoderfile_tokenize_json(
    model: Handle,
    request: *const c_char,
    request_len: usize,
    json: *mut *mut c_char,
    json_len: *mut usize,
    error: *mut *mut Report,
) -> Status {
    // SAFETY: as the caller says of each pointer.
    unsafe {
        answer(model, json, json_len, error, |model| {
            let request = memory::text("request", request, request_len)?;
            Ok(model.tokenize_json(request)?)
        })
    }
}

/// Recomputes the results that were stored when the file was built:
/// `{"passed": ..., "cases": ..., ...}`. Numbers that differ are no error of the call.
///
/// The parameters are those of `encoderfile_info_json`.
///
/// # Safety
/// Each pointer is NULL, or points to what is described here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn encoderfile_self_test_json(
    model: Handle,
    json: *mut *mut c_char,
    json_len: *mut usize,
    error: *mut *mut Report,
) -> Status {
    // SAFETY: as the caller says of each pointer.
    unsafe {
        answer(model, json, json_len, error, |model| {
            Ok(model.self_test_json()?)
        })
    }
}

/// Gives away the JSON that `compute` makes.
///
/// # Safety
/// `json`, `json_len` and `error` are NULL, or one value can be written there.
unsafe fn answer(
    model: Handle,
    json: *mut *mut c_char,
    json_len: *mut usize,
    error: *mut *mut Report,
    compute: impl FnOnce(&Model) -> Result<String, Failure>,
) -> Status {
    // SAFETY: as the caller says.
    unsafe {
        fallible(error, || {
            memory::required("json", json)?.write(ptr::null_mut());
            if let Some(len) = memory::place(json_len) {
                len.write(0);
            }
            let answer = compute(&handle::model(model)?)?;
            give_string(answer, "json", json, json_len)
        })
    }
}
