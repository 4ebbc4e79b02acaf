//! What clients write, before it is read as a message: see [`json::mend`].

use encoderfile_runtime::json::{self, Nulls};
use tokio::io::{
    AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, Stdin, duplex, stdin,
};

/// The members of a message itself are the protocol's, of which none may be `null`
/// but a response's; `metadata` is the caller's.
pub(crate) const NULLS: Nulls = Nulls {
    within: &["params"],
    except: &["params", "arguments", "metadata"],
};

/// A longer line is left as it is, for the reader to refuse.
const LINE_MAX: u64 = 16 << 20;

/// Standard input, line by line, each as it should be.
pub(super) fn standard_input() -> DuplexStream {
    /// What is read ahead of whoever reads the messages.
    const AHEAD: usize = 64 << 10;

    let (mended, reader) = duplex(AHEAD);
    tokio::spawn(mend_lines(BufReader::new(stdin()), mended));
    reader
}

/// Ends when either side does.
async fn mend_lines(mut from: BufReader<Stdin>, mut to: DuplexStream) -> std::io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut one = (&mut from).take(LINE_MAX);
        if one.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        match json::mend(&line, &NULLS) {
            Ok(mended) => to.write_all(&mended).await?,
            // No JSON, and said to be none where messages are answered.
            Err(_) => to.write_all(&line).await?,
        }
    }
}
