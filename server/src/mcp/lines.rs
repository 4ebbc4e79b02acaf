//! Standard input and output, line by line: what is no message is answered here, and
//! rmcp gets the others.

use super::messages::{self, Wrong};
use std::io;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader,
    DuplexStream, duplex, stdin, stdout,
};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

/// The longest line that rmcp reads.
const LINE_LEN_MAX: u64 = 16 << 20;

/// What is written in advance of whoever reads.
const AHEAD_BYTES: usize = 64 << 10;
const AHEAD_LINES: usize = 16;

/// The ends for rmcp of standard input and output.
pub(super) struct Standard {
    pub(super) input: DuplexStream,
    pub(super) output: DuplexStream,
    /// Ends when all that rmcp said has been written, after its end was dropped.
    pub(super) written: JoinHandle<io::Result<()>>,
}

impl Standard {
    pub(super) fn open() -> Self {
        Self::between(BufReader::new(stdin()), stdout(), LINE_LEN_MAX)
    }

    fn between(
        from: impl AsyncBufRead + Unpin + Send + 'static,
        to: impl AsyncWrite + Unpin + Send + 'static,
        line_len_max: u64,
    ) -> Self {
        let (messages, input) = duplex(AHEAD_BYTES);
        let (output, answers) = duplex(AHEAD_BYTES);
        let (lines, to_write) = channel(AHEAD_LINES);
        tokio::spawn(read(from, messages, lines.clone(), line_len_max));
        tokio::spawn(gather(BufReader::new(answers), lines));
        Self {
            input,
            output,
            written: tokio::spawn(write(to_write, to)),
        }
    }
}

/// A line to be written; none after the last.
type Line = Option<Vec<u8>>;

/// Hands messages on, and answers what is none. Ends when either side does.
async fn read(
    mut from: impl AsyncBufRead + Unpin,
    mut messages: DuplexStream,
    answers: Sender<Line>,
    line_len_max: u64,
) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut one = (&mut from).take(line_len_max);
        let length = one.read_until(b'\n', &mut line).await?;
        if length == 0 {
            return Ok(());
        }
        let is_whole = line.ends_with(b"\n");
        let message = if !is_whole && length as u64 == line_len_max {
            skip_line(&mut from).await?;
            Err(Box::new(Wrong::too_long(line_len_max)))
        } else if line.trim_ascii().is_empty() {
            continue;
        } else {
            messages::read(&line)
        };
        match message {
            Ok(message) => {
                messages.write_all(&message).await?;
                if !is_whole {
                    messages.write_all(b"\n").await?;
                }
            }
            Err(wrong) => {
                let answer = wrong.answer() + "\n";
                let sent = answers.send(Some(answer.into_bytes())).await;
                sent.map_err(io::Error::other)?;
            }
        }
    }
}

async fn skip_line(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<()> {
    loop {
        let read = from.fill_buf().await?;
        let end = read.iter().position(|byte| *byte == b'\n');
        let is_done = end.is_some() || read.is_empty();
        let length = end.map_or(read.len(), |end| end + 1);
        from.consume(length);
        if is_done {
            return Ok(());
        }
    }
}

/// Whole lines of what rmcp says, so that no answer comes between their parts.
async fn gather(mut from: BufReader<DuplexStream>, lines: Sender<Line>) {
    loop {
        let mut line = Vec::new();
        let read = from.read_until(b'\n', &mut line).await;
        let is_last = !matches!(read, Ok(1..));
        let line = (!is_last).then_some(line);
        if lines.send(line).await.is_err() || is_last {
            return;
        }
    }
}

async fn write(mut lines: Receiver<Line>, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    while let Some(Some(line)) = lines.recv().await {
        to.write_all(&line).await?;
        to.flush().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Standard;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, duplex};

    /// What rmcp gets of an input, and what is written when it repeats that.
    async fn passed(lines: &'static str, line_len_max: u64) -> (String, String) {
        let (mut all, to) = duplex(1 << 20);
        let standard = Standard::between(BufReader::new(lines.as_bytes()), to, line_len_max);
        let Standard {
            mut input,
            mut output,
            written,
        } = standard;
        let mut got = String::new();
        input.read_to_string(&mut got).await.unwrap();
        output.write_all(got.as_bytes()).await.unwrap();
        drop(output);
        written.await.unwrap().unwrap();
        let mut said = String::new();
        all.read_to_string(&mut said).await.unwrap();
        (got, said)
    }

    #[tokio::test]
    async fn what_is_no_message_is_answered_and_the_next_one_read() {
        let (got, said) = passed(
            concat!(
                "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\"}\r\n",
                "garbage\n\n",
                "{\"jsonrpc\":\"2.0\",\"id\":7}\n",
                "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"b\"}",
            ),
            1000,
        )
        .await;
        let methods: Vec<bool> = got.lines().map(|it| it.contains("method")).collect();
        assert_eq!(methods, [true, true], "{got}");
        assert!(got.ends_with('\n'), "{got}");
        let mut lines: Vec<&str> = said.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines.len(), 4, "{said}");
        assert!(said.contains("-32700") && said.contains("-32600"), "{said}");
        assert!(said.contains("\"id\":7"), "{said}");
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_answered_and_skipped() {
        let input = concat!(
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}\n",
            "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"b\"}\n",
        );
        let (got, said) = passed(input, 50).await;
        assert!(
            got.contains("\"id\":2") && got.lines().count() == 1,
            "{got}"
        );
        assert!(said.contains("at most 50 bytes"), "{said}");
    }
}
