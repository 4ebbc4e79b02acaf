/* libencoderfile: encoder models in one file, for C and whatever calls it.
 *
 * Made of the Rust sources by cbindgen (capi/tests/header.rs). docs/c.md says how to build with it.
 *
 * - A call returns a status; ENCODERFILE_STATUS_OK is 0. Where it fails and `error` is not NULL, it
 *   writes an error there, with a message that says what is wrong and what to do. The caller frees
 *   it.
 * - Texts are UTF-8 with their length in bytes; nothing needs a NUL after it. What the library gives
 *   away has one.
 * - Any thread may call any function, several at a time with the same model.
 * - Nothing that the caller passes is kept after a call, and no call changes it.
 * - A call never throws, aborts or calls back. Only memory that does not exist, or none that is
 *   left, ends the program.
 */

#ifndef ENCODERFILE_H
#define ENCODERFILE_H

#include <stddef.h>
#include <stdint.h>

/*
 The version of the interface: see `encoderfile_abi_version`. The number in the library's
 soname, and in the version of its symbols.
 */
#define ENCODERFILE_ABI_VERSION 0

/*
 Whether a call succeeded, and who can do something about it if not.
 */
typedef enum {
    /*
     It succeeded.
     */
    ENCODERFILE_STATUS_OK = 0,
    /*
     The file is at fault: it is not there, is damaged, or holds what cannot be served.
     */
    ENCODERFILE_STATUS_FILE = 1,
    /*
     The texts, the options or the request are at fault: the same model answers others.
     */
    ENCODERFILE_STATUS_REQUEST = 2,
    /*
     This library is at fault. Please report it, with the message.
     */
    ENCODERFILE_STATUS_BUG = 3,
    /*
     The call is at fault: a pointer that is NULL or not aligned, a length beyond memory, or
     text that is not UTF-8.
     */
    ENCODERFILE_STATUS_ARGUMENT = 4,
    /*
     The caller's memory has too little room; the message says how much is needed.
     */
    ENCODERFILE_STATUS_BUFFER_TOO_SMALL = 5,
    /*
     There is no such model: it was closed, or never opened.
     */
    ENCODERFILE_STATUS_CLOSED = 6,
    /*
     The model belongs to the process that this one was forked from: open it again in this one.
     */
    ENCODERFILE_STATUS_FORKED = 7,
} encoderfile_status;

/*
 What a call says of its failure: a status, and a message for people.
 */
typedef struct encoderfile_error encoderfile_error;

/*
 A model: a number that this library gives, and 0 for none. Any thread may use it, several at a
 time, also while another closes it. One that was closed, or that a forked process inherited, is
 an error in every function. A copy is the same model.
 */
typedef uint64_t encoderfile_model;

/*
 A text: UTF-8, with any code point in it, and no NUL needed after it.
 */
typedef struct {
    /*
     Its first byte; may be NULL where `len` is 0.
     */
    const char *data;
    /*
     In bytes.
     */
    size_t len;
} encoderfile_text;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 The version of this library, such as `0.1.0`. It is valid for as long as the library is loaded.
 */
const char *encoderfile_version(void);

/*
 The version of the interface of the library that is loaded. A program works with it if this is
 the `ENCODERFILE_ABI_VERSION` that it was compiled with.
 */
uint32_t encoderfile_abi_version(void);

/*
 The notices of the software of others in this library, with their licence texts: UTF-8, which
 is valid for as long as the library is loaded.
 */
const char *encoderfile_licenses(void);

/*
 The status that came with an error; `ENCODERFILE_STATUS_OK` for NULL.

 # Safety
 `error` is NULL, or an error of this library that is not freed.
 */
encoderfile_status encoderfile_error_status(const encoderfile_error *error);

/*
 What went wrong, where, and what to do: one line of UTF-8 without a line break, in the words of
 the command line and of the server. It is valid until the error is freed; for NULL it is empty.

 # Safety
 `error` is NULL, or an error of this library that is not freed.
 */
const char *encoderfile_error_message(const encoderfile_error *error);

/*
 Frees an error. NULL is allowed.

 # Safety
 `error` is NULL, or an error of this library that is not freed; afterwards it and its message
 may not be used.
 */
void encoderfile_error_free(encoderfile_error *error);

/*
 What the file says of its model, as `GET /model` does: task,
 limits, labels, prompts, licence, ids and sizes.

 `json`: where the address of an object is written, with a NUL after it; free it with
 `encoderfile_string_free`. NULL where the call fails.
 `json_len`: NULL, or where its length in bytes is written, without the NUL.
 `error`: NULL, or where an error is written for `encoderfile_error_free`, NULL for none.

 # Safety
 Each pointer is NULL, or points to what is described here.
 */
encoderfile_status encoderfile_info_json(encoderfile_model model,
                                         char **json,
                                         size_t *json_len,
                                         encoderfile_error **error);

/*
 Answers a request in the form of `/predict`: `{"inputs": [...]}` of texts or of
 `{"text", "text_pair"}`, with any option beside them. The answer is
 `{"results": [...], "model_id": ...}`; with `"query"` the texts are ranked, best first. With
 `"partial": true`, a text that fails has `{"error": ...}` in its place.

 `request`: of `request_len` bytes of UTF-8.
 The others are as in `encoderfile_info_json`.

 # Safety
 Each pointer is NULL, or points to what is described here.
 */
encoderfile_status encoderfile_infer_json(encoderfile_model model,
                                          const char *request,
                                          size_t request_len,
                                          char **json,
                                          size_t *json_len,
                                          encoderfile_error **error);

/*
 The tokens of each text or pair of a request (see `encoderfile_infer_json`), as the model sees
 them: `{"results": [{"tokens": [...], "tokens_total": ..., "tokens_used": ...}]}`.

 `request`: of `request_len` bytes of UTF-8.
 The others are as in `encoderfile_info_json`.

 # Safety
 Each pointer is NULL, or points to what is described here.
 */
encoderfile_status encoderfile_tokenize_json(encoderfile_model model,
                                             const char *request,
                                             size_t request_len,
                                             char **json,
                                             size_t *json_len,
                                             encoderfile_error **error);

/*
 Recomputes the results that were stored when the file was built:
 `{"passed": ..., "cases": ..., ...}`. Numbers that differ are no error of the call.

 The parameters are those of `encoderfile_info_json`.

 # Safety
 Each pointer is NULL, or points to what is described here.
 */
encoderfile_status encoderfile_self_test_json(encoderfile_model model,
                                              char **json,
                                              size_t *json_len,
                                              encoderfile_error **error);

/*
 Frees a string that this library gave away. NULL is allowed.

 # Safety
 `string` is NULL, or a string of this library that is neither freed nor changed; afterwards it
 may not be used.
 */
void encoderfile_string_free(char *string);

/*
 Opens an encoderfile of any kind (native, wasm, or a payload alone).

 The file is mapped: whoever changes it while it is open gets wrong numbers, or SIGBUS where it is
 shortened. Replace it by renaming another to its name.

 `path`: of `path_len` bytes of UTF-8.
 `threads`: how many compute at once: 0 for one a core, 1 for the caller's alone, at most 1024. No
 result depends on it.
 `model`: where the model is written; 0 where the call fails. Close it with
 `encoderfile_close`.
 `error`: NULL, or where an error is written for `encoderfile_error_free`, NULL for none.

 # Safety
 Each pointer is NULL, or points to what is described here.
 */
encoderfile_status encoderfile_open(const char *path,
                                    size_t path_len,
                                    size_t threads,
                                    encoderfile_model *model,
                                    encoderfile_error **error);

/*
 Opens an encoderfile that is in memory, of which a copy is made.

 `data`: its `len` bytes.
 The others are as in `encoderfile_open`.

 # Safety
 Each pointer is NULL, or points to what is described here.
 */
encoderfile_status encoderfile_open_bytes(const void *data,
                                          size_t len,
                                          size_t threads,
                                          encoderfile_model *model,
                                          encoderfile_error **error);

/*
 Closes a model; nothing happens for one that is closed, and for 0. Calls that other threads are
 in come to their end, and the last of them frees its memory.
 */
void encoderfile_close(encoderfile_model model);

/*
 How many values the embedding of a text has, where a request asks for no other `dimensions`.

 `dimensions`: where it is written: 0 for a model that gives no one vector a text.

 # Safety
 Each pointer is NULL, or points to what is described here.
 */
encoderfile_status encoderfile_dimensions(encoderfile_model model,
                                          size_t *dimensions,
                                          encoderfile_error **error);

/*
 The embeddings of texts, on the model's threads: `[count, dimensions]` in float32, row-major,
 written into the caller's memory. `dimensions` is what `encoderfile_dimensions` says, unless the
 options have another.

 For a model that gives one vector a text; the others answer `encoderfile_infer_json`.

 `texts`: `count` of them, each of UTF-8.
 `options`: NULL, or `options_len` bytes of a JSON object with options as `/predict` takes them,
 such as `{"prompt_name": "query", "normalize": true, "dimensions": 128}`.
 `embeddings`: room for `capacity` numbers, of which count * dimensions are written. Where the
 call fails, what is in them means nothing.
 `error`: NULL, or where an error is written for `encoderfile_error_free`, NULL for none. It is
 that of the first text that fails.

 # Safety
 Each pointer is NULL, or points to what is described here, and nobody changes it meanwhile.
 */
encoderfile_status encoderfile_encode(encoderfile_model model,
                                      const encoderfile_text *texts,
                                      size_t count,
                                      const char *options,
                                      size_t options_len,
                                      float *embeddings,
                                      size_t capacity,
                                      encoderfile_error **error);

/*
 The similarity of each text to a source, by the function that the model is made for
 (`"similarity"` in `encoderfile_info_json`): more is more alike. A cosine is from -1 to 1, a dot
 product of any size; the Euclidean and the Manhattan distance are negated, so 0 at most.

 `source`: of `source_len` bytes of UTF-8.
 `similarities`: room for `capacity` numbers, of which `count` are written.
 The others are as in `encoderfile_encode`.

 # Safety
 Each pointer is NULL, or points to what is described here, and nobody changes it meanwhile.
 */
encoderfile_status encoderfile_similarity(encoderfile_model model,
                                          const char *source,
                                          size_t source_len,
                                          const encoderfile_text *texts,
                                          size_t count,
                                          const char *options,
                                          size_t options_len,
                                          float *similarities,
                                          size_t capacity,
                                          encoderfile_error **error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ENCODERFILE_H */
