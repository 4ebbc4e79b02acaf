//! Request bodies that arrive compressed.
//!
//! Whatever was done to a body is undone before any handler sees it, and no step of
//! it may give more bytes than one request may have: what grows beyond is never
//! held, only refused.

use super::App;
use super::body;
use super::routes::Refused;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use encoderfile_dialects::failure::{Failure, Kind};
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, Read};
use std::sync::Arc;

/// What can be undone, as `Accept-Encoding` lists it.
const ACCEPTED: &str = "gzip, deflate, br, zstd";

/// More on top of one another make nothing smaller.
const CODINGS_MAX: usize = 4;

/// So much is decompressed before the limit is looked at again.
const STEP: usize = 64 << 10;

/// A zstd frame may have one reach back so far (RFC 9659).
const ZSTD_WINDOW_MAX: u64 = 8 << 20;

/// How a body was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// Why a body cannot be decompressed.
#[derive(Debug, PartialEq, Eq)]
enum Problem {
    /// It has more bytes than are taken.
    TooLarge,
    /// It is not what its header says.
    Corrupt(Coding),
    /// Its reader would have to keep more than [`ZSTD_WINDOW_MAX`].
    Window,
}

/// Decompresses a request's body and lets the request pass.
pub(super) async fn decode(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let codings = match codings(request.headers()) {
        Ok(codings) => codings,
        Err(failure) => {
            let mut response = Refused(failure).into_response();
            let accepted = HeaderValue::from_static(ACCEPTED);
            response
                .headers_mut()
                .insert(header::ACCEPT_ENCODING, accepted);
            return response;
        }
    };
    if !codings.is_empty() {
        match decoded(request, &app, codings).await {
            Ok(decoded) => request = decoded,
            Err(failure) => return Refused(failure).into_response(),
        }
    }
    next.run(request).await
}

async fn decoded(
    request: Request,
    app: &Arc<App>,
    codings: Vec<Coding>,
) -> Result<Request, Failure> {
    let (mut parts, bytes) = body::collect(request, app).await?;
    let limit = app.service.limits.payload_limit;
    let decoded = tokio::task::spawn_blocking(move || undo(&codings, bytes.to_vec(), limit)).await;
    let decoded = decoded.map_err(|error| Failure::new(Kind::Internal, error.to_string()))?;
    let decoded = decoded.map_err(|problem| match problem {
        Problem::TooLarge => body::too_large(app),
        Problem::Corrupt(coding) => Failure::new(
            Kind::Malformed,
            format!("the body is not valid {}", coding.name()),
        ),
        Problem::Window => Failure::new(
            Kind::Malformed,
            format!("the body's zstd window is larger than {ZSTD_WINDOW_MAX} bytes; compress it with a smaller one"),
        ),
    })?;
    parts.headers.remove(header::CONTENT_ENCODING);
    parts
        .headers
        .insert(header::CONTENT_LENGTH, decoded.len().into());
    Ok(Request::from_parts(parts, Body::from(decoded)))
}

/// What was done to the body, in the order in which it was done.
fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, Failure> {
    let mut codings = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        for name in value.to_str().unwrap_or("?").split(',') {
            match name.trim().to_ascii_lowercase().as_str() {
                "" | "identity" => {}
                "gzip" | "x-gzip" => codings.push(Coding::Gzip),
                "deflate" => codings.push(Coding::Deflate),
                "br" => codings.push(Coding::Brotli),
                "zstd" => codings.push(Coding::Zstd),
                other => {
                    return Err(Failure::new(
                        Kind::MediaType,
                        format!("`content-encoding: {other}` is none of {ACCEPTED}"),
                    ));
                }
            }
        }
    }
    if codings.len() > CODINGS_MAX {
        return Err(Failure::new(
            Kind::MediaType,
            format!("the body is compressed more than {CODINGS_MAX} times"),
        ));
    }
    Ok(codings)
}

/// Undoes the last first. No bytes at all are left as they are: some clients say
/// how they would compress a body they do not have.
fn undo(codings: &[Coding], bytes: Vec<u8>, limit: usize) -> Result<Vec<u8>, Problem> {
    if bytes.is_empty() {
        return Ok(bytes);
    }
    let mut codings = codings.iter().rev();
    codings.try_fold(bytes, |bytes, coding| coding.undo(&bytes, limit))
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "brotli",
            Self::Zstd => "zstd",
        }
    }

    fn undo(self, bytes: &[u8], limit: usize) -> Result<Vec<u8>, Problem> {
        let mut out = Limited {
            bytes: Vec::new(),
            limit,
        };
        let corrupt = Problem::Corrupt(self);
        let whole = match self {
            Self::Gzip => gzip(bytes, &mut out).ok_or(corrupt),
            Self::Deflate => deflate(bytes, &mut out).ok_or(corrupt),
            Self::Brotli => brotli(bytes, &mut out).ok_or(corrupt),
            Self::Zstd => zstd(bytes, &mut out),
        };
        if out.is_beyond() {
            return Err(Problem::TooLarge);
        }
        whole.map(|()| out.bytes)
    }
}

/// What comes out, up to one byte more than may.
struct Limited {
    bytes: Vec<u8>,
    limit: usize,
}

impl Limited {
    fn is_beyond(&self) -> bool {
        self.bytes.len() > self.limit
    }

    /// Takes all there is, and no more than the limit; `None` where it breaks off.
    fn take(&mut self, reader: impl Read) -> Option<()> {
        let room = self.limit.saturating_sub(self.bytes.len()) as u64;
        let room = room.saturating_add(1);
        let read: io::Result<usize> = reader.take(room).read_to_end(&mut self.bytes);
        read.ok().map(drop)
    }
}

/// One file or several.
fn gzip(bytes: &[u8], out: &mut Limited) -> Option<()> {
    out.take(MultiGzDecoder::new(bytes))
}

/// As the standard says, in zlib's frame; or without it, as some have always sent it.
fn deflate(bytes: &[u8], out: &mut Limited) -> Option<()> {
    let is_zlib = bytes.first_chunk::<2>().is_some_and(|[method, flags]| {
        method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0
    });
    let rest = if is_zlib {
        let mut decoder = ZlibDecoder::new(bytes);
        out.take(&mut decoder)?;
        decoder.into_inner()
    } else {
        let mut decoder = DeflateDecoder::new(bytes);
        out.take(&mut decoder)?;
        decoder.into_inner()
    };
    rest.is_empty().then_some(())
}

fn brotli(bytes: &[u8], out: &mut Limited) -> Option<()> {
    let allocate = StandardAlloc::default;
    let mut state = BrotliState::new_strict(allocate(), allocate(), allocate());
    let (mut left, mut at, mut total) = (bytes.len(), 0, 0);
    let mut step = vec![0; STEP];
    loop {
        let (mut room, mut written) = (step.len(), 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut at,
            bytes,
            &mut room,
            &mut written,
            &mut step,
            &mut total,
            &mut state,
        );
        out.bytes.extend_from_slice(&step[..written]);
        match result {
            BrotliResult::NeedsMoreOutput if !out.is_beyond() => {}
            BrotliResult::ResultSuccess if left == 0 => return Some(()),
            _ => return None,
        }
    }
}

/// One frame or several, and between them what is to be skipped.
fn zstd(mut bytes: &[u8], out: &mut Limited) -> Result<(), Problem> {
    const CORRUPT: Problem = Problem::Corrupt(Coding::Zstd);

    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(ZSTD_WINDOW_MAX);
    while !bytes.is_empty() {
        match decoder.init(&mut bytes) {
            Ok(()) => {}
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let rest = usize::try_from(length).ok().and_then(|it| bytes.get(it..));
                bytes = rest.ok_or(CORRUPT)?;
                continue;
            }
            Err(FrameDecoderError::WindowSizeTooBig { .. }) => return Err(Problem::Window),
            Err(_) => return Err(CORRUPT),
        }
        while !decoder.is_finished() {
            let step = BlockDecodingStrategy::UptoBytes(STEP);
            let decoded = decoder.decode_blocks(&mut bytes, step);
            decoded.map_err(|_| CORRUPT)?;
            out.take(&mut decoder).ok_or(CORRUPT)?;
            if out.is_beyond() {
                return Err(Problem::TooLarge);
            }
        }
        let sent = decoder.get_checksum_from_data();
        if sent.is_some() && sent != decoder.get_calculated_checksum() {
            return Err(CORRUPT);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{CODINGS_MAX, Coding, Problem, codings, undo};
    use axum::http::{HeaderMap, HeaderValue, header};

    const LIMIT: usize = 8_000_000;

    const BODY: &[u8] = include_bytes!("coding/samples/body.json");

    /// Everything that is the body, and how it was made that.
    const SAMPLES: [(Coding, &[u8]); 7] = [
        (Coding::Gzip, include_bytes!("coding/samples/body.gz")),
        (
            Coding::Gzip,
            include_bytes!("coding/samples/two-members.gz"),
        ),
        (Coding::Deflate, include_bytes!("coding/samples/body.zlib")),
        (
            Coding::Deflate,
            include_bytes!("coding/samples/body.deflate"),
        ),
        (Coding::Brotli, include_bytes!("coding/samples/body.br")),
        (Coding::Zstd, include_bytes!("coding/samples/body.zst")),
        (Coding::Zstd, include_bytes!("coding/samples/frames.zst")),
    ];

    fn undone(coding: Coding, bytes: &[u8], limit: usize) -> Result<Vec<u8>, Problem> {
        undo(&[coding], bytes.to_vec(), limit)
    }

    #[test]
    fn what_others_compressed_is_the_same_again() {
        for (coding, sample) in SAMPLES {
            assert_eq!(undone(coding, sample, LIMIT).unwrap(), BODY, "{coding:?}");
        }
    }

    #[test]
    fn the_limit_is_of_what_comes_out() {
        for (coding, sample) in SAMPLES {
            assert_eq!(undone(coding, sample, BODY.len()).unwrap(), BODY);
            let beyond = undone(coding, sample, BODY.len() - 1);
            assert_eq!(beyond, Err(Problem::TooLarge), "{coding:?}");
        }
        let much: [(&[Coding], &[u8]); 5] = [
            (&[Coding::Gzip], include_bytes!("coding/samples/much.gz")),
            (
                &[Coding::Gzip, Coding::Gzip],
                include_bytes!("coding/samples/much.gz.gz"),
            ),
            (
                &[Coding::Deflate],
                include_bytes!("coding/samples/much.zlib"),
            ),
            (&[Coding::Brotli], include_bytes!("coding/samples/much.br")),
            (&[Coding::Zstd], include_bytes!("coding/samples/much.zst")),
        ];
        for (codings, sample) in much {
            let undone = undo(codings, sample.to_vec(), LIMIT);
            assert_eq!(undone, Err(Problem::TooLarge), "{codings:?}");
        }
    }

    #[test]
    fn a_limit_beyond_all_numbers_is_one_too() {
        for (coding, sample) in SAMPLES {
            assert_eq!(
                undone(coding, sample, usize::MAX).unwrap(),
                BODY,
                "{coding:?}"
            );
        }
    }

    #[test]
    fn what_breaks_off_is_no_body() {
        for (coding, sample) in SAMPLES {
            for length in 1..sample.len() {
                match undone(coding, &sample[..length], LIMIT) {
                    Err(Problem::Corrupt(found)) => assert_eq!(found, coding),
                    // Two of them are whole after the first.
                    Ok(part) => assert!(
                        coding != Coding::Deflate
                            && BODY.starts_with(&part)
                            && part.len() < BODY.len(),
                        "{coding:?} {length}"
                    ),
                    Err(problem) => panic!("{coding:?} {length}: {problem:?}"),
                }
            }
        }
    }

    #[test]
    fn what_was_changed_or_goes_on_is_no_body() {
        for (coding, sample) in SAMPLES {
            let longer = [sample, b"more"].concat();
            let longer = undone(coding, &longer, LIMIT);
            assert_eq!(longer, Err(Problem::Corrupt(coding)), "{coding:?}");
            // Of those with a checksum, every byte but some of the head counts.
            let has_checksum = matches!(coding, Coding::Gzip | Coding::Zstd);
            let changed = (10..sample.len()).filter(|at| {
                let mut changed = sample.to_vec();
                changed[*at] ^= 0x10;
                undone(coding, &changed, LIMIT).is_ok_and(|it| it != BODY)
            });
            assert!(!has_checksum || changed.count() == 0, "{coding:?}");
        }
        let noise: Vec<u8> = (0..2000_u32)
            .map(|it| (it * it % 251).to_le_bytes()[0])
            .collect();
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd] {
            assert_eq!(undone(coding, &noise, LIMIT), Err(Problem::Corrupt(coding)));
            assert_eq!(undone(coding, b"", LIMIT).unwrap(), b"");
        }
        // What only a reader with more memory takes.
        let wide = include_bytes!("coding/samples/wide-window.zst");
        assert_eq!(undone(Coding::Zstd, wide, LIMIT), Err(Problem::Window));
    }

    #[test]
    fn headers_say_what_was_done_in_which_order() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                headers.append(header::CONTENT_ENCODING, value);
            }
            codings(&headers).map_err(|failure| failure.to_string())
        };
        assert_eq!(read(&[]).unwrap(), []);
        assert_eq!(read(&["identity"]).unwrap(), []);
        assert_eq!(read(&["GZip"]).unwrap(), [Coding::Gzip]);
        assert_eq!(read(&["x-gzip"]).unwrap(), [Coding::Gzip]);
        let two = [Coding::Deflate, Coding::Zstd];
        assert_eq!(read(&["deflate,identity, zstd"]).unwrap(), two);
        assert_eq!(read(&["deflate", "zstd"]).unwrap(), two);
        for (values, named) in [
            (&["gzip, compress"][..], "compress"),
            (&["dcb"], "dcb"),
            (&["gzip;q=1"], "gzip;q=1"),
            (&["gz\u{ff}"], "?"),
        ] {
            let message = read(values).unwrap_err();
            assert!(
                message.contains(named) && message.contains("zstd"),
                "{message}"
            );
        }
        let many = ["gzip"; CODINGS_MAX + 1].join(",");
        assert!(read(&[&many]).unwrap_err().contains("times"));
    }

    #[test]
    fn the_last_is_undone_first() {
        let twice = include_bytes!("coding/samples/much.gz.gz");
        let once = undo(&[Coding::Gzip], twice.to_vec(), LIMIT).unwrap();
        assert_eq!(once, include_bytes!("coding/samples/much.gz"));
        let wrong = undo(&[Coding::Gzip, Coding::Brotli], twice.to_vec(), LIMIT);
        assert_eq!(wrong, Err(Problem::Corrupt(Coding::Brotli)));
    }
}
